//! Workbooks: the cells of one sheet of an `.xlsx` file, as records.
//!
//! A workbook cannot be read as a stream, so its size is bounded, packed and unpacked, before it is opened.

use std::{
    io::{self, Cursor, Read},
    panic::{self, AssertUnwindSafe},
};

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
    /// The cells that hold anything; a sheet may have far more that do not.
    cells: Vec<Cell>,
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
    /// Where its cells start among those of all rows.
    first: usize,
}

/// Where a cell's text stands, and whether it is a number.
#[derive(Debug, Clone, Copy)]
struct Cell {
    column: usize,
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
        // The library trusts what parts say of each other, and panics over some that contradict themselves.
        let read = panic::catch_unwind(AssertUnwindSafe(|| Self::of_archive(bytes, sheet, most, limits)));
        read.unwrap_or_else(|_| {
            let reason = "the workbook's parts contradict themselves; save it anew, or export it as CSV";
            Err(Failure::new(ErrorCode::WorkbookInvalid, Stage::Parse, reason))
        })
    }

    fn of_archive(
        bytes: Vec<u8>,
        sheet: Option<&Sheet>,
        most: WorkbookLimits,
        limits: RecordLimits,
    ) -> Result<Self, Failure> {
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
            cells: Vec::new(),
            rows: Vec::new(),
            next: 0,
            fields: String::new(),
            ends: Vec::new(),
            numbers: Vec::new(),
            name: name.clone(),
        };
        let mut cells = workbook.worksheet_cells_reader(&name).map_err(|error| invalid(&error))?;
        while let Some(cell) = cells.next_cell_with_formula().map_err(|error| invalid(&error))? {
            let (row, column) = cell.pos;
            let line = u64::from(row) + 1;
            if cell.formula.is_some() && cell.value == DataRef::Empty {
                let reason = format!(
                    "row {line}, column {}: a formula has no value; open and save the workbook in a spreadsheet program",
                    column + 1
                );
                return Err(Failure::new(ErrorCode::WorkbookInvalid, Stage::Parse, reason));
            }
            rows.take(line, column as usize, &cell.value, limits)?;
            // Texts stand once in the file, however many cells hold them.
            if rows.text.len() as u64 > most.unpacked {
                return Err(unpacks_to_too_much(most.unpacked));
            }
        }
        Ok(rows)
    }

    /// Takes in a cell; those of a sheet come row by row.
    fn take(&mut self, line: u64, column: usize, value: &DataRef<'_>, limits: RecordLimits) -> Result<(), Failure> {
        let Some((text, is_number)) = shown(value) else { return Ok(()) };
        if text.contains('\0') {
            let reason = format!("row {line}, column {}: holds a NUL character", column + 1);
            return Err(Failure::new(ErrorCode::WorkbookInvalid, Stage::Parse, reason));
        }
        let at = self.rows.last().map_or(0, |row| row.line);
        let last = self.cells.last().filter(|_| line == at);
        if line < at || last.is_some_and(|last| column <= last.column) {
            let reason =
                format!("row {line}: the workbook's cells are out of order; save it anew, or export it as CSV");
            return Err(Failure::new(ErrorCode::WorkbookInvalid, Stage::Parse, reason));
        }
        if column >= limits.fields {
            return Err(too_large(format!("row {line}: has more than {} columns", limits.fields)));
        }
        if line > at {
            self.rows.push(Row { line, first: self.cells.len() });
        }
        let start = self.text.len();
        self.text.push_str(&text);
        let end = self.text.len();
        self.cells.push(Cell { column, start, end, is_number });
        self.text.push('\t');
        let first = self.rows.last().and_then(|row| self.cells.get(row.first)).map_or(start, |cell| cell.start);
        if end - first > limits.bytes {
            return Err(too_large(format!("row {line}: is longer than {} bytes", limits.bytes)));
        }
        Ok(())
    }

    /// The cells of a row that hold anything.
    fn cells(&self, row: usize) -> &[Cell] {
        let first = |row: &Row| row.first;
        let end = self.rows.get(row + 1).map_or(self.cells.len(), first);
        &self.cells[self.rows.get(row).map_or(end, first)..end]
    }

    /// The next row that holds anything.
    pub fn next_record(&mut self) -> Option<Record<'_>> {
        let line = self.rows.get(self.next)?.line;
        let place = self.next;
        self.next += 1;
        self.fields.clear();
        self.ends.clear();
        self.numbers.clear();
        let mut raw = 0..0;
        for at in 0..self.cells(place).len() {
            let Cell { column, start, end, is_number } = self.cells(place)[at];
            self.ends.resize(column, self.fields.len());
            self.numbers.resize(column, false);
            self.fields.push_str(&self.text[start..end]);
            self.ends.push(self.fields.len());
            self.numbers.push(is_number);
            raw = if at == 0 { start..end } else { raw.start..end };
        }
        Some(Record::of_parts(line, &self.text[raw], &self.fields, &self.ends, &self.numbers))
    }

    /// Passes over so many rows of the sheet, those that hold nothing among them.
    pub fn skip_lines(&mut self, lines: u64) {
        let passed = self.next.checked_sub(1).and_then(|last| self.rows.get(last)).map_or(0, |row| row.line);
        let end = passed.saturating_add(lines);
        self.next += self.rows[self.next..].iter().take_while(|row| row.line <= end).count();
    }

    /// The texts of the next rows; nothing is passed over.
    pub fn first(&self, rows: usize) -> Vec<Vec<String>> {
        let texts = |row: usize| {
            let mut texts: Vec<String> = Vec::new();
            for cell in self.cells(row) {
                texts.resize(cell.column, String::new());
                texts.push(self.text[cell.start..cell.end].to_owned());
            }
            texts
        };
        (self.next..self.rows.len()).take(rows).map(texts).collect()
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
        left = left.checked_sub(count).ok_or_else(|| unpacks_to_too_much(most))?;
    }
    Ok(())
}

