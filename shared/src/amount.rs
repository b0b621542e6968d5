//! Amounts: exact decimals with at most 18 integer and 16 fractional digits. None passes through a float.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Fractional digits that an amount holds.
pub const SCALE: u32 = 16;
/// Integer digits that an amount holds.
pub const INTEGER_DIGITS: u32 = 18;
/// One, in units of the last fractional digit.
const ONE: i128 = 10_i128.pow(SCALE);
/// The first magnitude that no longer fits.
const LIMIT: i128 = 10_i128.pow(SCALE + INTEGER_DIGITS);
/// What a machine word of decimal digits weighs when it is full.
const FULL_WORD: u64 = 10_u64.pow(18);

/// An exact decimal of at most 18 integer and 16 fractional digits, in units of 10⁻¹⁶.
///
/// PostgreSQL `numeric`, MongoDB `Decimal128` and Parquet `Decimal128(38, 16)` all hold every one
/// of them exactly.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Amount(i128);

/// Why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    /// Not of the form `-123.45`.
    #[error("is not a decimal number")]
    NotANumber,
    /// More than 18 digits before the point.
    #[error("has more than 18 integer digits")]
    TooLarge,
    /// More than 16 digits after the point.
    #[error("has more than 16 fractional digits")]
    TooPrecise,
    /// A number of a workbook that is no figure of as many decimals as the profile says.
    #[error("is not within a millionth of a figure of so many decimals as the mapping profile says")]
    NotOfDecimals,
    /// A number of a workbook past what its kind of number can tell apart.
    #[error("is too large for a number of a workbook, which has lost digits; export it as text or CSV")]
    Imprecise,
    /// A minus beside another sign, or beside debit or credit.
    #[error("has two signs")]
    TwoSigns,
}

impl Amount {
    /// Nil.
    pub const ZERO: Self = Self(0);

    /// The amount of so many units of 10⁻¹⁶, or none if it has more than 18 integer digits.
    pub fn from_units(units: i128) -> Option<Self> {
        (units.abs() < LIMIT).then_some(Self(units))
    }

    /// The amount in units of 10⁻¹⁶.
    pub fn units(self) -> i128 {
        self.0
    }

    /// Whether its magnitude is below 0.01, what the data profile counts as a zero balance.
    pub fn is_near_zero(self) -> bool {
        self.0.abs() < ONE / 100
    }

    /// Parses the plain form `[+-]digits[.digits]`; nothing is rounded.
    ///
    /// # Errors
    /// If the text has another form, or more digits than an amount holds.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidAmount> {
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        // Digits are gathered in machine words, which are much faster than 128 bits.
        let (mut units, mut word, mut weight) = (0_i128, 0_u64, 1_u64);
        let (mut integer, mut fraction) = (0_u32, 0_u32);
        let (mut point, mut any) = (false, false);
        for byte in digits {
            match byte {
                b'0'..=b'9' => {
                    any = true;
                    if point {
                        fraction += 1;
                    } else if integer > 0 || *byte != b'0' {
                        integer += 1;
                    }
                    // Past the limits the digits are still read, so that the fault named is the right one.
                    if integer <= INTEGER_DIGITS && fraction <= SCALE {
                        (word, weight) = (word * 10 + u64::from(byte - b'0'), weight * 10);
                        if weight == FULL_WORD {
                            units = units * i128::from(weight) + i128::from(word);
                            (word, weight) = (0, 1);
                        }
                    }
                }
                b'.' if !point => point = true,
                _ => return Err(InvalidAmount::NotANumber),
            }
        }
        if !any {
            return Err(InvalidAmount::NotANumber);
        }
        if integer > INTEGER_DIGITS {
            return Err(InvalidAmount::TooLarge);
        }
        if fraction > SCALE {
            return Err(InvalidAmount::TooPrecise);
        }
        units = (units * i128::from(weight) + i128::from(word)) * 10_i128.pow(SCALE - fraction);
        Ok(Self(if negative { -units } else { units }))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal_text(self.0, SCALE))
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The plain decimal of `units` × 10^−`scale`, without trailing zeros.
pub fn decimal_text(units: i128, scale: u32) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let one = 10_u128.pow(scale);
    let (integer, fraction) = (units.unsigned_abs() / one, units.unsigned_abs() % one);
    if fraction == 0 {
        return format!("{sign}{integer}");
    }
    let digits = format!("{fraction:0width$}", width = scale as usize);
    format!("{sign}{integer}.{}", digits.trim_end_matches('0'))
}

