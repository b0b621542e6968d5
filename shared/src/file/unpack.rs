//! Compressed files: gzip and zstd are recognised by their first bytes and unpacked within bounds.

use std::io::{self, Cursor, Read};

use flate2::read::MultiGzDecoder;

use crate::message::failure::{ErrorCode, Failure, Stage};

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

/// Tells what a file is, and reads what is in it; a zip archive is left as it is.
///
/// # Errors
/// `storage_unavailable` if it cannot be read. What is found later is an [`io::Error`] that holds a [`Failure`].
pub fn unpack<'a>(mut input: impl Read + 'a, most: Expansion) -> Result<(Packing, Box<dyn Read + 'a>), Failure> {
    let mut magic = Vec::with_capacity(MAGIC);
    input.by_ref().take(MAGIC as u64).read_to_end(&mut magic).map_err(|error| unreadable(&error))?;
    let packing = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Packing::Zstd,
        b"PK\x03\x04" => Packing::Zip,
        [0xd0, 0xcf, 0x11, 0xe0] => Packing::Compound,
        _ => Packing::None,
    };
    let stored = Stored { input: Cursor::new(magic).chain(input), taken: std::cell::Cell::new(0) };
    Ok((
        packing,
        match packing {
            Packing::None | Packing::Zip | Packing::Compound => Box::new(stored),
            Packing::Gzip => Box::new(Unpacked {
                input: MultiGzDecoder::new(stored),
                given: 0,
                most,
                taken: |gzip| gzip.get_ref().taken.get(),
            }),
            Packing::Zstd => {
                let mut zstd = zstd::stream::read::Decoder::new(stored).map_err(|error| invalid(&error))?;
                zstd.window_log_max(ZSTD_WINDOW).map_err(|error| invalid(&error))?;
                Box::new(Unpacked { input: zstd, given: 0, most, taken: |zstd| zstd.get_ref().get_ref().taken.get() })
            }
        },
    ))
}

/// The bytes as they are stored, counted.
struct Stored<R> {
    input: R,
    taken: std::cell::Cell<u64>,
}

impl<R: Read> Read for Stored<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.input.read(buffer) {
            Ok(count) => {
                self.taken.set(self.taken.get() + count as u64);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            // Told apart from what unpacking finds.
            Err(error) => Err(io::Error::other(unreadable(&error))),
        }
    }
}

struct Unpacked<R> {
    input: R,
    given: u64,
    most: Expansion,
    taken: fn(&R) -> u64,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer).map_err(|error| {
            let is_ours = error.get_ref().is_some_and(|inner| inner.is::<Failure>());
            if is_ours || error.kind() == io::ErrorKind::Interrupted {
                error
            } else {
                io::Error::other(invalid(&error))
            }
        })?;
        self.given += count as u64;
        let Expansion { bytes, ratio } = self.most;
        let past = |reason| Err(io::Error::other(Failure::new(ErrorCode::FileTooLarge, Stage::Parse, reason)));
        if self.given > bytes {
            return past(format!(
                "the file unpacks to more than the {bytes} bytes that AURA_MAX_EXPANDED_BYTES allows"
            ));
        }
        if self.given > UNASKED && self.given / ratio > (self.taken)(&self.input) {
            return past(format!(
                "the file unpacks to more than {ratio} times its size, which AURA_MAX_EXPANSION_RATIO forbids"
            ));
        }
        Ok(count)
    }
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::new(ErrorCode::StorageUnavailable, Stage::Parse, format!("the file cannot be read on: {error}"))
}

fn invalid(error: &io::Error) -> Failure {
    let reason = format!("the compressed file is damaged or cut off ({error}); export or copy it again");
    Failure::new(ErrorCode::ArchiveInvalid, Stage::Parse, reason)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const MOST: Expansion = Expansion { bytes: 1 << 30, ratio: 200 };

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    fn read(bytes: &[u8], most: Expansion) -> Result<(Packing, u64), Failure> {
        let (packing, mut input) = unpack(bytes, most)?;
        match io::copy(&mut input, &mut io::sink()) {
            Ok(count) => Ok((packing, count)),
            Err(error) => Err(error.into_inner().unwrap().downcast::<Failure>().map(|failure| *failure).unwrap()),
        }
    }

    #[test]
    fn a_file_is_unpacked_as_its_first_bytes_tell() {
        let text = b"a,b\n1,2\n";
        assert_eq!(read(text, MOST).unwrap(), (Packing::None, 8));
        assert_eq!(read(b"", MOST).unwrap(), (Packing::None, 0));
        assert_eq!(read(b"a", MOST).unwrap(), (Packing::None, 1));
        assert_eq!(read(&[gzip(text), gzip(text)].concat(), MOST).unwrap(), (Packing::Gzip, 16));
        let frame = zstd::encode_all(text.as_slice(), 1).unwrap();
        assert_eq!(read(&[frame.clone(), frame.clone()].concat(), MOST).unwrap(), (Packing::Zstd, 16));
        let mut damaged = gzip(&text.repeat(100));
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0xff;
        let cut = frame.len() - 3;
        for bytes in [damaged, gzip(text)[..15].to_vec(), frame[..cut].to_vec(), [&gzip(text)[..], b"rest"].concat()] {
            assert_eq!(read(&bytes, MOST).unwrap_err().code, ErrorCode::ArchiveInvalid);
        }
    }

    #[test]
    fn what_unpacks_to_too_much_is_stopped() {
        let bomb = gzip(&vec![b'0'; 100 << 20]);
        let failure = read(&bomb, MOST).unwrap_err();
        assert!(failure.message.contains("200 times"), "{failure}");
        let failure = read(&bomb, Expansion { bytes: 1 << 20, ratio: 10_000 }).unwrap_err();
        assert!(failure.code == ErrorCode::FileTooLarge && failure.message.contains("1048576 bytes"), "{failure}");
    }
}
