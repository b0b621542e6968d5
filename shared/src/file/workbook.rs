//! Workbooks: the cells of one sheet of an `.xlsx` file, as records.
//!
//! A workbook cannot be read as a stream. Its parts are looked through before the library opens it, what that
//! will hold is taken from the memory that all jobs share, and the sheet's rows go to a temporary file.

mod fault;
mod large;
mod limits;
mod measure;
mod parts;
mod rows;
mod values;

use std::{
    borrow::Cow,
    collections::VecDeque,
    io::{self, BufReader},
    panic::{self, AssertUnwindSafe},
};

use calamine::{Data, DataRef, ExcelDateTime, Reader, Xlsx, XlsxError};
use tempfile::SpooledTempFile;

pub use self::limits::WorkbookLimits;
use self::{
    fault::{invalid, too_large, unpacks_to_too_much},
    parts::Parts,
    rows::{Cell, Row, Writer},
};
use super::read::FileRead;
use crate::{
    file::{
        mapping_profile::Sheet,
        records::{CellKind, Record, RecordLimits},
    },
    memory::Budget,
    message::failure::{ErrorCode, Failure, Stage, clean},
};

/// Bytes of the first rows among which a header is looked for.
const TITLES: usize = 1 << 20;
/// What all workbooks that are being read hold at a time.
static MEMORY: Budget = Budget::new();

/// The rows of a sheet that hold anything.
#[derive(Debug)]
pub struct SheetRows {
    /// The sheet's name.
    pub name: String,
    /// The names of all sheets, in their order.
    pub sheets: Vec<String>,
    rows: rows::Reader,
    /// Rows that were read and not passed yet.
    ahead: VecDeque<Row>,
    /// The last row that was passed.
    passed: u64,
    /// Of the current record.
    row: Row,
    fields: String,
    ends: Vec<usize>,
    kinds: Vec<CellKind>,
}

impl SheetRows {
    /// Reads a sheet.
    ///
    /// # Errors
    /// `workbook_invalid` if it is none, or has no such sheet; `file_too_large` past the limits.
    pub fn read(
        input: impl FileRead,
        sheet: Option<&Sheet>,
        most: WorkbookLimits,
        limits: RecordLimits,
    ) -> Result<Self, Failure> {
        let Parts { archive, footprint, left_out } = Parts::read(input, most, limits)?;
        let capacity = most.memory();
        let share = MEMORY.take(footprint, capacity).ok_or_else(|| {
            too_large(format!(
                "the workbook takes {footprint} bytes of memory to open, more than the {capacity}, half of \
                 AURA_MAX_WORKBOOK_UNPACKED_BYTES, that all jobs of a worker share; export it as CSV"
            ))
        })?;
        let sheet = sheet.cloned();
        let open = move || Self::of_archive(archive, left_out.as_ref(), sheet.as_ref(), most, limits);
        // The library trusts what parts say of each other, and panics over some that contradict themselves.
        let caught = move || panic::catch_unwind(AssertUnwindSafe(open));
        let read = if footprint > capacity / 8 { large::run(caught) } else { Some(caught()) };
        drop(share);
        read.and_then(Result::ok).unwrap_or_else(|| {
            Err(invalid("the workbook's parts contradict themselves; save it anew, or export it as CSV".to_owned()))
        })
    }

    fn of_archive(
        archive: SpooledTempFile,
        left_out: Option<&Failure>,
        sheet: Option<&Sheet>,
        most: WorkbookLimits,
        limits: RecordLimits,
    ) -> Result<Self, Failure> {
        let unreadable = |error: XlsxError| match (&error, left_out) {
            (
                XlsxError::FileNotFound(_) | XlsxError::WorksheetNotFound(_) | XlsxError::RelationshipNotFound,
                Some(failure),
            ) => failure.clone(),
            _ => unreadable(&error),
        };
        let mut workbook: Xlsx<_> = calamine::open_workbook_from_rs(BufReader::new(archive)).map_err(unreadable)?;
        let names = workbook.sheet_names();
        let name = match sheet {
            None => names.first().cloned(),
            Some(Sheet::Place(place)) => names.get(place.get() as usize - 1).cloned(),
            Some(Sheet::Name(name)) => names.iter().find(|known| known.trim() == name.trim()).cloned(),
        };
        let name = name.ok_or_else(|| {
            let known = clean(&names.join(", "));
            left_out.cloned().unwrap_or_else(|| {
                invalid(format!("the workbook has no such sheet as the mapping profile names; it has {known}"))
            })
        })?;
        let mut taking = Taking { row: Row::default(), rows: Writer::new(), bytes: 0, most: most.unpacked, limits };
        let mut cells = workbook.worksheet_cells_reader(&name).map_err(unreadable)?;
        while let Some(cell) = cells.next_cell_with_formula_metadata().map_err(unreadable)? {
            let (row, column) = cell.pos;
            let line = u64::from(row) + 1;
            let is_unvalued = cell.formula.is_some() && cell.value == DataRef::Empty;
            let shown = if is_unvalued { Some((Cow::Borrowed(""), CellKind::Unvalued)) } else { shown(&cell.value) };
            if let Some((text, kind)) = shown {
                taking.take(line, column as usize, &text, kind)?;
            }
        }
        Ok(Self {
            name,
            sheets: names,
            rows: taking.finish()?,
            ahead: VecDeque::new(),
            passed: 0,
            row: Row::default(),
            fields: String::new(),
            ends: Vec::new(),
            kinds: Vec::new(),
        })
    }

