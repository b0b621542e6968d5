//! Each profile reads its sample as `samples/expected.toml` says.

use std::{collections::BTreeMap, fs::File, path::PathBuf};

use serde::Deserialize;
use shared::{
    amount::Amount,
    file::{
        columns::{AMOUNTS, ERP_TEXTS},
        mapping_profile::{MappingProfile, RepeatedKeys},
        trial_balance::{self, CheckedSlice, LedgerRow, RowSink, read_until_settled},
    },
    message::{
        failure::{BadRow, Failure},
        job::DEFAULT_SOURCE,
    },
    slice::Slice,
};

use crate::{folder, reading::request, sources};

const EXPECTED: &str = "expected.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectations {
    slice: Vec<Expectation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    source: String,
    /// The file, where the profile has more than the one of its own name.
    sample: Option<String>,
    entity: String,
    period: String,
    rows: u64,
    accounts: usize,
    balance_sum: String,
    left_out: u64,
    without_key: u64,
    rows_other_slices: u64,
    examples: Vec<BTreeMap<String, String>>,
}

/// The accounts of a slice, equal ones added up: each column's text by its name.
#[derive(Default)]
struct Accounts {
    amounts: BTreeMap<String, BTreeMap<&'static str, i128>>,
    texts: BTreeMap<String, BTreeMap<&'static str, String>>,
    repeated: bool,
}

impl RowSink for Accounts {
    fn good(&mut self, row: &LedgerRow<'_>) -> Result<(), Failure> {
        let code = row.account_code.to_string();
        self.repeated |= self.amounts.contains_key(&code);
        let amounts = self.amounts.entry(code.clone()).or_default();
        for (name, amount) in AMOUNTS.into_iter().zip(row.amounts) {
            *amounts.entry(name).or_default() += amount.map_or(0, Amount::units);
        }
        let texts = self.texts.entry(code).or_default();
        for (name, text) in ERP_TEXTS.into_iter().zip(&row.texts) {
            if let Some(text) = text {
                texts.entry(name).or_insert_with(|| text.to_string());
            }
        }
        Ok(())
    }

    fn rejected(&mut self, row: &BadRow, _: &str) -> Result<(), Failure> {
        panic!("a bad row in a sample: {row:?}");
    }
}

impl Accounts {
    fn shown(&self, code: &str, column: &str) -> Option<String> {
        if column == "account" {
            return self.amounts.contains_key(code).then(|| code.to_owned());
        }
        let amount = |units: &i128| Amount::from_units(*units).expect("an amount").to_string();
        match column {
            "name" => self.texts.get(code)?.get("account_name").cloned(),
            _ => self.amounts.get(code)?.get(column).map(amount).or_else(|| self.texts.get(code)?.get(column).cloned()),
        }
    }
}

fn expectations() -> Vec<Expectation> {
    let text = std::fs::read_to_string(folder().join("samples").join(EXPECTED)).expect("the expectations");
    toml::from_str::<Expectations>(&text).expect("expectations").slice
}

/// The samples by the name of their profile.
fn samples() -> BTreeMap<String, PathBuf> {
    let entries =
        std::fs::read_dir(folder().join("samples")).expect("the samples").map(|entry| entry.expect("a file").path());
    let mut samples = BTreeMap::new();
    for path in entries.filter(|path| !path.ends_with(EXPECTED)) {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        assert!(samples.insert(name.clone(), path).is_none(), "{name} has two samples");
    }
    samples
}

fn read(path: &PathBuf, profile: &MappingProfile, slice: &Slice) -> Result<(CheckedSlice, Accounts), Failure> {
    read_until_settled(|assumptions| {
        let request = request(slice, profile);
        let mut accounts = Accounts::default();
        let checked = trial_balance::read(File::open(path).expect("a sample"), &request, assumptions, &mut accounts)?;
        Ok((checked, accounts))
    })
}

#[test]
fn every_profile_has_a_sample_and_every_sample_a_profile_and_expectations() {
    let profiles = sources().names().into_iter().map(|name| name.to_string()).filter(|name| name != DEFAULT_SOURCE);
    let profiles: Vec<String> = profiles.collect();
    assert!(profiles.len() > 1);
    let others: Vec<_> = expectations().into_iter().filter_map(|slice| slice.sample).collect();
    let samples = samples().into_iter().filter(|(_, path)| !others.iter().any(|other| path.ends_with(other)));
    assert_eq!(profiles, samples.map(|(name, _)| name).collect::<Vec<_>>());
    let mut expected: Vec<String> = expectations().into_iter().map(|slice| slice.source).collect();
    expected.sort();
    expected.dedup();
    assert_eq!(profiles, expected);
}

#[test]
fn every_sample_is_read_as_its_figures_were_written() {
    let samples = samples();
    let mut faults = Vec::new();
    for expected in expectations() {
        let slice = Slice { entity: expected.entity.parse().unwrap(), period: expected.period.parse().unwrap() };
        let about = format!("{} {slice}", expected.source);
        let profile = sources().named(&expected.source.parse().unwrap()).unwrap();
        let sample = match &expected.sample {
            Some(name) => &folder().join("samples").join(name),
            None => &samples[&expected.source],
        };
        let (checked, accounts) = match read(sample, &profile, &slice) {
            Ok(read) => read,
            Err(failure) => {
                faults.push(format!("{about}: {failure}"));
                continue;
            }
        };
        let mut compare = |what: &str, found: String, wanted: String| {
            if found != wanted {
                faults.push(format!("{about}: {what} is {found}, not {wanted}"));
            }
        };
        compare("rows", checked.rows.to_string(), expected.rows.to_string());
        compare("accounts", accounts.amounts.len().to_string(), expected.accounts.to_string());
        compare("balance_sum", checked.balance_sum.to_string(), expected.balance_sum);
        compare("left_out", checked.left_out.to_string(), expected.left_out.to_string());
        compare("without_key", checked.without_key.to_string(), expected.without_key.to_string());
        compare("rows_other_slices", checked.rows_other_slices.to_string(), expected.rows_other_slices.to_string());
        // A profile of repeated keys without `sum` would fail the job.
        let repeats = accounts.repeated && profile.repeated_keys == RepeatedKeys::Refuse;
        compare("an account that stands twice", repeats.to_string(), false.to_string());
        let lacking = accounts
            .texts
            .values()
            .filter(|texts| ["account_name", "bs_pl", "status"].iter().any(|name| !texts.contains_key(name)));
        compare("accounts without name, bs_pl or status", lacking.count().to_string(), 0.to_string());
        assert!(!expected.examples.is_empty(), "{about} has no example");
        for example in expected.examples {
            let code = &example["account"];
            for (column, wanted) in &example {
                let found = accounts.shown(code, column).unwrap_or_else(|| "not there".to_owned());
                compare(&format!("{column} of {code}"), found, wanted.clone());
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
