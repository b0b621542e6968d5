//! Records: bytes become fields, one record at a time, each within bounds and with its line.

#![expect(
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "every place is one of csv-core's or memchr's in the very buffer that it was given"
)]

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};

mod error;

pub use self::error::{Position, RecordError};
use super::read::{FileRead, read_up_to};
use crate::file::mapping_profile::LineEnd;

const CHUNK: usize = 256 * 1024;

/// What one record may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordLimits {
    /// Bytes of a record.
    pub bytes: usize,
    /// Fields of a record.
    pub fields: usize,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordFormat {
    /// What separates fields.
    pub delimiter: u8,
    /// What surrounds fields that hold a delimiter, if anything does.
    pub quote: Option<u8>,
    /// Whether a quoted field may go over several lines.
    pub line_breaks_in_quotes: bool,
    /// What ends a record.
    pub line_end: LineEnd,
}

impl Default for RecordFormat {
    fn default() -> Self {
        Self { delimiter: b',', quote: Some(b'"'), line_breaks_in_quotes: true, line_end: LineEnd::Any }
    }
}

impl RecordFormat {
    fn reader(self) -> Reader {
        let mut builder = ReaderBuilder::new();
        builder.delimiter(self.delimiter).quoting(self.quote.is_some());
        if let Some(quote) = self.quote {
            builder.quote(quote);
        }
        match self.line_end {
            LineEnd::Any => builder.terminator(Terminator::CRLF),
            LineEnd::Lf => builder.terminator(Terminator::Any(b'\n')),
        };
        builder.build()
    }
}

/// Reads records from UTF-8, holding no more than one of them.
pub struct Records<R> {
    input: R,
    limits: RecordLimits,
    format: RecordFormat,
    core: Reader,
    /// Bytes read; the current record starts at `start`, and bytes up to `next` are taken in.
    buffer: Vec<u8>,
    start: usize,
    next: usize,
    at_end: bool,
    fields: Vec<u8>,
    ends: Vec<usize>,
    line: u64,
    after_return: bool,
}

/// One record, in UTF-8.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// The line on which it starts, from 1.
    pub line: u64,
    /// The record as it stands in the file, without its line end.
    pub raw: &'a str,
    /// The fields one behind the other, and where each ends.
    text: &'a str,
    ends: &'a [usize],
    /// Where the first field starts.
    start: usize,
    /// What the cells of a workbook are; none in a text.
    kinds: &'a [CellKind],
    /// Whether its fields do not stand where the header has them.
    shifted: bool,
    /// Blank fields behind those.
    padding: usize,
}

/// What a cell of a workbook is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CellKind {
    /// A text, or nothing.
    #[default]
    Text,
    /// A number, which is always written with a decimal point.
    Number,
    /// A formula whose value is not in the file, or a value that is not what the cell says it is.
    Unvalued,
}

/// The letters of a workbook's column: A, B, … Z, AA.
fn column_letters(place: usize) -> String {
    let (mut letters, mut rest) = (Vec::new(), place + 1);
    while rest > 0 {
        letters.push(char::from(b'A' + ((rest - 1) % 26) as u8));
        rest = (rest - 1) / 26;
    }
    letters.iter().rev().collect()
}

impl<'a> Record<'a> {
    /// How many fields it has.
    pub fn len(&self) -> usize {
        self.ends.len() + self.padding
    }

