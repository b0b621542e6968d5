//! What a workbook's parts weigh: how much of them the library that reads them will hold at a time.
//!
//! Each part is looked through once as it is unpacked, and nothing of it is held but the tag or text at hand.

use std::{
    io::{self, BufRead, BufReader, Read},
    ops::Range,
};

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

use super::{
    fault::{damaged, invalid, unpacks_to_too_much},
    values::Values,
};
use crate::message::failure::Failure;

const CHUNK: usize = 64 * 1024;
/// Copies of a tag or text that are made while it is read.
const COPIES: u64 = 6;
/// Bytes of a part's entry in the directory, its names among them.
const PART: u64 = 1_000;
/// Bytes of a shared string beside its text: its place in a table that doubles, and the least that is allocated.
const STRING: u64 = 88;
/// Bytes of a format, font, fill or border.
const STYLE: u64 = 400;
/// Bytes of a relationship, sheet or name beside its texts.
const NAMED: u64 = 200;

/// Bytes of a theme's colour, in a list that doubles.
const COLOUR: u64 = 16;

/// What a part may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartLimits {
    /// Bytes of one tag or text, and of an element whose content is read as one.
    pub(super) token: u64,
    /// Bytes that all parts unpack to.
    pub(super) unpacked: u64,
}

/// What the parts looked through so far come to.
#[derive(Debug, Default)]
pub(super) struct Footprint {
    held: u64,
    longest: u64,
    longest_link: u64,
    sheets: u64,
}

impl Footprint {
    /// The bytes, with those of a directory of so many parts.
    pub(super) fn bytes(&self, parts: u64) -> u64 {
        // Each sheet has a copy of the relationship that it names.
        let copies = self.sheets.saturating_mul(self.longest_link);
        let passing = self.longest.saturating_mul(COPIES);
        self.held.saturating_add(copies).saturating_add(passing).saturating_add(parts.saturating_mul(PART))
    }
}

/// What the library makes of a part, which it knows by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Strings,
    Styles,
    Links,
    Other,
}

impl Kind {
    pub(super) fn of(name: &str) -> Self {
        let name = name.to_lowercase();
        match name.as_str() {
            name if name.ends_with("sharedstrings.xml") => Self::Strings,
            name if name.ends_with("styles.xml") => Self::Styles,
            name if name.ends_with(".rels") => Self::Links,
            _ => Self::Other,
        }
    }
}

/// An element whose whole content the library gathers, from its start tag on.
struct Gathered {
    name: Vec<u8>,
    start: u64,
    most: u64,
}

/// What was seen of a part.
pub(super) struct Seen {
    /// Whether it can be read within bounds. What is not XML can, since the library stops where this does.
    pub(super) within: bool,
    /// The bytes of values that are not what their cells say.
    pub(super) contradicting: Vec<Range<u64>>,
}

/// Looks through a part to its end, which also checks its sum.
///
/// # Errors
/// `workbook_invalid` if it is damaged or contradicts itself, `file_too_large` if it unpacks to too much.
pub(super) fn look_through(
    part: impl Read,
    kind: Kind,
    limits: PartLimits,
    left: &mut u64,
    footprint: &mut Footprint,
) -> Result<Seen, Failure> {
    let counted = Counted { part, left, read: 0, fault: None };
    let mut reader = Reader::from_reader(Metered { input: BufReader::with_capacity(CHUNK, counted), taken: 0, limits });
    let config = reader.config_mut();
    config.check_end_names = false;
    let (mut buffer, mut looking, mut values) = (Vec::new(), Looking::new(kind, limits.token), Values::default());
    let within = loop {
        buffer.clear();
        reader.get_mut().taken = 0;
        match reader.read_event_into(&mut buffer) {
            Ok(Event::Eof) => break true,
            Ok(event) => {
                values.take(&event, looking.position..reader.buffer_position());
                looking.take(&event, footprint);
                if looking.too_long(reader.buffer_position()) {
                    break false;
                }
                footprint.longest = footprint.longest.max(buffer.len() as u64);
            }
            Err(_) if reader.get_ref().is_over() => break false,
            Err(_) => break true,
        }
    };
    let mut counted = reader.into_inner().input.into_inner();
    // A part is unpacked to its end whatever it is: so it is counted, and its sum is checked.
    let rest = io::copy(&mut counted, &mut io::sink());
    match counted.fault.take() {
        Some(Fault::TooMuch) => return Err(unpacks_to_too_much(limits.unpacked)),
        Some(Fault::Unreadable(error)) => return Err(damaged(&error)),
        None => rest.map_err(|error| damaged(&error))?,
    };
    looking.finish(counted.read, footprint)?;
    Ok(Seen { within, contradicting: values.finish() })
}

struct Looking {
    kind: Kind,
    token: u64,
    elements: u64,
    formats: u64,
    strings: u64,
    claimed: u64,
    texts: u64,
    /// The longest tag of those that are copied into each format.
    copied: u64,
    /// A string, and within it what its text or a value, formula or name is gathered from.
    outer: Option<Gathered>,
    inner: Option<Gathered>,
    position: u64,
}

impl Looking {
    fn new(kind: Kind, token: u64) -> Self {
        Self {
            kind,
            token,
            elements: 0,
            formats: 0,
            strings: 0,
            claimed: 0,
            texts: 0,
            copied: 0,
            outer: None,
            inner: None,
            position: 0,
        }
    }

