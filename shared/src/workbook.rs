//! Workbooks: the cells of one sheet of an `.xlsx` file, as records.
//!
//! A workbook cannot be read as a stream, so its size is bounded, packed and unpacked, before it is opened.

use std::io::{self, Cursor, Read};

use calamine::{Data, DataRef, ExcelDateTime, Reader, Xlsx, XlsxError};

use crate::{
    failure::{ErrorCode, Failure, Stage},
    mapping_profile::Sheet,
    records::{Record, RecordLimits},
};

/// How large a workbook may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkbookLimits {
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of all its parts, unpacked.
    pub unpacked: u64,
}

/// The rows of a sheet that hold anything.
#[derive(Debug)]
pub struct SheetRows {
    /// The sheet's name.
    pub name: String,
    /// The texts of all cells, one behind the other, with a tab between those of a row.
    text: String,
    rows: Vec<Row>,
    next: usize,
    /// Of the current record.
    fields: String,
    ends: Vec<usize>,
    numbers: Vec<bool>,
}

#[derive(Debug)]
struct Row {
    line: u64,
    cells: Vec<Place>,
    end: usize,
}

/// Where a cell's text starts, and whether it is a number.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: usize,
    end: usize,
    is_number: bool,
}

impl SheetRows {
    /// Reads a sheet.
    ///
    /// # Errors
    /// `workbook_invalid` if it is none, or has no such sheet; `file_too_large` past the limits.
    pub fn read(
        input: impl Read,
        sheet: Option<&Sheet>,
        most: WorkbookLimits,
        limits: RecordLimits,
    ) -> Result<Self, Failure> {
        let mut bytes = Vec::new();
        input.take(most.bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| {
            let reason = format!("the workbook cannot be read: {error}");
            Failure::new(ErrorCode::StorageUnavailable, Stage::Parse, reason)
        })?;
        if bytes.len() as u64 > most.bytes {
            let most = most.bytes;
            return Err(too_large(format!(
                "the workbook has more than the {most} bytes that AURA_MAX_WORKBOOK_BYTES allows; export it as CSV"
            )));
        }
        weigh(&bytes, most.unpacked)?;
        let mut workbook: Xlsx<_> =
            calamine::open_workbook_from_rs(Cursor::new(bytes)).map_err(|e: XlsxError| invalid(&e))?;
        let names = workbook.sheet_names();
        let name = match sheet {
            None => names.first().cloned(),
            Some(Sheet::Place(place)) => names.get(place.get() as usize - 1).cloned(),
            Some(Sheet::Name(name)) => names.iter().find(|known| known.trim() == name.trim()).cloned(),
        };
        let name = name.ok_or_else(|| {
            let reason =
                format!("the workbook has no such sheet as the mapping profile names; it has {}", names.join(", "));
            Failure::new(ErrorCode::WorkbookInvalid, Stage::Parse, reason)
        })?;
        let mut rows = Self {
            text: String::new(),
            rows: Vec::new(),
            next: 0,
            fields: String::new(),
            ends: Vec::new(),
            numbers: Vec::new(),
            name: name.clone(),
        };
        let mut cells = workbook.worksheet_cells_reader(&name).map_err(|error| invalid(&error))?;
        while let Some(cell) = cells.next_cell().map_err(|error| invalid(&error))? {
            let (row, column) = cell.get_position();
            rows.take(u64::from(row) + 1, column as usize, cell.get_value(), limits)?;
        }
        Ok(rows)
    }

