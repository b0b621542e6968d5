//! What is decided once all rows are read: whether their amounts have one meaning, and whether the slice holds up.

use std::collections::HashSet;

use super::{
    Assumptions, CheckedSlice, LISTED_SLICES, Reading, Stopped, described, differences::Differences, left_out, scratch,
    superseded::Superseded,
};
use crate::{
    amount::Amount,
    file::{
        amount_text::Evidence,
        dialect::Dialect,
        layout::{Rule, SidesOf},
        mapping_profile::DecimalMark,
    },
    message::{
        failure::{ErrorCode, Failure, Stage, clean},
        job::{Control, OnError},
    },
};

/// Rules that a failure names.
const LISTED_RULES: usize = 5;

impl Reading<'_> {
    /// The checked slice, once all rows are read.
    ///
    /// # Errors
    /// The failure of the job, or that the file must be read again.
    pub(super) fn finish(mut self, dialect: Dialect) -> Result<CheckedSlice, Stopped> {
        self.one_reading()?;
        self.one_meaning_of_signs()?;
        if self.bad_total > 0 && (self.request.on_error == OnError::Abort || self.rows == 0) {
            let first = self.bad.first().map(described).unwrap_or_default();
            let message =
                format!("{} of {} rows are bad; the first: {first}", self.bad_total, self.rows + self.bad_total);
            return Err(self.bad_rows(message).into());
        }
        if self.rows == 0 {
            return Err(self.not_found().into());
        }
        let sum = self.profiler.sum().ok_or_else(|| {
            let reason = "the balances sum to more than 18 integer digits";
            Failure::new(ErrorCode::RowInvalid, Stage::Control, reason)
        })?;
        self.control(sum)?;
        let classes = self.classes.counts();
        let profile = self.profiler.finish(&self.layout.columns, self.request.nil_tolerance, classes);
        let profile = profile.map_err(|error| scratch(&error))?;
        if self.request.require_balanced && !profile.nil_check.balanced {
            let reason = format!("the slice sums to {sum}, not to nil within {}", self.request.nil_tolerance);
            return Err(Failure::new(ErrorCode::OutOfBalance, Stage::Control, reason).into());
        }
        let mut warnings = Vec::new();
        let columns = &self.layout.columns;
        let left: HashSet<_> = columns.left_columns.iter().collect();
        let kept: Vec<_> = columns.extra_columns.iter().filter(|name| !left.contains(name)).cloned().collect();
        for (names, what) in [(&kept, "are kept in extra"), (&columns.left_columns, "are left out")] {
            if !names.is_empty() {
                warnings.push(format!("columns that Aura does not know {what}: {}", shortened(names)));
            }
        }
        if self.empty_rows > 0 {
            warnings.push(format!("rows without any value were left out: {}", self.empty_rows));
        }
        if self.reads_utf_8_otherwise {
            warnings.push(format!(
                "the file is UTF-8 and is read as {}, so that names come out wrong; encoding may be a list that begins \
                 with utf-8",
                dialect.encoding.unwrap_or_default()
            ));
        }
        if !self.other_sheets.is_empty() {
            let names: Vec<String> = self.other_sheets.iter().map(|name| clean(name)).collect();
            warnings.push(format!("the workbook has other sheets, which are not read: {}", shortened(&names)));
        }
        if let (number, Some(line)) = self.swallowing {
            warnings.push(format!(
                "records that go over several lines and hold what looks like rows in one cell: {number}, the first on line \
                 {line}; a stray quote may have taken them in, quote = \"none\" reads them as they stand"
            ));
        }
        if self.blank_rows > 0 && self.blank_rows < self.rows {
            warnings.push(format!(
                "rows with a blank entity or period, which count as the job's: {}; {}",
                self.blank_rows,
                self.blank_money.told()
            ));
        }
        if self.other_rows == 0 && self.bad_total == 0 {
            warnings.extend(self.left_out.wrong_total(self.notes.sides()));
        }
        warnings.extend(self.notes.warnings(self.decimal));
        warnings.extend(self.classes.warnings());
        warnings.extend(self.differences.iter().flat_map(Differences::warnings));
        warnings.extend(self.superseded.iter().flat_map(Superseded::warnings));
        let left_out_by = self.left_out.told(self.request.profile);
        warnings.extend(left_out::warnings(&left_out_by, self.other_rows > 0));
        if self.is_footer_unread {
            warnings
                .push("what follows the row that ends the file cannot be read as rows, and is not counted".to_owned());
        }
        let by_condition = |rule| matches!(rule, Rule::Keep(_) | Rule::Drop(_) | Rule::End(_));
        let without_key = |rule| matches!(rule, Rule::WithoutKey | Rule::ContraWithoutKey);
        Ok(CheckedSlice {
            rows: self.rows,
            rows_other_slices: self.other_rows,
            rejected: self.bad,
            failed: self.bad_total,
            balance_sum: sum,
            profile,
            warnings,
            left_out: self.left_out.rows(by_condition),
            without_key: self.left_out.rows(without_key),
            left_out_by,
            is_scale_in_doubt: self.notes.is_scale_in_doubt(),
            dialect,
            decimal: self.decimal,
            columns: self.layout.columns,
        })
    }

    fn control(&self, sum: Amount) -> Result<(), Failure> {
        let Control { rows, balance_sum } = self.request.control;
        let mut faults = Vec::new();
        if let Some(expected) = rows.filter(|expected| *expected != self.rows) {
            faults.push(format!("the message says {expected} rows, the file has {}", self.rows));
        }
        if let Some(expected) = balance_sum.filter(|expected| *expected != sum) {
            faults.push(format!("the message says a sum of {expected}, the file has {sum}"));
        }
        if faults.is_empty() {
            return Ok(());
        }
        Err(Failure::new(ErrorCode::ControlTotalMismatch, Stage::Control, faults.join("; ")))
    }

    fn not_found(&self) -> Failure {
        let listed: Vec<_> = self.others.iter().map(|(entity, period)| format!("{entity} {period}")).collect();
        let mut message = if listed.is_empty() {
            "the file has no row".to_owned()
        } else {
            let more = if listed.len() == LISTED_SLICES { ", …" } else { "" };
            format!("the file has no row of {}; it has {}{more}", self.request.slice, listed.join(", "))
        };
        let left_out = self.left_out.told(self.request.profile);
        if !left_out.is_empty() {
            let rules: Vec<_> =
                left_out.iter().take(LISTED_RULES).map(|rule| format!("{} by {}", rule.rows, rule.rule)).collect();
            message += &format!("; rows are left out: {}", rules.join(", "));
        }
        Failure::new(ErrorCode::SliceNotFound, Stage::Map, message)
    }

    /// Makes sure that the amounts have one reading.
    fn one_reading(&self) -> Result<(), Stopped> {
        self.measure_amounts()?;
        let Evidence { point, comma, either } = self.evidence;
        let Some((line, pointed, with_comma)) = either else { return Ok(()) };
        let both = format!(
            "line {line} holds an amount that is {pointed} with a decimal point and {with_comma} with a decimal comma"
        );
        let reason = match (point, comma) {
            (None, None) if !self.assumptions.scan_other_slices && self.other_rows > 0 => {
                return Err(Stopped::Again(Assumptions { scan_other_slices: true, ..self.assumptions }));
            }
            (None, None) => "and no other amount of the file tells which it is".to_owned(),
            (Some(point), Some(comma)) => {
                format!("and line {point} can only have a decimal point, line {comma} only a decimal comma")
            }
            (Some(_), None) if self.decimal == DecimalMark::Point => return Ok(()),
            (None, Some(_)) if self.decimal == DecimalMark::Comma => return Ok(()),
            (Some(line), None) | (None, Some(line)) => format!("and line {line} has another decimal mark"),
        };
        let reason =
            format!("{both}, {reason}; say decimal = \".\" or decimal = \",\" under [amounts] of a mapping profile");
        Err(Failure::new(ErrorCode::AmbiguousAmounts, Stage::Map, reason).into())
    }

    /// Makes sure that a minus on one of two sides has one meaning.
    fn one_meaning_of_signs(&self) -> Result<(), Failure> {
        for (signs, of, table) in self
            .sides
            .iter()
            .zip([(SidesOf::Balance, "balance"), (SidesOf::Forward, "balance_carryforward")])
            .map(|(signs, (of, table))| (signs, of, table))
        {
            let Some(reason) = self.layout.side_names(of).and_then(|names| signs.two_readings(names)) else { continue };
            let reason = format!("{reason}; say which under [{table}] of the mapping profile");
            return Err(Failure::new(ErrorCode::AmbiguousAmounts, Stage::Map, reason));
        }
        Ok(())
    }
}

fn shortened(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(20).map(String::as_str).collect();
    let more =
        if names.len() > shown.len() { format!(" and {} more", names.len() - shown.len()) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
