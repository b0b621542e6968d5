//! The dialect: how one file is written, as its profile says or as its first bytes tell, and its header.

mod sniff;

use std::{collections::HashSet, io::Read};

use serde::Serialize;

use self::sniff::{header_place, sniff};
use super::read::AnyFile;
use crate::{
    file::{
        columns::key_of,
        decode::{Watch, decode},
        mapping_profile::{Delimiter, HeaderLine, MappingProfile, TextFormat},
        records::{Record, RecordFormat, RecordLimits, Records},
        unpack::{Expansion, Packing, unpack},
        workbook::{SheetRows, WorkbookLimits},
    },
    message::failure::{ErrorCode, Failure, Stage},
};

/// Bytes by which a delimiter and a header are told.
const SAMPLE: usize = 256 * 1024;
/// Records among which a header is looked for.
const SEARCHED: usize = 200;
/// Bytes of the names that several rows of a header make.
const MAX_HEADER: usize = 4 << 20;

/// What a file may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimits {
    /// Its records.
    pub record: RecordLimits,
    /// What it unpacks to.
    pub expansion: Expansion,
    /// A workbook.
    pub workbook: WorkbookLimits,
}

/// How a file turned out to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dialect {
    /// `none`, `gzip`, `zstd`, or `xlsx`.
    pub packing: &'static str,
    /// The encoding's name; none in a workbook.
    pub encoding: Option<&'static str>,
    /// Whether it has a byte order mark.
    pub byte_order_mark: bool,
    /// The delimiter as profiles write it; none in a workbook.
    pub delimiter: Option<String>,
    /// The sheet of a workbook.
    pub sheet: Option<String>,
    /// The line of the header; none if there is none.
    pub header_line: Option<u64>,
}

impl Dialect {
    /// The delimiter itself.
    pub fn delimiter(&self) -> Option<char> {
        match self.delimiter.as_deref()? {
            "tab" => Some('\t'),
            other => other.chars().next(),
        }
    }
}

/// A file whose header was read.
pub struct Opened<'a> {
    /// How it is written.
    pub dialect: Dialect,
    /// The header's cells.
    pub header: Vec<String>,
    /// The sheets of a workbook that are not read, unless the profile says which is.
    pub other_sheets: Vec<String>,
    table: Table<'a>,
    is_utf_8: Watch,
    leading: bool,
    trailing: bool,
}

enum Table<'a> {
    Text(Box<Records<AnyFile<'a>>>),
    Sheet(Box<SheetRows>),
}

impl Table<'_> {
    fn next(&mut self, strictly: bool) -> Result<Option<Record<'_>>, Failure> {
        match self {
            Self::Text(records) => Ok(records.read_record(strictly)?),
            Self::Sheet(rows) => rows.next_record(),
        }
    }
}

