//! Workbooks, as a kept library writes them.

use proptest::prelude::*;
use rust_xlsxwriter::{ExcelDateTime, Format, Workbook};
use shared::amount::Amount;
use tests::random::Random;

use crate::reading::{Row, profile, read, slice};

/// What a cell of an amount holds.
#[derive(Debug, Clone)]
enum Figure {
    Number(f64),
    /// A text that the profile's decimal comma reads.
    Text(i64),
    Blank,
}

/// Cells, of which some hold more than an amount can where `wild` ones are asked for.
fn figures(wild: bool) -> impl Strategy<Value = Figure> {
    let wild = u32::from(wild);
    prop_oneof![
        4 => (-100_000_000_i64..100_000_000).prop_map(|cents| Figure::Number(decimal(cents, '.').parse().expect("a number"))),
        2 => (-1e15..1e15).prop_map(Figure::Number),
        wild => (-1e-3..1e-3).prop_map(Figure::Number),
        wild => any::<f64>().prop_filter("a number", |number| number.is_finite()).prop_map(Figure::Number),
        1 => (-100_000_000_i64..100_000_000).prop_map(Figure::Text),
        1 => Just(Figure::Blank),
    ]
}

/// An amount with its minus before it.
fn decimal(cents: i64, mark: char) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}{mark}{:02}", cents.abs() / 100, cents.abs() % 100)
}

/// The amount that a cell must give; none if it is more than an amount can hold.
fn amount(figure: &Figure) -> Option<Amount> {
    match figure {
        // From there on a double has lost digits.
        Figure::Number(number) if number.abs() >= 2_f64.powi(53) => None,
        // The shortest decimal that stands for the double.
        Figure::Number(number) => format!("{number}").parse().ok(),
        Figure::Text(cents) => Amount::from_units(i128::from(*cents) * 10_i128.pow(14)),
        Figure::Blank => Some(Amount::ZERO),
    }
}

type CodedRow = (u32, bool, String, Figure);

fn rows(wild: bool) -> impl Strategy<Value = Vec<CodedRow>> {
    prop::collection::vec((1..1_000_000_u32, any::<bool>(), crate::ledger::texts(), figures(wild)), 1..30)
}

const TOML: &str = "[text]\nsheet = 'Salden'\nheader_contains = ['Konto', 'Saldo']\n[amounts]\ndecimal = ','\n[columns]\n\
                    entity = { message = 'entity' }\nperiod = { column = 'Datum', format = 'YYYY-MM-DD' }\n\
                    account_code = 'Konto'\naccount_name = 'Bezeichnung'\nbalance = 'Saldo'\ndepartment = 'Abteilung'\n\
                    bs_pl = { value = 'BS' }\nstatus = { value = 'Assets' }\n";

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_amounts_of_a_workbook_are_the_shortest_decimals_of_its_numbers(
        rows in any::<bool>().prop_flat_map(rows),
        titles in 0..4_u32,
        gap in 0..3_u16,
        seed: u64,
    ) {
        let mut random = Random::new(seed);
        let mut workbook = Workbook::new();
        workbook.add_worksheet().set_name("Deckblatt")?.write(0, 0, "Konto")?;
        let sheet = workbook.add_worksheet().set_name("Salden")?;
        for title in 0..titles {
            sheet.write(title, 0, "Saldenliste")?;
        }
        let headings = ["Konto", "Bezeichnung", "Datum", "Saldo", "Abteilung"];
        for (place, heading) in headings.into_iter().enumerate() {
            sheet.write(titles, gap + place as u16, heading)?;
        }
        let (mut expected, mut bad, mut at) = (Vec::new(), 0, titles);
        for (code, is_text, name, figure) in &rows {
            at += random.between(1, 3) as u32;
            // XML holds no control characters, and what a library escapes otherwise is none of this test's business.
            let name: String = name.chars().filter(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}' | '_')).collect();
            let name = name.trim().to_owned();
            if *is_text {
                sheet.write(at, gap, format!("{code:08}"))?;
            } else {
                sheet.write(at, gap, *code)?;
            }
            sheet.write(at, gap + 1, &name)?;
            let date = ExcelDateTime::from_ymd(2022, 6, random.between(1, 30) as u8)?;
            sheet.write_with_format(at, gap + 2, &date, &Format::new().set_num_format("dd.mm.yyyy"))?;
            match figure {
                Figure::Number(number) if random.percent(50) => {
                    sheet.write_with_format(at, gap + 3, *number, &Format::new().set_num_format("#,##0.00"))?;
                }
                Figure::Number(number) => {
                    sheet.write(at, gap + 3, *number)?;
                }
                Figure::Text(cents) => {
                    sheet.write(at, gap + 3, decimal(*cents, ','))?;
                }
                Figure::Blank if random.percent(50) => {
                    sheet.write_blank(at, gap + 3, &Format::new())?;
                }
                Figure::Blank => {}
            }
            let department = random.percent(30).then(|| "Köln".to_owned());
            if let Some(department) = &department {
                sheet.write(at, gap + 4, department)?;
            }
            let Some(amount) = amount(figure) else {
                bad += 1;
                continue;
            };
            expected.push(Row {
                line: u64::from(at) + 1,
                company: "A".to_owned(),
                code: if *is_text { format!("{code:08}") } else { code.to_string() },
                name: Some(name).filter(|name| !name.trim().is_empty()),
                department,
                balance: amount.units(),
                forward: None,
                extra: (1..=gap).map(|place| (format!("column_{place}"), String::new())).collect(),
            });
        }
        let bytes = workbook.save_to_buffer()?;
        let sum: i128 = expected.iter().map(|row| row.balance).sum();
        match read(&bytes, &profile(TOML), &slice("A", "2022-06")) {
            Ok((checked, rows)) => {
                prop_assert_eq!((bad, rows.0), (0, expected));
                prop_assert_eq!(checked.balance_sum.units(), sum);
            }
            Err(failure) if bad > 0 => prop_assert_eq!(failure.rows_total, bad, "{}", failure),
            Err(failure) => prop_assert!(Amount::from_units(sum).is_none(), "{}", failure),
        }
    }
}
