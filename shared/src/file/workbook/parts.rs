//! The parts of a workbook, before the library sees them: an archive whose directory is of a bearable size,
//! and in it nothing but parts that were looked through.

use std::{
    io::{self, BufReader, Read, Seek},
    ops::Range,
};

use tempfile::SpooledTempFile;
use zip::{ZipArchive, ZipWriter, result::ZipError, write::SimpleFileOptions};

use super::super::read::{FileRead, copy};
use super::{
    fault::{damaged, too_large},
    limits::WorkbookLimits,
    measure::{Footprint, Kind, PartLimits, Seen, look_through},
    rows, values,
};
use crate::{
    file::records::RecordLimits,
    message::failure::{ErrorCode, Failure, Stage, clean},
};

/// Parts of an archive. The reader of archives holds a few hundred bytes for each.
const MAX_PARTS: u64 = 10_000;
/// Bytes of the names, comments and other fields in an archive's directory, of which several copies are made.
const MAX_DIRECTORY: u64 = 4 << 20;
const CHUNK: usize = 256 * 1024;
/// As much of a directory's entry as tells what it weighs.
const ENTRY: usize = 56;

/// An archive that was looked through.
pub(super) struct Parts {
    pub(super) archive: SpooledTempFile,
    /// Bytes that the library may hold of it.
    pub(super) footprint: u64,
    /// Why a part was left out, if one was: a picture, or one that the library will miss.
    pub(super) left_out: Option<Failure>,
}

impl Parts {
    /// Reads an archive and looks through all its parts.
    ///
    /// # Errors
    /// `workbook_invalid` if it is none, or `file_too_large`.
    pub(super) fn read(mut input: impl FileRead, most: WorkbookLimits, limits: RecordLimits) -> Result<Self, Failure> {
        let unreadable = |error: &dyn std::fmt::Display| {
            let reason = format!("the workbook cannot be read, or no temporary file be kept for it: {error}");
            Failure::new(ErrorCode::StorageUnavailable, Stage::Parse, reason)
        };
        let mut packed = tempfile::spooled_tempfile(rows::HELD);
        let bytes = copy(&mut input, most.bytes.saturating_add(1), &mut packed).map_err(|error| unreadable(&error))?;
        if bytes > most.bytes {
            let most = most.bytes;
            return Err(too_large(format!(
                "the workbook has more than the {most} bytes that AURA_MAX_WORKBOOK_BYTES allows; export it as CSV"
            )));
        }
        packed.rewind().map_err(|error| unreadable(&error))?;
        check_directory(&mut packed, bytes).map_err(|error| unreadable(&error))??;
        packed.rewind().map_err(|error| unreadable(&error))?;

        let mut archive = ZipArchive::new(BufReader::new(packed)).map_err(|error| damaged(&error))?;
        let limits = PartLimits { token: limits.bytes.max(1 << 20) as u64, unpacked: most.unpacked };
        let (mut footprint, mut left, mut left_out) = (Footprint::default(), most.unpacked, None);
        let (mut kept, mut is_whole) = (Vec::new(), true);
        for place in 0..archive.len() {
            let part = archive.by_index(place).map_err(|error| damaged(&error))?;
            let name = String::from_utf8_lossy(part.name_raw()).into_owned();
            let kind = Kind::of(&name);
            let Seen { within, contradicting } = look_through(part, kind, limits, &mut left, &mut footprint)?;
            if within {
                is_whole &= contradicting.is_empty();
                kept.push((place, contradicting));
                continue;
            }
            is_whole = false;
            let (name, most) = (clean(&name), limits.token);
            let failure = too_large(format!("a tag or text in the workbook's part {name} is longer than {most} bytes"));
            // The library does without strings and formats, and would read other cells for want of them.
            if kind != Kind::Other {
                return Err(failure);
            }
            left_out = left_out.or(Some(failure));
        }
        let footprint = footprint.bytes(archive.len() as u64);
        let archive = if is_whole {
            archive.into_inner().into_inner()
        } else {
            only(archive, kept).map_err(|error| damaged(&error))?
        };
        let mut parts = Self { archive, footprint, left_out };
        parts.archive.rewind().map_err(|error| unreadable(&error))?;
        Ok(parts)
    }
}

/// An archive of these parts alone, without what stands at those bytes of each.
fn only(
    mut archive: ZipArchive<BufReader<SpooledTempFile>>,
    kept: Vec<(usize, Vec<Range<u64>>)>,
) -> Result<SpooledTempFile, ZipError> {
    let mut writer = ZipWriter::new(tempfile::spooled_tempfile(rows::HELD));
    for (place, contradicting) in kept {
        if contradicting.is_empty() {
            writer.raw_copy_file(archive.by_index_raw(place)?)?;
            continue;
        }
        let part = archive.by_index(place)?;
        writer.start_file(part.name()?, SimpleFileOptions::default().large_file(true))?;
        values::without(BufReader::new(part), &contradicting, &mut writer)?;
    }
    writer.finish()
}

/// What an archive's directory claims and holds is found by the marks of its records, wherever they stand, since
/// the reader of archives tries more than one place. A mark that stands in a part by chance adds next to nothing.
fn check_directory(packed: &mut impl Read, size: u64) -> io::Result<Result<(), Failure>> {
    let (mut parts, mut names, mut claimed) = (0, 0, 0);
    let mut buffer: Vec<u8> = Vec::with_capacity(CHUNK + ENTRY);
    loop {
        let at_end = packed.by_ref().take(CHUNK as u64).read_to_end(&mut buffer)? < CHUNK;
        // A record may go over the end of what was read.
        let end = if at_end { buffer.len() } else { buffer.len() - ENTRY };
        for at in memchr::memmem::find_iter(&buffer, b"PK").take_while(|at| *at < end) {
            let number = |offset: usize| {
                buffer
                    .get(at + offset..at + offset + 2)
                    .map_or(0, |two| u64::from(u16::from_le_bytes([two[0], two[1]])))
            };
            match buffer.get(at + 2..at + 4) {
                Some(&[1, 2]) => {
                    parts += 1;
                    names += number(28) + number(30) + number(32);
                }
                Some(&[6, 6]) => {
                    let count = [32, 34, 36, 38].map(number).into_iter().rev().fold(0, |high, low| high << 16 | low);
                    // The reader does not believe in more parts than bytes.
                    claimed = if count <= size { claimed.max(count) } else { claimed };
                }
                _ => {}
            }
        }
        buffer.drain(..end);
        if at_end {
            break;
        }
    }
    if parts.max(claimed) > MAX_PARTS {
        let reason = format!("the archive has more than the {MAX_PARTS} parts that a workbook may have");
        return Ok(Err(too_large(reason)));
    }
    if names > MAX_DIRECTORY {
        let reason = format!("the names of the archive's parts are longer than {MAX_DIRECTORY} bytes");
        return Ok(Err(too_large(reason)));
    }
    Ok(Ok(()))
}
