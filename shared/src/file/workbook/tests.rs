use std::io::{Cursor, Write};

use super::*;

const LIMITS: RecordLimits = RecordLimits { bytes: 1 << 20, fields: 4096 };
const RELATIONSHIPS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";

fn parts(sheet: &str, strings: &str) -> Vec<(String, Vec<u8>)> {
    let book = format!(
        r#"<workbook xmlns:r="{RELATIONSHIPS}"><sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>"#
    );
    let links = format!(
        r#"<Relationships><Relationship Id="rId1" Type="{RELATIONSHIPS}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#
    );
    let root = format!(
        r#"<Relationships><Relationship Id="rId1" Type="{RELATIONSHIPS}/officeDocument" Target="xl/workbook.xml"/></Relationships>"#
    );
    let strings = if strings.starts_with("<sst") { strings.to_owned() } else { format!("<sst>{strings}</sst>") };
    [
        ("_rels/.rels", root),
        ("xl/workbook.xml", book),
        ("xl/_rels/workbook.xml.rels", links),
        ("xl/sharedStrings.xml", strings),
        ("xl/worksheets/sheet1.xml", format!("<worksheet>{sheet}</worksheet>")),
    ]
    .map(|(name, part)| (name.to_owned(), part.into_bytes()))
    .to_vec()
}

