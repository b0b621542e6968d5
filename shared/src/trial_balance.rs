//! The trial balance: records become rows of the ledger, checked against the rules of §6.
//!
//! Everything here is computed from the file's bytes alone; `check` and the worker share it.

use std::{collections::BTreeSet, io::Read};

use serde_json::{Map, Value};

use crate::{
    amount::{Amount, InvalidAmount},
    columns::{AMOUNTS, Column, Header, TEXTS},
    data_profile::{DataProfile, Profiler},
    failure::{BadRow, ErrorCode, Failure, LISTED_ROWS, Stage},
    job::{Control, OnError},
    records::{Record, RecordLimits, Records},
    slice::Slice,
};

/// Other slices that `slice_not_found` lists.
const LISTED_SLICES: usize = 100;
/// The longest code, in bytes; PostgreSQL's index holds no longer keys than about 2,700.
const MAX_CODE: usize = 255;

/// A row of the ledger, as the file has it.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerRow<'a> {
    /// The line of the file on which it starts, from 1.
    pub line: u64,
    /// The company code; the entity where the file has none.
    pub company_code: &'a str,
    /// The account code, without the spaces around it.
    pub account_code: &'a str,
    /// The amounts of [`AMOUNTS`]; a blank balance is 0.
    pub amounts: [Option<Amount>; AMOUNTS.len()],
    /// The texts of [`crate::columns::ERP_TEXTS`], then [`crate::columns::REVIEW_TEXTS`].
    pub texts: [Option<&'a str>; TEXTS],
    /// The columns that Aura does not know, as a JSON object of texts.
    pub extra: Option<String>,
}

/// Where rows go as they are read.
pub trait RowSink {
    /// Takes the header, before any row.
    ///
    /// # Errors
    /// If the sink can take no more; reading stops with that failure.
    fn header(&mut self, header: &Header) -> Result<(), Failure>;

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
}

/// What is asked of a file.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The slice whose rows are wanted.
    pub slice: &'a Slice,
    /// What bad rows do.
    pub on_error: OnError,
    /// Bad rows that quarantine allows.
    pub max_rejected: u64,
    /// What a record may be.
    pub limits: RecordLimits,
    /// Totals that must match.
    pub control: Control,
    /// Whether the slice must sum to nil.
    pub require_balanced: bool,
    /// How far from nil it may be.
    pub nil_tolerance: Amount,
}

/// What rows with a blank entity or period are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blanks {
    /// Rows of the slice, as long as the file holds no other.
    Ours,
    /// Bad rows, since the file holds other slices.
    Bad,
}

/// A slice that was read and whose rows passed every check that the file alone allows.
#[derive(Debug, Clone)]
pub struct CheckedSlice {
    /// The columns of the file.
    pub header: Header,
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
    /// Rows with a blank entity or period were taken for the slice's, and then the file turned out
    /// to hold others: it is to be read again with [`Blanks::Bad`].
    BlanksAreBad,
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

enum Belongs {
    Here,
    HereIfAlone,
    Elsewhere,
    Nowhere(BadRow),
}

struct Reading<'a> {
    request: &'a Request<'a>,
    blanks: Blanks,
    header: Header,
    places: Places,
    profiler: Profiler,
    rows: u64,
    blank_rows: u64,
    empty_rows: u64,
    other_rows: u64,
    others: BTreeSet<(String, String)>,
    bad: Vec<BadRow>,
    bad_total: u64,
}

/// Where the columns that decide a row's fate stand.
struct Places {
    entity: usize,
    period: usize,
    account_code: usize,
    company_code: Option<usize>,
    has_extra: bool,
}

