//! Records: bytes become fields, one record at a time, each within bounds and with its line.

use std::io::{ErrorKind, Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::failure::{ErrorCode, Failure, Stage};

const DELIMITER: u8 = b',';
const QUOTE: u8 = b'"';
const BOM: &[u8] = b"\xef\xbb\xbf";
const CHUNK: usize = 256 * 1024;

/// What one record may be.
#[derive(Debug, Clone, Copy)]
pub struct RecordLimits {
    /// Bytes of a record.
    pub bytes: usize,
    /// Fields of a record.
    pub fields: usize,
}

/// Reads records from a file, holding no more than one of them.
pub struct Records<R> {
    input: R,
    limits: RecordLimits,
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
    at_start: bool,
}

/// One record, in UTF-8.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// The line on which it starts, from 1.
    pub line: u64,
    /// The record as it stands in the file, without its line end.
    pub raw: &'a str,
    text: &'a str,
    ends: &'a [usize],
}

impl<'a> Record<'a> {
    /// How many fields it has.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it has no field.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A field, if the record is that long.
    pub fn get(&self, place: usize) -> Option<&'a str> {
        let end = *self.ends.get(place)?;
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        Some(&self.text[start..end])
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (text, ends) = (self.text, self.ends);
        ends.iter().scan(0, move |start, end| {
            let field = &text[*start..*end];
            *start = *end;
            Some(field)
        })
    }
}

impl<R: Read> Records<R> {
    /// Reads comma-separated UTF-8 with or without a byte order mark.
    pub fn new(input: R, limits: RecordLimits) -> Self {
        Self {
            input,
            limits,
            core: ReaderBuilder::new().delimiter(DELIMITER).quote(QUOTE).build(),
            buffer: Vec::with_capacity(CHUNK),
            start: 0,
            next: 0,
            at_end: false,
            fields: vec![0; 4096],
            ends: vec![0; 64],
            line: 1,
            after_return: false,
            at_start: true,
        }
    }