impl FromStr for Amount {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        Self::parse(text.as_bytes())
    }
}

impl TryFrom<String> for Amount {
    type Error = InvalidAmount;

    fn try_from(text: String) -> Result<Self, InvalidAmount> {
        text.parse()
    }
}

impl From<Amount> for String {
    fn from(value: Amount) -> String {
        value.to_string()
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "an exact decimal, never a JSON number",
            "pattern": r"^[+-]?(0*[0-9]{1,18}(\.[0-9]{0,16})?|0*\.[0-9]{1,16})$",
            "examples": ["15883780430.629999993"]
        })
    }
}

/// A running sum, exact, whose overflow is noticed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum(Option<i128>, bool);

impl Sum {
    /// Adds an amount.
    pub fn add(&mut self, amount: Amount) {
        match self.0.unwrap_or(0).checked_add(amount.0) {
            Some(sum) => self.0 = Some(sum),
            None => self.1 = true,
        }
    }

    /// The sum, or none if it has more than 18 integer digits.
    pub fn total(self) -> Option<Amount> {
        if self.1 { None } else { Amount::from_units(self.0.unwrap_or(0)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_digit_of_a_plain_decimal_is_kept() {
        for (text, shown) in [
            ("15883780430.629999993", "15883780430.629999993"),
            ("-0.0000000000000001", "-0.0000000000000001"),
            ("999999999999999999.9999999999999999", "999999999999999999.9999999999999999"),
            ("000000000000000000000012.50", "12.5"),
            ("-0", "0"),
            (".5", "0.5"),
            ("5.", "5"),
            ("+7", "7"),
        ] {
            assert_eq!(text.parse::<Amount>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_would_be_rounded_or_guessed_is_refused() {
        for text in ["", "-", ".", "1e5", "1_000", "1,000.00", "1.2.3", " 1", "NaN", "(1)", "1-", "１"] {
            assert_eq!(text.parse::<Amount>(), Err(InvalidAmount::NotANumber), "{text}");
        }
        assert_eq!("1000000000000000000".parse::<Amount>(), Err(InvalidAmount::TooLarge));
        assert_eq!("0.00000000000000001".parse::<Amount>(), Err(InvalidAmount::TooPrecise));
        assert_eq!("9".repeat(4000).parse::<Amount>(), Err(InvalidAmount::TooLarge));
    }

    #[test]
    fn a_sum_that_no_store_could_hold_is_noticed() {
        let nearly = Amount::from_units(LIMIT - 1).unwrap();
        let mut sum = Sum::default();
        sum.add(nearly);
        assert_eq!(sum.total(), Some(nearly));
        sum.add(nearly);
        assert_eq!(sum.total(), None);
        sum.add(Amount::from_units(1 - LIMIT).unwrap());
        assert_eq!(sum.total(), Some(nearly), "only the final sum has to fit");
    }

    proptest! {
        #[test]
        fn an_amount_reads_back_what_it_shows(units in (1 - LIMIT)..LIMIT) {
            let amount = Amount::from_units(units).unwrap();
            prop_assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
        }

        #[test]
        fn every_digit_counts_wherever_it_stands(
            is_negative: bool, zeros in "0{0,40}", integer in "[0-9]{1,18}", fraction in "[0-9]{0,16}",
        ) {
            let sign = if is_negative { "-" } else { "" };
            let units: i128 = format!("{sign}{integer}{fraction:0<16}").parse().unwrap();
            let amount: Amount = format!("{sign}{zeros}{integer}.{fraction}").parse().unwrap();
            prop_assert_eq!(amount.units(), units);
        }

        #[test]
        fn parsing_never_panics_and_never_invents(text in "[-+.0-9eE, ]{0,60}") {
            if let Ok(amount) = text.parse::<Amount>() {
                prop_assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
            }
        }
    }
}