fn archive(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, part) in parts {
        archive.start_file(name.as_str(), zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(part).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn read(sheet: &str, strings: &str, unpacked: u64) -> Result<SheetRows, Failure> {
    let sheet = if sheet.starts_with("<dimension") { sheet } else { &format!("<sheetData>{sheet}</sheetData>") };
    read_parts(&parts(sheet, strings), unpacked)
}

fn read_parts(parts: &[(String, Vec<u8>)], unpacked: u64) -> Result<SheetRows, Failure> {
    SheetRows::read(archive(parts).as_slice(), None, WorkbookLimits { bytes: 1 << 24, unpacked }, LIMITS)
}

const ONE: &str = r#"<row r="1"><c r="A1"><v>7</v></c></row>"#;
const SHEET: &str = r#"<sheetData><row r="1"><c r="A1"><v>7</v></c></row></sheetData>"#;

fn texts(rows: Result<Vec<(u64, Vec<String>)>, Failure>) -> Vec<Vec<String>> {
    rows.unwrap().into_iter().map(|(_, texts)| texts).collect()
}

#[test]
fn a_cell_stands_in_its_column_and_rows_without_any_are_passed_over() {
    let sheet = r#"<row r="2"><c r="B2" t="s"><v>0</v></c><c r="D2"><v>0.1</v></c></row><row r="1048576"><c r="A1048576"><v>7</v></c></row>"#;
    let mut rows = read(sheet, "<si><t>x</t></si>", 1 << 20).unwrap();
    assert_eq!(texts(rows.first(9)), [vec!["", "x", "", "0.1"], vec!["7"]]);
    let record = rows.next_record().unwrap().unwrap();
    assert_eq!((record.line, record.raw, record.len()), (2, "x\t0.1", 4));
    assert_eq!([0, 1, 2, 3].map(|place| record.is_number(place)), [false, false, false, true]);
    assert_eq!(rows.next_record().unwrap().unwrap().line, 1_048_576);
    assert!(rows.next_record().unwrap().is_none());
}

#[test]
fn a_workbook_that_contradicts_itself_is_no_panic() {
    let backwards = r#"<dimension ref="QA1:B2"/><sheetData><row r="1"><c r="A1"><v>7</v></c></row></sheetData>"#;
    for sheet in [backwards, r#"<row r="0"><c r="A0" t="s"><v>9</v></c></row>"#] {
        if let Err(failure) = read(sheet, "", 1 << 20) {
            assert_eq!(failure.code, ErrorCode::WorkbookInvalid, "{failure}");
        }
    }
}

#[test]
fn what_a_workbook_takes_is_bounded_by_what_it_holds() {
    let far: String = (1..=20_000).map(|row| format!(r#"<row r="{row}"><c r="FAN{row}"><v>1</v></c></row>"#)).collect();
    let mut rows = read(&far, "", 1 << 22).unwrap();
    assert!(rows.first(usize::MAX).unwrap().len() < 20, "blank cells before the first count");
    let mut count = 0;
    while let Some(record) = rows.next_record().unwrap() {
        count += 1;
        assert_eq!((record.line, record.len()), (count, 4096));
    }
    assert_eq!(count, 20_000);
    let same: String =
        (1..=500).map(|row| format!(r#"<row r="{row}"><c r="A{row}" t="s"><v>0</v></c></row>"#)).collect();
    let failure = read(&same, &format!("<si><t>{}</t></si>", "x".repeat(10_000)), 1 << 20).unwrap_err();
    assert_eq!(failure.code, ErrorCode::FileTooLarge);
}

#[test]
fn what_a_workbook_claims_is_not_made_room_for() {
    let strings = r#"<sst uniqueCount="4294967295"><si><t>x</t></si></sst>"#;
    let failure = read(ONE, strings, 1 << 22).unwrap_err();
    assert_eq!(failure.code, ErrorCode::WorkbookInvalid, "{failure}");
    assert!(failure.message.contains("claims 4294967295 shared strings"), "{failure}");
    // Some writers count each use of a string.
    let strings = r#"<sst count="9" uniqueCount="9"><si><t>x</t></si></sst>"#;
    assert!(read(ONE, strings, 1 << 22).is_ok());
    let formula = r#"<row r="1"><c r="A1"><f t="shared" ref="A1:A2" si="4000000000">B1</f><v>7</v></c></row>"#;
    assert_eq!(texts(read(formula, "", 1 << 22).unwrap().first(1)), [["7"]]);
}

#[test]
fn a_workbook_is_weighed_before_it_is_held() {
    let many = "<si><t>x</t></si>".repeat(100_000);
    assert_eq!(read(ONE, &many, 1 << 22).unwrap_err().code, ErrorCode::FileTooLarge);
    assert!(read(ONE, &many, 1 << 25).is_ok());
    for long in [
        format!(r#"<row r="1" x="{}"><c r="A1"><v>7</v></c></row>"#, "y".repeat(2 << 20)),
        format!(r#"<row r="1"><c r="A1" t="str"><v>{}</v></c></row>"#, "<!--x-->y".repeat(1 << 18)),
    ] {
        let failure = read(&long, "", 1 << 24).unwrap_err();
        assert_eq!(failure.code, ErrorCode::FileTooLarge);
        assert!(failure.message.contains("xl/worksheets/sheet1.xml"), "{failure}");
    }
    let mut fonts = parts(SHEET, "");
    let font = format!("<fonts><font><name val='{}'/></font></fonts>", "x".repeat(100_000));
    let styles = format!("<styleSheet>{font}<cellXfs>{}</cellXfs></styleSheet>", "<xf fontId='0'/>".repeat(10_000));
    fonts.push(("xl/styles.xml".to_owned(), styles.into_bytes()));
    assert_eq!(read_parts(&fonts, 1 << 24).unwrap_err().code, ErrorCode::FileTooLarge, "a copy for each format");
    assert_eq!(MEMORY.held(), 0);
}

#[test]
fn an_archive_of_too_many_parts_is_refused_before_its_directory_is_held() {
    let mut many = parts(SHEET, "");
    many.extend((0..10_001).map(|part| (format!("xl/media/{part}"), Vec::new())));
    assert_eq!(read_parts(&many, 1 << 24).unwrap_err().code, ErrorCode::FileTooLarge);
    many.truncate(5_000);
    assert!(read_parts(&many, 1 << 24).is_ok());
    many.extend((0..100).map(|part| (format!("{part}{}", "n".repeat(60_000)), Vec::new())));
    assert_eq!(read_parts(&many, 1 << 24).unwrap_err().code, ErrorCode::FileTooLarge);
}

#[test]
fn a_picture_is_no_obstacle() {
    let mut with_picture = parts(SHEET, "");
    with_picture.push(("xl/media/logo.png".to_owned(), vec![0x89; 3 << 20]));
    with_picture.push(("xl/drawings/odd.vml".to_owned(), format!("<v a='{}'/>", "x".repeat(2 << 20)).into_bytes()));
    assert_eq!(texts(read_parts(&with_picture, 1 << 24).unwrap().first(1)), [["7"]]);
    // Without its formats a sheet would show other values.
    with_picture.push(("xl/styles.xml".to_owned(), format!("<v a='{}'/>", "x".repeat(2 << 20)).into_bytes()));
    assert_eq!(read_parts(&with_picture, 1 << 24).unwrap_err().code, ErrorCode::FileTooLarge);
}

#[test]
fn no_failure_quotes_a_cell() {
    for cell in [
        r#"<c r="A1" t="secret"><v>7</v></c>"#,
        r#"<c r="A1" t="str"><v>&secret;</v></c>"#,
        r#"<c r="A1" t="s"><v>99</v><x>secret</x></c>"#,
        r#"<c r="A1" t="str"><v>secret</x></c>"#,
    ] {
        let failure = read(&format!(r#"<row r="1">{cell}</row>"#), "", 1 << 22).unwrap_err();
        assert_eq!(failure.code, ErrorCode::WorkbookInvalid, "{failure}");
        assert!(!failure.message.contains("secret") || cell.contains("t=\"secret"), "{failure}");
    }
}

#[test]
fn a_value_that_is_not_what_its_cell_says_is_lacking_there_alone() {
    for value in [
        r#"t="b"><v>4,711 secret</v>"#,
        "t=\"b\"><v>secret\0</v>",
        r#"t="e"><v>#SPILL!</v>"#,
        r#"t="n"><v>secret</v>"#,
        r#"t="n"><v> 7</v>"#,
        r#"t="n"><v>+7</v>"#,
        r#"t="n"><v>inf</v>"#,
        r#"><v>12<!-- -->34</v>"#,
        r#"><v><!-- -->34</v>"#,
        r#"><v>1&#50;</v>"#,
        r#"><v><![CDATA[34]]></v>"#,
        r#"t="s"><v>x</v>"#,
        r#"t="str"><v><![CDATA[34]]></v>"#,
    ] {
        let row =
            format!(r#"<row r="1"><c r="A1"><v>-.5</v></c><c r="B1" {value}</c><c r="C1" t="n"><v>1E2</v></c></row>"#);
        let sheet = format!("<sheetData>{row}</sheetData>");
        for mark in ["", "\u{feff}"] {
            let mut parts = parts(&sheet, "<si><t>first</t></si>");
            let part = &mut parts.last_mut().unwrap().1;
            part.splice(..0, mark.bytes());
            let mut rows = read_parts(&parts, 1 << 22).unwrap();
            assert_eq!(texts(rows.first(9)), [["-0.5", "", "100"]], "{value}");
            let record = rows.next_record().unwrap().unwrap();
            assert_eq!([0, 1, 2].map(|place| record.unvalued(place)), [None, Some("B1".to_owned()), None], "{value}");
        }
    }
    for (value, text) in [
        (r#"t="n"><v>1.5e-3</v>"#, "0.0015"),
        ("><v>as text</v>", "as text"),
        (r#"t="b"><v> TRUE </v>"#, "TRUE"),
        (r#"t="e"><v>#N/A</v>"#, "#N/A"),
        (r#"t="s"><v>0</v>"#, "first"),
        (r#"t="str"><v>a&amp;b<!-- -->c</v>"#, "a&bc"),
        (r#"t="inlineStr"><is><t>a<![CDATA[<b>]]></t></is>"#, "a<b>"),
    ] {
        let sheet = format!(r#"<row r="1"><c r="A1" {value}</c></row>"#);
        assert_eq!(texts(read(&sheet, "<si><t>first</t></si>", 1 << 22).unwrap().first(1)), [[text]], "{value}");
    }
}

#[test]
fn so_many_values_that_contradict_their_cells_are_the_workbooks_fault() {
    let rows = |number: usize| {
        (1..=number).map(|row| format!(r#"<row r="{row}"><c r="A{row}" t="n"><v>x</v></c></row>"#)).collect::<String>()
    };
    assert!(read(&rows(10_000), "", 1 << 22).is_ok());
    assert_eq!(read(&rows(10_001), "", 1 << 22).unwrap_err().code, ErrorCode::WorkbookInvalid);
}

#[test]
fn a_formula_without_a_value_is_told_by_its_cell_where_it_is_looked_at() {
    let sheet =
        r#"<row r="3"><c r="A3"><v>7</v></c><c r="AB3"><f>A1</f></c></row><row r="4"><c r="B4"><f>A1</f></c></row>"#;
    let mut rows = read(sheet, "", 1 << 20).unwrap();
    let record = rows.next_record().unwrap().unwrap();
    assert_eq!((record.get(27), record.unvalued(27).as_deref(), record.unvalued(0)), (Some(""), Some("AB3"), None));
    let record = rows.next_record().unwrap().unwrap();
    assert!(!record.is_blank(), "it may hold an account");
}
