//! Compressed files that are damaged, unpack to too much, or hold something else.

use std::io::{Cursor, Write};

use flate2::{Compression, GzBuilder, write::GzEncoder};

use super::{Case, Fails, Loads, good};

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// The bytes with one of them turned, counted from the end.
fn turned(mut bytes: Vec<u8>, from_end: usize) -> Vec<u8> {
    let place = bytes.len() - from_end;
    bytes[place] ^= 0x55;
    bytes
}

/// A zip archive of such parts.
pub(super) fn zip(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, part) in parts {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).expect("a name");
        archive.write_all(part).expect("memory");
    }
    archive.finish().expect("memory").into_inner()
}

pub(super) fn cases() -> Vec<Case> {
    let good = good().into_bytes();
    let (packed, zstd) = (gzip(&good), zstd::encode_all(good.as_slice(), 3).expect("memory"));
    let blanks = [good.as_slice(), &vec![b'\n'; 100_000_000]].concat();
    let mut named = GzBuilder::new().filename("x".repeat(1_000_000)).write(Vec::new(), Compression::fast());
    named.write_all(&good).expect("memory");
    let mut checked = zstd::stream::Encoder::new(Vec::new(), 3).expect("memory");
    checked.include_checksum(true).expect("a checksum");
    checked.write_all(&good).expect("memory");
    let checked = checked.finish().expect("memory");
    let empty = gzip(b"");
    let mut wide = zstd[..4].to_vec();
    // A frame that asks for a window of 2 TiB.
    wide.extend([0x00, 0xf8, 0x01, 0x00, 0x00]);
    vec![
        ("gzip", packed.clone(), Loads),
        ("gzip of two members", [gzip(&good[..40]), gzip(&good[40..])].concat(), Loads),
        ("gzip of 10,000 empty members", [empty.repeat(10_000), packed.clone()].concat(), Loads),
        ("gzip with a name of 1 MB", named.finish().expect("memory"), Fails("archive_invalid")),
        ("gzip cut off", packed[..packed.len() - 12].to_vec(), Fails("archive_invalid")),
        ("gzip without its sum", packed[..packed.len() - 8].to_vec(), Fails("archive_invalid")),
        ("gzip of another sum", turned(packed.clone(), 8), Fails("archive_invalid")),
        ("gzip of another length", turned(packed.clone(), 2), Fails("archive_invalid")),
        ("gzip with text behind it", [packed.as_slice(), b"and more"].concat(), Fails("archive_invalid")),
        ("gzip's first bytes", b"\x1f\x8b".to_vec(), Fails("archive_invalid")),
        ("gzip of an unknown method", [b"\x1f\x8b\x09".as_slice(), &packed[3..]].concat(), Fails("archive_invalid")),
        ("gzip in gzip", gzip(&packed), Fails("csv_malformed")),
        ("gzip of nothing", empty, Fails("schema_invalid")),
        ("gzip of a workbook", gzip(b"PK\x03\x04"), Fails("schema_invalid")),
        ("gzip that unpacks to 100 MB", gzip(&blanks), Fails("file_too_large")),
        ("gzip of one line of 50 MB", gzip(&vec![b'x'; 50_000_000]), Fails("file_too_large")),
        ("zstd", zstd.clone(), Loads),
        ("zstd of two frames", [zstd.clone(), zstd::encode_all(b"".as_slice(), 3).expect("memory")].concat(), Loads),
        ("zstd cut off", zstd[..zstd.len() - 3].to_vec(), Fails("archive_invalid")),
        ("zstd of another sum", turned(checked, 1), Fails("archive_invalid")),
        ("zstd of a window of 2 TiB", wide, Fails("archive_invalid")),
        (
            "zstd that unpacks to 100 MB",
            zstd::encode_all(blanks.as_slice(), 1).expect("memory"),
            Fails("file_too_large"),
        ),
        ("zstd in zstd", zstd::encode_all(zstd.as_slice(), 3).expect("memory"), Fails("csv_malformed")),
        ("bzip2", b"BZh91AY&SY\x94\xf1".to_vec(), Fails("encoding_invalid")),
        ("xz", b"\xfd7zXZ\0\0\x04".to_vec(), Fails("csv_malformed")),
        ("7z", b"7z\xbc\xaf\x27\x1c".to_vec(), Fails("encoding_invalid")),
        ("a zip archive of a CSV file", zip(&[("a.csv", &good)]), Fails("workbook_invalid")),
        (
            "a zip archive of names that lead out",
            zip(&[("../../etc/a", &good), ("/etc/b", b"x")]),
            Fails("workbook_invalid"),
        ),
        ("a zip archive of nothing", zip(&[]), Fails("csv_malformed")),
        ("zip's first bytes", b"PK\x03\x04".to_vec(), Fails("workbook_invalid")),
    ]
}
