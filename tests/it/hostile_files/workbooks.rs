//! Workbooks whose parts lie, contradict each other, or are more than anybody needs.

use std::io::{Cursor, Write};

use super::{CELL, Case, Fails, Loads, archives::zip};

const OFFICE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const HEADER: [&str; 7] = ["entity", "period", "account_code", "account_name", "balance", "bs_pl", "status"];

/// A workbook's parts, which a test changes before they are packed.
pub(crate) struct Workbook(Vec<(String, Vec<u8>)>);

impl Workbook {
    /// A workbook of one sheet, which is this XML.
    pub(crate) fn of_sheet(sheet: &str) -> Self {
        let links = |links: &str| format!("<Relationships>{links}</Relationships>");
        let link = |id: &str, kind: &str, target: &str| {
            format!(r#"<Relationship Id="{id}" Type="{OFFICE}/{kind}" Target="{target}"/>"#)
        };
        let book = format!(
            r#"<workbook xmlns:r="{OFFICE}"><sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>"#
        );
        let parts = [
            ("_rels/.rels", links(&link("r1", "officeDocument", "xl/workbook.xml"))),
            ("xl/workbook.xml", book),
            ("xl/_rels/workbook.xml.rels", links(&link("r1", "worksheet", "worksheets/sheet1.xml"))),
            ("xl/worksheets/sheet1.xml", format!("<worksheet><sheetData>{sheet}</sheetData></worksheet>")),
        ];
        Self(parts.map(|(name, part)| (name.to_owned(), part.into_bytes())).to_vec())
    }

    /// A trial balance of two accounts, and this XML below it.
    pub(super) fn good_with(more: &str) -> Self {
        let row = |number: usize, cells: &[&str]| {
            let cells = cells.iter().map(|text| format!(r#"<c t="str"><v>{text}</v></c>"#));
            format!(r#"<row r="{number}">{}</row>"#, cells.collect::<String>())
        };
        let rows = [
            row(1, &HEADER),
            row(2, &["A", "2022-06", "10", "x", "5", "BS", "Assets"]),
            row(3, &["A", "2022-06", "20", "y", "-5", "BS", "Assets"]),
        ];
        Self::of_sheet(&(rows.concat() + more))
    }

    pub(super) fn good() -> Self {
        Self::good_with("")
    }

    /// The same with another part, or another one in its place.
    pub(crate) fn part(mut self, name: &str, part: impl Into<Vec<u8>>) -> Self {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), part.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self
    }

    pub(super) fn replaced(mut self, name: &str, from: &str, to: &str) -> Self {
        let (_, part) = self.0.iter_mut().find(|(known, _)| known == name).expect("a part");
        let text = String::from_utf8(part.clone()).expect("text");
        assert!(text.contains(from), "{text}");
        *part = text.replace(from, to).into_bytes();
        self
    }

    pub(crate) fn packed(&self) -> Vec<u8> {
        let parts: Vec<_> = self.0.iter().map(|(name, part)| (name.as_str(), part.as_slice())).collect();
        zip(&parts)
    }
}

pub(super) const SHEET: &str = "xl/worksheets/sheet1.xml";
const BOOK: &str = "xl/workbook.xml";
const LINKS: &str = "xl/_rels/workbook.xml.rels";
const STRINGS: &str = "xl/sharedStrings.xml";

/// A workbook with one more cell, which is a row of its own.
fn cell(cell: &str) -> Vec<u8> {
    Workbook::good_with(&format!(r#"<row r="4">{cell}</row>"#)).packed()
}

/// A part of so many blanks is packed as it is unpacked: piece by piece.
fn bomb() -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("xl/bomb.xml", zip::write::SimpleFileOptions::default()).expect("a name");
    let blanks = vec![b' '; 1 << 20];
    for _ in 0..300 {
        archive.write_all(&blanks).expect("memory");
    }
    archive.finish().expect("memory").into_inner()
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = archives();
    cases.extend(claims());
    cases.extend(cells());
    cases.extend(structures());
    cases
}

fn archives() -> Vec<Case> {
    let good = Workbook::good().packed();
    let mut sum = good.clone();
    // A byte of the sheet's deflated bytes, which come last before the directory.
    let directory = sum.windows(4).position(|four| four == b"PK\x01\x02").expect("a directory");
    sum[directory - 20] ^= 0x55;
    let mut many = Workbook::good();
    many.0.extend((0..70_000).map(|part| (part.to_string(), Vec::new())));
    let mut long = Workbook::good();
    long.0.extend((0..100).map(|part| (format!("{part}{}", "n".repeat(60_000)), Vec::new())));
    let mut claimed = good.clone();
    // A directory that claims to have 30 million parts, in the form of large archives.
    let end = claimed.split_off(claimed.len() - 22);
    let at = claimed.len() as u64;
    claimed.extend(b"PK\x06\x06");
    claimed.extend(44_u64.to_le_bytes());
    claimed.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for number in [30_000_000_u64, 30_000_000, 2_000_000_000, directory as u64] {
        claimed.extend(number.to_le_bytes());
    }
    claimed.extend(b"PK\x06\x07\0\0\0\0");
    claimed.extend(at.to_le_bytes());
    claimed.extend([1, 0, 0, 0]);
    claimed.extend(&end[..8]);
    claimed.extend([0xff; 12]);
    claimed.extend([0, 0]);
    vec![
        ("a workbook", good.clone(), Loads),
        ("a workbook behind other bytes", [b"x".as_slice(), &good].concat(), Fails("csv_malformed")),
        ("a workbook with bytes behind it", [good.as_slice(), b"more"].concat(), Loads),
        ("a workbook cut in half", good[..good.len() / 2].to_vec(), Fails("workbook_invalid")),
        ("a workbook without its last byte", good[..good.len() - 1].to_vec(), Fails("workbook_invalid")),
        ("a part of another sum", sum, Fails("workbook_invalid")),
        ("70,000 parts", many.packed(), Fails("file_too_large")),
        ("names of 6 MB", long.packed(), Fails("file_too_large")),
        ("30 million parts claimed", claimed, Fails("workbook_invalid")),
        ("300 MB of blanks", bomb(), Fails("file_too_large")),
        ("names that lead out", Workbook::good().part("../../../tmp/x", "x").part("/etc/x", "x").packed(), Loads),
        ("a folder among the parts", Workbook::good().part("xl/empty/", "").packed(), Loads),
        ("a workbook within", Workbook::good().part("xl/embeddings/a.xlsx", good).packed(), Loads),
        ("a picture of 3 MB", Workbook::good().part("xl/media/a.png", vec![0x89; 3 << 20]).packed(), Loads),
        (
            "an OpenDocument sheet",
            zip(&[("mimetype", b"application/vnd.oasis.opendocument.spreadsheet")]),
            Fails("workbook_invalid"),
        ),
        (
            "a document of Word",
            Workbook::good()
                .replaced("_rels/.rels", "xl/workbook.xml", "word/document.xml")
                .part("word/document.xml", "<document/>")
                .packed(),
            Fails("workbook_invalid"),
        ),
        ("a binary workbook", zip(&[("xl/workbook.bin", b"\x83\x01")]), Fails("workbook_invalid")),
        (
            "a protected workbook",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 EncryptedPackage".to_vec(),
            Fails("workbook_invalid"),
        ),
    ]
}

fn claims() -> Vec<Case> {
    let strings = |strings: &str| Workbook::good().part(STRINGS, strings).packed();
    let sheet = |xml: &str| Workbook::good_with(xml).packed();
    let style = format!(
        "<styleSheet><fonts><font><name val='{}'/></font></fonts><cellXfs>{}</cellXfs></styleSheet>",
        "x".repeat(100_000),
        "<xf fontId='0'/>".repeat(65_000)
    );
    vec![
        (
            "4,294,967,295 strings claimed",
            strings(r#"<sst uniqueCount="4294967295"><si><t>x</t></si></sst>"#),
            Fails("workbook_invalid"),
        ),
        ("2^64 strings claimed", strings(r#"<sst uniqueCount="18446744073709551615"/>"#), Fails("workbook_invalid")),
        (
            "12 million strings",
            strings(&format!("<sst>{}</sst>", "<si><t>x</t></si>".repeat(12_000_000))),
            Fails("file_too_large"),
        ),
        (
            "a string of 2 MB",
            strings(&format!("<sst><si><t>{}</t></si></sst>", "x".repeat(2 << 20))),
            Fails("file_too_large"),
        ),
        (
            "a string of 2 MB in pieces",
            strings(&format!("<sst><si><t>{}</t></si></sst>", "x&amp;".repeat(1 << 19))),
            Fails("file_too_large"),
        ),
        (
            "an attribute of 200 MB",
            sheet(&format!("<row r=\"4\" x=\"{}\"/>", "y".repeat(200 << 20))),
            Fails("file_too_large"),
        ),
        ("a comment of 20 MB", sheet(&format!("<!--{}-->", "y".repeat(20 << 20))), Fails("file_too_large")),
        (
            "a formula of 20 MB",
            cell(&format!("<c><f>{}</f><v>1</v></c>", "A+<!-- -->".repeat(2 << 20))),
            Fails("file_too_large"),
        ),
        (
            "a shared formula of number 4 billion",
            cell(r#"<c><f t="shared" ref="A4:A5" si="4000000000">B1</f><v></v></c>"#),
            Fails("row_invalid"),
        ),
        ("5 million cells", sheet(&format!("<row r=\"4\">{}</row>", "<c/>".repeat(5_000_000))), Loads),
        (
            "65,000 formats of a font with a name of 100 KB",
            Workbook::good().part("xl/styles.xml", style).packed(),
            Fails("file_too_large"),
        ),
        (
            "a name of 2 MB",
            Workbook::good()
                .replaced(
                    BOOK,
                    "</workbook>",
                    &format!(
                        "<definedNames><definedName name='a'>{}</definedName></definedNames></workbook>",
                        "<x/>y".repeat(1 << 19)
                    ),
                )
                .packed(),
            Fails("file_too_large"),
        ),
        (
            "a sheet of all rows and columns",
            Workbook::good().replaced(SHEET, "<sheetData>", r#"<dimension ref="A1:XFD1048576"/><sheetData>"#).packed(),
            Loads,
        ),
        (
            "a sheet that ends before it begins",
            Workbook::good().replaced(SHEET, "<sheetData>", r#"<dimension ref="QA9:B2"/><sheetData>"#).packed(),
            Fails("workbook_invalid"),
        ),
    ]
}

fn cells() -> Vec<Case> {
    let invalid = [
        ("an entity that is none", format!(r#"<c t="str"><v>&{CELL};</v></c>"#)),
        ("a string of no number", r#"<c t="s"><v>7</v></c>"#.to_owned()),
        ("a kind that is none", r#"<c t="secret"><v>7</v></c>"#.to_owned()),
        ("a NUL in a text", "<c t=\"str\"><v>a\0b</v></c>".to_owned()),
        ("a NUL by its number", r#"<c t="inlineStr"><is><t>a&#0;b</t></is></c>"#.to_owned()),
        ("a column past the last", r#"<c r="ZZZZZZZ4"><v>7</v></c>"#.to_owned()),
        ("a row past the last", r#"<c r="A99999999999"><v>7</v></c>"#.to_owned()),
        ("a place that is none", r#"<c r="4A"><v>7</v></c>"#.to_owned()),
        ("a cell of a row above", r#"<c r="A1"><v>7</v></c>"#.to_owned()),
        ("an element that is not closed", "<c><v>7</c>".to_owned()),
        ("an attribute without a quote", "<c r=A4><v>7</v></c>".to_owned()),
        ("an attribute without a value", "<c r><v>7</v></c>".to_owned()),
        ("an unknown element", "<c><x>7</x></c>".to_owned()),
    ];
    let mut cases: Vec<Case> =
        invalid.into_iter().map(|(what, xml)| (what, cell(&xml), Fails("workbook_invalid"))).collect();
    let amount = |value: &str| {
        let before: String =
            ["A", "2022-06", "30", "z"].iter().map(|text| format!(r#"<c t="str"><v>{text}</v></c>"#)).collect();
        cell(&format!(r#"{before}{value}<c t="str"><v>BS</v></c><c t="str"><v>Assets</v></c>"#))
    };
    // Only the row is bad, and only where the cell counts.
    cases.extend(contradicting().map(|(what, xml)| (what, cell(&xml), Fails("row_invalid"))));
    cases.extend(contradicting().map(|(what, xml)| {
        let title = format!(r#"<row><c t="str"><v>Trial balance</v></c>{xml}</row><row>"#);
        let rows = |book: Workbook| (1..=3).fold(book, |book, row| book.replaced(SHEET, &format!(r#" r="{row}""#), ""));
        (
            what,
            rows(Workbook::good()).replaced(SHEET, "<sheetData><row>", &format!("<sheetData>{title}")).packed(),
            Loads,
        )
    }));
    cases.extend([
        ("an amount of 1e308", amount("<c><v>1e308</v></c>"), Fails("row_invalid")),
        ("an amount of 1e-300", amount("<c><v>1e-300</v></c>"), Fails("row_invalid")),
        ("an amount that is not a number", amount("<c><v>NaN</v></c>"), Fails("row_invalid")),
        ("an amount without end", amount("<c><v>inf</v></c>"), Fails("row_invalid")),
        ("an amount that is an error", amount(r#"<c t="e"><v>#REF!</v></c>"#), Fails("row_invalid")),
        ("an amount that is a truth", amount(r#"<c t="b"><v>1</v></c>"#), Fails("row_invalid")),
        ("a formula without a value", cell("<c><f>A1</f></c>"), Fails("row_invalid")),
        ("an amount that is a formula without a value", amount("<c><f>A1</f></c>"), Fails("row_invalid")),
        ("an amount of a style that is none", amount(r#"<c s="99999999999"><v>7</v></c>"#), Loads),
        (
            "a cell of 2 MB",
            cell(&format!(r#"<c t="inlineStr"><is><t>{}</t></is></c>"#, "x".repeat(2 << 20))),
            Fails("file_too_large"),
        ),
        (
            "a cell of 8 MB in runs",
            cell(&format!(r#"<c t="inlineStr"><is>{}</is></c>"#, "<r><t>xxxxxxxx</t></r>".repeat(1 << 20))),
            Fails("file_too_large"),
        ),
        ("a cell in the last column", cell(r#"<c r="XFD4"><v>7</v></c>"#), Fails("file_too_large")),
        (
            "a cell in the last row",
            cell(r#"</row><row r="1048576"><c r="A1048576" t="str"><v>x</v></c>"#),
            Fails("row_invalid"),
        ),
    ]);
    cases
}

/// Cells whose value is not what they say.
fn contradicting() -> [(&'static str, String); 9] {
    [
        ("a truth that is none", format!(r#"<c t="b"><v>{CELL}</v></c>"#)),
        ("a truth with a NUL", format!("<c t=\"b\"><v>{CELL}\0</v></c>")),
        ("an error that is none", format!(r#"<c t="e"><v>#{CELL}</v></c>"#)),
        ("an error of a later version", r#"<c t="e"><f>A1:A9</f><v>#SPILL!</v></c>"#.to_owned()),
        ("a number that is none", format!(r#"<c t="n"><v>{CELL}</v></c>"#)),
        ("a number with a sign of its own", r#"<c t="n"><v>+7</v></c>"#.to_owned()),
        ("a number in two pieces", "<c><v>12<!-- -->34</v></c>".to_owned()),
        ("a number in a section", "<c><v><![CDATA[7]]></v></c>".to_owned()),
        ("a string of a number below 0", r#"<c t="s"><v>-1</v></c>"#.to_owned()),
    ]
}

fn structures() -> Vec<Case> {
    let entities = r#"<!DOCTYPE sst [<!ENTITY a "xxxxxxxxxx"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>"#;
    let outside = r#"<!DOCTYPE sst [<!ENTITY a SYSTEM "file:///etc/passwd">]>"#;
    let string = |head: &str, text: &str| {
        Workbook::good().part(STRINGS, format!("{head}<sst><si><t>{text}</t></si></sst>")).packed()
    };
    let links = |from: &str, to: &str| Workbook::good().replaced(LINKS, from, to).packed();
    let book = |from: &str, to: &str| Workbook::good().replaced(BOOK, from, to).packed();
    let mut utf16 = vec![0xff, 0xfe];
    utf16.extend("<worksheet><sheetData/></worksheet>".encode_utf16().flat_map(u16::to_le_bytes));
    vec![
        ("entities that multiply", string(entities, "&b;"), Fails("workbook_invalid")),
        ("an entity from outside", string(outside, "&a;"), Fails("workbook_invalid")),
        ("a document type nobody uses", string(entities, "x"), Loads),
        (
            "100,000 elements in each other",
            Workbook::good_with(&format!("{}{}", "<x>".repeat(100_000), "</x>".repeat(100_000))).packed(),
            Loads,
        ),
        (
            "a string that does not end",
            Workbook::good().part(STRINGS, "<sst><si><t>x").packed(),
            Fails("workbook_invalid"),
        ),
        (
            "a sheet that does not end",
            Workbook::good().replaced(SHEET, "</sheetData></worksheet>", "").packed(),
            Fails("workbook_invalid"),
        ),
        ("a sheet of UTF-16", Workbook::good().part(SHEET, utf16).packed(), Fails("workbook_invalid")),
        ("a sheet of other bytes", Workbook::good().part(SHEET, vec![0xff; 1_000]).packed(), Fails("workbook_invalid")),
        ("a sheet of nothing", Workbook::good().part(SHEET, "").packed(), Fails("workbook_invalid")),
        ("an empty sheet", Workbook::of_sheet("").packed(), Fails("schema_invalid")),
        ("no sheet", book(r#"<sheet name="S" sheetId="1" r:id="r1"/>"#, ""), Fails("workbook_invalid")),
        ("a sheet whose part is not there", Workbook::good().without(SHEET).packed(), Fails("workbook_invalid")),
        ("a sheet of no relationship", book("r:id=\"r1\"", "r:id=\"r9\""), Fails("workbook_invalid")),
        ("a sheet that is the workbook", links("worksheets/sheet1.xml", "workbook.xml"), Fails("workbook_invalid")),
        ("a sheet that leads out", links("worksheets/sheet1.xml", "../../../../etc/passwd"), Fails("workbook_invalid")),
        (
            "a sheet on another machine",
            links("worksheets/sheet1.xml", "http://127.0.0.1/a.xml"),
            Fails("workbook_invalid"),
        ),
        ("a sheet that is said to be a chart", links("/worksheet\"", "/chartsheet\""), Loads),
        ("a sheet with a name of 500 KB", book("name=\"S\"", &format!("name=\"{}\"", "S".repeat(500_000))), Loads),
        ("a sheet with a NUL in its name", book("name=\"S\"", "name=\"S\0\""), Loads),
        (
            "a workbook that is its own root",
            Workbook::good().replaced("_rels/.rels", "xl/workbook.xml", "_rels/.rels").packed(),
            Fails("workbook_invalid"),
        ),
        ("no relationships", Workbook::good().without("_rels/.rels").packed(), Fails("workbook_invalid")),
    ]
}
