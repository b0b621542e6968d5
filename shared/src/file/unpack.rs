//! Compressed files: gzip and zstd are recognised by their first bytes and unpacked within bounds.

use std::{
    cell::Cell,
    io::{self, Cursor, Read},
};

use flate2::read::MultiGzDecoder;

use super::read::{AnyFile, FileRead, ReadError, read_up_to};

/// Unpacked bytes up to which no ratio is asked: small files of blanks shrink a lot.
const UNASKED: u64 = 64 << 20;
/// The largest window of a zstd frame, as a power of two: memory that its reader takes.
const ZSTD_WINDOW: u32 = 25;
/// As many first bytes tell what a file is.
const MAGIC: usize = 4;

/// What a file's first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Text as it stands.
    None,
    /// Gzip, of one member or several.
    Gzip,
    /// Zstandard, of one frame or several.
    Zstd,
    /// A zip archive, as workbooks are.
    Zip,
    /// A compound file, as old and protected workbooks are.
    Compound,
}

impl Packing {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Zip => "zip",
            Self::Compound => "compound file",
        }
    }
}

/// How much a file may unpack to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expansion {
    /// Bytes at most.
    pub bytes: u64,
    /// Times its own size at most, past 64 MiB.
    pub ratio: u64,
}

/// Finds out what a file is, and reads what is in it; a zip archive is left as it is.
///
/// # Errors
/// `storage_unavailable` if it cannot be read. What is found later is a [`ReadError`].
pub fn unpack<'a>(mut input: impl Read + 'a, most: Expansion) -> Result<(Packing, AnyFile<'a>), ReadError> {
    let mut magic = Vec::with_capacity(MAGIC);
    read_up_to(&mut input, MAGIC, &mut magic)?;
    let packing = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Packing::Zstd,
        b"PK\x03\x04" => Packing::Zip,
        [0xd0, 0xcf, 0x11, 0xe0] => Packing::Compound,
        _ => Packing::None,
    };
    let input = Cursor::new(magic).chain(input);
    let stored = |input| Stored { input, taken: Cell::new(0), failure: Cell::new(None) };
    Ok((
        packing,
        match packing {
            Packing::None | Packing::Zip | Packing::Compound => AnyFile::new(input),
            Packing::Gzip => AnyFile::new(Unpacked {
                input: MultiGzDecoder::new(stored(input)),
                given: 0,
                most,
                stored: MultiGzDecoder::get_ref,
            }),
            Packing::Zstd => {
                let mut zstd = zstd::stream::read::Decoder::new(stored(input)).map_err(ReadError::Damaged)?;
                zstd.window_log_max(ZSTD_WINDOW).map_err(ReadError::Damaged)?;
                AnyFile::new(Unpacked { input: zstd, given: 0, most, stored: |zstd| zstd.get_ref().get_ref() })
            }
        },
    ))
}

/// The bytes as they are stored, counted.
struct Stored<R> {
    input: R,
    taken: Cell<u64>,
    /// Why the storage gave no more: what unpacks them would take it for a fault of theirs.
    failure: Cell<Option<io::Error>>,
}

impl<R: Read> Read for Stored<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.input.read(buffer) {
            Ok(count) => {
                self.taken.set(self.taken.get() + count as u64);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failure.set(Some(error));
                Err(kind.into())
            }
        }
    }
}

/// What is unpacked of the bytes that are stored.
struct Unpacked<D, S> {
    input: D,
    given: u64,
    most: Expansion,
    stored: fn(&D) -> &Stored<S>,
}

impl<D: Read, S> FileRead for Unpacked<D, S> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let count = loop {
            match self.input.read(buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let failure = (self.stored)(&self.input).failure.take();
                    return Err(failure.map_or_else(|| ReadError::Damaged(error), ReadError::Storage));
                }
            }
        };
        self.given += count as u64;
        let Expansion { bytes, ratio } = self.most;
        if self.given > bytes {
            return Err(ReadError::Expanded(bytes));
        }
        if self.given > UNASKED && self.given / ratio > (self.stored)(&self.input).taken.get() {
            return Err(ReadError::Ratio(ratio));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::{
        file::read::copy,
        message::failure::{ErrorCode, Failure},
    };

    const MOST: Expansion = Expansion { bytes: 1 << 30, ratio: 200 };

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    fn read(bytes: impl Read, most: Expansion) -> Result<(Packing, u64), Failure> {
        let (packing, mut input) = unpack(bytes, most)?;
        Ok((packing, copy(&mut input, u64::MAX, &mut io::sink())?))
    }

    #[test]
    fn a_storage_that_fails_is_no_damage_of_the_archive() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is gone"))
            }
        }
        let (text, frame) = (gzip(b"a,b"), zstd::encode_all(b"a,b".as_slice(), 1).unwrap());
        for bytes in [&text[..8], &frame[..5], b"plain"] {
            let failure = read(bytes.chain(Broken), MOST).unwrap_err();
            assert_eq!(failure.code, ErrorCode::StorageUnavailable, "{failure}");
            assert_eq!(failure.message, "the file cannot be read on: the disk is gone");
        }
    }

    #[test]
    fn a_file_is_unpacked_as_its_first_bytes_tell() {
        let text = b"a,b\n1,2\n";
        assert_eq!(read(text.as_slice(), MOST).unwrap(), (Packing::None, 8));
        assert_eq!(read(b"".as_slice(), MOST).unwrap(), (Packing::None, 0));
        assert_eq!(read(b"a".as_slice(), MOST).unwrap(), (Packing::None, 1));
        assert_eq!(read([gzip(text), gzip(text)].concat().as_slice(), MOST).unwrap(), (Packing::Gzip, 16));
        let frame = zstd::encode_all(text.as_slice(), 1).unwrap();
        assert_eq!(read([frame.clone(), frame.clone()].concat().as_slice(), MOST).unwrap(), (Packing::Zstd, 16));
        let mut damaged = gzip(&text.repeat(100));
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0xff;
        let cut = frame.len() - 3;
        for bytes in [damaged, gzip(text)[..15].to_vec(), frame[..cut].to_vec(), [&gzip(text)[..], b"rest"].concat()] {
            assert_eq!(read(bytes.as_slice(), MOST).unwrap_err().code, ErrorCode::ArchiveInvalid);
        }
    }

    #[test]
    fn what_unpacks_to_too_much_is_stopped() {
        let bomb = gzip(&vec![b'0'; 100 << 20]);
        let failure = read(bomb.as_slice(), MOST).unwrap_err();
        assert!(failure.message.contains("200 times"), "{failure}");
        let failure = read(bomb.as_slice(), Expansion { bytes: 1 << 20, ratio: 10_000 }).unwrap_err();
        assert!(failure.code == ErrorCode::FileTooLarge && failure.message.contains("1048576 bytes"), "{failure}");
    }
}
