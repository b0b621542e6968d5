//! The properties of a message as they stand in a content header frame, read within bounds.

use crate::message::envelope::{MALFORMED, WITHHELD};

/// What is read of properties.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Tables and arrays within each other.
    pub depth: usize,
    /// Bytes of the headers.
    pub header_bytes: usize,
    /// Bytes of the body; a larger one is not held in memory.
    pub body_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { depth: 16, header_bytes: 64 << 10, body_bytes: 1 << 20 }
    }
}

/// What became of a content header.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Guarded {
    /// The payload to pass on in its place, if something was left out.
    pub instead: Option<Vec<u8>>,
    /// Bytes of the body that are not passed on.
    pub withholds: u64,
}

/// Class `basic`, and its methods that carry names which a publisher chose.
const BASIC: u16 = 60;
const RETURN: u16 = 50;
const DELIVER: u16 = 60;
const GET_OK: u16 = 71;
/// Bytes that the mark may have.
const MARK_BYTES: usize = 1_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Table,
    Octet,
    LongLong,
}

/// The properties in their order, the first of the highest bit.
const PROPERTIES: [(&str, Kind); 14] = [
    ("content_type", Kind::Text),
    ("content_encoding", Kind::Text),
    ("headers", Kind::Table),
    ("delivery_mode", Kind::Octet),
    ("priority", Kind::Octet),
    ("correlation_id", Kind::Text),
    ("reply_to", Kind::Text),
    ("expiration", Kind::Text),
    ("message_id", Kind::Text),
    ("timestamp", Kind::LongLong),
    ("type", Kind::Text),
    ("user_id", Kind::Text),
    ("app_id", Kind::Text),
    ("cluster_id", Kind::Text),
];
const HEADERS: usize = 2;

/// A part of a payload that has not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn octet(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn short(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    fn long(&mut self) -> Option<usize> {
        self.take(4)?.try_into().ok().map(|octets| u32::from_be_bytes(octets) as usize)
    }

    fn long_long(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_be_bytes)
    }

    fn short_text(&mut self) -> Option<&'a [u8]> {
        let length = self.octet()?;
        self.take(length.into())
    }

    fn block(&mut self) -> Option<&'a [u8]> {
        let length = self.long()?;
        self.take(length)
    }
}

/// Reads a content header, and leaves out of it what lapin cannot read.
pub fn guard(payload: &[u8], bounds: &Bounds) -> Guarded {
    let mut rest = Rest(payload);
    let (Some(class), Some(_weight), Some(size)) = (rest.short(), rest.short(), rest.long_long()) else {
        return Guarded::default();
    };
    let mut faults = Vec::new();
    let mut kept: [Option<Vec<u8>>; PROPERTIES.len()] = Default::default();
    read_properties(&mut rest, bounds, &mut kept, &mut faults);
    let withholds = if size > bounds.body_bytes { size } else { 0 };
    if withholds > 0 {
        faults.push(format!("body has {size} bytes, at most {} are held", bounds.body_bytes));
    }
    if faults.is_empty() {
        return Guarded::default();
    }
    let mut instead = class.to_be_bytes().to_vec();
    instead.extend_from_slice(&[0, 0]);
    instead.extend_from_slice(&(size - withholds).to_be_bytes());
    let mut mark = faults.join("; ");
    mark.truncate(mark.floor_char_boundary(MARK_BYTES));
    if let Some(headers) = kept.get_mut(HEADERS) {
        *headers = Some(with_marks(headers.take().unwrap_or_default(), &mark, withholds));
    }
    let present = (15 - PROPERTIES.len()..=15).rev().zip(&kept).filter(|(_, value)| value.is_some());
    instead.extend_from_slice(&present.fold(0_u16, |flags, (bit, _)| flags | 1 << bit).to_be_bytes());
    kept.iter().flatten().for_each(|value| instead.extend_from_slice(value));
    Guarded { instead: Some(instead), withholds }
}

/// Reads the properties as far as they can be read; what is kept stands as it will be sent on.
fn read_properties(
    rest: &mut Rest<'_>,
    bounds: &Bounds,
    kept: &mut [Option<Vec<u8>>; PROPERTIES.len()],
    faults: &mut Vec<String>,
) {
    let Some(flags) = rest.short() else {
        return faults.push("properties are cut off".to_owned());
    };
    if flags & 3 != 0 {
        faults.push("properties have flags that AMQP does not know".to_owned());
    }
    for (bit, ((name, kind), kept)) in (0..=15_u32).rev().zip(PROPERTIES.iter().zip(kept)) {
        if flags & (1 << bit) == 0 {
            continue;
        }
        let value = match kind {
            Kind::Text => rest.short_text().map(|text| Ok(text_of(text, name, faults))),
            Kind::Table => rest.block().map(|table| table_of(table, bounds)),
            Kind::Octet => rest.take(1).map(|octet| Ok(octet.to_vec())),
            Kind::LongLong => rest.take(8).map(|octets| Ok(octets.to_vec())),
        };
        match value {
            Some(Ok(value)) => *kept = Some(value),
            Some(Err(fault)) => faults.push(fault),
            None => return faults.push(format!("{name} is cut off")),
        }
    }
    if !rest.0.is_empty() {
        faults.push("properties are followed by more than they announce".to_owned());
    }
}

