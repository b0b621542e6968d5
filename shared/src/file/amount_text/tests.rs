use proptest::prelude::*;

use super::*;

fn style(toml: &str) -> AmountReader {
    AmountReader::new(&toml::from_str(toml).unwrap())
}

fn shown(reader: &AmountReader, text: &str, decimal: DecimalMark) -> String {
    match reader.read(text, decimal) {
        Ok(Some(amount)) => amount.to_string(),
        Ok(None) => "empty".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn amounts_are_read_as_people_write_them() {
    let reader = style(
        "currency = ['€', 'R$', 'EUR']\ndebit_marks = ['Dr', 'D']\ncredit_marks = ['Cr', 'C']\nempty = ['-', 'NA']\n\
         scientific = true\npadding = '*'",
    );
    for (text, amount) in [
        ("1234.56", "1234.56"),
        ("1,234.56-", "-1234.56"),
        ("(1,234.56)", "-1234.56"),
        ("( 1,234.56 )", "-1234.56"),
        ("1,58,837.00 Dr", "158837"),
        ("1,58,837.00cr", "-158837"),
        ("Cr 5", "-5"),
        ("€ 1,234.50", "1234.5"),
        ("-€1,234.50", "-1234.5"),
        ("€-1,234.50", "-1234.5"),
        ("1,234.50- EUR", "-1234.5"),
        ("1'234'567.89", "1234567.89"),
        ("1’234.5", "1234.5"),
        ("1\u{a0}234.5", "1234.5"),
        ("\u{2212}7", "-7"),
        ("△1,234", "-1234"),
        ("１２，３４５", "12345"),
        ("+7", "7"),
        ("***12.30", "12.3"),
        ("-", "empty"),
        ("NA", "empty"),
        ("  ", "empty"),
        ("1.5E+3", "1500"),
        ("1.25e-2", "0.0125"),
        ("0E0", "0"),
        ("1E-16", "0.0000000000000001"),
        ("100000E-18", "0.0000000000001"),
        ("000012.50", "12.5"),
        ("0.500", "0.5"),
    ] {
        assert_eq!(shown(&reader, text, DecimalMark::Point), amount, "{text}");
    }
    for (text, amount) in [
        ("1.234,56-", "-1234.56"),
        ("1.234,56 D", "1234.56"),
        ("R$ 1.234,56 C", "-1234.56"),
        ("1.234", "1234"),
        ("1 234 567,8", "1234567.8"),
        (",5", "0.5"),
        ("1234,", "1234"),
    ] {
        assert_eq!(shown(&reader, text, DecimalMark::Comma), amount, "{text}");
    }
}

#[test]
fn what_has_no_one_reading_is_no_amount() {
    let reader = style("debit_marks = ['Dr']\ncredit_marks = ['Cr']");
    for text in [
        "abc",
        "1,2,3",
        "12,34.5",
        "1234,567.0",
        "0,123.0",
        "1,234,56",
        "1,234 567",
        "1..2",
        "1.2,3",
        "1.234,567",
        "(5",
        "5)",
        "$5",
        "1E3",
        "x5",
        "1 2",
        "1,23,45,67.0",
        ",234",
        "1,",
        "-",
        "()",
        "Dr",
        "五",
    ] {
        assert_eq!(shown(&reader, text, DecimalMark::Point), "is not a decimal number", "{text}");
    }
    for text in ["--5", "-5-", "(-5)", "-5 Cr", "5 Dr Cr", "(5) Dr", "Cr 5 Cr"] {
        assert_eq!(shown(&reader, text, DecimalMark::Point), "has two signs", "{text}");
    }
    assert!(shown(&reader, "1.12345678901234567", DecimalMark::Point).contains("16 fractional"));
    assert!(shown(&reader, "1.234.567.890.123.456.789", DecimalMark::Comma).contains("18 integer"));
    let strict = style("decimal = ','\nthousands = 'none'");
    assert_eq!(shown(&strict, "1.234", DecimalMark::Comma), "is not a decimal number");
    assert_eq!(shown(&strict, "1234,5", DecimalMark::Comma), "1234.5");
}

#[test]
fn the_decimal_mark_follows_from_what_only_one_can_read() {
    let reader = style("");
    let measured = |texts: &[&str]| {
        let mut evidence = Evidence::default();
        for (place, text) in texts.iter().enumerate() {
            reader.measure(text, place as u64 + 1, &mut evidence);
        }
        (evidence.point, evidence.comma, evidence.either.map(|(line, ..)| line))
    };
    assert_eq!(measured(&["1234", "", "-7", "1 234"]), (None, None, None));
    assert_eq!(measured(&["12.50", "1.234"]), (Some(1), None, Some(2)));
    assert_eq!(measured(&["1.234", "1.234,5"]), (None, Some(2), Some(1)));
    assert_eq!(measured(&["1,234", "0.123"]), (Some(2), None, Some(1)));
    assert_eq!(measured(&["1,234,567"]), (Some(1), None, None));
    assert_eq!(measured(&["junk.", "x,y"]), (None, None, None));
    assert_eq!(measured(&["1,5", "1.5"]), (Some(2), Some(1), None));
}

proptest! {
    #[test]
    fn reading_never_panics(text in "[-+0-9., ()'eEDCr€△\u{a0}*]{0,40}") {
        let reader = style("currency = ['€']\ndebit_marks = ['Dr']\ncredit_marks = ['Cr']\nscientific = true");
        let _ = reader.read(&text, DecimalMark::Point);
        let _ = reader.read(&text, DecimalMark::Comma);
    }

    #[test]
    fn every_amount_is_read_back_however_it_is_grouped(units in -10_i128.pow(34)+1..10_i128.pow(34), comma: bool, indian: bool) {
        let amount = Amount::from_units(units).unwrap();
        let text = amount.to_string();
        let digits = text.trim_start_matches('-');
        let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let (thousands, mark, decimal) =
            if comma { ('.', ',', DecimalMark::Comma) } else { (',', '.', DecimalMark::Point) };
        let mut grouped = String::new();
        for (place, digit) in integer.chars().enumerate() {
            let left = integer.len() - place;
            let border = if indian { left == 3 || left > 3 && left % 2 == 1 } else { left % 3 == 0 };
            if place > 0 && border {
                grouped.push(thousands);
            }
            grouped.push(digit);
        }
        let sign = if units < 0 { "-" } else { "" };
        let written = format!("{grouped}{mark}{fraction}{sign}");
        prop_assert_eq!(style("").read(&written, decimal).unwrap(), Some(amount), "{}", written);
    }
}

#[test]
fn the_point_of_an_abbreviated_currency_is_no_decimal_point() {
    let reader = style("currency = ['Rs', '$']");
    assert_eq!(shown(&reader, "Rs.500", DecimalMark::Point), "is not a decimal number");
    assert_eq!(shown(&reader, "Rs 500", DecimalMark::Point), "500");
    assert_eq!(shown(&reader, "$.50", DecimalMark::Point), "0.5");
    assert_eq!(shown(&style("currency = ['Rs.']"), "Rs.500", DecimalMark::Point), "500");
}

#[test]
fn line_breaks_and_tabs_group_no_digits() {
    for text in ["100\n200", "100\t200", "100\r\n200"] {
        assert_eq!(shown(&style(""), text, DecimalMark::Point), "is not a decimal number", "{text:?}");
    }
}
