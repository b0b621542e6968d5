use std::io::Read;

use proptest::prelude::*;

use super::*;
use crate::message::failure::Failure;

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
    let mut records = Records::new(Drip(bytes, drip), RecordFormat::default(), LIMITS);
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
    let text = b"a,b\r\n\"x\r\ny\",2\r\n\r\n\r\n3,4\n5,6";
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
    for (text, lines) in [("a\rb\r\rc", [1, 2, 4]), ("a\r\nb\r\n\r\nc", [1, 2, 4]), ("a\n\"b\r\n\"\r\nc\n", [1, 2, 4])]
    {
        for drip in [1, 2, 100] {
            let read: Vec<_> = read(text.as_bytes(), drip).unwrap().into_iter().map(|(line, _)| line).collect();
            assert_eq!(read, lines, "{text:?}, {drip} bytes at a time");
        }
    }
}

#[test]
fn a_carriage_return_is_text_where_only_a_line_feed_ends_a_line() {
    let format = RecordFormat { line_end: LineEnd::Lf, ..RecordFormat::default() };
    let text = b"ti\rtle\r\na,b\r\n\"x\r\",\n\r\n\ry,\"z\r\"\n\"u\rv\",\"w\"\r\nlast,\r";
    for drip in [1, 2, 3, 100] {
        let mut records = Records::new(Drip(text, drip), format, LIMITS);
        records.skip_lines(1).unwrap();
        let mut all = Vec::new();
        while let Some(record) = records.next_record().unwrap() {
            all.push((record.line, record.iter().collect::<Vec<_>>().join("|")));
        }
        let lines = [(2, "a|b"), (3, "x\r|"), (4, ""), (5, "\ry|z\r"), (6, "u\rv|w"), (7, "last|")];
        assert_eq!(all, lines.map(|(line, fields)| (line, fields.to_owned())), "{drip} bytes at a time");
    }
}

#[test]
fn what_csv_takes_in_silently_is_refused_with_its_place() {
    assert_eq!(fault(b"a,b\n1,\"x\n2,y\n3,z\n"), "csv_malformed: line 2, byte 3: a quote is opened and never closed");
    assert_eq!(
        fault(b"a,b\n1,5\" pipe\n"),
        "csv_malformed: line 2, byte 4: a quote stands neither around a field nor doubled within one"
    );
    assert!(fault(b"a,b\n\"1\"x,2\n").starts_with("csv_malformed: line 2, byte 3"));
    assert_eq!(
        fault(b"a,b\n1,\0\n"),
        "csv_malformed: line 2, byte 3: holds a NUL character; if the file is UTF-16, a mapping profile has to say so"
    );
    assert!(fault(b"a,b\n1,\xe9\n").starts_with("encoding_invalid: line 2, byte 3"));
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
