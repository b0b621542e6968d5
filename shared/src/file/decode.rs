//! Encodings: text of any encoding becomes UTF-8, strictly and as it is read.

#![expect(clippy::indexing_slicing, reason = "every count is what was read or written into that very buffer")]

use std::{cell::RefCell, rc::Rc};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::read::{AnyFile, FileRead, Prefixed, ReadError, read_up_to};

const CHUNK: usize = 64 * 1024;

/// Finds out a file's encoding, by its byte order mark or else as the profile says, and reads it as UTF-8.
/// Text that is UTF-8 already passes unchecked.
///
/// # Errors
/// If the file cannot be read.
pub fn decode<'a>(
    mut input: impl FileRead + 'a,
    expected: Option<&'static Encoding>,
) -> Result<Decoded<'a>, ReadError> {
    let mut head = Vec::with_capacity(3);
    read_up_to(&mut input, 3, &mut head)?;
    let (encoding, mark) = marked(&head).unwrap_or((expected.unwrap_or(UTF_8), 0));
    head.drain(..mark);
    let input = Prefixed::new(head, input);
    if encoding == UTF_8 {
        let (has_mark, text) = (mark > 0, AnyFile::new(input));
        return Ok(Decoded { encoding, has_mark, text, is_utf_8: Watch::default() });
    }
    let decoder = encoding.new_decoder_without_bom_handling();
    let is_utf_8 = Watch::default();
    let decoding = Decoding {
        watch: is_utf_8.clone(),
        input,
        decoder,
        encoded: vec![0; CHUNK],
        range: 0..0,
        at_end: false,
        finished: false,
        spare: Vec::new(),
        line: 1,
        column: 1,
    };
    Ok(Decoded { encoding, has_mark: mark > 0, text: AnyFile::new(decoding), is_utf_8 })
}

/// A file's text.
pub struct Decoded<'a> {
    /// Its encoding.
    pub encoding: &'static Encoding,
    /// Whether it has a byte order mark.
    pub has_mark: bool,
    /// Its text as UTF-8.
    pub text: AnyFile<'a>,
    /// What is seen of its bytes while it is read.
    pub is_utf_8: Watch,
}

/// Whether bytes that are read in another encoding are UTF-8 beyond ASCII: then they hardly are that other one.
#[derive(Debug, Clone, Default)]
pub struct Watch(Rc<RefCell<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// The bytes of a character that is not complete yet.
    rest: Vec<u8>,
    is_broken: bool,
    is_beyond_ascii: bool,
}

impl Watch {
    fn see(&self, bytes: &[u8]) {
        let seen = &mut *self.0.borrow_mut();
        if seen.is_broken || !seen.is_beyond_ascii && bytes.is_ascii() {
            return;
        }
        seen.is_beyond_ascii = true;
        let joined;
        let bytes = if seen.rest.is_empty() {
            bytes
        } else {
            joined = [seen.rest.as_slice(), bytes].concat();
            joined.as_slice()
        };
        match std::str::from_utf8(bytes) {
            Ok(_) => seen.rest.clear(),
            Err(error) if error.error_len().is_none() => seen.rest = bytes[error.valid_up_to()..].to_vec(),
            Err(_) => seen.is_broken = true,
        }
    }

    /// Whether all bytes so far are.
    pub fn says_so(&self) -> bool {
        let seen = self.0.borrow();
        seen.is_beyond_ascii && !seen.is_broken && seen.rest.is_empty()
    }
}

/// The encoding that a byte order mark tells, and the mark's length.
pub fn marked(head: &[u8]) -> Option<(&'static Encoding, usize)> {
    match head {
        [0xef, 0xbb, 0xbf, ..] => Some((UTF_8, 3)),
        [0xff, 0xfe, ..] => Some((UTF_16LE, 2)),
        [0xfe, 0xff, ..] => Some((UTF_16BE, 2)),
        _ => None,
    }
}

struct Decoding<R> {
    watch: Watch,
    input: R,
    decoder: Decoder,
    encoded: Vec<u8>,
    range: std::ops::Range<usize>,
    at_end: bool,
    /// Whether the decoder has given all it had; it must not be asked again.
    finished: bool,
    /// Decoded bytes for which the reader had no place.
    spare: Vec<u8>,
    line: u64,
    column: u64,
}

impl<R: FileRead> FileRead for Decoding<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        if buffer.len() < 64 {
            return self.read_little(buffer);
        }
        if !self.spare.is_empty() {
            let count = self.spare.len().min(buffer.len());
            buffer[..count].copy_from_slice(&self.spare[..count]);
            self.spare.drain(..count);
            return Ok(count);
        }
        while !self.finished {
            if self.range.is_empty() && !self.at_end {
                let count = self.input.read(&mut self.encoded)?;
                self.at_end = count == 0;
                self.range = 0..count;
                self.watch.see(&self.encoded[..count]);
            }
            let encoded = &self.encoded[self.range.clone()];
            let (result, taken, written) =
                self.decoder.decode_to_utf8_without_replacement(encoded, buffer, self.at_end);
            self.range.start += taken;
            self.count(&buffer[..written]);
            self.finished = self.at_end && result == DecoderResult::InputEmpty;
            if let DecoderResult::Malformed(..) = result {
                return Err(ReadError::Encoding {
                    line: self.line,
                    character: self.column,
                    encoding: self.decoder.encoding().name(),
                });
            }
            if written > 0 {
                return Ok(written);
            }
        }
        Ok(0)
    }
}