    fn take(&mut self, event: &Event<'_>, footprint: &mut Footprint) {
        match event {
            Event::Start(tag) => {
                self.tag(tag, footprint);
                self.gather(tag);
            }
            Event::Empty(tag) => self.tag(tag, footprint),
            Event::End(tag) => {
                let name: &str = tag.name().0;
                for gathered in [&mut self.outer, &mut self.inner] {
                    gathered.take_if(|gathered| gathered.name == name.as_bytes());
                }
            }
            Event::Text(text) => self.texts += text.len() as u64,
            Event::CData(text) => self.texts += text.len() as u64,
            Event::GeneralRef(text) => self.texts += text.len() as u64,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Eof => {}
        }
    }

    fn tag(&mut self, tag: &BytesStart<'_>, footprint: &mut Footprint) {
        let bytes = tag.len() as u64;
        match tag.local_name().as_ref() {
            "sst" => self.claimed = self.claimed.max(claimed(tag)),
            "si" => self.strings += 1,
            "xf" => {
                self.elements += 1;
                self.formats += 1;
            }
            "font" | "fill" | "border" | "stop" => self.elements += 1,
            "name" | "numFmt" => {
                self.elements += 1;
                self.copied = self.copied.max(bytes);
            }
            "sheet" | "definedName" => {
                footprint.sheets += 1;
                footprint.held = footprint.held.saturating_add(NAMED + 2 * bytes);
            }
            "srgbClr" | "sysClr" | "dk1" | "dk2" | "lt1" | "lt2" | "hlink" | "folHlink" => footprint.held += COLOUR,
            accent if accent.starts_with("accent") => footprint.held += COLOUR,
            "Relationship" if self.kind == Kind::Links => {
                footprint.longest_link = footprint.longest_link.max(bytes);
                footprint.held = footprint.held.saturating_add(NAMED + bytes);
            }
            _ => {}
        }
    }

    fn gather(&mut self, tag: &BytesStart<'_>) {
        let (slot, most) = match tag.local_name().as_ref() {
            "si" | "is" => (&mut self.outer, self.token.saturating_mul(4)),
            "t" | "v" | "f" | "definedName" => (&mut self.inner, self.token),
            _ => return,
        };
        let name: &str = tag.name().0;
        slot.get_or_insert_with(|| Gathered { name: name.as_bytes().to_vec(), start: self.position, most });
    }

    /// Whether what is being gathered has become too long, now that the part was read up to here.
    fn too_long(&mut self, position: u64) -> bool {
        self.position = position;
        let long = |gathered: &Gathered| position.saturating_sub(gathered.start) > gathered.most;
        [&self.outer, &self.inner].into_iter().flatten().any(long)
    }

    /// Weighs what the part holds, now that it is read.
    fn finish(self, bytes: u64, footprint: &mut Footprint) -> Result<(), Failure> {
        let held = match self.kind {
            Kind::Strings if self.claimed > bytes => {
                return Err(invalid(format!(
                    "the workbook claims {} shared strings in a part of {bytes} bytes; save it anew",
                    self.claimed
                )));
            }
            Kind::Strings => {
                let strings = self.strings.saturating_mul(STRING).saturating_add(self.texts);
                strings.saturating_add(self.claimed.saturating_mul(size_of::<String>() as u64))
            }
            Kind::Styles => {
                let copied = self.formats.saturating_mul(self.copied.saturating_mul(2));
                self.elements.saturating_mul(STYLE).saturating_add(copied).saturating_add(self.copied)
            }
            Kind::Links | Kind::Other => 0,
        };
        footprint.held = footprint.held.saturating_add(held);
        Ok(())
    }
}

/// How many strings a table claims to have. The library makes room for as many, so whatever it might take for a
/// number counts.
fn claimed(tag: &BytesStart<'_>) -> u64 {
    let texts = tag.attributes_raw().split("uniqueCount").skip(1);
    let numbers = texts.map(|text| {
        let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit()).bytes().take_while(u8::is_ascii_digit);
        digits.fold(0_u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    });
    numbers.max().unwrap_or(0)
}

enum Fault {
    TooMuch,
    Unreadable(String),
}

/// The bytes of a part, counted against those of all.
struct Counted<'a, R> {
    part: R,
    left: &'a mut u64,
    read: u64,
    fault: Option<Fault>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.part.read(buffer) {
            Ok(count) => count,
            Err(error) => {
                self.fault = Some(Fault::Unreadable(error.to_string()));
                return Err(error);
            }
        };
        self.read += count as u64;
        match self.left.checked_sub(count as u64) {
            Some(left) => *self.left = left,
            None => {
                self.fault = Some(Fault::TooMuch);
                return Err(io::Error::other("too much"));
            }
        }
        Ok(count)
    }
}

/// Breaks off within a tag or text that is too long, before it is held.
struct Metered<R> {
    input: R,
    /// Bytes since the last tag or text ended.
    taken: u64,
    limits: PartLimits,
}

impl<R> Metered<R> {
    fn is_over(&self) -> bool {
        self.taken > self.limits.token
    }
}

impl<R: BufRead> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

impl<R: BufRead> BufRead for Metered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.is_over() {
            return Err(io::Error::other("too long"));
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.taken += count as u64;
        self.input.consume(count);
    }
}
