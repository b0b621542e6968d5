//! What `check` answers, as text.

use std::fmt;

use shared::{message::failure::BadRow, printable::line};

use super::{Checked, CheckedRows, Figures};
use crate::output::{count, or_dash, shortened, table};

/// Bad rows that people are shown; programs get up to 1,000.
const SHOWN: usize = 20;
/// Slices that people are shown in the table, and of which they are told more; programs get all.
const LISTED: usize = 200;
const DETAILED: usize = 20;

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
            writeln!(f, "  ADDED UP? the rows go into one slice whatever stands in {}", shortened(column, 300))?;
        }
        for (codes, what) in [(&self.groups, "are the sum of others"), (&self.totals, "call themselves a total")] {
            if !codes.is_empty() {
                let shown = codes.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
                let (number, shown) = (codes.len(), shortened(&shown, 300));
                writeln!(f, "  COUNTED TWICE? {number} accounts {what}: {shown}")?;
            }
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