    /// Whether it has no field.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A field, if the record is that long.
    pub fn get(&self, place: usize) -> Option<&'a str> {
        let Some(&end) = self.ends.get(place) else { return (place < self.len()).then_some("") };
        let start = if place == 0 { self.start } else { self.ends[place - 1] };
        Some(&self.text[start..end])
    }

    /// Whether a field is a number of a workbook, which is always written with a decimal point.
    pub fn is_number(&self, place: usize) -> bool {
        self.kinds.get(place) == Some(&CellKind::Number)
    }

    /// Whether there is nothing in any field. A cell without its value is something.
    pub fn is_blank(&self) -> bool {
        self.iter().all(|field| field.trim().is_empty()) && !self.kinds.contains(&CellKind::Unvalued)
    }

    /// The name of a cell that lacks its value, such as `C12`, if a field is one.
    pub fn unvalued(&self, place: usize) -> Option<String> {
        let is_unvalued = self.kinds.get(place) == Some(&CellKind::Unvalued);
        is_unvalued.then(|| format!("{}{}", column_letters(place), self.line))
    }

    /// Whether it is a row of a workbook, which ends at its last cell that holds anything.
    pub fn is_of_sheet(&self) -> bool {
        !self.kinds.is_empty()
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (text, ends) = (self.text, self.ends);
        let fields = ends.iter().scan(self.start, move |start, end| {
            let field = &text[*start..*end];
            *start = *end;
            Some(field)
        });
        fields.chain(std::iter::repeat_n("", self.padding))
    }

    /// Whether its fields do not stand where the header has them.
    pub fn is_shifted(&self) -> bool {
        self.shifted
    }

    /// The record, whose fields do not stand where the header has them.
    pub(crate) fn shifted(self) -> Self {
        Self { shifted: true, ..self }
    }

    /// The record without its first field.
    pub(crate) fn without_first(self) -> Self {
        match self.ends {
            [first, rest @ ..] => Self { ends: rest, start: *first, kinds: self.kinds.get(1..).unwrap_or(&[]), ..self },
            [] => self,
        }
    }

    /// The record with so many fields at most.
    pub(crate) fn truncated(self, fields: usize) -> Self {
        Self { ends: &self.ends[..fields.min(self.ends.len())], ..self }
    }

    /// The record with so many fields at least, the last of which are blank.
    pub(crate) fn padded(self, fields: usize) -> Self {
        Self { padding: fields.saturating_sub(self.ends.len()), ..self }
    }

    /// A record of parts that were cut elsewhere.
    pub(crate) fn of_parts(line: u64, raw: &'a str, text: &'a str, ends: &'a [usize], kinds: &'a [CellKind]) -> Self {
        Self { line, raw, text, ends, start: 0, kinds, padding: 0, shifted: false }
    }
}

impl<R: FileRead> Records<R> {
    /// Reads UTF-8 without a byte order mark.
    pub fn new(input: R, format: RecordFormat, limits: RecordLimits) -> Self {
        Self {
            input,
            limits,
            format,
            core: format.reader(),
            buffer: Vec::with_capacity(CHUNK),
            start: 0,
            next: 0,
            at_end: false,
            fields: vec![0; 4096],
            ends: vec![0; 64],
            line: 1,
            after_return: false,
        }
    }

