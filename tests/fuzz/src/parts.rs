//! Workbooks: any bytes as a zip archive, or as the parts of one.

use std::io::{Cursor, Write};

use shared::file::{mapping_profile::MappingProfile, workbook::SheetRows};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::files::{LIMITS, read_in_every_way};

/// What parts are told apart by.
const BETWEEN: &[u8] = b"\n%%\n";
/// The parts that the input gives, and what they are if it gives none.
const PARTS: [(&str, &str); 6] = [
    (
        "xl/worksheets/sheet1.xml",
        r#"<worksheet><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>x</t></is></c></row></sheetData></worksheet>"#,
    ),
    ("xl/sharedStrings.xml", "<sst><si><t>a</t></si><si><r><t>b</t></r><r><t>c</t></r></si></sst>"),
    (
        "xl/styles.xml",
        r#"<styleSheet><numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy-mm-dd"/></numFmts><cellXfs><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="14"/></cellXfs></styleSheet>"#,
    ),
    (
        "xl/workbook.xml",
        r#"<workbook xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>"#,
    ),
    (
        "xl/_rels/workbook.xml.rels",
        r#"<Relationships><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#,
    ),
    (
        "_rels/.rels",
        r#"<Relationships><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#,
    ),
];

/// Reads bytes as a workbook; those that are no zip archive are the parts of one, the sheet first.
pub fn workbook(bytes: &[u8]) {
    let packed = if bytes.starts_with(b"PK") { bytes.to_vec() } else { archive(bytes) };
    if let Ok(mut rows) = SheetRows::read(packed.as_slice(), None, LIMITS.workbook, LIMITS.record) {
        let mut line = 0;
        while let Some(record) = rows.next_record().expect("rows can be read back") {
            assert!(record.line > line, "row {} after row {line}", record.line);
            assert!(record.len() <= LIMITS.record.fields, "{} columns", record.len());
            line = record.line;
        }
    }
    read_in_every_way(&packed, &MappingProfile::default());
}

/// The parts as an archive.
fn archive(bytes: &[u8]) -> Vec<u8> {
    let mut given = split(bytes).into_iter();
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, otherwise) in PARTS {
        let part = given.next().filter(|part| !part.is_empty()).unwrap_or(otherwise.as_bytes());
        archive.start_file(name, options).expect("a new part");
        archive.write_all(part).expect("a part in memory");
    }
    archive.finish().expect("an archive in memory").into_inner()
}

fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
        parts.push(&rest[..at]);
        rest = &rest[at + BETWEEN.len()..];
    }
    parts.push(rest);
    parts
}