fn text_of(text: &[u8], name: &str, faults: &mut Vec<String>) -> Vec<u8> {
    let mut value = vec![u8::try_from(text.len()).unwrap_or(u8::MAX)];
    value.extend_from_slice(text);
    if std::str::from_utf8(text).is_err() {
        faults.push(format!("{name} is not UTF-8"));
        scrub(value.get_mut(1..).unwrap_or_default());
    }
    value
}

/// The headers with their length, unless they are too large, too deep, or malformed.
fn table_of(table: &[u8], bounds: &Bounds) -> Result<Vec<u8>, String> {
    if table.len() > bounds.header_bytes {
        return Err(format!("headers have {} bytes, at most {} are read", table.len(), bounds.header_bytes));
    }
    read_table(table, bounds.depth)?;
    let mut value = u32::try_from(table.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    value.extend_from_slice(table);
    Ok(value)
}

fn read_table(table: &[u8], depth: usize) -> Result<(), String> {
    let mut rest = Rest(table);
    while !rest.0.is_empty() {
        let name = rest.short_text().ok_or("headers are cut off")?;
        std::str::from_utf8(name).map_err(|_| "the name of a header is not UTF-8")?;
        read_value(&mut rest, depth)?;
    }
    Ok(())
}

fn read_value(rest: &mut Rest<'_>, depth: usize) -> Result<(), String> {
    const CUT: &str = "headers are cut off";
    let kind = rest.octet().ok_or(CUT)?;
    let block = match kind {
        b't' | b'b' | b'B' => rest.take(1),
        b's' | b'U' | b'u' => rest.take(2),
        b'I' | b'i' | b'f' => rest.take(4),
        b'D' => rest.take(5),
        b'L' | b'l' | b'd' | b'T' => rest.take(8),
        b'S' | b'x' | b'A' | b'F' => rest.block(),
        b'V' => Some(&[][..]),
        _ => return Err(format!("headers have a value of the unknown type {kind:#04x}")),
    };
    let block = block.ok_or(CUT)?;
    if !matches!(kind, b'A' | b'F') {
        return Ok(());
    }
    let depth = depth.checked_sub(1).ok_or("headers are nested too deep")?;
    if kind == b'F' {
        return read_table(block, depth);
    }
    let mut values = Rest(block);
    while !values.0.is_empty() {
        read_value(&mut values, depth)?;
    }
    Ok(())
}

/// A table with its length and the marks in it, from one with its length.
fn with_marks(table: Vec<u8>, mark: &str, withholds: u64) -> Vec<u8> {
    // Behind what the publisher sent, so that they count should there be some of that name.
    let mut entries = table.get(4..).unwrap_or_default().to_vec();
    if withholds > 0 {
        name_entry(&mut entries, WITHHELD, b'l');
        entries.extend_from_slice(&i64::try_from(withholds).unwrap_or(i64::MAX).to_be_bytes());
    }
    name_entry(&mut entries, MALFORMED, b'S');
    entries.extend_from_slice(&u32::try_from(mark.len()).unwrap_or(u32::MAX).to_be_bytes());
    entries.extend_from_slice(mark.as_bytes());
    let mut marked = u32::try_from(entries.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    marked.append(&mut entries);
    marked
}

fn name_entry(entries: &mut Vec<u8>, name: &str, kind: u8) {
    entries.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    entries.extend_from_slice(name.as_bytes());
    entries.push(kind);
}

/// Puts a question mark in the place of every byte that makes a text no UTF-8.
fn scrub(text: &mut [u8]) {
    while let Err(error) = std::str::from_utf8(text) {
        let from = error.valid_up_to();
        let to = error.error_len().map_or(text.len(), |length| from + length);
        text.get_mut(from..to).unwrap_or_default().fill(b'?');
    }
}

/// Scrubs the names in a method that tells of a message: a publisher chooses exchange and routing key.
pub fn scrub_method(payload: &mut [u8]) {
    let mut rest = Rest(payload);
    let (class, method) = (rest.short(), rest.short());
    // What stands between the names: its place among them, and its octets.
    let names: &[usize] = match (class, method) {
        (Some(BASIC), Some(DELIVER)) => &[0, 9, 0],
        (Some(BASIC), Some(GET_OK)) => &[9, 0],
        (Some(BASIC), Some(RETURN)) => &[2, 0, 0],
        _ => return,
    };
    let mut at = 4;
    for between in names {
        at += between;
        let Some(length) = payload.get(at).map(|length| usize::from(*length)) else { return };
        let Some(name) = payload.get_mut(at + 1..at + 1 + length) else { return };
        scrub(name);
        at += 1 + length;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(size: u64, flags: u16, properties: &[u8]) -> Vec<u8> {
        [&[0, 60, 0, 0][..], &size.to_be_bytes(), &flags.to_be_bytes(), properties].concat()
    }

    fn table(entries: &[u8]) -> Vec<u8> {
        [&(entries.len() as u32).to_be_bytes()[..], entries].concat()
    }

    fn faults(payload: &[u8]) -> String {
        let instead = guard(payload, &Bounds::default()).instead.unwrap_or_default();
        assert_eq!(guard(&instead, &Bounds::default()), Guarded::default(), "what is passed on can be read");
        let at = instead.windows(MALFORMED.len()).rposition(|part| part == MALFORMED.as_bytes());
        at.map_or(String::new(), |at| {
            let value = Rest(instead.get(at + MALFORMED.len() + 1..).unwrap()).block().unwrap();
            String::from_utf8(value.to_vec()).unwrap()
        })
    }

    #[test]
    fn what_can_be_read_passes_as_it_is() {
        let nested = [&[1, b'a', b'A'][..], &table(&[b'V', b't', 1])].concat();
        let properties = [&[1, b'x'][..], &table(&nested), &[2], &7_u64.to_be_bytes()].concat();
        let flags = 1 << 15 | 1 << 13 | 1 << 12 | 1 << 6;
        assert_eq!(guard(&header(5, flags, &properties), &Bounds::default()), Guarded::default());
    }

    #[test]
    fn texts_that_are_not_utf8_are_scrubbed_and_named() {
        let properties = [&[3, b'a', 0xe4, b'b'][..], &[1, 0xff]].concat();
        let payload = header(5, 1 << 7 | 1 << 5, &properties);
        assert_eq!(faults(&payload), "message_id is not UTF-8; type is not UTF-8");
        let instead = guard(&payload, &Bounds::default()).instead.unwrap();
        assert!(instead.windows(4).any(|part| part == [3, b'a', b'?', b'b']));
    }

    #[test]
    fn headers_that_are_too_deep_too_large_cut_off_or_unknown_are_left_out() {
        let mut deep = vec![b'V'];
        for _ in 0..500 {
            deep = [&[b'A'][..], &table(&deep)].concat();
        }
        let deep = table(&[&[1, b'a'][..], &deep].concat());
        assert_eq!(faults(&header(5, 1 << 13, &deep)), "headers are nested too deep");
        let large = table(&[&[1, b'a', b'S'][..], &table(&[b'x'; 70_000])].concat());
        assert!(faults(&header(5, 1 << 13, &large)).starts_with("headers have 70007 bytes"));
        assert_eq!(faults(&header(5, 1 << 13, &table(&[5, b'a']))), "headers are cut off");
        assert_eq!(faults(&header(5, 1 << 13, &[0, 0, 9, 9])), "headers is cut off");
        assert_eq!(faults(&header(5, 1 << 13, &table(&[1, 0xff, b'V']))), "the name of a header is not UTF-8");
        assert!(faults(&header(5, 1 << 13, &table(&[1, b'a', b'?']))).contains("unknown type 0x3f"));
        assert!(faults(&header(5, 1, &[])).contains("flags"));
        assert!(faults(&header(5, 0, &[1])).contains("more than they announce"));
    }

    #[test]
    fn names_of_a_delivery_are_scrubbed_in_place() {
        let mut deliver = [&[0, 60, 0, 60, 1, b't'][..], &[0; 9], &[1, 0xff], &[2, b'j', 0xc3]].concat();
        scrub_method(&mut deliver);
        assert!(deliver.ends_with(&[1, b'?', 2, b'j', b'?']));
        let mut cut = vec![0, 60, 0, 60, 200];
        scrub_method(&mut cut);
        assert_eq!(cut, [0, 60, 0, 60, 200]);
    }

    proptest! {
        #[test]
        fn whatever_comes_what_is_passed_on_can_be_read(
            size in prop_oneof![Just(10_u64), any::<u64>()],
            flags in any::<u16>(),
            properties in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let guarded = guard(&header(size, flags, &properties), &Bounds::default());
            if let Some(instead) = guarded.instead {
                prop_assert_eq!(guard(&instead, &Bounds::default()), Guarded::default());
            }
        }
    }
}
