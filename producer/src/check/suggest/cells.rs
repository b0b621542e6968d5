//! The cells of a file that no profile describes yet: its encoding, delimiter and quotes are found out.

use std::{fmt, io::Read};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{WINDOWS_1250, WINDOWS_1252};
use shared::{
    file::{
        dialect::FileLimits,
        mapping_profile::{LineEnd, Sheet},
        read::read_up_to,
        records::{RecordFormat, Records},
        unpack::{Packing, unpack},
        workbook::SheetRows,
    },
    message::failure::{ErrorCode, Failure, Stage},
};

use super::{super::file::FileAt, headings};

/// Bytes of the file that a draft rests on.
const SAMPLE: usize = 4 << 20;
/// Records that a draft rests on.
const RECORDS: usize = 5_000;
/// Delimiters that are tried.
const DELIMITERS: [u8; 4] = [b';', b',', b'\t', b'|'];

/// Sheets of a workbook that are looked at.
const SHEETS: usize = 12;

/// A file's cells, and how they were told apart.
#[derive(Default)]
pub(super) struct Cells {
    pub(super) encoding: Option<&'static str>,
    pub(super) delimiter: Option<u8>,
    /// The sheets of a workbook that may be meant; the cells are those of the first of them.
    pub(super) sheets: Vec<SheetFound>,
    /// Those that cannot be read, as a chart, or are past the first twelve.
    pub(super) unread_sheets: Vec<String>,
    /// Whether quotes stand where they surround nothing.
    pub(super) quotes_are_text: bool,
    /// Whether records begin and end with a delimiter, as in a drawn table.
    pub(super) leads: bool,
    pub(super) trails: bool,
    pub(super) records: Vec<Vec<String>>,
    /// The line on which each record begins, from 1.
    pub(super) lines: Vec<u64>,
    /// Whether the file has more.
    pub(super) is_partial: bool,
}

/// A sheet of a workbook that holds a table.
pub(super) struct SheetFound {
    pub(super) name: String,
    pub(super) headings: Vec<String>,
    /// Rows below the headings, as far as was looked.
    pub(super) rows: usize,
}

/// The first records of a file.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn cells(file: &FileAt, limits: FileLimits) -> Result<Cells, Failure> {
    let unreadable = |error: &dyn fmt::Display| {
        Failure::new(ErrorCode::StorageUnavailable, Stage::Load, format!("the file cannot be read: {error}"))
    };
    let open = || file.open().map_err(|error| unreadable(&error));
    let (packing, mut input) = unpack(open()?, limits.expansion)?;
    if packing == Packing::Zip {
        drop(input);
        return of_workbook(limits, open);
    }
    let mut bytes = Vec::new();
    read_up_to(&mut input, SAMPLE, &mut bytes)?;
    let is_cut = bytes.len() == SAMPLE;
    let (text, encoding) = decoded(&bytes);
    let tried = DELIMITERS.map(|delimiter| (delimiter, records(&text, delimiter, limits)));
    let best = tried.into_iter().max_by_key(|(_, (_, records))| {
        let records: Vec<&Vec<String>> = records.iter().map(|(_, record)| record).collect();
        let width = most_usual(records.iter().map(|record| record.len()));
        if width < 2 { 0 } else { width.min(50) * records.iter().filter(|record| record.len() == width).count() }
    });
    let (delimiter, (quotes_are_text, records)) = best.unwrap_or((b',', (false, Vec::new())));
    if let Some(fault) = layout_fault(&text, delimiter, records.iter().map(|(_, record)| record.as_slice())) {
        return Err(Failure::new(ErrorCode::SchemaInvalid, Stage::Parse, fault));
    }
    let is_partial = is_cut || records.len() == RECORDS;
    let (lines, mut records): (Vec<u64>, Vec<Vec<String>>) = records.into_iter().unzip();
    let (leads, trails) = ends(&mut records, delimiter);
    let delimiter = Some(delimiter);
    Ok(Cells { encoding, delimiter, quotes_are_text, leads, trails, records, lines, is_partial, ..Cells::default() })
}

