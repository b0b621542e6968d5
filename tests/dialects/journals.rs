//! Journals: files of postings, several of an account, some of two accounts.

use proptest::prelude::*;
use shared::amount::Amount;

use crate::reading::{profile, read, slice};

const TOML: &str = "repeated_keys = 'sum'\n[text]\ndelimiter = ';'\n[amounts]\ndecimal = ','\n[balance]\n\
                    column = 'Umsatz'\nindicator = 'S/H'\ndebit_values = ['S']\ncredit_values = ['H']\n[columns]\n\
                    entity = { message = 'entity' }\nperiod = { column = 'Belegdatum', format = 'DD.MM.YYYY' }\n\
                    account_code = 'Konto'\naccount_name = 'Text'\ndebit_period = 'Umsatz'\nbs_pl = { value = 'BS' }\n\
                    status = { value = 'Assets' }\n[contra]\naccount_code = 'Gegenkonto'\naccount_name = 'Gegentext'\n";

/// A line of a journal.
#[derive(Debug, Clone)]
struct Posting {
    account: u16,
    contra: Option<u16>,
    cents: i64,
    month: u8,
}

fn postings() -> impl Strategy<Value = Posting> {
    (1..9_u16, prop::option::weighted(0.8, 1..9_u16), -9_999_999..9_999_999_i64, 5..8_u8)
        .prop_map(|(account, contra, cents, month)| Posting { account, contra, cents, month })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_posting_makes_a_row_of_each_of_its_accounts(postings in prop::collection::vec(postings(), 1..30)) {
        let mut text = "Belegdatum;Konto;Text;Gegenkonto;Gegentext;Umsatz;S/H\r\n".to_owned();
        let mut expected = [const { Vec::new() }; 3];
        for (place, Posting { account, contra, cents, month }) in postings.iter().enumerate() {
            let (line, side) = (place as u64 + 2, if *cents < 0 { "H" } else { "S" });
            let magnitude = format!("{},{:02}", cents.abs() / 100, cents.abs() % 100);
            let other = contra.map(|contra| contra.to_string()).unwrap_or_default();
            text.push_str(&format!("15.{month:02}.2022;{account};t{account};{other};g{other};{magnitude};{side}\r\n"));
            let rows = &mut expected[usize::from(*month) - 5];
            rows.push((line, account.to_string(), format!("t{account}"), i128::from(*cents) * 10_i128.pow(14)));
            if let Some(contra) = contra {
                rows.push((line, contra.to_string(), format!("g{contra}"), i128::from(-*cents) * 10_i128.pow(14)));
            }
        }
        let profile = profile(TOML);
        for (place, expected) in expected.into_iter().enumerate() {
            let read = read(text.as_bytes(), &profile, &slice("A", &format!("2022-{:02}", place + 5)));
            if expected.is_empty() {
                prop_assert!(read.is_err());
                continue;
            }
            let (checked, rows) = read.map_err(|failure| TestCaseError::fail(failure.to_string()))?;
            let sum: i128 = expected.iter().map(|(.., units)| units).sum();
            prop_assert_eq!(checked.balance_sum, Amount::from_units(sum).unwrap());
            let found: Vec<_> = rows.0.into_iter().map(|row| (row.line, row.code, row.name.unwrap(), row.balance)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