/// Reads the rows of a slice and gives them to the sink.
///
/// # Errors
/// The failure of the job, or that the file must be read again.
pub fn read(
    input: impl Read,
    request: &Request<'_>,
    blanks: Blanks,
    sink: &mut impl RowSink,
) -> Result<CheckedSlice, Stopped> {
    let mut records = Records::new(input, request.limits);
    let header = match records.next_record()? {
        Some(record) => Header::read(record.iter()),
        None => Header::read(std::iter::empty()),
    };
    let header = header.map_err(|invalid| {
        let mut failure = Failure::new(ErrorCode::SchemaInvalid, Stage::ValidateSchema, invalid.message);
        failure.schema = Some(Box::new(invalid.fault));
        failure
    })?;
    let place = |column| header.place(column).unwrap_or_default();
    let places = Places {
        entity: place(Column::Entity),
        period: place(Column::Period),
        account_code: place(Column::AccountCode),
        company_code: header.place(Column::CompanyCode),
        has_extra: header.has(Column::Extra),
    };
    sink.header(&header)?;
    let profiler = Profiler::new(&header);
    let mut reading = Reading {
        request,
        blanks,
        header,
        places,
        profiler,
        rows: 0,
        blank_rows: 0,
        empty_rows: 0,
        other_rows: 0,
        others: BTreeSet::new(),
        bad: Vec::new(),
        bad_total: 0,
    };
    while let Some(record) = records.next_record()? {
        reading.take(&record, sink)?;
    }
    reading.finish()
}

