//! What `check` answers.

use std::{collections::BTreeMap, fmt};

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
    printable::line,
    slice::Slice,
};

use super::{
    file::FileFacts,
    fit::Fit,
    preview::{BadCell, Figures, ListedAccount, OtherAmounts, Preview, ShownRow},
};
use crate::output::{count, or_dash, shortened, table};

/// Bad rows that people are shown; programs get up to 1,000.
const SHOWN: usize = 20;
/// Slices that people are shown in the table, and of which they are told more; programs get all.
const LISTED: usize = 200;
const DETAILED: usize = 20;

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
    /// The columns of the file from which each column of the ledger comes.
    origins: BTreeMap<&'static str, Vec<String>>,
    /// The first row whose entity or period cannot be read.
    unclear: Option<String>,
    /// What stands in the columns of entity and period and is none.
    strangers: Vec<String>,
    /// Rows that each rule of the profile leaves out of the file.
    left_out: Vec<(String, u64)>,
    /// The figures of all slices together.
    totals: Totals,
    pub(super) slices: Vec<CheckedRows>,
    /// Why the file cannot be read at all.
    pub(super) failure: Option<Failure>,
}

/// The figures of all slices together. An amount is absent if a slice would fail or has none.
#[derive(Debug, Default, Serialize)]
struct Totals {
    slices: usize,
    /// Slices that would fail.
    failing: usize,
    rows: u64,
    accounts: usize,
    balance_sum: Option<Amount>,
    debit: Option<Amount>,
    credit: Option<Amount>,
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
#[derive(Debug, Serialize)]
pub(super) struct CheckedRows {
    entity: String,
    period: String,
    /// Whether a job would succeed.
    loads: bool,
    rows: u64,
    accounts: usize,
    failed: u64,
    rows_other_slices: u64,
    left_out: u64,
    without_key: u64,
    left_out_by: Vec<LeftOut>,
    balance_sum: Option<String>,
    /// What the ledger would hold, equal accounts added up.
    ledger: Figures,
    decimal_mark: Option<&'static str>,
    warnings: Vec<String>,
    bad_rows: Vec<BadRow>,
    /// The first of them as they stand in the file, by their lines.
    bad_lines: BTreeMap<u64, String>,
    /// The cells of the file that make them bad, by their lines.
    bad_cells: BTreeMap<u64, Vec<BadCell>>,
    /// Columns with amounts that no rule of the profile names.
    other_amounts: Vec<OtherAmounts>,
    /// Accounts that are the sum of those whose codes begin with theirs.
    groups: Vec<String>,
    /// Columns that tell rows of one account apart, which are added up all the same.
    added_up_across: Vec<String>,
    repeated_keys: Vec<BadRow>,
    repeated_keys_total: u64,
    /// Every account, if they are asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    listed_accounts: Vec<ListedAccount>,
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
    pub(super) fn is_sound(&self) -> bool {
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
        let twice = match &read {
            Ok((_, preview)) if preview.twice_total > 0 => {
                let rows = preview.twice_total;
                let reason =
                    format!("rows whose account stands on an earlier line: {rows}, and repeated_keys is refuse");
                Some(Failure::new(ErrorCode::DuplicateKey, Stage::Map, reason))
            }
            _ => None,
        };
        match read {
            Ok((mut checked, mut preview)) => Self {
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
                balance_sum: Some(checked.balance_sum.to_string()),
                decimal_mark: Some(checked.decimal.name()),
                warnings: {
                    // Here bad rows are looked at, and put aside only if that is asked for.
                    if asked.quarantine.is_none() {
                        checked.warnings.retain(|warning| !warning.starts_with("bad rows were put aside"));
                    }
                    checked.warnings
                },
                bad_rows: checked.rejected,
                bad_lines: std::mem::take(&mut preview.raw),
                bad_cells: std::mem::take(&mut preview.bad_cells),
                other_amounts: preview.other_amounts(),
                added_up_across: preview.added_up_across(),
                groups: preview.groups().into_iter().map(str::to_owned).collect(),
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
                balance_sum: None,
                decimal_mark: None,
                warnings: Vec::new(),
                bad_rows: failure.rows.clone(),
                bad_lines: BTreeMap::new(),
                bad_cells: BTreeMap::new(),
                other_amounts: Vec::new(),
                groups: Vec::new(),
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
        if let Some(columns) = self.origins.get("balance") {
            writeln!(f, "reads the balance from {}, as the profile says", line(&columns.join(" and ")))?;
        }
        if !self.extra_columns.is_empty() {
            writeln!(f, "loads no column of the ledger from {}", shortened(&self.extra_columns.join(", "), 300))?;
        }
        for fault in self.unclear.iter().chain(&self.strangers).take(SHOWN) {
            writeln!(f, "NO SLICE: {}", line(fault))?;
        }
        if self.slices.is_empty() || self.rows == 0 {
            writeln!(f, "NO ROWS: no row is of any slice that was asked for")?;
            for (rule, rows) in &self.left_out {
                writeln!(f, "  {} left out by {}", count(*rows as usize, "row"), line(rule))?;
            }
        }
        let mut slices =
            table(["entity", "period", "loads", "rows", "accounts", "bad", "left out", "balance sum", "amounts"]);
        for slice in self.slices.iter().take(LISTED) {
            slices.add_row([
                slice.entity.clone(),
                slice.period.clone(),
                if slice.loads { "yes" } else { "NO" }.to_owned(),
                slice.rows.to_string(),
                slice.accounts.to_string(),
                (slice.failed + slice.repeated_keys_total).to_string(),
                (slice.left_out + slice.without_key).to_string(),
                or_dash(slice.balance_sum.as_ref()),
                or_dash(slice.decimal_mark),
            ]);
        }
        writeln!(f, "\n{slices}")?;
        let totals = &self.totals;
        if totals.slices > LISTED {
            writeln!(f, "and {} more; --json has all", count(totals.slices - LISTED, "slice"))?;
        }
        if totals.slices > 1 {
            writeln!(
                f,
                "in all: {}, {} of which would fail; {}, {}; debit {}, credit {}, sum {}",
                count(totals.slices, "slice"),
                totals.failing,
                count(totals.rows as usize, "row"),
                count(totals.accounts, "account"),
                or_dash(totals.debit),
                or_dash(totals.credit),
                or_dash(totals.balance_sum)
            )?;
        }
        let (failing, loading): (Vec<_>, Vec<_>) = self.slices.iter().partition(|slice| !slice.loads);
        let mut detailed = failing.into_iter().chain(loading);
        detailed.by_ref().take(DETAILED).try_for_each(|slice| slice.details(f))?;
        match detailed.count() {
            0 => Ok(()),
            more => {
                writeln!(f, "\n{} more are not shown here; --entity and --period look at one", count(more, "slice"))
            }
        }
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
        if self.failure.is_none() || self.ledger.balance_sum.is_some() {
            let Figures { balance_sum, debit, credit, by_bs_pl, by_status } = &self.ledger;
            let (debit, credit, sum) = (or_dash(*debit), or_dash(*credit), or_dash(*balance_sum));
            let what = if self.loads { "the ledger would hold" } else { "its good rows come to" };
            writeln!(f, "  {what}: debit {debit}, credit {credit}, sum {sum}")?;
            for (name, classes) in [("bs_pl", by_bs_pl), ("status", by_status)] {
                let shown: Vec<_> = classes
                    .iter()
                    .take(SHOWN)
                    .map(|(class, sum)| {
                        let class = if class.is_empty() { "(blank)" } else { class };
                        format!("{class} {}", or_dash(*sum))
                    })
                    .collect();
                writeln!(f, "  by {name}: {}", shortened(&shown.join(", "), 400))?;
            }
        }
        if let Some(profile) = &self.data_profile {
            let nil = &profile.nil_check;
            let answer = if nil.balanced { "balanced" } else { "NOT balanced" };
            writeln!(f, "  nil check: {answer}, the rows sum to {} (tolerance {})", nil.sum, nil.tolerance)?;
        }
        for other in &self.other_amounts {
            writeln!(f, "  not loaded as the balance: {}", line(&other.told()))?;
        }
        for column in &self.added_up_across {
            writeln!(f, "  ADDED UP? rows of one account are added up whatever stands in {}", shortened(column, 200))?;
        }
        if !self.groups.is_empty() {
            let shown = self.groups.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            writeln!(
                f,
                "  COUNTED TWICE? {} the sum of those below: {}",
                match self.groups.len() {
                    1 => "1 account is".to_owned(),
                    more => format!("{more} accounts are"),
                },
                shortened(&shown, 300)
            )?;
        }
        for account in &self.listed_accounts {
            writeln!(
                f,
                "  {} {} {} = {}",
                line(&account.company_code),
                line(&account.account_code),
                shortened(account.account_name.as_deref().unwrap_or_default(), 40),
                or_dash(account.balance)
            )?;
        }
        for warning in &self.warnings {
            writeln!(f, "  note: {}", shortened(warning, 400))?;
        }
        let bad: Vec<&BadRow> = self.bad_rows.iter().chain(&self.repeated_keys).collect();
        for row in bad.iter().take(SHOWN) {
            match &row.column {
                Some(column) => writeln!(f, "  BAD: line {}, {}: {}", row.line, line(column), line(&row.reason))?,
                None => writeln!(f, "  BAD: line {}: {}", row.line, line(&row.reason))?,
            }
            for cell in self.bad_cells.get(&row.line).into_iter().flatten().take(SHOWN) {
                writeln!(f, "       {} of the file is {:?}", line(&cell.column), shortened(&cell.text, 100))?;
            }
            if let Some(raw) = self.bad_lines.get(&row.line) {
                writeln!(f, "       it reads {}", shortened(raw, 200))?;
                if let Some(hint) = hint(row, raw) {
                    writeln!(f, "       {hint}")?;
                }
            }
        }
        let total = self.failed as usize + self.repeated_keys_total as usize;
        if total > SHOWN {
            writeln!(f, "  and {}; --json lists up to 1,000", count(total - SHOWN, "more bad row"))?;
        }
        Ok(())
    }
}

/// What of a mapping profile would make a bad row good, where that can be told.
fn hint(row: &BadRow, raw: &str) -> Option<&'static str> {
    let reason = row.reason.as_str();
    if reason.contains("fields where the header has") {
        return Some("long_records or short_records of [text] say what a record of another length is");
    }
    if reason.ends_with("is not a decimal number") {
        return if raw.contains(['$', '€', '£', '¥', '₹']) {
            Some("a sign of a currency is named by currency of [amounts]")
        } else {
            Some("texts that mean empty are named by empty of [amounts]; totals and titles are left out by [rows]")
        };
    }
    if reason.contains("fractional digits") {
        return Some("decimals of [amounts] says what the numbers of a workbook, which are doubles, mean");
    }
    if reason.starts_with("is in no entry of the mapping profile's map") {
        return Some("add the text to the map, or say otherwise = for all that it lacks");
    }
    if row.column.as_deref() == Some("account_code") && reason.ends_with("is blank") {
        return Some("without_key = \"skip\" under [rows] leaves out, and counts, what has no account");
    }
    None
}