    fn read_ahead(&mut self) -> Result<bool, Failure> {
        let row = self.rows.next().map_err(|error| scratch(&error))?;
        let found = row.is_some();
        self.ahead.extend(row);
        Ok(found)
    }

    /// The next row that holds anything.
    ///
    /// # Errors
    /// If the temporary file cannot be read.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, Failure> {
        if self.ahead.is_empty() {
            self.read_ahead()?;
        }
        let Some(row) = self.ahead.pop_front() else { return Ok(None) };
        let Self { row: current, fields, ends, kinds, .. } = self;
        (self.passed, *current) = (row.line, row);
        fields.clear();
        ends.clear();
        kinds.clear();
        for (column, text, kind) in current.cells() {
            ends.resize(column, fields.len());
            kinds.resize(column, CellKind::Text);
            fields.push_str(text);
            ends.push(fields.len());
            kinds.push(kind);
        }
        let raw = current.text.strip_suffix('\t').unwrap_or(&current.text);
        Ok(Some(Record::of_parts(current.line, raw, fields, ends, kinds)))
    }

    /// Passes over so many rows of the sheet, those that hold nothing among them.
    ///
    /// # Errors
    /// If the temporary file cannot be read.
    pub fn skip_lines(&mut self, lines: u64) -> Result<(), Failure> {
        let end = self.passed.saturating_add(lines);
        loop {
            if self.ahead.is_empty() && !self.read_ahead()? {
                return Ok(());
            }
            match self.ahead.pop_front_if(|row| row.line <= end) {
                Some(row) => self.passed = row.line,
                None => return Ok(()),
            }
        }
    }

    /// The next rows, as many as a header is looked for in, each with its line; nothing is passed over.
    ///
    /// # Errors
    /// If the temporary file cannot be read.
    pub fn first(&mut self, rows: usize) -> Result<Vec<(u64, Vec<String>)>, Failure> {
        let (mut found, mut bytes): (Vec<(u64, Vec<String>)>, _) = (Vec::new(), 0);
        while found.len() < rows && bytes <= TITLES {
            if self.ahead.len() == found.len() && !self.read_ahead()? {
                break;
            }
            let mut texts = Vec::new();
            for (column, text, _) in self.ahead[found.len()].cells() {
                texts.resize(column, String::new());
                texts.push(text.to_owned());
                bytes += text.len();
            }
            bytes += texts.len() * size_of::<String>();
            found.push((self.ahead[found.len()].line, texts));
        }
        Ok(found)
    }
}

/// Takes in the cells of a sheet, which come row by row.
struct Taking {
    row: Row,
    rows: Writer,
    bytes: u64,
    most: u64,
    limits: RecordLimits,
}

impl Taking {
    fn take(&mut self, line: u64, column: usize, text: &str, kind: CellKind) -> Result<(), Failure> {
        if text.contains('\0') {
            return Err(invalid(format!("row {line}, column {}: holds a NUL character", column + 1)));
        }
        let at = self.row.line;
        let last = self.row.cells.last().filter(|_| line == at);
        if line < at || last.is_some_and(|last| column <= last.column) {
            return Err(invalid(format!(
                "row {line}: the workbook's cells are out of order; save it anew, or export it as CSV"
            )));
        }
        if column >= self.limits.fields {
            return Err(too_large(format!("row {line}: has more than {} columns", self.limits.fields)));
        }
        if line > at {
            self.end_row()?;
            self.row.line = line;
        }
        if self.row.text.len() + text.len() > self.limits.bytes {
            return Err(too_large(format!("row {line}: is longer than {} bytes", self.limits.bytes)));
        }
        self.row.text.push_str(text);
        self.row.text.push('\t');
        self.row.cells.push(Cell { column, bytes: text.len(), kind });
        // Texts stand once in the file, however many cells hold them.
        self.bytes += text.len() as u64 + 1;
        if self.bytes > self.most {
            return Err(unpacks_to_too_much(self.most));
        }
        Ok(())
    }

