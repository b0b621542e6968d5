//! What `check` answers.

use std::fmt;

use serde::Serialize;
use shared::{
    file::{
        data_profile::DataProfile,
        dialect::Dialect,
        mapping_profile::{MappingProfile, RepeatedKeys},
        survey::Survey,
        trial_balance::CheckedSlice,
    },
    message::{
        failure::{BadRow, Failure},
        job::{Mode, SourceName},
    },
    printable::line,
    slice::Slice,
};

use super::{
    file::FileFacts,
    fit::Fit,
    preview::{Preview, ShownRow},
};
use crate::output::{count, or_dash, shortened, table};

/// Bad rows that people are shown; programs get up to 1,000.
const SHOWN: usize = 20;

/// What the worker would make of a file.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    file: FileFacts,
    source: SourceName,
    mapping_hash: String,
    mode: Mode,
    repeated_keys: RepeatedKeys,
    /// How all profiles fit, the best first; empty if one was named.
    fits: Vec<Fit>,
    dialect: Option<Dialect>,
    columns: Vec<String>,
    extra_columns: Vec<String>,
    filled_columns: Vec<&'static str>,
    rows: u64,
    /// The first row whose entity or period cannot be read.
    unclear: Option<String>,
    /// What stands in the columns of entity and period and is none.
    strangers: Vec<String>,
    /// Slices of the file that were not looked at.
    more_slices: usize,
    pub(super) slices: Vec<CheckedRows>,
    /// Why the file cannot be read at all.
    pub(super) failure: Option<Failure>,
}

/// What the worker would make of one slice.
#[derive(Debug, Serialize)]
pub(super) struct CheckedRows {
    entity: String,
    period: String,
    /// Whether a job would succeed that aborts on bad rows.
    loads: bool,
    rows: u64,
    accounts: usize,
    failed: u64,
    rows_other_slices: u64,
    left_out: u64,
    without_key: u64,
    balance_sum: Option<String>,
    decimal_mark: Option<&'static str>,
    warnings: Vec<String>,
    bad_rows: Vec<BadRow>,
    repeated_keys: Vec<BadRow>,
    first_rows: Vec<ShownRow>,
    data_profile: Option<DataProfile>,
    failure: Option<Failure>,
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
            unclear: None,
            strangers: Vec::new(),
            more_slices: 0,
            slices: Vec::new(),
            failure: None,
        }
    }

    pub(super) fn survey(&mut self, survey: &Survey, strangers: Vec<String>, more: usize) {
        self.dialect = Some(survey.dialect.clone());
        self.columns.clone_from(&survey.columns.names);
        self.extra_columns.clone_from(&survey.columns.extra_columns);
        self.filled_columns.clone_from(&survey.columns.filled);
        self.rows = survey.rows;
        self.unclear = survey.unclear.as_ref().map(|(line, reason)| format!("line {line}: the {reason}"));
        self.strangers = strangers;
        self.more_slices = more;
    }

    /// Whether every slice would load.
    pub(super) fn is_sound(&self) -> bool {
        self.failure.is_none()
            && self.unclear.is_none()
            && self.strangers.is_empty()
            && !self.slices.is_empty()
            && self.slices.iter().all(|slice| slice.loads)
    }
}