/// Why no delimiter tells the columns of a file apart, if that is so: it has columns of fixed width, or thousands are
/// marked with the delimiter.
fn layout_fault<'a>(text: &str, delimiter: u8, records: impl Iterator<Item = &'a [String]>) -> Option<String> {
    let delimiter = char::from(delimiter);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).take(RECORDS).collect();
    let is_padded = |line: &&&str| line.trim().split("  ").filter(|piece| !piece.trim().is_empty()).count() > 2;
    let padded = lines.iter().filter(is_padded).count();
    let undivided = lines.iter().filter(is_padded).filter(|line| !line.contains(delimiter)).count();
    if padded * 10 >= lines.len() * 6 && undivided * 10 >= padded * 2 && delimiter != '\t' {
        return Some(
            "the file seems to have columns of fixed width, which a profile cannot tell apart; export it with a delimiter"
                .to_owned(),
        );
    }
    let is_head = |cell: &str| {
        let digits = cell.trim().trim_start_matches(['-', '(', '+']);
        (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_tail = |cell: &str| {
        let (group, rest) = cell.trim().split_at_checked(3).unwrap_or_default();
        group.len() == 3 && group.bytes().all(|byte| byte.is_ascii_digit()) && rest.starts_with('.')
    };
    let records: Vec<&[String]> = records.filter(|record| record.len() > 1).collect();
    let head_of = |record: &[String]| record.windows(2).position(|two| is_head(&two[0]) && is_tail(&two[1]));
    let (split, others): (Vec<&[String]>, Vec<&[String]>) =
        records.iter().partition(|record| head_of(record).is_some());
    // Where a thousand is split, the others of its column have decimals, which the part before the comma lacks.
    let is_decimal = |cell: &str| cell.contains('.') && cell.bytes().any(|byte| byte.is_ascii_digit());
    let is_torn = |record: &&[String]| {
        let beside = || others.iter().filter_map(|other| Some(other.get(head_of(record)?)?.trim()));
        beside().any(is_decimal) && !beside().any(is_head)
    };
    let torn = split.iter().filter(|record| is_torn(record)).count();
    (delimiter == ',' && torn > 0 && torn * 2 > split.len()).then(|| {
        "amounts seem to have commas between their thousands and no quotes around them, so that the file's columns \
         cannot be told apart; export it with quotes or another delimiter"
            .to_owned()
    })
}

/// Whether the records of a drawn table begin and end with a delimiter; the blank cells beside it are taken away.
fn ends(records: &mut [Vec<String>], delimiter: u8) -> (bool, bool) {
    let is_blank = |cell: Option<&String>| cell.is_some_and(|cell| cell.trim().is_empty());
    let drawn: Vec<&Vec<String>> = records.iter().filter(|record| record.len() > 2).collect();
    let all = |is: &dyn Fn(&Vec<String>) -> bool| {
        delimiter == b'|' && !drawn.is_empty() && drawn.iter().all(|record| is(record))
    };
    let leads = all(&|record| is_blank(record.first()));
    let trails = all(&|record| is_blank(record.last()));
    for record in records.iter_mut().filter(|record| record.len() > 1) {
        if trails && is_blank(record.last()) {
            record.pop();
        }
        if leads && is_blank(record.first()) {
            record.remove(0);
        }
    }
    (leads, trails)
}

/// The cells of the first sheet that holds a table, or of the first.
fn of_workbook<R: Read>(limits: FileLimits, open: impl Fn() -> Result<R, Failure>) -> Result<Cells, Failure> {
    let read = |sheet: Option<&Sheet>| {
        let (_, input) = unpack(open()?, limits.expansion)?;
        SheetRows::read(input, sheet, limits.workbook, limits.record)
    };
    let first = read(None)?;
    let mut names = first.sheets.clone();
    let (mut cells, mut first) = (Cells::default(), Some(first));
    cells.unread_sheets = names.split_off(names.len().min(SHEETS));
    for name in names {
        let rows = first.take().map_or_else(|| read(Some(&Sheet::Name(name.clone()))), Ok);
        let Ok(mut rows) = rows else {
            cells.unread_sheets.push(name);
            continue;
        };
        let (lines, records): (Vec<u64>, Vec<Vec<String>>) = rows.first(RECORDS)?.into_iter().unzip();
        let is_partial = has_more(&mut rows, records.len())?;
        let is_header = |record: &Vec<String>| headings::find(record, &[]).len() > 1;
        let place = records.iter().take(100).position(is_header);
        let found = SheetFound {
            name,
            headings: place.map(|place| records[place].clone()).unwrap_or_default(),
            rows: place.map_or(0, |place| records.len() - place - 1),
        };
        let is_table = found.rows > 0;
        let is_better = is_table && cells.sheets.first().is_none_or(|first| first.rows == 0);
        if is_better || cells.sheets.is_empty() {
            (cells.sheets, cells.is_partial) = (vec![found], is_partial);
            (cells.records, cells.lines) = (records, lines);
        } else if is_table {
            cells.sheets.push(found);
        }
    }
    Ok(cells)
}

/// Whether a sheet has more rows than were looked at.
fn has_more(rows: &mut SheetRows, looked_at: usize) -> Result<bool, Failure> {
    for _ in 0..looked_at {
        rows.next_record()?;
    }
    Ok(rows.next_record()?.is_some())
}

/// The text, and its encoding unless that is told by itself.
fn decoded(bytes: &[u8]) -> (String, Option<&'static str>) {
    if let Some((encoding, mark)) = shared::file::decode::marked(bytes) {
        return (encoding.decode_without_bom_handling(&bytes[mark..]).0.into_owned(), None);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => return (text.to_owned(), None),
        // The sample may end within a character.
        Err(error) if error.error_len().is_none() => {
            return (String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned(), None);
        }
        Err(_) => {}
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    let guess = detector.guess(None, Utf8Detection::Deny);
    // Short files with few letters are often guessed to be of Central Europe; a pound or euro sign tells better.
    let is_sign = |pair: &[u8]| matches!(pair, [0xA3 | 0x80, b'0'..=b'9' | b'-' | b' '] | [b' ' | b'0'..=b'9', 0x80]);
    let encoding = match guess {
        guess if guess == WINDOWS_1250 && bytes.windows(2).any(is_sign) => WINDOWS_1252,
        guess => guess,
    };
    (encoding.decode_without_bom_handling(bytes).0.into_owned(), Some(encoding.name()))
}

/// The first records, and whether quotes had to be taken as text.
fn records(text: &str, delimiter: u8, limits: FileLimits) -> (bool, Vec<(u64, Vec<String>)>) {
    let read = |quote| {
        let format = RecordFormat { delimiter, quote, line_breaks_in_quotes: true, line_end: LineEnd::Any };
        let mut records = Records::new(text.as_bytes(), format, limits.record);
        let mut found = Vec::new();
        while found.len() < RECORDS {
            match records.next_record() {
                Ok(Some(record)) => found.push((record.line, record.iter().map(str::to_owned).collect())),
                Ok(None) => return (true, found),
                Err(_) => return (false, found),
            }
        }
        (true, found)
    };
    let (whole, quoted) = read(Some(b'"'));
    let (_, plain) = if whole { (true, Vec::new()) } else { read(None) };
    // A sample may end within quotes; only quotes in the midst of it say something.
    if plain.len() > quoted.len() + 1 { (true, plain) } else { (false, quoted) }
}

/// The number of fields that most records have, titles of a single one aside.
pub(super) fn usual_width(records: &[Vec<String>]) -> usize {
    match most_usual(records.iter().map(Vec::len).filter(|width| *width > 1)) {
        0 => 1,
        width => width,
    }
}

fn most_usual(widths: impl Iterator<Item = usize>) -> usize {
    let mut counts = std::collections::BTreeMap::new();
    widths.for_each(|width| *counts.entry(width).or_insert(0) += 1);
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(0, |(width, _)| width)
}
