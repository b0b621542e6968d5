//! Mapping profiles: how one ERP writes its files, as a TOML file says it.
//!
//! What a profile may say is described for its writers in `deploy/sources/README.md`. Everything
//! that can be wrong with one is found when it is read, with the line on which it stands.

mod amounts;
mod balance;
mod columns;
mod pattern;
mod period_format;
mod rows;
mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::{
    amounts::{AmountStyle, DecimalMark, ThousandsMark},
    balance::BalanceRule,
    columns::{ColumnRef, ColumnRule, FromMessage, Target, ValueRule, Zeros},
    pattern::Pattern,
    period_format::{InvalidPeriodFormat, PeriodFormat},
    rows::{Condition, FilterColumn, RowRules, Test, WithoutKey},
    text::{
        CellRow, Delimiter, Encoding, Encodings, HeaderCell, HeaderLine, LineEnd, LongRecords, Quote, RepeatedHeaders,
        Sheet, ShortRecords, TextFormat,
    },
};
use crate::{
    fingerprint::Fingerprint,
    message::{
        failure::clean_within,
        job::{DEFAULT_SOURCE, Mode, SourceName},
    },
};

/// Bytes of the reason why a text is not a profile, which may quote a key of any length.
const MAX_REASON: usize = 2_000;
/// Names and conditions of one kind that a profile may have: each record is checked against all of them.
const MAX_NAMES: usize = 1_000;

/// A parsed mapping profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MappingProfile {
    /// Its name, which is that of its file.
    #[serde(skip_deserializing)]
    pub name: SourceName,
    /// What it is for, in a line; it has no effect.
    #[serde(skip_serializing)]
    pub description: String,
    /// The mode of jobs that name none.
    pub mode: Mode,
    /// What several rows of one account are.
    pub repeated_keys: RepeatedKeys,
    /// Which of the columns that Aura does not know are kept.
    pub extra_columns: ExtraColumns,
    /// Columns of the file that hold other amounts, which are known and not loaded as the balance. No effect on jobs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_amounts: Vec<String>,
    /// How the file is written.
    pub text: TextFormat,
    /// Which of its rows count.
    pub rows: RowRules,
    /// How amounts are written.
    pub amounts: AmountStyle,
    /// Where the balance comes from, if it is more than one column.
    pub balance: Option<BalanceRule>,
    /// Where the balance carried forward comes from, if it is more than one column.
    pub balance_carryforward: Option<BalanceRule>,
    /// Columns of a second row that each record makes, on the contra account and with the sign turned: those
    /// that differ from the first row's, the account code among them. Amounts that stand here are the second row's
    /// own; a balance is that of the other side, so that its sign is turned, too.
    pub contra: BTreeMap<Target, ColumnRule>,
    /// Where each column of the ledger comes from; one that is not named here has its own name in the file.
    pub columns: BTreeMap<Target, ColumnRule>,
}

/// What several rows of one account are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepeatedKeys {
    /// A mistake, which fails the job.
    #[default]
    Refuse,
    /// Postings, whose amounts are added up.
    Sum,
    /// Versions, of which the last one counts.
    Last,
}

/// Which of the columns that Aura does not know are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"keep\", \"drop\" or a list of column names")]
pub enum ExtraColumns {
    /// All, or none.
    Whether(KeepOrDrop),
    /// Those of these names.
    These(Vec<String>),
}

impl Default for ExtraColumns {
    fn default() -> Self {
        Self::Whether(KeepOrDrop::Keep)
    }
}

/// Whether columns are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeepOrDrop {
    /// They are.
    Keep,
    /// They are not.
    Drop,
}

/// A text that is not a mapping profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct InvalidProfile {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what is allowed.
    pub reason: String,
}

impl Default for MappingProfile {
    /// The built-in profile: the ledger's own names, and the dialect found out where that is safe.
    fn default() -> Self {
        Self {
            name: SourceName::default(),
            description: "The ledger's own column names; the dialect is found out from the file".to_owned(),
            other_amounts: Vec::new(),
            mode: Mode::Upsert,
            repeated_keys: RepeatedKeys::default(),
            extra_columns: ExtraColumns::default(),
            text: TextFormat::default(),
            rows: RowRules::default(),
            amounts: AmountStyle::default(),
            balance: None,
            balance_carryforward: None,
            contra: BTreeMap::new(),
            columns: BTreeMap::new(),
        }
    }
}