    /// The next record, or none at the end of the file.
    ///
    /// # Errors
    /// `csv_malformed`, `encoding_invalid` or `file_too_large` with line and column;
    /// `storage_unavailable` if the file cannot be read on.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, Failure> {
        if self.at_start {
            self.at_start = false;
            self.skip_mark()?;
        }
        // Lines end in the part of the buffer that the last record took in.
        let taken_in = &self.buffer[self.start..self.next];
        self.line += line_ends(taken_in, self.after_return);
        self.after_return = taken_in.last().map_or(self.after_return, |byte| *byte == b'\r');
        self.start = self.next;
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
        let lead = raw.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let line = self.line + line_ends(&raw[..lead], self.after_return);
        let trail = raw[lead..].iter().rev().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let raw = &raw[lead..raw.len() - trail];
        check(raw, line)?;
        let invalid = |column: usize| {
            let reason = format!("line {line}, byte {column}: is no UTF-8; name the encoding in a mapping profile");
            Failure::new(ErrorCode::EncodingInvalid, Stage::Parse, reason)
        };
        let raw = std::str::from_utf8(raw).map_err(|error| invalid(error.valid_up_to() + 1))?;
        let text = std::str::from_utf8(&self.fields[..text]).map_err(|error| invalid(error.valid_up_to() + 1))?;
        Ok(Some(Record { line, raw, text, ends: &self.ends[..count] }))
    }

    /// Reads on, keeping what the current record has taken in so far.
    fn fill(&mut self) -> Result<(), Failure> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.next -= self.start;
            self.start = 0;
        }
        let held = self.buffer.len();
        self.buffer.resize(held + CHUNK, 0);
        let read = loop {
            match self.input.read(&mut self.buffer[held..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(held + *read.as_ref().unwrap_or(&0));
        let read = read.map_err(|error| {
            let reason = format!("the file cannot be read on after line {}: {error}", self.line);
            Failure::new(ErrorCode::StorageUnavailable, Stage::Parse, reason)
        })?;
        self.at_end = read == 0;
        Ok(())
    }

    fn skip_mark(&mut self) -> Result<(), Failure> {
        while self.buffer.len() < BOM.len() && !self.at_end {
            self.fill()?;
        }
        if self.buffer.starts_with(BOM) {
            (self.start, self.next) = (BOM.len(), BOM.len());
        } else if self.buffer.starts_with(b"\xff\xfe") || self.buffer.starts_with(b"\xfe\xff") {
            let reason = "the file is UTF-16; name the encoding in a mapping profile";
            return Err(Failure::new(ErrorCode::EncodingInvalid, Stage::Parse, reason));
        }
        Ok(())
    }

    fn too_wide(&self) -> Failure {
        let reason = format!("line {}: has more than {} fields", self.line, self.limits.fields);
        Failure::new(ErrorCode::FileTooLarge, Stage::Parse, reason)
    }

    fn too_long(&self) -> Failure {
        let raw = &self.buffer[self.start..self.next];
        let (line, limit) = (self.line, self.limits.bytes);
        match quote_fault(raw) {
            Some(QuoteFault::Unclosed(offset)) => unclosed(raw, offset, line),
            Some(QuoteFault::Lone(_)) | None => {
                let reason = format!("line {line}: the record is longer than {limit} bytes");
                Failure::new(ErrorCode::FileTooLarge, Stage::Parse, reason)
            }
        }
    }
}

/// How many lines end in these bytes: at `\n`, `\r\n` or `\r`. A line feed right at the start ends none if
/// a carriage return stood before it.
fn line_ends(bytes: &[u8], after_return: bool) -> u64 {
    let ends = memchr::memchr2_iter(b'\n', b'\r', bytes).filter(|at| {
        let follows_return = if *at == 0 { after_return } else { bytes[at - 1] == b'\r' };
        bytes[*at] == b'\r' || !follows_return
    });
    ends.count() as u64
}

/// Refuses what `csv` would take in silently: NUL characters and quotes out of place.
fn check(raw: &[u8], line: u64) -> Result<(), Failure> {
    let malformed = |reason| Err(Failure::new(ErrorCode::CsvMalformed, Stage::Parse, reason));
    if let Some(offset) = memchr::memchr(0, raw) {
        let (line, column) = place(raw, offset, line);
        return malformed(format!("line {line}, byte {column}: holds a NUL character"));
    }
    if memchr::memchr(QUOTE, raw).is_none() {
        return Ok(());
    }
    match quote_fault(raw) {
        None => Ok(()),
        Some(QuoteFault::Unclosed(offset)) => Err(unclosed(raw, offset, line)),
        Some(QuoteFault::Lone(offset)) => {
            let (line, column) = place(raw, offset, line);
            malformed(format!(
                "line {line}, byte {column}: a quote stands neither around a field nor doubled within one"
            ))
        }
    }
}

fn unclosed(raw: &[u8], offset: usize, line: u64) -> Failure {
    let (line, column) = place(raw, offset, line);
    let reason = format!("line {line}, byte {column}: a quote is opened and never closed");
    Failure::new(ErrorCode::CsvMalformed, Stage::Parse, reason)
}

/// Line and byte column of an offset into a record that starts on `line`.
fn place(raw: &[u8], offset: usize, line: u64) -> (u64, usize) {
    let before = &raw[..offset];
    let line_start = memchr::memrchr2(b'\n', b'\r', before).map_or(0, |end| end + 1);
    (line + line_ends(before, false), offset - line_start + 1)
}

enum QuoteFault {
    /// The record ends within quotes that were opened at this offset.
    Unclosed(usize),
    /// A quote at this offset neither opens, closes nor doubles.
    Lone(usize),
}

fn quote_fault(raw: &[u8]) -> Option<QuoteFault> {
    let mut at = 0;
    loop {
        // At the start of a field.
        if raw.get(at) == Some(&QUOTE) {
            let opened = at;
            at += 1;
            loop {
                let Some(quote) = memchr::memchr(QUOTE, &raw[at..]) else { return Some(QuoteFault::Unclosed(opened)) };
                at += quote + 1;
                if raw.get(at) != Some(&QUOTE) {
                    break;
                }
                at += 1;
            }
            match raw.get(at) {
                None => return None,
                Some(&DELIMITER) => at += 1,
                Some(_) => return Some(QuoteFault::Lone(at - 1)),
            }
        } else {
            match memchr::memchr2(QUOTE, DELIMITER, &raw[at..]) {
                None => return None,
                Some(found) if raw[at + found] == QUOTE => return Some(QuoteFault::Lone(at + found)),
                Some(found) => at += found + 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: RecordLimits = RecordLimits { bytes: 1024, fields: 100 };

    /// A reader that gives a few bytes at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn read(bytes: &[u8], drip: usize) -> Result<Vec<(u64, Vec<String>)>, Failure> {
        let mut records = Records::new(Drip(bytes, drip), LIMITS);
        let mut all = Vec::new();
        while let Some(record) = records.next_record()? {
            all.push((record.line, record.iter().map(str::to_owned).collect()));
        }
        Ok(all)
    }

    fn fault(bytes: &[u8]) -> String {
        let failure = read(bytes, 7).unwrap_err();
        format!("{}: {}", failure.code, failure.message)
    }

    #[test]
    fn a_record_knows_the_line_on_which_it_starts() {
        let text = b"\xef\xbb\xbfa,b\r\n\"x\r\ny\",2\r\n\r\n\r\n3,4\n5,6";
        let expected = vec![
            (1, vec!["a".to_owned(), "b".to_owned()]),
            (2, vec!["x\r\ny".to_owned(), "2".to_owned()]),
            (6, vec!["3".to_owned(), "4".to_owned()]),
            (7, vec!["5".to_owned(), "6".to_owned()]),
        ];
        for drip in [1, 2, 3, 1000] {
            assert_eq!(read(text, drip).unwrap(), expected, "{drip} bytes at a time");
        }
    }

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        for (text, lines) in
            [("a\rb\r\rc", [1, 2, 4]), ("a\r\nb\r\n\r\nc", [1, 2, 4]), ("a\n\"b\r\n\"\r\nc\n", [1, 2, 4])]
        {
            for drip in [1, 2, 100] {
                let read: Vec<_> = read(text.as_bytes(), drip).unwrap().into_iter().map(|(line, _)| line).collect();
                assert_eq!(read, lines, "{text:?}, {drip} bytes at a time");
            }
        }
    }

    #[test]
    fn what_csv_takes_in_silently_is_refused_with_its_place() {
        assert_eq!(
            fault(b"a,b\n1,\"x\n2,y\n3,z\n"),
            "csv_malformed: line 2, byte 3: a quote is opened and never closed"
        );
        assert_eq!(
            fault(b"a,b\n1,5\" pipe\n"),
            "csv_malformed: line 2, byte 4: a quote stands neither around a field nor doubled within one"
        );
        assert!(fault(b"a,b\n\"1\"x,2\n").starts_with("csv_malformed: line 2, byte 3"));
        assert_eq!(fault(b"a,b\n1,\0\n"), "csv_malformed: line 2, byte 3: holds a NUL character");
        assert!(fault(b"a,b\n1,\xe9\n").starts_with("encoding_invalid: line 2, byte 3"));
        assert!(fault(b"\xff\xfea\0").starts_with("encoding_invalid"));
    }

    #[test]
    fn a_record_is_bounded() {
        let long = [b"a,b\n".as_slice(), &b"x".repeat(5000)].concat();
        assert!(fault(&long).starts_with("file_too_large: line 2"), "{}", fault(&long));
        let unclosed = [b"a,b\n\"".as_slice(), &b"1,2\n".repeat(1000)].concat();
        assert!(fault(&unclosed).starts_with("csv_malformed: line 2, byte 1"), "{}", fault(&unclosed));
        assert!(fault(&b",".repeat(200)).starts_with("file_too_large: line 1"));
        assert!(fault(&b",".repeat(100)).starts_with("file_too_large: line 1"), "101 fields");
        assert!(read(&b",".repeat(99), 7).is_ok(), "100 fields");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(rows in prop::collection::vec(prop::collection::vec("[a-z\",\r\n é]{0,6}", 2), 1..20), drip in 1..50usize) {
            let mut text = String::new();
            for row in &rows {
                let quoted: Vec<_> = row.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
                text.push_str(&quoted.join(","));
                text.push_str("\r\n");
            }
            let read: Vec<_> = read(text.as_bytes(), drip).unwrap().into_iter().map(|(_, row)| row).collect();
            prop_assert_eq!(read, rows);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(prop::sample::select(b"a\",\n\r\0\xff".to_vec()), 0..60), drip in 1..9usize) {
            let _ = read(&bytes, drip);
        }
    }
}
