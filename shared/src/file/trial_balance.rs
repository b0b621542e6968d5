//! The trial balance: records become rows of the ledger, checked against the rules of §6.
//!
//! Everything here is computed from the file's bytes alone; `check` and the worker share it.

mod differences;
mod finish;
mod left_out;
mod request;
mod row;
mod superseded;

use std::{borrow::Cow, collections::BTreeSet, io::Read};

use self::{
    differences::Differences,
    left_out::{Money, Tally},
    row::{Belongs, belongs, row},
    superseded::Superseded,
};
pub use self::{
    left_out::{LeftOut, names_total},
    request::{Assumptions, Blanks, DecimalAssumption, Request},
};
use crate::{
    amount::Amount,
    file::{
        amount_text::{AmountReader, Evidence},
        classes::Classes,
        columns::{AMOUNTS, FileColumns, TEXTS},
        data_profile::{DataProfile, Profiler},
        dialect::{Dialect, Opened, next_encoding},
        layout::{AmountContext, AmountNotes, Filtered, Layout, Rule, Side, SideSigns},
        mapping_profile::{DecimalMark, LongRecords, RepeatedKeys, ShortRecords, WithoutKey},
        records::Record,
    },
    message::{
        failure::{BadRow, ErrorCode, Failure, LISTED_ROWS, Stage},
        job::OnError,
    },
};

/// Other slices that `slice_not_found` lists.
const LISTED_SLICES: usize = 100;
/// A row of the ledger, as the file has it.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerRow<'a> {
    /// The line of the file on which it starts, from 1.
    pub line: u64,
    /// The company code; the entity where the file has none.
    pub company_code: Cow<'a, str>,
    /// The account code, without the spaces around it.
    pub account_code: Cow<'a, str>,
    /// The amounts of [`AMOUNTS`]; a blank balance is 0.
    pub amounts: [Option<Amount>; AMOUNTS.len()],
    /// The texts of [`crate::file::columns::ERP_TEXTS`], then [`crate::file::columns::REVIEW_TEXTS`].
    pub texts: [Option<Cow<'a, str>>; TEXTS],
    /// The columns that Aura does not know and that are kept, as PostgreSQL writes a JSON object of texts.
    pub extra: Option<String>,
}

