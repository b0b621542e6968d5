//! PostgreSQL's `numeric` in its binary form.

use crate::amount::{Amount, SCALE};

/// A numeric's digits are of base 10,000.
const DIGIT: i128 = 10_000;
/// The digits of that base after the point.
const FRACTION: i16 = SCALE as i16 / 4;
const NEGATIVE: u16 = 0x4000;

/// Reads a `numeric` exactly, or returns none if it is not an amount.
pub fn read(bytes: &[u8]) -> Option<Amount> {
    let (&[count, more, weight, less, sign, minus, _, _], digits) = bytes.split_first_chunk::<8>()?;
    let count = usize::from(u16::from_be_bytes([count, more]));
    let weight = i16::from_be_bytes([weight, less]);
    let sign = u16::from_be_bytes([sign, minus]);
    if digits.len() != count * 2 || (sign != 0 && sign != NEGATIVE) {
        return None;
    }
    let mut units = 0_i128;
    let mut place = weight.checked_add(FRACTION)?;
    for digit in digits.as_chunks().0 {
        let digit = i128::from(u16::from_be_bytes(*digit));
        if place >= 0 {
            units = units.checked_mul(DIGIT)?.checked_add(digit)?;
        } else if digit != 0 {
            return None;
        }
        place = place.checked_sub(1)?;
    }
    // PostgreSQL leaves out zeros at the end; `place` is that of the first digit left out.
    if units != 0 && place >= 0 {
        units = units.checked_mul(DIGIT.checked_pow(u32::try_from(place).ok()? + 1)?)?;
    }
    Amount::from_units(if sign == NEGATIVE { -units } else { units })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What PostgreSQL's `numeric_send` makes of a plain decimal.
    fn numeric(text: &str) -> Vec<u8> {
        let (sign, text) = text.strip_prefix('-').map_or((0, text), |text| (NEGATIVE, text));
        let (integer, fraction) = text.split_once('.').unwrap_or((text, ""));
        let integer = format!("{}{integer}", "0".repeat((4 - integer.len() % 4) % 4));
        let scale = fraction.len() as u16;
        let fraction = format!("{fraction}{}", "0".repeat((4 - fraction.len() % 4) % 4));
        let mut digits: Vec<u16> = format!("{integer}{fraction}")
            .as_bytes()
            .chunks(4)
            .map(|d| str::from_utf8(d).unwrap().parse().unwrap())
            .collect();
        let mut weight = integer.len() as i16 / 4 - 1;
        while digits.first() == Some(&0) {
            digits.remove(0);
            weight -= 1;
        }
        while digits.last() == Some(&0) {
            digits.pop();
        }
        if digits.is_empty() {
            weight = 0;
        }
        let words = [digits.len() as u16, weight.cast_unsigned(), sign, scale].into_iter().chain(digits);
        words.flat_map(u16::to_be_bytes).collect()
    }

    #[test]
    fn what_is_no_amount_is_told_apart() {
        assert_eq!(read(&numeric("0")), Some(Amount::ZERO));
        assert_eq!(read(&numeric("999999999999999999.9999999999999999")).unwrap().to_string().len(), 35);
        assert_eq!(read(&numeric("1000000000000000000")), None, "too large");
        assert_eq!(read(&numeric("0.00000000000000001")), None, "too precise");
        assert_eq!(read(&[0, 0, 0, 0, 0xc0, 0, 0, 0]), None, "not a number");
        assert_eq!(read(&[0, 0, 0, 0, 0xd0, 0, 0, 0]), None, "infinite");
        assert_eq!(read(&[0, 1, 0, 0, 0, 0, 0, 0]), None, "cut off");
    }

    proptest! {
        #[test]
        fn every_amount_is_read_as_it_was_written(units in (1 - 10_i128.pow(34))..10_i128.pow(34), shift in 0_u32..34) {
            let units = units / 10_i128.pow(shift);
            let written = Amount::from_units(units).unwrap();
            prop_assert_eq!(read(&numeric(&written.to_string())), Some(written));
        }

        #[test]
        fn bytes_that_are_no_numeric_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = read(&bytes);
        }
    }
}
