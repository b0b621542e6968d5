//! What `check` answers: the figures, and their text for people.

mod shown;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    amount::Amount,
    file::{
        data_profile::DataProfile,
        dialect::Dialect,
        mapping_profile::{MappingProfile, RepeatedKeys},
        survey::Survey,
        trial_balance::{CheckedSlice, LeftOut},
    },
    message::{
        failure::{BadRow, ErrorCode, Failure, Stage},
        job::{Mode, SourceName},
    },
    slice::Slice,
};

use super::{
    file::FileFacts,
    fit::Fit,
    other_amounts::OtherAmounts,
    preview::{BadCell, Figures, ListedAccount, Preview, ShownRow},
};

/// What the worker would make of a file.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CheckReport")]
pub(crate) struct Checked {
    pub(crate) file: FileFacts,
    pub(crate) source: SourceName,
    pub(crate) mapping_hash: String,
    pub(crate) mode: Mode,
    #[schemars(with = "String")]
    pub(crate) repeated_keys: RepeatedKeys,
    /// How all profiles fit, the best first; empty if one was named.
    pub(crate) fits: Vec<Fit>,
    #[schemars(with = "Option<serde_json::Value>")]
    pub(crate) dialect: Option<Dialect>,
    pub(crate) columns: Vec<String>,
    pub(crate) extra_columns: Vec<String>,
    pub(crate) filled_columns: Vec<&'static str>,
    pub(crate) rows: u64,
    /// The columns of the file from which each column of the ledger comes.
    pub(crate) origins: BTreeMap<&'static str, Vec<String>>,
    /// The first row whose entity or period cannot be read.
    pub(crate) unclear: Option<String>,
    /// What stands in the columns of entity and period and is none.
    pub(crate) strangers: Vec<String>,
    /// Rows that each rule of the profile leaves out of the file.
    pub(crate) left_out: Vec<(String, u64)>,
    /// The figures of all slices together.
    pub(crate) totals: Totals,
    pub(crate) slices: Vec<CheckedRows>,
    /// Why the file cannot be read at all.
    pub(crate) failure: Option<Failure>,
}

/// The figures of all slices together. An amount is absent if a slice would fail or has none.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "CheckedTotals")]
pub(crate) struct Totals {
    pub(crate) slices: usize,
    /// Slices that would fail.
    pub(crate) failing: usize,
    pub(crate) rows: u64,
    pub(crate) accounts: usize,
    pub(crate) balance_sum: Option<Amount>,
    pub(crate) debit: Option<Amount>,
    pub(crate) credit: Option<Amount>,
}

/// What is asked beside the rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// How many bad rows may be put aside, where they may be.
    pub(super) quarantine: Option<u64>,
    /// Whether every account is listed.
    pub(super) accounts: bool,
}

/// What the worker would make of one slice.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CheckedSlice")]
pub(crate) struct CheckedRows {
    pub(crate) entity: String,
    pub(crate) period: String,
    /// Whether a job would succeed.
    pub(crate) loads: bool,
    pub(crate) rows: u64,
    pub(crate) accounts: usize,
    pub(crate) failed: u64,
    pub(crate) rows_other_slices: u64,
    pub(crate) left_out: u64,
    pub(crate) without_key: u64,
    #[schemars(with = "Vec<serde_json::Value>")]
    pub(crate) left_out_by: Vec<LeftOut>,
    pub(crate) balance_sum: Option<String>,
    /// What the ledger would hold, equal accounts added up.
    pub(crate) ledger: Figures,
    /// The same without the accounts that are the sum of others, if there are such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) without_groups: Option<Figures>,
    pub(crate) decimal_mark: Option<&'static str>,
    pub(crate) warnings: Vec<String>,
    pub(crate) bad_rows: Vec<BadRow>,
    /// The first of them as they stand in the file, by their lines.
    pub(crate) bad_lines: BTreeMap<u64, String>,
    /// The cells of the file that make them bad, by their lines.
    pub(crate) bad_cells: BTreeMap<u64, Vec<BadCell>>,
    /// Columns with amounts that no rule of the profile names.
    pub(crate) other_amounts: Vec<OtherAmounts>,
    /// Accounts that are the sum of those whose codes begin with theirs.
    pub(crate) groups: Vec<String>,
    /// Accounts that call themselves a total.
    pub(crate) totals: Vec<String>,
    /// Columns that tell rows of one account apart, which are added up all the same.
    pub(crate) added_up_across: Vec<String>,
    pub(crate) repeated_keys: Vec<BadRow>,
    pub(crate) repeated_keys_total: u64,
    /// Every account, if they are asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) listed_accounts: Vec<ListedAccount>,
    pub(crate) first_rows: Vec<ShownRow>,
    #[schemars(with = "Option<serde_json::Value>")]
    pub(crate) data_profile: Option<DataProfile>,
    pub(crate) failure: Option<Failure>,
}

impl Checked {
    pub(super) fn new(file: FileFacts, profile: &MappingProfile, fits: Vec<Fit>) -> Self {
        Self {
            file,
            source: profile.name.clone(),
            mapping_hash: profile.hash().to_string(),
            mode: profile.mode,
            repeated_keys: profile.repeated_keys,
            fits,
            dialect: None,
            columns: Vec::new(),
            extra_columns: Vec::new(),
            filled_columns: Vec::new(),
            rows: 0,
            origins: BTreeMap::new(),
            unclear: None,
            strangers: Vec::new(),
            left_out: Vec::new(),
            totals: Totals::default(),
            slices: Vec::new(),
            failure: None,
        }
    }