impl MappingProfile {
    /// Reads a profile.
    ///
    /// # Errors
    /// What is wrong with it, with the line.
    pub fn parse(name: SourceName, toml: &str) -> Result<Self, InvalidProfile> {
        let invalid = |line, reason: String| InvalidProfile { line, reason };
        if let Some((line, reason)) = open_question(toml) {
            return Err(invalid(line, reason));
        }
        let mut profile: Self = toml::from_str(toml).map_err(|error| {
            let before = error.span().map_or("", |span| toml.get(..span.start).unwrap_or(toml));
            // The message may go over several lines; one is enough, and it names what is allowed.
            let mut reason = clean_within(&error.message().replace('\n', "; "), MAX_REASON);
            if reason.contains("escape") {
                reason.push_str("; write regular expressions in single quotes, '^\\d+$', so that each backslash stays");
            }
            invalid(before.matches('\n').count() + 1, reason)
        })?;
        profile.name = name;
        for (target, rule) in
            [(Target::BALANCE, &profile.balance), (Target::BALANCE_CARRYFORWARD, &profile.balance_carryforward)]
        {
            if rule.is_some() && profile.columns.contains_key(&target) {
                let reason = format!("{target} is given under [columns] and as a table of its own; keep one");
                return Err(invalid(line_of(toml, target.as_str()), reason));
            }
        }
        if let Some(fault) = contra_fault(&profile.contra) {
            return Err(invalid(line_of(toml, "contra"), fault));
        }
        if profile.repeated_keys == RepeatedKeys::Last && !profile.contra.is_empty() {
            let reason =
                "repeated_keys = \"last\" does not go with [contra], which makes two rows of one line".to_owned();
            return Err(invalid(line_of(toml, "repeated_keys"), reason));
        }
        profile.amounts.complete().map_err(|reason| invalid(line_of(toml, "amounts"), reason))?;
        if let Some((key, reason)) = profile.text.fault() {
            return Err(invalid(line_of(toml, key), reason.to_owned()));
        }
        for (target, rule) in profile.columns.iter().chain(&profile.contra) {
            if rule.fill_down && crate::file::columns::AMOUNTS.contains(&target.as_str()) {
                let reason = format!("{target} is an amount, which fill_down would count again");
                return Err(invalid(line_of(toml, target.as_str()), reason));
            }
            if !rule.one_of.is_empty() && !target.is_text() {
                let reason = format!("one_of is for texts beside the key, not for {target}");
                return Err(invalid(line_of(toml, target.as_str()), reason));
            }
            if !rule.format.is_empty() && *target != Target::PERIOD {
                return Err(invalid(
                    line_of(toml, target.as_str()),
                    format!("format is for the period, not for {target}"),
                ));
            }
        }
        if let Some((key, count)) = profile.most_names().into_iter().find(|(_, count)| *count > MAX_NAMES) {
            let reason = format!("{key} has {count} entries, more than the {MAX_NAMES} that a profile may have");
            return Err(invalid(line_of(toml, key), reason));
        }
        let canonical = serde_json::to_string(&profile).unwrap_or_default();
        if canonical.contains("\\u0000") {
            return Err(invalid(1, "a text holds a NUL character".to_owned()));
        }
        Ok(profile)
    }