    fn end_row(&mut self) -> Result<(), Failure> {
        if self.row.cells.is_empty() {
            return Ok(());
        }
        self.rows.push(&mut self.row).map_err(|error| scratch(&error))
    }

    fn finish(mut self) -> Result<rows::Reader, Failure> {
        self.end_row()?;
        self.rows.finish().map_err(|error| scratch(&error))
    }
}

/// A cell's text and kind; a number is the shortest decimal that stands for it.
fn shown<'a>(value: &'a DataRef<'_>) -> Option<(Cow<'a, str>, CellKind)> {
    match value {
        DataRef::Empty => None,
        DataRef::Int(number) => Some((number.to_string().into(), CellKind::Number)),
        DataRef::Float(number) => Some((number.to_string().into(), CellKind::Number)),
        DataRef::String(text) => Some((text.as_str().into(), CellKind::Text)),
        DataRef::SharedString(text) => Some(((*text).into(), CellKind::Text)),
        DataRef::Bool(yes) => Some((if *yes { "TRUE" } else { "FALSE" }.into(), CellKind::Text)),
        DataRef::DateTime(moment) => Some((date(moment).into(), CellKind::Text)),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Some((text.as_str().into(), CellKind::Text)),
        DataRef::Error(error) => Some((Data::Error(error.clone()).to_string().into(), CellKind::Text)),
    }
}

/// A date as `YYYY-MM-DD`, with its time unless that is midnight.
fn date(moment: &ExcelDateTime) -> String {
    match moment.as_datetime() {
        Some(moment) if moment.time() == chrono::NaiveTime::MIN => moment.format("%Y-%m-%d").to_string(),
        Some(moment) => moment.format("%Y-%m-%dT%H:%M:%S").to_string(),
        None => moment.as_f64().to_string(),
    }
}

fn scratch(error: &io::Error) -> Failure {
    let reason = format!("no temporary file can be kept for the workbook's rows: {error}");
    Failure::new(ErrorCode::StorageUnavailable, Stage::Parse, reason)
}

/// What the library found, in words of its own: its messages quote cells, whose values stand in no failure.
fn unreadable(error: &XlsxError) -> Failure {
    let what = match error {
        XlsxError::Io(error) => format!("it cannot be unpacked: {}", clean(&error.to_string())),
        XlsxError::Zip(error) => format!("it cannot be unpacked: {}", clean(&error.to_string())),
        XlsxError::FileNotFound(part) => format!("the part {} is not there", clean(part)),
        XlsxError::WorksheetNotFound(sheet) => format!("the sheet {} is not there", clean(sheet)),
        XlsxError::NotAWorksheet(kind) => format!("the sheet's part is a {} without cells", clean(kind)),
        XlsxError::Unrecognized { typ: "sheet:type" | "sheet:state", val } => {
            format!("a sheet is of an unknown kind: {}", clean(val))
        }
        XlsxError::Unrecognized { typ, .. } => format!("it holds no valid {typ}"),
        XlsxError::CellTAttribute(kind) => format!("a cell is of an unknown kind: {}", clean(kind)),
        XlsxError::CellError(_) => "a cell holds an unknown error".to_owned(),
        XlsxError::ParseFloat(_) | XlsxError::ParseInt(_) | XlsxError::Parse(_) => {
            "a cell that says it is a number is not".to_owned()
        }
        XlsxError::Xml(_) | XlsxError::XmlAttr(_) | XlsxError::Encoding(_) => {
            "a part of it is not well-formed XML".to_owned()
        }
        XlsxError::XmlEof(element) => format!("a part of it ends within <{element}>"),
        XlsxError::UnexpectedNode(element) => format!("a part of it lacks <{element}>"),
        XlsxError::Unexpected(what) => (*what).to_owned(),
        XlsxError::RelationshipNotFound => "a relationship is not there".to_owned(),
        XlsxError::Password => "it is protected by a password".to_owned(),
        XlsxError::Alphanumeric(_)
        | XlsxError::NumericColumn(_)
        | XlsxError::RangeWithoutColumnComponent
        | XlsxError::RangeWithoutRowComponent
        | XlsxError::ColumnNumberOverflow
        | XlsxError::RowNumberOverflow
        | XlsxError::DimensionCount(_) => "a cell has no valid place".to_owned(),
        XlsxError::Vba(_) | XlsxError::TableNotFound(_) | XlsxError::PivotTableNotFound(_) => {
            "a part of it cannot be understood".to_owned()
        }
    };
    invalid(format!("the file is no .xlsx workbook that can be read ({what}); other archives are not unpacked"))
}

#[cfg(test)]
mod tests;