impl Reading<'_> {
    fn take(&mut self, record: &Record<'_>, sink: &mut impl RowSink) -> Result<(), Stopped> {
        if record.iter().all(|cell| cell.trim_ascii().is_empty()) {
            self.empty_rows += 1;
            return Ok(());
        }
        match self.belongs(record) {
            Belongs::Elsewhere => {
                self.other_rows += 1;
                if self.blank_rows > 0 {
                    return Err(Stopped::BlanksAreBad);
                }
                return Ok(());
            }
            Belongs::Nowhere(bad) => return self.refuse(bad, record, sink),
            Belongs::HereIfAlone if self.blanks == Blanks::Bad || self.other_rows > 0 => {
                let reason = "is blank, and the file holds several slices";
                let bad = BadRow { line: record.line, column: Some(self.blank_column(record)), reason: reason.into() };
                return self.refuse(bad, record, sink);
            }
            Belongs::HereIfAlone => self.blank_rows += 1,
            Belongs::Here => {}
        }
        let slice = self.request.slice;
        match row(record, &self.header, &self.places, slice) {
            Ok((row, balance)) => {
                self.rows += 1;
                let kept = self.profiler.add(record, balance);
                kept.map_err(|error| scratch(&error))?;
                // A job that will fail writes nothing more, but every bad row is still found.
                if self.bad_total == 0 || self.request.on_error == OnError::Quarantine {
                    sink.good(&row)?;
                }
                Ok(())
            }
            Err(bad) => self.refuse(bad, record, sink),
        }
    }

    fn belongs(&mut self, record: &Record<'_>) -> Belongs {
        let (entity, period) = (record.get(self.places.entity), record.get(self.places.period));
        let (entity, period) = (entity.map(str::trim_ascii), period.map(str::trim_ascii));
        let slice = self.request.slice;
        let whole = record.len() == self.header.columns.len();
        let matches = |cell: Option<&str>, ours: &str| cell.is_some_and(|cell| cell == ours || cell.is_empty());
        let ours = matches(entity, slice.entity.as_str()) && matches(period, slice.period.as_str());
        if let (false, Some(entity), Some(period)) = (ours, entity, period) {
            if self.others.len() < LISTED_SLICES {
                let cut = |text: &str| text.chars().take(40).collect::<String>();
                self.others.insert((cut(entity), cut(period)));
            }
            return Belongs::Elsewhere;
        }
        if !whole {
            let reason = format!("has {} fields where the header has {}", record.len(), self.header.columns.len());
            return Belongs::Nowhere(BadRow { line: record.line, column: None, reason });
        }
        if entity == Some("") || period == Some("") { Belongs::HereIfAlone } else { Belongs::Here }
    }

    fn blank_column(&self, record: &Record<'_>) -> String {
        let entity = record.get(self.places.entity).unwrap_or_default().trim_ascii();
        if entity.is_empty() { "entity".to_owned() } else { "period".to_owned() }
    }

    fn refuse(&mut self, bad: BadRow, record: &Record<'_>, sink: &mut impl RowSink) -> Result<(), Stopped> {
        self.bad_total += 1;
        if self.request.on_error == OnError::Quarantine {
            if self.bad_total > self.request.max_rejected {
                let limit = self.request.max_rejected;
                let failure =
                    self.bad_rows(format!("more than {limit} rows are bad, the most that quarantine puts aside"));
                return Err(failure.into());
            }
            sink.rejected(&bad, record.raw)?;
        }
        if self.bad.len() < LISTED_ROWS {
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

    fn finish(mut self) -> Result<CheckedSlice, Stopped> {
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
        let profile = self.profiler.finish(&self.header, self.request.nil_tolerance);
        let profile = profile.map_err(|error| scratch(&error))?;
        if self.request.require_balanced && !profile.nil_check.balanced {
            let reason = format!("the slice sums to {sum}, not to nil within {}", self.request.nil_tolerance);
            return Err(Failure::new(ErrorCode::OutOfBalance, Stage::Control, reason).into());
        }
        let mut warnings = Vec::new();
        let extra = self.header.extra_columns();
        if !extra.is_empty() {
            warnings.push(format!("columns that Aura does not know are kept in extra: {}", shortened(&extra)));
        }
        if self.bad_total > 0 {
            warnings.push(format!("bad rows were put aside: {}", self.bad_total));
        }
        if self.empty_rows > 0 {
            warnings.push(format!("rows without any value were left out: {}", self.empty_rows));
        }
        Ok(CheckedSlice {
            rows: self.rows,
            rows_other_slices: self.other_rows,
            rejected: self.bad,
            failed: self.bad_total,
            balance_sum: sum,
            profile,
            warnings,
            header: self.header,
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
        let message = if listed.is_empty() {
            "the file has no row".to_owned()
        } else {
            let more = if listed.len() == LISTED_SLICES { ", …" } else { "" };
            format!("the file has no row of {}; it has {}{more}", self.request.slice, listed.join(", "))
        };
        Failure::new(ErrorCode::SliceNotFound, Stage::Map, message)
    }
}

/// A record as a row of the ledger, and its balance unless that is blank.
fn row<'a>(
    record: &Record<'a>,
    header: &Header,
    places: &Places,
    slice: &'a Slice,
) -> Result<(LedgerRow<'a>, Option<Amount>), BadRow> {
    let bad = |column: &str, reason: String| BadRow { line: record.line, column: Some(column.to_owned()), reason };
    let code = |place: usize, name: &str| {
        let code = record.get(place).unwrap_or_default().trim_ascii();
        if code.len() > MAX_CODE { Err(bad(name, format!("is longer than {MAX_CODE} bytes"))) } else { Ok(code) }
    };
    let account_code = code(places.account_code, "account_code")?;
    if account_code.is_empty() {
        return Err(bad("account_code", "is blank".to_owned()));
    }
    let company_code = match places.company_code {
        Some(place) => code(place, "company_code")?,
        None => "",
    };
    let mut row = LedgerRow {
        line: record.line,
        company_code: if company_code.is_empty() { slice.entity.as_str() } else { company_code },
        account_code,
        amounts: [None; AMOUNTS.len()],
        texts: [None; TEXTS],
        extra: None,
    };
    for (column, cell) in header.columns.iter().zip(record.iter()) {
        match *column {
            Column::Amount(place) => {
                row.amounts[place] = amount(cell).map_err(|e| bad(AMOUNTS[place], e.to_string()))?
            }
            Column::Text(place) => row.texts[place] = Some(cell).filter(|cell| !cell.trim_ascii().is_empty()),
            Column::Entity | Column::Period | Column::CompanyCode | Column::AccountCode | Column::Extra => {}
        }
    }
    if places.has_extra {
        row.extra = Some(extra(record, header));
    }
    let balance = row.amounts[0];
    row.amounts[0] = Some(balance.unwrap_or(Amount::ZERO));
    Ok((row, balance))
}

fn amount(cell: &str) -> Result<Option<Amount>, InvalidAmount> {
    let text = cell.trim_ascii();
    if text.is_empty() { Ok(None) } else { Amount::parse(text.as_bytes()).map(Some) }
}

fn extra(record: &Record<'_>, header: &Header) -> String {
    let cells = header.columns.iter().zip(&header.names).zip(record.iter());
    let unknown = cells.filter(|((column, _), _)| **column == Column::Extra);
    let object: Map<String, Value> = unknown.map(|((_, name), cell)| (name.clone(), cell.into())).collect();
    Value::Object(object).to_string()
}

fn described(bad: &BadRow) -> String {
    match &bad.column {
        Some(column) => format!("line {}, {column}: {}", bad.line, bad.reason),
        None => format!("line {}: {}", bad.line, bad.reason),
    }
}

fn shortened(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(20).map(String::as_str).collect();
    let more =
        if names.len() > shown.len() { format!(" and {} more", names.len() - shown.len()) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

fn scratch(error: &std::io::Error) -> Failure {
    let reason = format!("no temporary file can be kept for the slice's statistics: {error}");
    Failure::new(ErrorCode::StorageUnavailable, Stage::Parse, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Collected(Vec<String>, Vec<String>);

    impl RowSink for Collected {
        fn header(&mut self, _: &Header) -> Result<(), Failure> {
            Ok(())
        }

        fn good(&mut self, row: &LedgerRow<'_>) -> Result<(), Failure> {
            let balance = row.amounts[0].unwrap();
            self.0.push(format!("{}:{}/{}={balance}", row.line, row.company_code, row.account_code));
            self.0.extend(row.extra.clone());
            Ok(())
        }

        fn rejected(&mut self, row: &BadRow, raw: &str) -> Result<(), Failure> {
            self.1.push(format!("{} <{raw}>", described(row)));
            Ok(())
        }
    }

    const HEADER: &str = "entity,period,account_code,account_name,balance,bs_pl,status\n";

    fn slice() -> Slice {
        Slice { entity: "A".parse().unwrap(), period: "2022-06".parse().unwrap() }
    }

    fn request(slice: &Slice) -> Request<'_> {
        Request {
            slice,
            on_error: OnError::Abort,
            max_rejected: 2,
            limits: RecordLimits { bytes: 1000, fields: 50 },
            control: Control::default(),
            require_balanced: false,
            nil_tolerance: Amount::ZERO,
        }
    }

    fn read_with(rows: &str, change: impl FnOnce(&mut Request<'_>)) -> (Result<CheckedSlice, Stopped>, Collected) {
        let slice = slice();
        let mut request = request(&slice);
        change(&mut request);
        let text = if rows.starts_with("entity") { rows.to_owned() } else { format!("{HEADER}{rows}") };
        let mut sink = Collected::default();
        let mut read_result = read(text.as_bytes(), &request, Blanks::Ours, &mut sink);
        if matches!(read_result, Err(Stopped::BlanksAreBad)) {
            sink = Collected::default();
            read_result = read(text.as_bytes(), &request, Blanks::Bad, &mut sink);
        }
        (read_result, sink)
    }

    fn failure(rows: &str, change: impl FnOnce(&mut Request<'_>)) -> Failure {
        match read_with(rows, change).0 {
            Err(Stopped::Failed(failure)) => *failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn codes_stay_text_blank_balances_are_nil_and_company_is_the_entity() {
        let (read, sink) =
            read_with("A,2022-06, 00100 ,Cash,,BS,Assets\nA,2022-06,200,Debt,-1.50,BS,Liabilities\n", |_| {});
        assert_eq!(sink.0, ["2:A/00100=0", "3:A/200=-1.5"]);
        let read = read.unwrap();
        assert_eq!((read.rows, read.balance_sum.to_string().as_str(), read.profile.blank_balances), (2, "-1.5", 1));
    }

    #[test]
    fn rows_of_other_slices_are_counted_and_left_alone() {
        let (read, sink) = read_with("B,2022-06,1,x,junk,BS,A\nA,2022-06,1,x,1,BS,A\nA,2022-07,1,x,1,BS,A\n", |_| {});
        assert_eq!((read.unwrap().rows_other_slices, sink.0.len()), (2, 1));
        let missing = failure("B,2022-06,1,x,1,BS,A\nA,2022-07,1,x,1,BS,A\n", |_| {});
        assert_eq!(missing.message, "the file has no row of A 2022-06; it has A 2022-07, B 2022-06");
    }

    #[test]
    fn a_blank_entity_is_the_jobs_only_if_the_file_holds_no_other_slice() {
        let (read, sink) = read_with(",2022-06,1,x,1,BS,A\nA,,2,x,2,BS,A\n", |_| {});
        assert_eq!((read.unwrap().rows, sink.0.len()), (2, 2));
        for rows in [",2022-06,1,x,1,BS,A\nB,2022-06,2,x,2,BS,A\n", "B,2022-06,2,x,2,BS,A\n,2022-06,1,x,1,BS,A\n"] {
            let failure = failure(rows, |_| {});
            assert_eq!(failure.code, ErrorCode::RowInvalid);
            assert_eq!(failure.rows[0].column.as_deref(), Some("entity"), "{failure}");
        }
    }

    #[test]
    fn every_bad_row_is_listed_with_line_column_and_reason() {
        let rows = "A,2022-06,1,x,12x,BS,A\nA,2022-06,,x,1,BS,A\nA,2022-06,3,x,1,BS\nA,2022-06,4,x,1,BS,A\n";
        let failure = failure(rows, |_| {});
        let shown: Vec<_> = failure.rows.iter().map(described).collect();
        assert_eq!(
            shown,
            [
                "line 2, balance: is no decimal number",
                "line 3, account_code: is blank",
                "line 4: has 6 fields where the header has 7"
            ]
        );
        assert_eq!(failure.message, "3 of 4 rows are bad; the first: line 2, balance: is no decimal number");
    }

    #[test]
    fn quarantine_puts_bad_rows_aside_up_to_its_limit() {
        let rows = "A,2022-06,1,x,12x,BS,A\nA,2022-06,4,\"x\ny\",1e3,BS,A\nA,2022-06,5,x,1,BS,A\n";
        let (read, sink) = read_with(rows, |request| request.on_error = OnError::Quarantine);
        assert_eq!((read.unwrap().failed, sink.0.len()), (2, 1));
        assert_eq!(sink.1[1], "line 3, balance: is no decimal number <A,2022-06,4,\"x\ny\",1e3,BS,A>");
        let more = format!("A,2022-06,9,x,?,BS,A\n{rows}");
        let failure = failure(&more, |request| request.on_error = OnError::Quarantine);
        assert!(failure.message.starts_with("more than 2 rows are bad"), "{failure}");
    }

    #[test]
    fn unknown_columns_are_kept_verbatim() {
        let rows = "entity,period,account_code,account_name,balance,bs_pl,status,Segment\nA,2022-06,1,x,1,BS,A, \"\"\n";
        let rows = rows.replace("\"\"", "x\\y");
        let (read, sink) = read_with(&rows, |_| {});
        assert_eq!(sink.0[1], r#"{"Segment":" x\\y"}"#);
        assert_eq!(read.unwrap().warnings, ["columns that Aura does not know are kept in extra: Segment"]);
    }

    #[test]
    fn totals_must_match() {
        let rows = "A,2022-06,1,x,1.5,BS,A\nA,2022-06,2,x,-1,BS,A\n";
        let control = Control { rows: Some(3), balance_sum: Some("0.6".parse().unwrap()) };
        let mismatch = failure(rows, |request| request.control = control);
        assert_eq!(
            mismatch.message,
            "the message says 3 rows, the file has 2; the message says a sum of 0.6, the file has 0.5"
        );
        let unbalanced = failure(rows, |request| request.require_balanced = true);
        assert_eq!(unbalanced.code, ErrorCode::OutOfBalance);
        let tolerance = "0.5".parse().unwrap();
        let (read, _) =
            read_with(rows, |request| (request.require_balanced, request.nil_tolerance) = (true, tolerance));
        assert!(read.is_ok());
    }

    #[test]
    fn an_empty_file_lacks_every_column_and_a_header_alone_has_no_row() {
        let empty = failure("entity\n", |_| {});
        assert_eq!(empty.code, ErrorCode::SchemaInvalid);
        assert_eq!(failure("", |_| {}).message, "the file has no row");
    }
}