/// Where rows go as they are read.
pub trait RowSink {
    /// Takes a good row.
    ///
    /// # Errors
    /// If the sink can take no more; reading stops with that failure.
    fn good(&mut self, row: &LedgerRow<'_>) -> Result<(), Failure>;

    /// Takes a bad row that is put aside, with its text as it stands in the file.
    ///
    /// # Errors
    /// If the sink can take no more; reading stops with that failure.
    fn rejected(&mut self, row: &BadRow, raw: &str) -> Result<(), Failure>;

    /// Looks at a record that makes a good row, or two, the first of this balance, as the file has it.
    fn seen(&mut self, _record: &Record<'_>, _layout: &Layout, _decimal: DecimalMark, _balance: Option<Amount>) {}

    /// Looks at a record that makes a bad row, as the file has it.
    fn seen_bad(&mut self, _row: &BadRow, _record: &Record<'_>, _layout: &Layout) {}
}

/// A slice that was read and whose rows passed every check that the file alone allows.
#[derive(Debug, Clone)]
pub struct CheckedSlice {
    /// How the file is written.
    pub dialect: Dialect,
    /// The decimal mark of its amounts.
    pub decimal: DecimalMark,
    /// The columns of the file.
    pub columns: FileColumns,
    /// Good rows.
    pub rows: u64,
    /// Rows of other slices.
    pub rows_other_slices: u64,
    /// Bad rows that were put aside; at most 1,000 of them are listed.
    pub rejected: Vec<BadRow>,
    /// How many bad rows there are.
    pub failed: u64,
    /// The sum of the good rows' balances.
    pub balance_sum: Amount,
    /// Rows that the profile leaves out by its conditions.
    pub left_out: u64,
    /// Rows without an account code, which the profile leaves out, among them the second ones of lines.
    pub without_key: u64,
    /// What each rule leaves out, in rows and in money.
    pub left_out_by: Vec<LeftOut>,
    /// Whether the decimal mark may be that of thousands, so that all amounts are a thousand times too small.
    pub is_scale_in_doubt: bool,
    /// Statistics of the good rows.
    pub profile: DataProfile,
    /// What a person should look at.
    pub warnings: Vec<String>,
}

/// Why reading stopped.
#[derive(Debug)]
pub enum Stopped {
    /// The job fails.
    Failed(Box<Failure>),
    /// A row has shown that something was wrongly taken for granted: the file is to be read again so.
    Again(Assumptions),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

struct Reading<'a> {
    request: &'a Request<'a>,
    assumptions: Assumptions,
    layout: Layout,
    amounts: AmountReader,
    decimal: DecimalMark,
    evidence: Evidence,
    /// The signs of sides, of the balance and the balance carried forward.
    sides: [SideSigns; 2],
    notes: AmountNotes,
    classes: Classes,
    /// Where rows of one account are added up.
    differences: Option<Differences>,
    /// Where the last row of an account counts.
    superseded: Option<Superseded>,
    profiler: Profiler,
    rows: u64,
    blank_rows: u64,
    /// What they come to.
    blank_money: Money,
    /// What stands in the columns that hold the same text in all rows.
    same: Vec<String>,
    empty_rows: u64,
    other_rows: u64,
    left_out: Tally,
    /// Whether what follows the end of the rows cannot be told apart as rows.
    is_footer_unread: bool,
    reads_utf_8_otherwise: bool,
    /// What separates fields, and how many records hold lines of their own in a cell; the first.
    delimiter: Option<char>,
    swallowing: (u64, Option<u64>),
    other_sheets: Vec<String>,
    others: BTreeSet<(String, String)>,
    bad: Vec<BadRow>,
    bad_total: u64,
}

/// Reads the rows of a slice and gives them to the sink.
///
/// # Errors
/// The failure of the job, or that the file must be read again.
pub fn read(
    input: impl Read,
    request: &Request<'_>,
    assumptions: Assumptions,
    sink: &mut impl RowSink,
) -> Result<CheckedSlice, Stopped> {
    let profile = request.profile;
    let next = |failure: Failure| match next_encoding(&failure, profile, assumptions.tried_encodings) {
        Some(tried_encodings) => Stopped::Again(Assumptions { tried_encodings, ..Assumptions::default() }),
        None => failure.into(),
    };
    let mut opened = Opened::new(input, profile, request.limits, assumptions.tried_encodings).map_err(next)?;
    let layout = Layout::new(profile, &opened.header)?;
    let profiler = Profiler::new(&layout.columns);
    let decimal = profile.amounts.decimal.unwrap_or(match assumptions.amounts {
        DecimalAssumption::Point | DecimalAssumption::Mixed => DecimalMark::Point,
        DecimalAssumption::Comma => DecimalMark::Comma,
    });
    let mut reading = Reading {
        request,
        assumptions,
        layout,
        amounts: AmountReader::new(&profile.amounts),
        decimal,
        evidence: Evidence::default(),
        sides: Default::default(),
        notes: AmountNotes::default(),
        classes: Classes::new(profile),
        differences: (profile.repeated_keys == RepeatedKeys::Sum).then(Differences::new),
        superseded: (profile.repeated_keys == RepeatedKeys::Last).then(Superseded::new),
        profiler,
        rows: 0,
        blank_rows: 0,
        blank_money: Money::default(),
        same: Vec::new(),
        empty_rows: 0,
        other_rows: 0,
        left_out: Tally::default(),
        is_footer_unread: false,
        reads_utf_8_otherwise: false,
        delimiter: opened.dialect.delimiter(),
        swallowing: (0, None),
        other_sheets: std::mem::take(&mut opened.other_sheets),
        others: BTreeSet::new(),
        bad: Vec::new(),
        bad_total: 0,
    };
    let mut ended = None;
    loop {
        match (ended, opened.next_record().map_err(next)) {
            (_, Ok(None)) => break,
            (Some(rule), Ok(Some(record))) => reading.leave_out(rule, record),
            (None, Ok(Some(record))) => ended = reading.take(record, sink)?,
            // A footer may have any form.
            (Some(_), Err(Stopped::Failed(failure))) if !failure.code.is_transient() => {
                reading.is_footer_unread = true;
                break;
            }
            (_, Err(stopped)) => return Err(stopped),
        }
    }
    reading.reads_utf_8_otherwise = opened.reads_utf_8_otherwise();
    reading.finish(opened.dialect)
}

/// Reads the rows of a slice as often as it takes; `again` begins each reading with a fresh input and sink.
///
/// # Errors
/// The failure of the job.
pub fn read_until_settled<T>(mut again: impl FnMut(Assumptions) -> Result<T, Stopped>) -> Result<T, Failure> {
    let mut assumptions = Assumptions::default();
    loop {
        match again(assumptions) {
            Ok(read) => return Ok(read),
            Err(Stopped::Again(others)) => assumptions = others,
            Err(Stopped::Failed(failure)) => return Err(*failure),
        }
    }
}

impl Reading<'_> {
    /// Takes a record; returns the rule by which it ends the file, if it does.
    fn take(&mut self, record: Record<'_>, sink: &mut impl RowSink) -> Result<Option<Rule>, Stopped> {
        if record.is_blank() {
            self.empty_rows += 1;
            return Ok(None);
        }
        if memchr::memchr(b'\n', record.raw.as_bytes()).is_some() {
            self.look_for_swallowed_rows(&record);
        }
        match self.layout.filter(&record) {
            Filtered::Kept => self.take_kept(record, sink).map(|()| None),
            Filtered::Dropped(rule) => {
                self.leave_out(rule, record);
                Ok(None)
            }
            Filtered::End(rule) => {
                self.leave_out(rule, record);
                Ok(Some(rule))
            }
        }
    }

    /// Notes a record that goes over several lines and has as many delimiters in one cell as a row has: a stray quote
    /// may have taken rows into it.
    fn look_for_swallowed_rows(&mut self, record: &Record<'_>) {
        let Some(delimiter) = self.delimiter.filter(|_| !record.is_of_sheet()) else { return };
        let row = self.layout.columns.names.len().saturating_sub(1).max(1);
        if record.iter().any(|cell| cell.contains('\n') && cell.matches(delimiter).count() >= row) {
            let (number, first) = self.swallowing;
            self.swallowing = (number + 1, first.or(Some(record.line)));
        }
    }

    /// Takes a record that the profile's conditions keep.
    fn take_kept(&mut self, record: Record<'_>, sink: &mut impl RowSink) -> Result<(), Stopped> {
        let (record, whole) = self.measured(record);
        let request = self.request;
        let profile = request.profile;
        let values = self.layout.values(record, request.slice);
        let line = record.line;
        let contra = self.layout.contra_values(record, request.slice);
        let mut amounts = AmountContext::quiet(&self.amounts, self.decimal);
        let skips = profile.rows.without_key == WithoutKey::Skip;
        // Most files have one account a line, and what is wrong with that is found as it is read.
        let own_side = if skips || contra.is_some() { values.side(&mut amounts) } else { Side::Row };
        let contra_side = contra.as_ref().map(|contra| contra.side(&mut amounts));
        // Each side is judged for itself. What names no account and is not skipped is found to be bad below.
        let is_row = |side| side == Side::Row || side == Side::Keyless && !skips;
        let (has_own, has_contra) = (is_row(own_side), contra_side.is_some_and(is_row));
        if !has_own && !has_contra {
            // Of a total or a title, entity and period are not looked at.
            self.leave_out_sides(record, own_side, contra_side);
            return Ok(());
        }
        let belongs = belongs(&values, request.slice, whole);
        match belongs {
            Belongs::Elsewhere(entity, period) => {
                self.other_rows += 1;
                if self.others.len() < LISTED_SLICES {
                    self.others.insert((entity, period));
                }
                if self.assumptions.scan_other_slices {
                    let mut reading = AmountContext {
                        evidence: Some(&mut self.evidence),
                        thorough: true,
                        ..AmountContext::quiet(&self.amounts, self.decimal)
                    };
                    for values in std::iter::once(&values).chain(contra.as_ref().filter(|side| side.has_own_amounts()))
                    {
                        for source in (0..AMOUNTS.len()).filter_map(|place| values.amount_source(place)) {
                            // What is not an amount there is the business of that slice's job.
                            let _ = source.read(values, &mut reading);
                        }
                    }
                }
                if self.blank_rows > 0 {
                    return Err(Stopped::Again(Assumptions { blanks: Blanks::Bad, ..self.assumptions }));
                }
                return Ok(());
            }
            Belongs::Nowhere(bad) => return self.refuse(bad, record, sink),
            Belongs::HereIfAlone(column) if self.assumptions.blanks == Blanks::Bad || self.other_rows > 0 => {
                let reason = "is blank, and the file holds several slices";
                let bad = BadRow { line, column: Some(column.to_owned()), reason: reason.into(), text: None };
                return self.refuse(bad, record, sink);
            }
            Belongs::HereIfAlone(_) => self.blank_rows += 1,
            Belongs::Here => {}
        }
        let is_blank = matches!(belongs, Belongs::HereIfAlone(_));
        if let Some(bad) = self.refusal(&record) {
            return self.refuse(bad, record, sink);
        }
        if !has_own || contra_side.is_some() && !has_contra {
            self.leave_out_sides(record, own_side, contra_side);
        }
        self.rows_of(record, [has_own, has_contra], is_blank, sink)
    }

    /// Takes the rows that a record makes, both of them or none: its own, and that of its contra account.
    fn rows_of(
        &mut self,
        record: Record<'_>,
        [own, contra]: [bool; 2],
        is_blank: bool,
        sink: &mut impl RowSink,
    ) -> Result<(), Stopped> {
        let request = self.request;
        let own = own.then(|| self.layout.values(record, request.slice));
        let contra = if contra { self.layout.contra_values(record, request.slice) } else { None };
        let mut amounts = AmountContext {
            evidence: request.profile.amounts.decimal.is_none().then_some(&mut self.evidence),
            thorough: self.assumptions.amounts == DecimalAssumption::Mixed,
            sides: Some(&mut self.sides),
            notes: Some(&mut self.notes),
            ..AmountContext::quiet(&self.amounts, self.decimal)
        };
        let mut made = [const { None }; 2];
        for (place, values) in [own, contra].iter().enumerate() {
            let Some(values) = values else { continue };
            // Escapes make a text in JSON up to six times as long.
            let most = request.limits.record.bytes.saturating_mul(2);
            let made_row = row(values, request.slice, &mut amounts).and_then(|made| match &made.0.extra {
                Some(extra) if extra.len() > most => {
                    let reason = format!("its columns that Aura does not know take more than {most} bytes as JSON");
                    Err(BadRow { line: record.line, column: None, reason, text: None })
                }
                _ => Ok(made),
            });
            match made_row {
                Ok(row) => {
                    if let Some(place) = made.get_mut(place) {
                        *place = Some(row);
                    }
                }
                Err(bad) => {
                    self.measure_amounts()?;
                    return self.refuse(bad, record, sink);
                }
            }
        }
        if let Some((_, balance, _)) = made.iter().flatten().next() {
            sink.seen(&record, &self.layout, self.decimal, *balance);
        }
        for (row, balance, counted) in made.iter().flatten() {
            self.rows += 1;
            if is_blank {
                self.blank_money.add(balance.unwrap_or(Amount::ZERO));
            }
            self.classes.add(&row.texts);
            if let Some(differences) = &mut self.differences {
                differences.add(row);
            }
            if let Some(superseded) = &mut self.superseded {
                superseded.add(row);
            }
            let counted = counted.each_ref().map(AsRef::as_ref);
            self.profiler.add(&record, counted, *balance).map_err(|error| scratch(&error))?;
            // A job that will fail writes nothing more, but every bad row is still found.
            if self.bad_total == 0 || request.on_error == OnError::Quarantine {
                sink.good(row)?;
            }
        }
        Ok(())
    }

    /// Why the profile refuses a row that counts, if it does.
    fn refusal(&mut self, record: &Record<'_>) -> Option<BadRow> {
        let line = record.line;
        if let Some((column, reason)) = self.layout.refusal(record, self.request.profile) {
            return Some(BadRow { line, column, reason, text: None });
        }
        let is_first = self.same.is_empty();
        for (place, (name, cell)) in self.layout.same_cells(record).enumerate() {
            match self.same.get(place) {
                None if is_first => self.same.push(cell.to_owned()),
                Some(first) if first == cell => {}
                _ => {
                    let reason = "is not what it is in the first row, and the mapping profile says that all rows of a \
                                  slice have the same";
                    return Some(BadRow { line, column: Some(name.to_owned()), reason: reason.to_owned(), text: None });
                }
            }
        }
        None
    }

    /// Counts a row that a rule leaves out, and its balance if it can be read.
    fn leave_out(&mut self, rule: Rule, record: Record<'_>) {
        if record.is_blank() {
            return;
        }
        let values = self.layout.values(record, self.request.slice);
        self.left_out.add(rule, &values, &mut AmountContext::quiet(&self.amounts, self.decimal));
    }

    /// Counts the sides of a record that make no row.
    fn leave_out_sides(&mut self, record: Record<'_>, own_side: Side, contra_side: Option<Side>) {
        let own = self.layout.values(record, self.request.slice);
        let contra = self.layout.contra_values(record, self.request.slice);
        let skips = self.request.profile.rows.without_key == WithoutKey::Skip;
        let mut amounts = AmountContext::quiet(&self.amounts, self.decimal);
        let has_own_amounts = self.layout.contra_has_amounts();
        if own_side == Side::Absent && contra_side.is_none_or(|side| side == Side::Absent) {
            self.left_out.add(Rule::WithoutPosting, &own, &mut amounts);
        }
        if own_side == Side::Keyless && skips {
            self.left_out.add(Rule::WithoutKey, &own, &mut amounts);
        }
        if let (Some(Side::Keyless), Some(contra), true) = (contra_side, &contra, skips) {
            self.left_out.add(Rule::ContraWithoutKey, contra, &mut amounts);
        }
        if contra_side == Some(Side::Absent) && own_side == Side::Row && !has_own_amounts {
            self.left_out.add(Rule::WithoutContra, &own, &mut amounts);
        }
    }

    /// The record with as many fields as the header, where the profile allows for it, and whether it is that long.
    fn measured<'r>(&self, record: Record<'r>) -> (Record<'r>, bool) {
        let text = &self.request.profile.text;
        let width = self.layout.columns.names.len();
        let whole = match record.len().cmp(&width) {
            _ if record.is_shifted() => false,
            std::cmp::Ordering::Equal => true,
            std::cmp::Ordering::Less => text.short_records == ShortRecords::Pad || record.is_of_sheet(),
            std::cmp::Ordering::Greater => match text.long_records {
                LongRecords::Refuse => false,
                LongRecords::Cut => true,
                LongRecords::Blank => record.iter().skip(width).all(|cell| cell.trim().is_empty()),
            },
        };
        (if whole { record.truncated(width).padded(width) } else { record }, whole)
    }

    /// Looks at what the texts so far tell about the decimal mark.
    fn measure_amounts(&self) -> Result<(), Stopped> {
        let again = |amounts| Err(Stopped::Again(Assumptions { amounts, ..self.assumptions }));
        match (self.assumptions.amounts, self.evidence.point, self.evidence.comma) {
            (DecimalAssumption::Point, None, Some(_)) => again(DecimalAssumption::Comma),
            (DecimalAssumption::Point, Some(_), Some(_)) | (DecimalAssumption::Comma, Some(_), _) => {
                again(DecimalAssumption::Mixed)
            }
            _ => Ok(()),
        }
    }

    fn refuse(&mut self, bad: BadRow, record: Record<'_>, sink: &mut impl RowSink) -> Result<(), Stopped> {
        self.bad_total += 1;
        let is_listed = self.bad.len() < LISTED_ROWS;
        let text = bad.column.as_deref().filter(|_| is_listed).and_then(|column| self.layout.text_of(&record, column));
        let bad = BadRow { text, ..bad };
        sink.seen_bad(&bad, &record, &self.layout);
        if self.request.on_error == OnError::Quarantine {
            if self.bad_total > self.request.max_rejected {
                let limit = self.request.max_rejected;
                let failure =
                    self.bad_rows(format!("more than {limit} rows are bad, the most that quarantine puts aside"));
                return Err(failure.into());
            }
            sink.rejected(&bad, record.raw)?;
        }
        if is_listed {
            self.bad.push(bad);
        }
        Ok(())
    }

    fn bad_rows(&mut self, message: String) -> Failure {
        let mut failure = Failure::new(ErrorCode::RowInvalid, Stage::Map, message);
        failure.rows = std::mem::take(&mut self.bad);
        failure.rows_total = self.bad_total;
        failure
    }
}

fn described(bad: &BadRow) -> String {
    match &bad.column {
        Some(column) => format!("line {}, {column}: {}", bad.line, bad.reason),
        None => format!("line {}: {}", bad.line, bad.reason),
    }
}

fn scratch(error: &std::io::Error) -> Failure {
    let reason = format!("no temporary file can be kept for the slice's statistics: {error}");
    Failure::new(ErrorCode::StorageUnavailable, Stage::Parse, reason)
}

#[cfg(test)]
mod tests;