    /// What follows in the file, at least so many bytes of it unless it is shorter. Nothing is taken in.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn peek(&mut self, bytes: usize) -> Result<&[u8], RecordError> {
        while self.buffer.len() - self.next < bytes && !self.at_end {
            self.fill()?;
        }
        Ok(&self.buffer[self.next..])
    }

    /// Changes how records are written, before the first of them.
    pub fn set_format(&mut self, format: RecordFormat) {
        self.format = format;
        self.core = format.reader();
    }

    /// Passes over lines, whatever they hold, before the first record.
    ///
    /// # Errors
    /// If the file cannot be read, or a line is too long.
    pub fn skip_lines(&mut self, lines: u64) -> Result<(), RecordError> {
        if lines > 0 && self.next > self.start && self.buffer[self.next - 1] == b'\r' {
            // The line that was read last may end with one more character.
            if self.peek(1)?.first() == Some(&b'\n') {
                self.next += 1;
            }
        }
        self.take_in();
        for _ in 0..lines {
            let mut searched = self.next;
            let end = loop {
                if let Some(found) = end_of_line(&self.buffer[searched..], self.format.line_end) {
                    break searched + found;
                }
                if self.at_end {
                    self.next = self.buffer.len();
                    self.take_in();
                    return Ok(());
                }
                if self.buffer.len() - self.next > self.limits.bytes {
                    return Err(self.longer());
                }
                let unsearched = self.buffer.len() - self.start;
                self.fill()?;
                searched = self.start + unsearched;
            };
            if end + 1 == self.buffer.len() && !self.at_end {
                let offset = end - self.start;
                self.fill()?;
                self.next = self.start + offset + 1;
            } else {
                self.next = end + 1;
            }
            let ended = self.next - 1;
            if self.buffer[ended] == b'\r' && self.buffer.get(self.next) == Some(&b'\n') {
                self.next += 1;
            }
            self.take_in();
        }
        Ok(())
    }

    /// Counts the lines that end in what was taken in, and lets it go.
    fn take_in(&mut self) {
        let taken_in = &self.buffer[self.start..self.next];
        self.line += line_ends(taken_in, self.after_return, self.format.line_end);
        self.after_return = taken_in.last().map_or(self.after_return, |byte| *byte == b'\r');
        self.start = self.next;
    }

    /// The next record, or none at the end of the file.
    ///
    /// # Errors
    /// `csv_malformed`, `encoding_invalid` or `file_too_large` with line and column;
    /// `storage_unavailable` if the file cannot be read on.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, RecordError> {
        self.read_record(true)
    }

    /// The next record, with quotes in their places or, among titles, in any.
    pub(crate) fn read_record(&mut self, strictly: bool) -> Result<Option<Record<'_>>, RecordError> {
        // Lines end in the part of the buffer that the last record took in.
        self.take_in();
        let (mut text, mut count) = (0, 0);
        loop {
            // An empty input tells csv-core that the file has ended.
            if self.next == self.buffer.len() && !self.at_end {
                self.fill()?;
            }
            let (result, taken, written, ended) =
                self.core.read_record(&self.buffer[self.next..], &mut self.fields[text..], &mut self.ends[count..]);
            self.next += taken;
            text += written;
            count += ended;
            if self.next - self.start > self.limits.bytes {
                return Err(self.too_long());
            }
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.fields.resize(self.fields.len() * 2, 0),
                ReadRecordResult::OutputEndsFull if count > self.limits.fields => return Err(self.too_wide()),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(None),
            }
        }
        if count > self.limits.fields {
            return Err(self.too_wide());
        }
        let raw = &self.buffer[self.start..self.next];
        let line_end = self.format.line_end;
        let ends_line = |byte: &&u8| **byte == b'\n' || **byte == b'\r' && line_end == LineEnd::Any;
        let lead = raw.iter().take_while(ends_line).count();
        let line = self.line + line_ends(&raw[..lead], self.after_return, line_end);
        let trail = raw[lead..].iter().rev().take_while(ends_line).count();
        let mut raw = &raw[lead..raw.len() - trail];
        if let (LineEnd::Lf, Some(without)) = (line_end, raw.strip_suffix(b"\r")) {
            // The reader takes a carriage return before the line feed for the last field's end.
            raw = without;
            text -= 1;
            self.ends[count - 1] -= 1;
        }
        self.check(raw, line, strictly)?;
        let invalid = |byte: usize| RecordError::NotUtf8(Position { line, byte });
        let raw = std::str::from_utf8(raw).map_err(|error| invalid(error.valid_up_to() + 1))?;
        let text = std::str::from_utf8(&self.fields[..text]).map_err(|error| invalid(error.valid_up_to() + 1))?;
        Ok(Some(Record {
            line,
            raw,
            text,
            ends: &self.ends[..count],
            start: 0,
            kinds: &[],
            padding: 0,
            shifted: false,
        }))
    }

    /// Reads on, keeping what the current record has taken in so far.
    fn fill(&mut self) -> Result<(), RecordError> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.next -= self.start;
            self.start = 0;
        }
        // However little the input gives at a time, a chunk is gathered before anything is moved.
        let read = read_up_to(&mut self.input, CHUNK, &mut self.buffer)?;
        self.at_end = read < CHUNK;
        Ok(())
    }

    fn too_wide(&self) -> RecordError {
        RecordError::TooManyFields { line: self.line, most: self.limits.fields }
    }

    fn too_long(&self) -> RecordError {
        let raw = &self.buffer[self.start..self.next];
        match self.format.quote.and_then(|quote| quote_fault(raw, self.format.delimiter, quote)) {
            Some(QuoteFault::Unclosed(offset)) => RecordError::UnclosedQuote(self.position(raw, offset, self.line)),
            Some(QuoteFault::Lone(_)) | None => self.longer(),
        }
    }

    fn longer(&self) -> RecordError {
        RecordError::TooLong { line: self.line, most: self.limits.bytes }
    }

    fn position(&self, raw: &[u8], offset: usize, line: u64) -> Position {
        let (line, byte) = place(raw, offset, line, self.format.line_end);
        Position { line, byte }
    }

    /// Refuses what `csv` would take in silently: NUL characters and quotes out of place.
    fn check(&self, raw: &[u8], line: u64, strictly: bool) -> Result<(), RecordError> {
        let at = |offset| self.position(raw, offset, line);
        if let Some(offset) = memchr::memchr(0, raw) {
            return Err(RecordError::Nul(at(offset)));
        }
        // Among titles a quote may stand anywhere, as long as no line below is drawn into its field.
        let looked_at = strictly || memchr::memchr2(b'\n', b'\r', raw).is_some();
        let Some(quote) = self.format.quote.filter(|quote| looked_at && memchr::memchr(*quote, raw).is_some()) else {
            return Ok(());
        };
        match quote_fault(raw, self.format.delimiter, quote) {
            None => {}
            Some(QuoteFault::Unclosed(offset)) => return Err(RecordError::UnclosedQuote(at(offset))),
            Some(QuoteFault::Lone(offset)) => return Err(RecordError::LoneQuote(at(offset))),
        }
        match end_of_line(raw, self.format.line_end).filter(|_| !self.format.line_breaks_in_quotes) {
            None => Ok(()),
            Some(offset) => Err(RecordError::QuotedLineEnd(at(offset))),
        }
    }
}

