//! The cells of a file that no profile describes yet: its encoding, delimiter and quotes are found out.

use std::{fmt, path::Path};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use shared::{
    file::{
        dialect::FileLimits,
        mapping_profile::LineEnd,
        read::read_up_to,
        records::{RecordFormat, Records},
        unpack::{Packing, unpack},
        workbook::SheetRows,
    },
    message::failure::{ErrorCode, Failure, Stage},
};

/// Bytes of the file that a draft rests on.
const SAMPLE: usize = 4 << 20;
/// Records that a draft rests on.
const RECORDS: usize = 5_000;
/// Delimiters that are tried.
const DELIMITERS: [u8; 4] = [b';', b',', b'\t', b'|'];

/// A file's cells, and how they were told apart.
pub(super) struct Cells {
    pub(super) encoding: Option<&'static str>,
    pub(super) delimiter: Option<u8>,
    pub(super) sheet: Option<String>,
    /// Whether quotes stand where they surround nothing.
    pub(super) quotes_are_text: bool,
    pub(super) records: Vec<Vec<String>>,
}

/// The first records of a file.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn cells(path: &Path, limits: FileLimits) -> Result<Cells, Failure> {
    let unreadable = |error: &dyn fmt::Display| {
        Failure::new(ErrorCode::StorageUnavailable, Stage::Load, format!("the file cannot be read: {error}"))
    };
    let input = super::super::file::open(path).map_err(|error| unreadable(&error))?;
    let (packing, input) = unpack(input, limits.expansion)?;
    if packing == Packing::Zip {
        let mut rows = SheetRows::read(input, None, limits.workbook, limits.record)?;
        let records = rows.first(RECORDS)?;
        return Ok(Cells { encoding: None, delimiter: None, sheet: Some(rows.name), quotes_are_text: false, records });
    }
    let mut bytes = Vec::new();
    let mut input = input;
    read_up_to(&mut input, SAMPLE, &mut bytes)?;
    let (text, encoding) = decoded(&bytes);
    let tried = DELIMITERS.map(|delimiter| (delimiter, records(&text, delimiter, limits)));
    let best = tried.into_iter().max_by_key(|(_, (_, records))| {
        let width = usual_width(records);
        if width < 2 { 0 } else { width.min(50) * records.iter().filter(|record| record.len() == width).count() }
    });
    let (delimiter, (quotes_are_text, records)) = best.unwrap_or((b',', (false, Vec::new())));
    Ok(Cells { encoding, delimiter: Some(delimiter), sheet: None, quotes_are_text, records })
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
    let encoding = detector.guess(None, Utf8Detection::Deny);
    (encoding.decode_without_bom_handling(bytes).0.into_owned(), Some(encoding.name()))
}

/// The first records, and whether quotes had to be taken as text.
fn records(text: &str, delimiter: u8, limits: FileLimits) -> (bool, Vec<Vec<String>>) {
    let read = |quote| {
        let format = RecordFormat { delimiter, quote, line_breaks_in_quotes: true, line_end: LineEnd::Any };
        let mut records = Records::new(text.as_bytes(), format, limits.record);
        let mut found = Vec::new();
        while found.len() < RECORDS {
            match records.next_record() {
                Ok(Some(record)) => found.push(record.iter().map(str::to_owned).collect()),
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

/// The number of fields that most records have.
pub(super) fn usual_width(records: &[Vec<String>]) -> usize {
    let mut counts = std::collections::BTreeMap::new();
    records.iter().for_each(|record| *counts.entry(record.len()).or_insert(0) += 1);
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(0, |(width, _)| width)
}