    pub(super) fn survey(&mut self, survey: &Survey, strangers: Vec<String>) {
        self.dialect = Some(survey.dialect.clone());
        self.columns.clone_from(&survey.columns.names);
        self.extra_columns.clone_from(&survey.columns.extra_columns);
        self.filled_columns.clone_from(&survey.columns.filled);
        self.rows = survey.rows;
        self.origins = survey.origins.iter().cloned().collect();
        self.unclear = survey.unclear.as_ref().map(|(line, reason)| format!("line {line}: the {reason}"));
        self.strangers = strangers;
        self.left_out.clone_from(&survey.left_out);
    }

    /// Takes in a slice.
    pub(super) fn add(&mut self, slice: CheckedRows) {
        let totals = &mut self.totals;
        let is_first = totals.slices == 0;
        let plus = |sum: Option<Amount>, more: Option<Amount>| match (sum, more) {
            (None, more) if is_first => more,
            (sum, more) => sum.zip(more).and_then(|(sum, more)| Amount::from_units(sum.units() + more.units())),
        };
        totals.balance_sum = plus(totals.balance_sum, slice.ledger.balance_sum);
        totals.debit = plus(totals.debit, slice.ledger.debit);
        totals.credit = plus(totals.credit, slice.ledger.credit);
        totals.slices += 1;
        totals.failing += usize::from(!slice.loads);
        totals.rows += slice.rows;
        totals.accounts += slice.accounts;
        self.slices.push(slice);
    }

    /// Whether every slice would load.
    pub(crate) fn is_sound(&self) -> bool {
        self.failure.is_none()
            && self.unclear.is_none()
            && self.strangers.is_empty()
            && !self.slices.is_empty()
            && self.slices.iter().all(|slice| slice.loads)
    }
}

impl CheckedRows {
    /// What was read of a slice, and why it does not come up to what is asked beside its rows.
    pub(super) fn new(
        slice: &Slice,
        read: Result<(CheckedSlice, Preview), Failure>,
        unmet: Option<Failure>,
        asked: Asked,
    ) -> Self {
        let (entity, period) = (slice.entity.to_string(), slice.period.to_string());
        let twice = read.as_ref().map_or(0, |(_, preview)| preview.twice_total);
        let twice = (twice > 0).then(|| {
            let reason = format!(
                "{twice} rows have the company_code and account_code of an earlier line; repeated_keys of the mapping \
                 profile says whether they are added up, or the last counts"
            );
            Failure::new(ErrorCode::DuplicateKey, Stage::Write, reason)
        });
        match read {
            Ok((checked, mut preview)) => Self {
                entity,
                period,
                loads: checked.failed <= asked.quarantine.unwrap_or(0)
                    && preview.twice.is_empty()
                    && unmet.is_none()
                    && preview.figures().balance_sum.is_some(),
                rows: checked.rows,
                accounts: preview.accounts(),
                failed: checked.failed,
                rows_other_slices: checked.rows_other_slices,
                left_out: checked.left_out,
                without_key: checked.without_key,
                left_out_by: checked.left_out_by,
                ledger: preview.figures(),
                without_groups: preview.figures_without_groups(),
                balance_sum: Some(checked.balance_sum.to_string()),
                decimal_mark: Some(checked.decimal.name()),
                warnings: checked.warnings,
                bad_rows: checked.rejected,
                bad_lines: std::mem::take(&mut preview.raw),
                bad_cells: std::mem::take(&mut preview.bad_cells),
                other_amounts: preview.other_amounts(),
                added_up_across: preview.added_up_across(),
                groups: preview.groups().into_iter().map(str::to_owned).collect(),
                totals: preview.totals().into_iter().map(str::to_owned).collect(),
                repeated_keys_total: preview.twice_total,
                repeated_keys: std::mem::take(&mut preview.twice),
                first_rows: std::mem::take(&mut preview.first),
                listed_accounts: if asked.accounts { preview.listed() } else { Vec::new() },
                data_profile: Some(checked.profile),
                failure: unmet.or(twice),
            },
            Err(failure) => Self {
                entity,
                period,
                loads: false,
                rows: 0,
                accounts: 0,
                failed: failure.rows_total,
                rows_other_slices: 0,
                left_out: 0,
                without_key: 0,
                left_out_by: Vec::new(),
                ledger: Figures::default(),
                without_groups: None,
                balance_sum: None,
                decimal_mark: None,
                warnings: Vec::new(),
                bad_rows: failure.rows.clone(),
                bad_lines: BTreeMap::new(),
                bad_cells: BTreeMap::new(),
                other_amounts: Vec::new(),
                groups: Vec::new(),
                totals: Vec::new(),
                added_up_across: Vec::new(),
                repeated_keys: Vec::new(),
                repeated_keys_total: 0,
                listed_accounts: Vec::new(),
                first_rows: Vec::new(),
                data_profile: None,
                failure: Some(failure),
            },
        }
    }
}
