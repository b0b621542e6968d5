//! What the amounts of a slice tell beside their sum: figures that may have another meaning than the one they were
//! given, and the sums of both sides.

use crate::{
    amount::{Amount, SCALE, Sum},
    file::mapping_profile::DecimalMark,
};

/// Amounts from which on a mark with three digits behind it throughout is a doubt.
const DOUBTFUL: u64 = 2;
/// How far a workbook's number may be from the decimal that it means, in units of an amount: a millionth.
const MOST_CUT: u128 = 10_u128.pow(SCALE - 6);

/// What was seen of the amounts of a slice.
#[derive(Debug, Clone, Default)]
pub struct AmountNotes {
    /// Amounts with three digits behind the decimal mark.
    threes: u64,
    /// Whether one tells that the mark is none of thousands.
    is_proven: bool,
    /// Numbers of a workbook that were not the decimal that they mean, and the largest difference.
    cut: u64,
    largest_cut: u128,
    /// The sums of both sides of the balance, where it has sides.
    sides: [Sum; 2],
}

impl AmountNotes {
    /// Looks at a text that was read with this decimal mark.
    pub(super) fn look(&mut self, text: &str, decimal: DecimalMark) {
        if self.is_proven {
            return;
        }
        let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
        let mark = char::from(decimal.byte());
        match text.rsplit_once(mark) {
            // Other marks before it, or more than a group before it, are none of a figure in thousands.
            Some((before, behind))
                if digits(behind) == 3 && digits(before) < 4 && !before.contains(['.', ',', '\'']) =>
            {
                // Nothing in thousands begins with a zero.
                let begins = before.trim_start_matches(|c: char| !c.is_ascii_digit());
                self.is_proven |= begins.starts_with('0') || begins.is_empty();
                self.threes += 1;
            }
            Some(_) => self.is_proven = true,
            None => self.is_proven = digits(text) > 3,
        }
    }

    /// Takes in both sides of a row.
    pub(super) fn add_sides(&mut self, debit: Option<Amount>, credit: Option<Amount>) {
        for (sum, amount) in self.sides.iter_mut().zip([debit, credit]) {
            amount.into_iter().for_each(|amount| sum.add(amount));
        }
    }

    /// The sums of what is debited and of what is credited.
    pub fn sides(&self) -> [Option<Amount>; 2] {
        self.sides.map(Sum::total)
    }

    /// The decimal of so many digits that a double means, if one is near enough; `text` is the shortest decimal that
    /// stands for the double.
    pub(super) fn meant(&mut self, text: &str, decimals: u8) -> Option<Amount> {
        // What an amount cannot hold is far below a millionth.
        let held = text.find('.').map_or(text.len(), |point| text.len().min(point + 1 + SCALE as usize));
        let held = Amount::parse(text.get(..held)?.as_bytes()).ok()?.units();
        let step = 10_i128.pow(SCALE.checked_sub(decimals.into())?);
        let (below, rest) = (held.div_euclid(step), held.rem_euclid(step));
        let meant = Amount::from_units((if rest * 2 < step { below } else { below + 1 }) * step)?;
        let difference = meant.units().abs_diff(held);
        if difference >= MOST_CUT {
            return None;
        }
        if Amount::parse(text.as_bytes()) != Ok(meant) {
            self.cut += 1;
            self.largest_cut = self.largest_cut.max(difference);
        }
        Some(meant)
    }

    /// Whether all amounts with a decimal mark have three digits behind it, so that it may be that of thousands.
    pub fn is_scale_in_doubt(&self) -> bool {
        !self.is_proven && self.threes >= DOUBTFUL
    }

    /// What a person should look at.
    pub fn warnings(&self, decimal: DecimalMark) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.is_scale_in_doubt() {
            warnings.push(format!(
                "all {} amounts with {} have three digits behind it: if it is the mark of thousands, they are a thousand \
                 times too small",
                self.threes,
                match decimal {
                    DecimalMark::Point => "a decimal point",
                    DecimalMark::Comma => "a decimal comma",
                }
            ));
        }
        if self.cut > 0 {
            warnings.push(format!(
                "numbers of the workbook that were read as the decimal that they mean: {}; the largest difference is {}",
                self.cut,
                i128::try_from(self.largest_cut).ok().and_then(Amount::from_units).unwrap_or_default()
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(texts: &[&str], decimal: DecimalMark) -> bool {
        let mut notes = AmountNotes::default();
        texts.iter().for_each(|text| notes.look(text, decimal));
        !notes.warnings(decimal).is_empty()
    }

    #[test]
    fn a_mark_that_may_be_one_of_thousands_is_told_unless_a_figure_tells_that_it_is_none() {
        assert!(warned(&["15,000", "-3,250", "120,500-"], DecimalMark::Comma));
        assert!(warned(&["15.000", "3.250", "999.999", "12", ""], DecimalMark::Point));
        for proof in ["0,125", "1500", "1.200,500", "12,5", "1234,500"] {
            assert!(!warned(&["15,000", "3,250", "120,500", proof], DecimalMark::Comma), "{proof}");
        }
        assert!(!warned(&["15,000"], DecimalMark::Comma), "one may be chance");
    }

    #[test]
    fn a_double_is_the_decimal_that_it_means_or_none() {
        let mut notes = AmountNotes::default();
        let mut meant = |text| notes.meant(text, 2).map(|amount| amount.to_string());
        assert_eq!(meant("14749.500000000002").as_deref(), Some("14749.5"));
        assert_eq!(meant("0.0000000000018189894035458565").as_deref(), Some("0"));
        assert_eq!(meant("-0.07").as_deref(), Some("-0.07"));
        assert_eq!(meant("12.345"), None);
        assert_eq!(notes.cut, 2);
    }
}
