//! Values that are not what their cells say they are: a number that is none, an error of another program's.
//!
//! The library fails the whole workbook over one, or takes another value for it. They are found as a part is looked
//! through, by the bytes where they stand, and put out of its way, so that the cell alone lacks its value.

use std::{
    io::{self, BufRead, Read, Write},
    ops::Range,
};

use quick_xml::events::{BytesStart, Event};

/// How many are put out of the way in a part. One with more is left to the library as it is.
const MOST: usize = 10_000;
/// Bytes of the longest value that is no text.
const LONGEST: usize = 400;
/// What stands in their place: a formula without a value.
const FORMULA: &[u8] = b"<f>0</f>";
/// The errors of a spreadsheet that the library knows.
const ERRORS: [&str; 7] = ["#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!"];
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What a cell says its value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    /// A number, or any text.
    Unsaid,
    /// The place of a shared string.
    Place,
    Truth,
    Error,
    /// A text or date, or what the library refuses.
    Other,
}

impl Kind {
    fn of(cell: &BytesStart<'_>) -> Self {
        match cell.try_get_attribute("t").ok().flatten().as_ref().map(|attribute| &*attribute.value) {
            None => Self::Unsaid,
            Some("n") => Self::Number,
            Some("s") => Self::Place,
            Some("b") => Self::Truth,
            Some("e") => Self::Error,
            Some(_) => Self::Other,
        }
    }

    fn may_be(self, text: &str) -> bool {
        match self {
            Self::Unsaid | Self::Other => true,
            Self::Number => text.is_empty() || is_number(text),
            Self::Place => text.bytes().all(|byte| byte.is_ascii_digit()),
            Self::Truth => {
                let text = text.trim();
                ["", "0", "1"].contains(&text) || ["true", "false"].iter().any(|word| text.eq_ignore_ascii_case(word))
            }
            Self::Error => ERRORS.contains(&text),
        }
    }
}

/// Whether this is a number as a spreadsheet writes it, without a sign unless that is a minus.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && text.parse().is_ok_and(f64::is_finite)
}

/// The value of a cell that is being read.
struct Value {
    start: u64,
    text: String,
    /// It has parts that the library passes over, or by which it stops.
    is_mixed: bool,
}

/// Finds the values of a part that are not what their cells say.
#[derive(Default)]
pub(super) struct Values {
    cell: Option<Kind>,
    value: Option<Value>,
    found: Vec<Range<u64>>,
}

impl Values {
    /// Takes in what stands at these bytes.
    pub(super) fn take(&mut self, event: &Event<'_>, bytes: Range<u64>) {
        match event {
            Event::Start(tag) => match (tag.local_name().as_ref(), &mut self.value) {
                (_, Some(value)) => value.is_mixed = true,
                ("c", None) => self.cell = Some(Kind::of(tag)),
                ("v", None) if self.cell.is_some() => {
                    self.value = Some(Value { start: bytes.start, text: String::new(), is_mixed: false });
                }
                _ => {}
            },
            Event::End(tag) => match tag.local_name().as_ref() {
                "v" => self.end_value(bytes.end),
                "c" => (self.cell, self.value) = (None, None),
                _ => {}
            },
            Event::Eof => {}
            event @ (Event::Empty(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::GeneralRef(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)) => {
                if let (Some(kind), Some(value)) = (self.cell, &mut self.value) {
                    value.take(kind, event);
                }
            }
        }
    }

    fn end_value(&mut self, end: u64) {
        let (Some(kind), Some(value)) = (self.cell, self.value.take()) else { return };
        if (value.is_mixed || !kind.may_be(&value.text)) && self.found.len() <= MOST {
            self.found.push(value.start..end);
        }
    }

    /// The bytes at which such values stand, from their first tag to their last.
    pub(super) fn finish(self) -> Vec<Range<u64>> {
        if self.found.len() > MOST { Vec::new() } else { self.found }
    }
}

impl Value {
    fn take(&mut self, kind: Kind, event: &Event<'_>) {
        match (kind, event) {
            (Kind::Other, Event::CData(_)) => self.is_mixed = true,
            (Kind::Other, _) => {}
            // Of any other value the library reads the first piece alone.
            (_, Event::Text(text)) if self.text.is_empty() && !self.is_mixed && text.len() <= LONGEST => {
                self.text.push_str(text);
            }
            (Kind::Unsaid, Event::Text(_)) if self.text.is_empty() && !self.is_mixed => {}
            _ => self.is_mixed = true,
        }
    }
}

/// Copies a part, with what stands at these bytes put out of the way.
///
/// # Errors
/// If it cannot be read or written.
pub(super) fn without(mut part: impl BufRead, found: &[Range<u64>], to: &mut impl Write) -> io::Result<()> {
    let mut at = 0;
    // The reader of tags does not count the mark.
    if part.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
        part.consume(BYTE_ORDER_MARK.len());
    }
    for bytes in found {
        io::copy(&mut part.by_ref().take(bytes.start - at), to)?;
        io::copy(&mut part.by_ref().take(bytes.end - bytes.start), &mut io::sink())?;
        to.write_all(FORMULA)?;
        at = bytes.end;
    }
    io::copy(&mut part, to).map(|_| ())
}