    /// How many names and conditions each of its keys has, where a header or each record is checked against all of them.
    fn most_names(&self) -> Vec<(&'static str, usize)> {
        let columns = |rule: &ColumnRule| rule.columns().len().max(rule.format.len()).max(rule.one_of.len());
        let rules = self.columns.iter().chain(&self.contra);
        let mut counts: Vec<_> = rules.map(|(target, rule)| (target.as_str(), columns(rule))).collect();
        let mut balance = |rule: &Option<BalanceRule>| match rule {
            None => {}
            Some(BalanceRule::Column { column, .. }) => counts.push(("column", column.len())),
            Some(BalanceRule::Sides { debit, credit, .. }) => {
                counts.extend([("debit", debit.len()), ("credit", credit.len())]);
            }
            Some(BalanceRule::Indicated { column, indicator, debit_values, credit_values, .. }) => counts.extend([
                ("column", column.len()),
                ("indicator", columns(indicator)),
                ("debit_values", debit_values.len()),
                ("credit_values", credit_values.len()),
            ]),
        };
        balance(&self.balance);
        balance(&self.balance_carryforward);
        let (rows, amounts) = (&self.rows, &self.amounts);
        counts.extend([("keep", rows.keep.len()), ("drop", rows.drop.len()), ("end", rows.end.len())]);
        counts.extend([("refuse", rows.refuse.len()), ("same", rows.same.len())]);
        counts.extend([("empty", amounts.empty.len()), ("currency", amounts.currency.len())]);
        counts.extend([("debit_marks", amounts.debit_marks.len()), ("credit_marks", amounts.credit_marks.len())]);
        counts.push(("header_contains", self.text.header_contains.len()));
        counts
    }

    /// Whether it is the built-in one.
    pub fn is_default(&self) -> bool {
        self.name.as_str() == DEFAULT_SOURCE
    }

    /// Whether it takes this from the job's message.
    pub fn asks_for(&self, from: FromMessage) -> bool {
        self.columns.values().chain(self.contra.values()).any(|rule| rule.value == ValueRule::Message(from))
    }

    /// SHA-256 of the profile as it was understood: two jobs with the same one map alike.
    pub fn hash(&self) -> Fingerprint {
        // A profile is a plain structure of texts and lists, which always has a canonical form.
        Fingerprint::of(&serde_json_canonicalizer::to_vec(self).unwrap_or_default())
    }
}

/// The first key whose value is `"?"`, with what its comment asks: a draft leaves open what only a person can decide.
fn open_question(toml: &str) -> Option<(usize, String)> {
    toml.lines().enumerate().find_map(|(place, line)| {
        let (key, value) = line.split_once('=')?;
        let key = key.trim();
        let rest = value.trim().strip_prefix("\"?\"").or_else(|| value.trim().strip_prefix("'?'"))?.trim();
        if key.is_empty() || key.starts_with('#') || !(rest.is_empty() || rest.starts_with('#')) {
            return None;
        }
        let question = rest.trim_start_matches('#').trim();
        let question =
            if question.is_empty() { "say what it is".to_owned() } else { clean_within(question, MAX_REASON) };
        Some((place + 1, format!("{key} is left open: {question}")))
    })
}

/// What is wrong with the columns of a contra row.
fn contra_fault(contra: &BTreeMap<Target, ColumnRule>) -> Option<String> {
    let is_amount = |target: &Target| crate::file::columns::AMOUNTS.contains(&target.as_str());
    let allowed = |target: &Target| *target == Target::ACCOUNT_CODE || target.is_text() || is_amount(target);
    if let Some(target) = contra.keys().find(|target| !allowed(target)) {
        return Some(format!("{target} cannot stand under [contra], where account_code, amounts and texts can"));
    }
    if contra.keys().any(is_amount) && !contra.contains_key(&Target::BALANCE) {
        return Some("amounts under [contra] need the balance of the contra account".to_owned());
    }
    let lacks_code = !contra.is_empty() && !contra.contains_key(&Target::ACCOUNT_CODE);
    lacks_code.then(|| "[contra] needs the account_code of the contra account".to_owned())
}

/// The first line on which a key stands, from 1.
fn line_of(toml: &str, key: &str) -> usize {
    toml.lines().position(|line| line.trim_start_matches(['[', ' ']).starts_with(key)).map_or(1, |place| place + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A version that knows more keys must not take each file for one that was never loaded.
    #[test]
    fn keys_that_a_profile_does_not_use_leave_its_hash_as_it_was() {
        let hash = MappingProfile::default().hash().to_string();
        assert_eq!(hash, "c378016bb820bf7b160f271614ad5f2abbcae4232b86949805b08cbd70202132");
        let used = MappingProfile::parse(SourceName::default(), "[rows]\nsame = ['Ledger']\n").unwrap();
        assert_ne!(used.hash().to_string(), hash);
    }
}