impl<'a> Opened<'a> {
    /// Tells how a file is written and reads up to its header. The profile's encoding is the one after those that
    /// were tried, see [`next_encoding`].
    ///
    /// # Errors
    /// `archive_invalid`, `workbook_invalid`, `encoding_invalid`, `csv_malformed`, `file_too_large`,
    /// `schema_invalid` if the header is not found, or `storage_unavailable`.
    pub fn new(
        input: impl Read + 'a,
        profile: &MappingProfile,
        limits: FileLimits,
        tried_encodings: usize,
    ) -> Result<Self, Failure> {
        let text = &profile.text;
        let (packing, input) = unpack(input, limits.expansion)?;
        let mut dialect = Dialect {
            packing: packing.as_str(),
            encoding: None,
            byte_order_mark: false,
            delimiter: None,
            sheet: None,
            header_line: None,
        };
        let (mut is_utf_8, mut other_sheets) = (Watch::default(), Vec::new());
        let (table, passed) = match packing {
            Packing::Compound => {
                let reason = "the file is an old .xls workbook or a protected one; save it as .xlsx without a password";
                return Err(Failure::new(ErrorCode::WorkbookInvalid, Stage::Parse, reason));
            }
            Packing::Zip => {
                dialect.packing = "xlsx";
                let mut rows = SheetRows::read(input, text.sheet.as_ref(), limits.workbook, limits.record)?;
                dialect.sheet = Some(rows.name.clone());
                if text.sheet.is_none() {
                    other_sheets = rows.sheets.iter().filter(|name| **name != rows.name).cloned().collect();
                }
                rows.skip_lines(text.skip_lines)?;
                let titles: Vec<Vec<String>> = rows.first(SEARCHED)?.into_iter().map(|(_, texts)| texts).collect();
                let passed = header_place(profile, &titles);
                (Table::Sheet(Box::new(rows)), passed)
            }
            Packing::None | Packing::Gzip | Packing::Zstd => {
                let decoded = decode(input, text.encoding.nth(tried_encodings))?;
                (dialect.encoding, dialect.byte_order_mark) = (Some(decoded.encoding.name()), decoded.has_mark);
                is_utf_8 = decoded.is_utf_8;
                let input = decoded.text;
                if text.header == HeaderLine::Absent && text.delimiter.is_none() {
                    let reason = "the mapping profile has header = false and no delimiter, which only a header tells";
                    return Err(Failure::new(ErrorCode::SchemaInvalid, Stage::ValidateSchema, reason));
                }
                let mut records = Box::new(Records::new(input, format(text, b','), limits.record));
                records.skip_lines(text.skip_lines)?;
                let sample = records.peek(SAMPLE)?;
                let (delimiter, passed) = sniff(sample, profile);
                records.set_format(format(text, delimiter));
                dialect.delimiter = Some(Delimiter(delimiter).into());
                (Table::Text(records), passed)
            }
        };
        let mut opened = Self {
            dialect,
            header: Vec::new(),
            other_sheets,
            table,
            is_utf_8,
            leading: text.leading_delimiter && packing != Packing::Zip,
            trailing: text.trailing_delimiter && packing != Packing::Zip,
        };
        match text.header {
            HeaderLine::Present | HeaderLine::Assumed => opened.read_header(text, passed)?,
            HeaderLine::Absent => {
                let (names, most) = (text.column_names.len(), limits.record.fields);
                if names > most {
                    let reason = format!(
                        "the mapping profile has {names} column_names, more than the {most} that AURA_MAX_COLUMNS allows"
                    );
                    return Err(Failure::new(ErrorCode::SchemaInvalid, Stage::ValidateSchema, reason));
                }
                opened.header = text.column_names.clone();
            }
        }
        if text.header == HeaderLine::Absent && opened.header.is_empty() {
            // The columns are as many as the first record has fields.
            opened.header = vec![String::new(); passed];
        }
        Ok(opened)
    }

    /// The next record.
    ///
    /// # Errors
    /// As of [`Records::next_record`].
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, Failure> {
        let (leading, trailing) = (self.leading, self.trailing);
        Ok(self.table.next(true)?.map(|record| without_edges(record, leading, trailing)))
    }

    /// Whether the bytes that were read so far are UTF-8 beyond ASCII, and were read as something else.
    pub fn reads_utf_8_otherwise(&self) -> bool {
        self.is_utf_8.says_so()
    }