    /// Takes in a cell; those of a sheet come row by row.
    fn take(&mut self, line: u64, column: usize, value: &DataRef<'_>, limits: RecordLimits) -> Result<(), Failure> {
        let Some((text, is_number)) = shown(value) else { return Ok(()) };
        let at = self.rows.last().map_or(0, |row| row.line);
        let width = self.rows.last().map_or(0, |row| row.cells.len());
        if line < at || line == at && column < width {
            let reason =
                format!("row {line}: the workbook's cells are out of order; save it anew, or export it as CSV");
            return Err(Failure::new(ErrorCode::WorkbookInvalid, Stage::Parse, reason));
        }
        if column >= limits.fields {
            return Err(too_large(format!("row {line}: has more than {} columns", limits.fields)));
        }
        if line > at {
            self.rows.push(Row { line, cells: Vec::new(), end: self.text.len() });
        }
        let Some(row) = self.rows.last_mut() else { return Ok(()) };
        row.cells.resize(column, Place { start: self.text.len(), end: self.text.len(), is_number: false });
        let start = self.text.len();
        self.text.push_str(&text);
        row.cells.push(Place { start, end: self.text.len(), is_number });
        self.text.push('\t');
        row.end = self.text.len() - 1;
        let first = row.cells.first().map_or(start, |cell| cell.start);
        if row.end - first > limits.bytes {
            return Err(too_large(format!("row {line}: is longer than {} bytes", limits.bytes)));
        }
        Ok(())
    }

    /// The next row that holds anything.
    pub fn next_record(&mut self) -> Option<Record<'_>> {
        let row = self.rows.get(self.next)?;
        self.next += 1;
        self.fields.clear();
        self.ends.clear();
        self.numbers.clear();
        for cell in &row.cells {
            self.fields.push_str(&self.text[cell.start..cell.end]);
            self.ends.push(self.fields.len());
            self.numbers.push(cell.is_number);
        }
        let raw = &self.text[row.cells.first().map_or(row.end, |cell| cell.start)..row.end];
        Some(Record::of_parts(row.line, raw, &self.fields, &self.ends, &self.numbers))
    }

    /// Passes over the first rows of the sheet.
    pub fn skip_lines(&mut self, lines: u64) {
        self.next = self.rows.iter().take_while(|row| row.line <= lines).count();
    }

    /// The texts of the next rows; nothing is passed over.
    pub fn first(&self, rows: usize) -> Vec<Vec<String>> {
        let texts = |row: &Row| row.cells.iter().map(|cell| self.text[cell.start..cell.end].to_owned()).collect();
        self.rows.iter().skip(self.next).take(rows).map(texts).collect()
    }
}

/// A cell's text, and whether it is a number; a number is the shortest decimal that stands for it.
fn shown(value: &DataRef<'_>) -> Option<(String, bool)> {
    match value {
        DataRef::Empty => None,
        DataRef::Int(number) => Some((number.to_string(), true)),
        DataRef::Float(number) => Some((number.to_string(), true)),
        DataRef::String(text) => Some((text.clone(), false)),
        DataRef::SharedString(text) => Some(((*text).to_owned(), false)),
        DataRef::Bool(yes) => Some((if *yes { "TRUE" } else { "FALSE" }.to_owned(), false)),
        DataRef::DateTime(moment) => Some((date(moment), false)),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Some((text.clone(), false)),
        DataRef::Error(error) => Some((Data::Error(error.clone()).to_string(), false)),
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

/// Unpacks all parts once, to nowhere: what they claim to hold may be less than they do.
fn weigh(bytes: &[u8], most: u64) -> Result<(), Failure> {
    let unreadable = |error: &dyn std::fmt::Display| {
        let reason = format!("the zip archive is damaged or cut off ({error}); save the workbook anew");
        Failure::new(ErrorCode::WorkbookInvalid, Stage::Parse, reason)
    };
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| unreadable(&error))?;
    let mut left = most;
    for place in 0..archive.len() {
        let part = archive.by_index(place).map_err(|error| unreadable(&error))?;
        let count =
            io::copy(&mut part.take(left.saturating_add(1)), &mut io::sink()).map_err(|error| unreadable(&error))?;
        left = left.checked_sub(count).ok_or_else(|| {
            too_large(format!("the workbook unpacks to more than the {most} bytes that AURA_MAX_WORKBOOK_UNPACKED_BYTES allows; export it as CSV"))
        })?;
    }
    Ok(())
}

fn too_large(reason: String) -> Failure {
    Failure::new(ErrorCode::FileTooLarge, Stage::Parse, reason)
}

fn invalid(error: &XlsxError) -> Failure {
    let reason = format!("the file is no .xlsx workbook that can be read ({error}); other archives are not unpacked");
    Failure::new(ErrorCode::WorkbookInvalid, Stage::Parse, reason)
}