impl<R: FileRead> Decoding<R> {
    /// Reads into a buffer that may be too small for one character.
    fn read_little(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        if self.spare.is_empty() && !buffer.is_empty() {
            let mut more = [0; 256];
            let count = self.read(&mut more)?;
            self.spare.extend_from_slice(&more[..count]);
        }
        let count = self.spare.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.spare[..count]);
        self.spare.drain(..count);
        Ok(count)
    }

    fn count(&mut self, text: &[u8]) {
        let after = match memchr::memrchr(b'\n', text) {
            Some(last) => {
                self.line += memchr::memchr_iter(b'\n', text).count() as u64;
                self.column = 1;
                &text[last + 1..]
            }
            None => text,
        };
        // Every byte but a continuation begins a character.
        self.column += after.iter().filter(|byte| (**byte as i8) >= -0x40).count() as u64;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], expected: Option<&'static Encoding>, chunk: usize) -> Result<(String, String), String> {
        let Decoded { encoding, text: mut input, .. } = decode(bytes, expected).unwrap();
        let (mut all, mut part) = (Vec::new(), vec![0; chunk]);
        loop {
            match input.read(&mut part) {
                Ok(0) => return Ok((encoding.name().to_owned(), String::from_utf8(all).unwrap())),
                Ok(count) => all.extend_from_slice(&part[..count]),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    #[test]
    fn a_mark_wins_over_the_profile_and_the_profile_over_utf_8() {
        let read = |bytes: &[u8], label: Option<&'static Encoding>| read(bytes, label, 1000).unwrap();
        assert_eq!(read("é".as_bytes(), None), ("UTF-8".into(), "é".into()));
        assert_eq!(read(b"\xef\xbb\xbf\xc3\xa9", Some(encoding_rs::SHIFT_JIS)), ("UTF-8".into(), "é".into()));
        assert_eq!(read(b"\xff\xfea\0,\0", None), ("UTF-16LE".into(), "a,".into()));
        assert_eq!(read(b"\xfe\xff\0a\0,", Some(UTF_8)), ("UTF-16BE".into(), "a,".into()));
        assert_eq!(read(b"a\0b\0", Some(UTF_16LE)), ("UTF-16LE".into(), "ab".into()));
        assert_eq!(read(b"\xe9", Some(encoding_rs::WINDOWS_1252)), ("windows-1252".into(), "é".into()));
        assert_eq!(read(b"\x8c\xbb\x8b\xe0", Some(encoding_rs::SHIFT_JIS)), ("Shift_JIS".into(), "現金".into()));
        assert_eq!(read(b"", Some(UTF_16LE)).1, "");
    }

    #[test]
    fn utf_8_that_is_read_as_something_else_is_noticed_however_it_is_cut() {
        for (bytes, says_so) in
            [("Associés €".as_bytes(), true), (b"Associ\xe9s", false), (b"plain", false), (b"half \xc3", false)]
        {
            for chunk in 1..=bytes.len() {
                let watch = Watch::default();
                bytes.chunks(chunk).for_each(|part| watch.see(part));
                assert_eq!(watch.says_so(), says_so, "{bytes:?} {chunk}");
            }
        }
    }

    #[test]
    fn bytes_of_another_encoding_are_refused_with_their_place() {
        let error = read(b"a\nb\xff\xffc", Some(encoding_rs::SHIFT_JIS), 1000).unwrap_err();
        assert!(error.contains("line 2, character 2: the bytes are no Shift_JIS"), "{error}");
        assert!(read(b"\xff\xfea", None, 1000).unwrap_err().contains("UTF-16LE"), "half a character at the end");
    }

    proptest! {
        #[test]
        fn text_is_the_same_however_much_is_read_at_a_time(text in "[a-z,\n日本é€]{0,300}", chunk in 1..200usize) {
            for encoding in [encoding_rs::SHIFT_JIS, encoding_rs::GB18030, UTF_16LE] {
                let bytes: Vec<u8> = if encoding == UTF_16LE {
                    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
                } else {
                    encoding.encode(&text.replace(['é', '€'], "x")).0.into_owned()
                };
                let expected = if encoding == UTF_16LE { text.clone() } else { text.replace(['é', '€'], "x") };
                if !text.starts_with('\u{feff}') {
                    prop_assert_eq!(&read(&bytes, Some(encoding), chunk).unwrap().1, &expected);
                }
            }
        }
    }
}