fn unpacks_to_too_much(most: u64) -> Failure {
    too_large(format!(
        "the workbook unpacks to more than the {most} bytes that AURA_MAX_WORKBOOK_UNPACKED_BYTES allows; export it as CSV"
    ))
}

fn too_large(reason: String) -> Failure {
    Failure::new(ErrorCode::FileTooLarge, Stage::Parse, reason)
}

fn invalid(error: &XlsxError) -> Failure {
    let reason = format!("the file is no .xlsx workbook that can be read ({error}); other archives are not unpacked");
    Failure::new(ErrorCode::WorkbookInvalid, Stage::Parse, reason)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LIMITS: RecordLimits = RecordLimits { bytes: 1 << 20, fields: 4096 };
    const RELATIONSHIPS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";

    fn workbook(sheet: &str, strings: &str) -> Vec<u8> {
        let book = format!(
            r#"<workbook xmlns:r="{RELATIONSHIPS}"><sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>"#
        );
        let links = format!(
            r#"<Relationships><Relationship Id="rId1" Type="{RELATIONSHIPS}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#
        );
        let root = format!(
            r#"<Relationships><Relationship Id="rId1" Type="{RELATIONSHIPS}/officeDocument" Target="xl/workbook.xml"/></Relationships>"#
        );
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, part) in [
            ("_rels/.rels", root.as_str()),
            ("xl/workbook.xml", book.as_str()),
            ("xl/_rels/workbook.xml.rels", &links),
            ("xl/sharedStrings.xml", &format!("<sst>{strings}</sst>")),
            ("xl/worksheets/sheet1.xml", &format!("<worksheet>{sheet}</worksheet>")),
        ] {
            archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            archive.write_all(part.as_bytes()).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    fn read(sheet: &str, strings: &str, unpacked: u64) -> Result<SheetRows, Failure> {
        let most = WorkbookLimits { bytes: 1 << 24, unpacked };
        let sheet = if sheet.starts_with("<dimension") { sheet } else { &format!("<sheetData>{sheet}</sheetData>") };
        SheetRows::read(workbook(sheet, strings).as_slice(), None, most, LIMITS)
    }

    #[test]
    fn a_cell_stands_in_its_column_and_rows_without_any_are_passed_over() {
        let sheet = r#"<row r="2"><c r="B2" t="s"><v>0</v></c><c r="D2"><v>0.1</v></c></row><row r="1048576"><c r="A1048576"><v>7</v></c></row>"#;
        let mut rows = read(sheet, "<si><t>x</t></si>", 1 << 20).unwrap();
        assert_eq!(rows.first(9), [vec!["", "x", "", "0.1"], vec!["7"]]);
        let record = rows.next_record().unwrap();
        assert_eq!((record.line, record.raw, record.len()), (2, "x\t0.1", 4));
        assert_eq!([0, 1, 2, 3].map(|place| record.is_number(place)), [false, false, false, true]);
        assert_eq!(rows.next_record().unwrap().line, 1_048_576);
        assert!(rows.next_record().is_none());
    }

    #[test]
    fn a_workbook_that_contradicts_itself_is_no_panic() {
        let backwards = r#"<dimension ref="QA1:B2"/><sheetData><row r="1"><c r="A1"><v>7</v></c></row></sheetData>"#;
        for sheet in [backwards, r#"<row r="0"><c r="A0" t="s"><v>9</v></c></row>"#] {
            if let Err(failure) = read(sheet, "", 1 << 20) {
                assert_eq!(failure.code, ErrorCode::WorkbookInvalid, "{failure}");
            }
        }
    }

    #[test]
    fn what_a_workbook_takes_is_bounded_by_what_it_holds() {
        let far: String =
            (1..=20_000).map(|row| format!(r#"<row r="{row}"><c r="FAN{row}"><v>1</v></c></row>"#)).collect();
        let rows = read(&far, "", 1 << 22).unwrap();
        assert_eq!((rows.rows.len(), rows.cells.len()), (20_000, 20_000), "no blank cell is held");
        let same: String =
            (1..=500).map(|row| format!(r#"<row r="{row}"><c r="A{row}" t="s"><v>0</v></c></row>"#)).collect();
        let failure = read(&same, &format!("<si><t>{}</t></si>", "x".repeat(10_000)), 1 << 20).unwrap_err();
        assert_eq!(failure.code, ErrorCode::FileTooLarge);
    }
}