impl CheckedRows {
    pub(super) fn new(slice: &Slice, read: Result<(CheckedSlice, Preview), Failure>) -> Self {
        let (entity, period) = (slice.entity.to_string(), slice.period.to_string());
        match read {
            Ok((checked, preview)) => Self {
                entity,
                period,
                loads: checked.failed == 0 && preview.twice.is_empty(),
                rows: checked.rows,
                accounts: preview.accounts(),
                failed: checked.failed,
                rows_other_slices: checked.rows_other_slices,
                left_out: checked.left_out,
                without_key: checked.without_key,
                balance_sum: Some(checked.balance_sum.to_string()),
                decimal_mark: Some(checked.decimal.name()),
                warnings: checked.warnings,
                bad_rows: checked.rejected,
                repeated_keys: preview.twice,
                first_rows: preview.first,
                data_profile: Some(checked.profile),
                failure: None,
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
                balance_sum: None,
                decimal_mark: None,
                warnings: Vec::new(),
                bad_rows: failure.rows.clone(),
                repeated_keys: Vec::new(),
                first_rows: Vec::new(),
                data_profile: None,
                failure: Some(failure),
            },
        }
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} bytes, SHA-256 {}", line(&self.file.path), self.file.bytes, self.file.fingerprint)?;
        match self.fits.first() {
            Some(best) => writeln!(f, "profile {}: fits best; it {}", self.source, line(&best.reason))?,
            None => writeln!(f, "profile {}: as asked for", self.source)?,
        }
        for other in self.fits.iter().skip(1).filter(|fit| fit.fits) {
            writeln!(f, "  also fits: {}, which {}", other.source, line(&other.reason))?;
        }
        if let Some(failure) = &self.failure {
            return write!(f, "FAILS: {}", line(&failure.to_string()));
        }
        if let Some(dialect) = &self.dialect {
            let mark = if dialect.byte_order_mark { " with a byte order mark" } else { "" };
            match &dialect.sheet {
                Some(sheet) => write!(f, "workbook, sheet {}", line(sheet))?,
                None => write!(
                    f,
                    "{}{mark}, delimiter {}",
                    or_dash(dialect.encoding),
                    or_dash(dialect.delimiter.as_ref().map(|text| format!("{text:?}")))
                )?,
            }
            if dialect.packing != "none" && dialect.packing != "xlsx" {
                write!(f, ", packed as {}", dialect.packing)?;
            }
            match dialect.header_line {
                Some(line) => writeln!(f, ", header on line {line}")?,
                None => writeln!(f, ", no header")?,
            }
        }
        writeln!(f, "fills {}", self.filled_columns.join(", "))?;
        if !self.extra_columns.is_empty() {
            writeln!(f, "does not know {}", shortened(&self.extra_columns.join(", "), 300))?;
        }
        for fault in self.unclear.iter().chain(&self.strangers).take(SHOWN) {
            writeln!(f, "NO SLICE: {}", line(fault))?;
        }
        if self.slices.is_empty() {
            writeln!(f, "NO ROWS: no row is of any slice that was asked for")?;
        }
        let mut slices =
            table(["entity", "period", "loads", "rows", "accounts", "bad", "left out", "balance sum", "amounts"]);
        for slice in &self.slices {
            slices.add_row([
                slice.entity.clone(),
                slice.period.clone(),
                if slice.loads { "yes" } else { "NO" }.to_owned(),
                slice.rows.to_string(),
                slice.accounts.to_string(),
                (slice.failed + slice.repeated_keys.len() as u64).to_string(),
                (slice.left_out + slice.without_key).to_string(),
                or_dash(slice.balance_sum.as_ref()),
                or_dash(slice.decimal_mark),
            ]);
        }
        writeln!(f, "\n{slices}")?;
        if self.more_slices > 0 {
            writeln!(f, "and {} more; --entity and --period look at one", count(self.more_slices, "slice"))?;
        }
        self.slices.iter().try_for_each(|slice| slice.details(f))
    }
}

impl CheckedRows {
    fn details(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{} {}", self.entity, self.period)?;
        if let Some(failure) = &self.failure {
            writeln!(f, "  FAILS: {}", line(&failure.to_string()))?;
        }
        for row in &self.first_rows {
            let name = row.account_name.as_deref().unwrap_or_default();
            writeln!(
                f,
                "  line {}: {} {} {} = {}",
                row.line,
                line(&row.company_code),
                line(&row.account_code),
                shortened(name, 40),
                row.balance
            )?;
        }
        if let Some(profile) = &self.data_profile {
            let stats = &profile.balance_stats;
            writeln!(
                f,
                "  balances: {} blank, {} near zero; min {}, max {}, median {}",
                profile.blank_balances,
                profile.zero_balance_accounts,
                or_dash(stats.min.clone()),
                or_dash(stats.max.clone()),
                or_dash(stats.median.clone())
            )?;
        }
        for warning in &self.warnings {
            writeln!(f, "  note: {}", shortened(warning, 200))?;
        }
        let bad: Vec<&BadRow> = self.bad_rows.iter().chain(&self.repeated_keys).collect();
        for row in bad.iter().take(SHOWN) {
            match &row.column {
                Some(column) => writeln!(f, "  BAD: line {}, {}: {}", row.line, line(column), line(&row.reason))?,
                None => writeln!(f, "  BAD: line {}: {}", row.line, line(&row.reason))?,
            }
        }
        let total = self.failed as usize + self.repeated_keys.len();
        if total > SHOWN {
            writeln!(f, "  and {}; --json lists up to 1,000", count(total - SHOWN, "more bad row"))?;
        }
        Ok(())
    }
}
