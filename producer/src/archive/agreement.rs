//! Whether the rows of a slice are those that its job and its audit chain tell of. Pure.

use shared::amount::{Amount, Sum};
use uuid::Uuid;

use super::chain::Ingested;

/// The rows of a slice, counted and added up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rows {
    pub(super) count: u64,
    sum: Sum,
}

impl Rows {
    /// Takes a row's balance in.
    pub(super) fn add(&mut self, balance: Amount) {
        self.count += 1;
        self.sum.add(balance);
    }

    /// The sum of the balances; none if it has more digits than an amount.
    pub(super) fn sum(self) -> Option<Amount> {
        self.sum.total()
    }
}

/// What tells of a slice's rows how many there should be, and what their sum is.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    pub(super) job_id: Option<Uuid>,
    pub(super) fingerprint: Option<String>,
    pub(super) rows: Option<u64>,
    pub(super) sum: Option<Amount>,
}

/// What is wrong with rows for what somebody tells of them.
pub(super) fn differences(rows: Rows, told: &Told, who: &str) -> Vec<String> {
    let mut found = Vec::new();
    if Some(rows.count) != told.rows {
        found.push(format!("there are {} rows, {who} tells of {}", rows.count, text(told.rows)));
    }
    match rows.sum() {
        Some(sum) if Some(sum) == told.sum => {}
        Some(sum) => found.push(format!("the balances sum to {sum}, {who} tells of {}", text(told.sum))),
        None => found.push("the balances sum to more than an amount can be".to_owned()),
    }
    found
}

/// What is wrong with a slice's job and rows for what the last `file_ingested` of its chain tells.
pub(super) fn with_chain(rows: Rows, job: &Told, ingested: Option<&Ingested>) -> Vec<String> {
    let who = "the audit trail";
    let Some(ingested) = ingested else {
        return match (job.job_id, rows.count) {
            (None, 0) => Vec::new(),
            (Some(job_id), _) => vec![format!("{who} has no event of job {job_id}, whose rows these are to be")],
            (None, count) => vec![format!("there are {count} rows, {who} knows of no job that loaded any")],
        };
    };
    let mut found = Vec::new();
    if ingested.job_id != job.job_id.map(|id| id.to_string()) {
        let (job, other) = (text(job.job_id), text(ingested.job_id.as_ref()));
        found.push(format!("the rows are to be of job {job}, {who} tells that they are of {other}"));
    }
    if ingested.fingerprint != job.fingerprint {
        found.push(format!("the fingerprint of the slice's file is not that which {who} tells of"));
    }
    let told = Told {
        rows: ingested.slice_rows,
        sum: ingested.slice_sum.as_ref().and_then(|sum| sum.parse().ok()),
        ..Told::default()
    };
    found.extend(differences(rows, &told, who));
    found
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(balances: &[&str]) -> Rows {
        let mut rows = Rows::default();
        balances.iter().for_each(|balance| rows.add(balance.parse().unwrap()));
        rows
    }

    fn ingested(job: Uuid, rows: u64, sum: &str) -> Ingested {
        Ingested {
            job_id: Some(job.to_string()),
            fingerprint: Some("ab".to_owned()),
            slice_rows: Some(rows),
            slice_sum: Some(sum.to_owned()),
        }
    }

    #[test]
    fn rows_agree_with_a_chain_only_if_job_file_number_and_sum_are_the_same() {
        let job = Uuid::from_u128(7);
        let told = Told { job_id: Some(job), fingerprint: Some("ab".to_owned()), ..Told::default() };
        let three = rows(&["1.10", "-0.1", "0.0000000000000001"]);
        let of = |told: &Told, ingested| with_chain(three, told, Some(&ingested)).join("; ");
        assert_eq!(of(&told, ingested(job, 3, "1.0000000000000001")), "");
        assert!(of(&told, ingested(job, 4, "1.0000000000000001")).contains("there are 3 rows"));
        assert!(of(&told, ingested(job, 3, "1")).contains("sum to 1.0000000000000001, the audit trail tells of 1"));
        assert!(of(&told, ingested(Uuid::nil(), 3, "1.0000000000000001")).contains("of job"));
        let other = Told { fingerprint: None, ..told.clone() };
        assert!(of(&other, ingested(job, 3, "1.0000000000000001")).contains("fingerprint"));
        assert!(of(&told, ingested(job, 3, "what")).contains("tells of none"));
    }

    #[test]
    fn a_slice_that_no_job_loaded_has_no_rows() {
        let none = Told::default();
        assert_eq!(with_chain(rows(&[]), &none, None), Vec::<String>::new());
        assert!(with_chain(rows(&["1"]), &none, None)[0].contains("no job that loaded any"));
        let told = Told { job_id: Some(Uuid::nil()), ..none };
        assert!(with_chain(rows(&[]), &told, None)[0].contains("no event of job"));
    }

    #[test]
    fn a_sum_that_is_no_amount_agrees_with_nothing() {
        let most = "999999999999999999.9999999999999999";
        let told = Told { rows: Some(2), ..Told::default() };
        assert!(differences(rows(&[most, most]), &told, "the run").join("; ").contains("more than an amount"));
    }

    proptest! {
        #[test]
        fn only_the_exact_sum_of_exactly_these_rows_agrees(units in prop::collection::vec(-1_000_000_000_i128..1_000_000_000, 0..40), off in -2_i128..3) {
            let mut all = Rows::default();
            units.iter().for_each(|units| all.add(Amount::from_units(*units).unwrap()));
            let sum = Amount::from_units(units.iter().sum::<i128>() + off).unwrap();
            let told = Told { rows: Some(units.len() as u64), sum: Some(sum), ..Told::default() };
            prop_assert_eq!(differences(all, &told, "the run").is_empty(), off == 0);
        }
    }
}
