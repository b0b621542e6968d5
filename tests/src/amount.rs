//! Exact amounts, apart from Aura's own: whole units of 10⁻⁹, as their text.

/// Units in one.
pub const ONE: i128 = 1_000_000_000;

/// The plain decimal of so many units, without trailing zeros: `-12.5`.
pub fn text(units: i128) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let (integer, fraction) = (units.abs() / ONE, units.abs() % ONE);
    if fraction == 0 {
        return format!("{sign}{integer}");
    }
    let digits = format!("{fraction:09}");
    format!("{sign}{integer}.{}", digits.trim_end_matches('0'))
}

/// The units of a plain decimal with at most nine decimals.
///
/// # Panics
/// If the text is none: it was written by a test.
pub fn units(text: &str) -> i128 {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    assert!(fraction.len() <= 9, "{text} has more than nine decimals");
    let whole = |digits: &str| if digits.is_empty() { 0 } else { digits.parse::<i128>().expect("digits") };
    sign * (whole(integer) * ONE + whole(&format!("{fraction:0<9}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_text_are_each_others_inverse() {
        for plain in ["0", "-0.000000001", "12.5", "-107650014987.03", "15883780430.629999993"] {
            assert_eq!(text(units(plain)), plain);
        }
        assert_eq!(text(units("100.00")), "100");
    }
}
