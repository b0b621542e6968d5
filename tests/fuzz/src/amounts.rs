//! Amounts: any text, with both decimal marks.

use shared::{
    amount::{Amount, InvalidAmount},
    file::{
        amount_text::{AmountReader, Evidence},
        mapping_profile::{AmountStyle, DecimalMark, ThousandsMark},
    },
};

/// Reads a text as an amount; the first byte chooses the style.
pub fn amount(bytes: &[u8]) {
    let Some((choice, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let reader = AmountReader::new(&style(*choice));
    let readings = [DecimalMark::Point, DecimalMark::Comma].map(|decimal| one(&reader, text, decimal));
    let mut evidence = Evidence::default();
    reader.measure(text, 7, &mut evidence);
    match readings {
        [Ok(Some(point)), Ok(Some(comma))] if point != comma => {
            assert_eq!((evidence.point, evidence.comma), (None, None), "{text:?} has two readings");
            assert_eq!(evidence.either, Some((7, point, comma)), "{text:?} has two readings");
        }
        [Ok(Some(_)), Err(_)] => assert_eq!((evidence.point, evidence.comma), (Some(7), None), "{text:?}"),
        [Err(_), Ok(Some(_))] => assert_eq!((evidence.point, evidence.comma), (None, Some(7)), "{text:?}"),
        _ => assert_eq!(evidence, Evidence::default(), "{text:?} tells nothing"),
    }
}

fn one(reader: &AmountReader, text: &str, decimal: DecimalMark) -> Result<Option<Amount>, InvalidAmount> {
    let read = reader.read(text, decimal);
    for spaced in [format!(" {text}"), format!("{text}\u{a0}\t"), format!("\u{3000}{text}\r\n ")] {
        assert_eq!(reader.read(&spaced, decimal), read, "{text:?} with spaces around");
    }
    if let Ok(Some(amount)) = read {
        let plain = match decimal {
            DecimalMark::Point => amount.to_string(),
            DecimalMark::Comma => amount.to_string().replace('.', ","),
        };
        assert_eq!(reader.read(&plain, decimal), Ok(Some(amount)), "{text:?} is {plain}, which is read otherwise");
        assert_eq!(amount.to_string().parse(), Ok(amount), "{text:?}");
    }
    read
}

/// A style of which each bit chooses something.
fn style(choice: u8) -> AmountStyle {
    let texts = |bit: u8, texts: &[&str]| match choice & bit {
        0 => Vec::new(),
        _ => texts.iter().map(|text| (*text).to_owned()).collect(),
    };
    let thousands = [
        ThousandsMark::Point,
        ThousandsMark::Comma,
        ThousandsMark::Space,
        ThousandsMark::Apostrophe,
        ThousandsMark::None,
    ];
    AmountStyle {
        decimal: None,
        thousands: thousands.get(usize::from(choice & 7)).copied(),
        empty: texts(8, &["-", "NA", "nil", "–"]),
        currency: texts(16, &["€", "R$", "EUR", "kr."]),
        debit_marks: texts(32, &["Dr", "D", "Soll", "借"]),
        credit_marks: texts(32, &["Cr", "C", "İ", "Haben", "貸"]),
        scientific: choice & 64 != 0,
        padding: if choice & 128 == 0 { String::new() } else { "*_".to_owned() },
        decimals: None,
    }
}