    fn read_header(&mut self, text: &TextFormat, passed: usize) -> Result<(), Failure> {
        for _ in 0..passed {
            self.table.next(false)?;
        }
        let wanted = wanted(text);
        for row in 0..text.header_rows.0 {
            let record = loop {
                let Some(record) = self.table.next(wanted.is_empty())? else { break None };
                if row > 0 || contains(&record, &wanted) {
                    if row == 0 {
                        // Only where the header has such an edge do the records have it.
                        self.leading &= is_blank(&record, 0);
                        self.trailing &= record.len() > 1 && is_blank(&record, record.len() - 1);
                    }
                    let record = without_edges(record, self.leading, self.trailing);
                    break Some((record.line, record.iter().map(str::to_owned).collect::<Vec<_>>()));
                }
            };
            match record {
                Some((line, cells)) => {
                    self.dialect.header_line = self.dialect.header_line.or(Some(line));
                    self.header = if row == 0 {
                        cells
                    } else {
                        joined(&self.header, &cells).ok_or_else(|| {
                            let reason = format!(
                                "line {line}: the cells of the header, joined, are longer than {MAX_HEADER} bytes"
                            );
                            Failure::new(ErrorCode::FileTooLarge, Stage::Parse, reason)
                        })?
                    };
                }
                None if wanted.is_empty() => return Ok(()),
                None => {
                    let cells: Vec<_> = text.header_contains.iter().map(|cell| cell.texts().join(" or ")).collect();
                    let reason = format!("no line has all the cells of header_contains: {}", cells.join(", "));
                    return Err(Failure::new(ErrorCode::SchemaInvalid, Stage::ValidateSchema, reason));
                }
            }
        }
        match &mut self.table {
            Table::Text(records) => records.skip_lines(text.skip_after_header)?,
            Table::Sheet(rows) => rows.skip_lines(text.skip_after_header)?,
        }
        Ok(())
    }
}

/// How many of a profile's encodings were tried, if a failure is one of the encoding and another is left.
pub fn next_encoding(failure: &Failure, profile: &MappingProfile, tried: usize) -> Option<usize> {
    let another = profile.text.encoding.nth(tried + 1);
    (failure.code == ErrorCode::EncodingInvalid && another.is_some()).then_some(tried + 1)
}

fn format(text: &TextFormat, found: u8) -> RecordFormat {
    RecordFormat {
        delimiter: text.delimiter.map_or(found, |delimiter| delimiter.0),
        quote: text.quote.0,
        line_breaks_in_quotes: text.line_breaks_in_quotes,
        line_end: text.line_end,
    }
}

/// The record without the blank fields that a delimiter at an end of the line makes.
fn without_edges(record: Record<'_>, leading: bool, trailing: bool) -> Record<'_> {
    let mut record = record;
    if leading && record.len() > 1 {
        record = if is_blank(&record, 0) { record.without_first() } else { record.shifted() };
    }
    if trailing && record.len() > 1 && is_blank(&record, record.len() - 1) {
        record = record.truncated(record.len() - 1);
    }
    record
}

fn is_blank(record: &Record<'_>, place: usize) -> bool {
    record.get(place).is_some_and(|cell| cell.trim().is_empty())
}

fn contains(record: &Record<'_>, wanted: &[Vec<String>]) -> bool {
    holds_all(record.iter(), wanted)
}

/// The keys by which a header is known, each with those that may stand for it.
fn wanted(text: &TextFormat) -> Vec<Vec<String>> {
    text.header_contains.iter().map(|cell| cell.texts().iter().map(|text| key_of(text)).collect()).collect()
}

/// Whether one of the keys of each is that of a cell.
fn holds_all<'a>(cells: impl Iterator<Item = &'a str>, wanted: &[Vec<String>]) -> bool {
    if wanted.is_empty() {
        return true;
    }
    let keys: HashSet<String> = cells.map(key_of).collect();
    wanted.iter().all(|any| any.iter().any(|key| keys.contains(key)))
}

/// Two rows of a header in one; a blank cell of the upper one belongs to the cell on its left. None if they
/// are too long: one long cell may stand over any number of columns.
pub fn joined(upper: &[String], lower: &[String]) -> Option<Vec<String>> {
    let (mut over, mut bytes) = ("", 0);
    let cells = (0..upper.len().max(lower.len())).map(|place| {
        let above = upper.get(place).map_or("", |cell| cell.trim());
        if !above.is_empty() {
            over = above;
        }
        let below = lower.get(place).map_or("", |cell| cell.trim());
        bytes += over.len() + below.len();
        if bytes > MAX_HEADER {
            return None;
        }
        Some(if below.is_empty() { above.to_owned() } else { format!("{over} {below}").trim().to_owned() })
    });
    cells.collect()
}