/// Where the first line ends.
fn end_of_line(bytes: &[u8], line_end: LineEnd) -> Option<usize> {
    match line_end {
        LineEnd::Any => memchr::memchr2(b'\n', b'\r', bytes),
        LineEnd::Lf => memchr::memchr(b'\n', bytes),
    }
}

/// How many lines end in these bytes: at `\n`, `\r\n` or `\r`, or at `\n` alone. A line feed right at the
/// start ends none if a carriage return that ends one stood before it.
fn line_ends(bytes: &[u8], after_return: bool, line_end: LineEnd) -> u64 {
    if line_end == LineEnd::Lf {
        return memchr::memchr_iter(b'\n', bytes).count() as u64;
    }
    let ends = memchr::memchr2_iter(b'\n', b'\r', bytes).filter(|at| {
        let follows_return = if *at == 0 { after_return } else { bytes[at - 1] == b'\r' };
        bytes[*at] == b'\r' || !follows_return
    });
    ends.count() as u64
}

/// Line and byte column of an offset into a record that starts on `line`.
fn place(raw: &[u8], offset: usize, line: u64, line_end: LineEnd) -> (u64, usize) {
    let before = &raw[..offset];
    let line_start = match line_end {
        LineEnd::Any => memchr::memrchr2(b'\n', b'\r', before),
        LineEnd::Lf => memchr::memrchr(b'\n', before),
    };
    (line + line_ends(before, false, line_end), offset - line_start.map_or(0, |end| end + 1) + 1)
}

enum QuoteFault {
    /// The record ends within quotes that were opened at this offset.
    Unclosed(usize),
    /// A quote at this offset neither opens, closes nor doubles.
    Lone(usize),
}

fn quote_fault(raw: &[u8], delimiter: u8, quote: u8) -> Option<QuoteFault> {
    let mut at = 0;
    loop {
        // At the start of a field.
        if raw.get(at) == Some(&quote) {
            let opened = at;
            at += 1;
            loop {
                let Some(found) = memchr::memchr(quote, &raw[at..]) else { return Some(QuoteFault::Unclosed(opened)) };
                at += found + 1;
                if raw.get(at) != Some(&quote) {
                    break;
                }
                at += 1;
            }
            match raw.get(at) {
                None => return None,
                Some(byte) if *byte == delimiter => at += 1,
                Some(_) => return Some(QuoteFault::Lone(at - 1)),
            }
        } else {
            match memchr::memchr2(quote, delimiter, &raw[at..]) {
                None => return None,
                Some(found) if raw[at + found] == quote => return Some(QuoteFault::Lone(at + found)),
                Some(found) => at += found + 1,
            }
        }
    }
}

#[cfg(test)]
mod tests;
