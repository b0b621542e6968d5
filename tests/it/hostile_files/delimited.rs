//! Texts of bytes that nobody expects.

use super::{Case, Fails, Loads, good};

fn utf16(text: &str, big: bool) -> Vec<u8> {
    text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

/// The good file with another balance, name or code in its first row.
fn cell(from: &str, to: &str) -> Vec<u8> {
    let text = good();
    assert!(text.contains(from));
    text.replacen(from, to, 1).into_bytes()
}

fn balance(text: &str) -> Vec<u8> {
    cell("Account 10,5,", &format!("Account 10,{text},"))
}

fn name(text: &str) -> Vec<u8> {
    cell("Account 10", text)
}

fn bytes_in_name(bytes: &[u8]) -> Vec<u8> {
    let text = good();
    let at = text.find("Account 10").expect("a name");
    [&text.as_bytes()[..at], bytes, &text.as_bytes()[at..]].concat()
}

fn with_mark(mark: &[u8], text: Vec<u8>) -> Vec<u8> {
    [mark, &text].concat()
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = encodings();
    cases.extend(structures());
    cases.extend(amounts());
    cases.extend(texts());
    cases.extend(others());
    cases
}

fn encodings() -> Vec<Case> {
    let good = good();
    vec![
        ("an empty file", Vec::new(), Fails("schema_invalid")),
        ("a byte order mark alone", b"\xef\xbb\xbf".to_vec(), Fails("schema_invalid")),
        ("UTF-8 with its mark", with_mark(b"\xef\xbb\xbf", good.clone().into_bytes()), Loads),
        ("UTF-8 with two marks", with_mark(b"\xef\xbb\xbf\xef\xbb\xbf", good.clone().into_bytes()), Loads),
        ("UTF-16LE with its mark", with_mark(b"\xff\xfe", utf16(&good, false)), Loads),
        ("UTF-16BE with its mark", with_mark(b"\xfe\xff", utf16(&good, true)), Loads),
        ("UTF-16LE without a mark", utf16(&good, false), Fails("csv_malformed")),
        (
            "UTF-16 cut within a unit",
            with_mark(b"\xff\xfe", utf16(&good, false)[1..].to_vec()),
            Fails("encoding_invalid"),
        ),
        ("UTF-16 with half a pair", with_mark(b"\xff\xfe\x00\xd8", utf16(&good, false)), Fails("encoding_invalid")),
        (
            "UTF-32LE",
            with_mark(b"\xff\xfe\0\0", good.chars().flat_map(|c| (c as u32).to_le_bytes()).collect()),
            Fails("csv_malformed"),
        ),
        ("the mark of another order", with_mark(b"\xfe\xff", utf16(&good, false)), Fails("schema_invalid")),
        ("UTF-7", good.replace('a', "+AGE-").into_bytes(), Fails("schema_invalid")),
        ("Latin-1", bytes_in_name(b"\xe9"), Fails("encoding_invalid")),
        ("an overlong NUL", bytes_in_name(b"\xc0\x80"), Fails("encoding_invalid")),
        ("an overlong slash", bytes_in_name(b"\xe0\x80\xaf"), Fails("encoding_invalid")),
        ("half a pair in UTF-8", bytes_in_name(b"\xed\xa0\x80"), Fails("encoding_invalid")),
        ("past the last character", bytes_in_name(b"\xf4\x90\x80\x80"), Fails("encoding_invalid")),
        ("a character cut off at the end", [good.as_bytes(), b"\xe2\x82"].concat(), Fails("encoding_invalid")),
        ("a NUL in a cell", bytes_in_name(b"\0"), Fails("csv_malformed")),
        ("a NUL in the header", with_mark(b"\0", good.clone().into_bytes()), Fails("csv_malformed")),
        ("a NUL at the end", [good.as_bytes(), b"\0"].concat(), Fails("csv_malformed")),
        ("NULs alone", vec![0; 100_000], Fails("csv_malformed")),
        ("ones alone", vec![0xff; 100_000], Fails("encoding_invalid")),
    ]
}

fn structures() -> Vec<Case> {
    let good = good();
    let header = good.lines().next().expect("a header");
    let wide = format!("{header},{}\n", vec!["x"; 5_000].join(","));
    let same = format!("{header},{}\n", vec!["x"; 4_000].join(","));
    vec![
        ("blank lines alone", vec![b'\n'; 1_000_000], Fails("schema_invalid")),
        ("a million blank lines below", [good.as_bytes(), &vec![b'\n'; 1_000_000]].concat(), Loads),
        ("carriage returns alone", good.replace('\n', "\r").into_bytes(), Loads),
        ("line feeds before carriage returns", good.replace('\n', "\n\r").into_bytes(), Loads),
        ("no line end at the end", good.trim_end().as_bytes().to_vec(), Loads),
        ("a header alone", format!("{header}\n").into_bytes(), Fails("slice_not_found")),
        ("a header of another table", b"id,name\n1,x\n".to_vec(), Fails("schema_invalid")),
        ("a header twice as wide as allowed", wide.into_bytes(), Fails("file_too_large")),
        ("one name four thousand times", same.into_bytes(), Fails("schema_invalid")),
        ("a required column twice", good.replacen("status", "status,status", 1).into_bytes(), Fails("schema_invalid")),
        ("a header cell of 500 KB", format!("{}{good}", "x".repeat(500_000)).into_bytes(), Fails("schema_invalid")),
        ("delimiters alone", vec![b','; 200_000], Fails("file_too_large")),
        ("a record of 2 MB", name(&"x".repeat(2_000_000)), Fails("file_too_large")),
        ("a quote that is never closed", name("\"Account"), Fails("csv_malformed")),
        ("a quote that draws 5 MB into it", name(&format!("\"{}", "x\n".repeat(2_500_000))), Fails("csv_malformed")),
        ("a lone quote in a cell", name("Acc\"ount"), Fails("csv_malformed")),
        ("text behind a closing quote", name("\"Acc\"ount"), Fails("csv_malformed")),
        ("quotes alone", vec![b'"'; 300_001], Fails("csv_malformed")),
        ("doubled quotes", name("\"Acc\"\"ou\"\"nt\""), Loads),
        ("a line end within quotes", name("\"Acc\nount\""), Loads),
        ("too few fields", [good.as_bytes(), b"A,2022-06,30\n"].concat(), Fails("row_invalid")),
        ("too many fields", [good.as_bytes(), b"A,2022-06,30,x,1,BS,Assets,y\n"].concat(), Fails("row_invalid")),
        ("the same account twice", [good.as_bytes(), b"A,2022-06,10,x,1,BS,Assets\n"].concat(), Fails("duplicate_key")),
        ("other slices alone", good.replace("A,2022", "B,2022").into_bytes(), Fails("slice_not_found")),
        ("an entity that is a path", cell("A,2022-06,10", "../../etc,2022-06,10"), Fails("row_invalid")),
        ("a period that is none", cell("A,2022-06,10", "A,2022-99,10"), Fails("row_invalid")),
    ]
}

fn amounts() -> Vec<Case> {
    let bad = [
        "1e999",
        "1e5",
        "NaN",
        "Infinity",
        "-inf",
        "0x10",
        "1_000",
        "--5",
        "5-5",
        "+-5",
        "=1+1",
        "=cmd|' /C calc'!A0",
        "٣",
        "five",
        "1.2.3",
        "1e",
        "-",
        ".",
        "9999999999999999999",
        "0.00000000000000001",
        "€5",
        "5 Cr",
        "1\u{200b}2",
    ];
    let mut cases: Vec<Case> = bad.into_iter().map(|text| (text, balance(text), Fails("row_invalid"))).collect();
    cases.extend([
        ("an amount of 100,000 digits", balance(&"9".repeat(100_000)), Fails("row_invalid")),
        ("an amount of 100,000 zeros", balance(&"0".repeat(100_000)), Loads),
        ("digits of full width", balance("１２"), Loads),
        ("a negative nil", balance("-0"), Loads),
        ("the largest amount", balance("999999999999999999.9999999999999999"), Loads),
        ("a blank amount", balance(" "), Loads),
    ]);
    cases
}

fn texts() -> Vec<Case> {
    let code = |text: &str| cell("2022-06,10,", &format!("2022-06,{text},"));
    vec![
        ("a statement of SQL", name("'); DROP TABLE gl_accounts; --"), Loads),
        ("a query of MongoDB", name("{$where: 1}"), Loads),
        ("a script", name("<script>alert(1)</script>"), Loads),
        ("a look-up", name("${jndi:ldap://127.0.0.1/a}"), Loads),
        ("what COPY takes for its end", name("\\."), Loads),
        ("what COPY takes for null", name("\\N"), Loads),
        ("control characters", name("a\u{1}\u{7}\u{8}\u{1b}[2J\u{7f}"), Loads),
        ("characters that turn the text", name("\u{202e}tnuoccA\u{2066}\u{200f}"), Loads),
        ("no characters", name("\u{fffe}\u{ffff}\u{10ffff}"), Loads),
        ("a thousand accents on one letter", name(&format!("e{}", "\u{301}".repeat(1_000))), Loads),
        ("deep JSON", name(&"[".repeat(100_000)), Loads),
        ("a blank code", code(" "), Fails("row_invalid")),
        ("a code of 256 bytes", code(&"9".repeat(256)), Fails("row_invalid")),
        ("a code of 255 bytes", code(&"9".repeat(255)), Loads),
        ("a code that is a path", code("../../../../etc/passwd"), Loads),
        ("a code that is null", code("NULL"), Loads),
    ]
}

/// What is not a table at all.
fn others() -> Vec<Case> {
    let mut entities = "<?xml version=\"1.0\"?><!DOCTYPE l [<!ENTITY l \"lol\">".to_owned();
    for number in 1..10 {
        let before = if number == 1 { "l".to_owned() } else { format!("l{}", number - 1) };
        entities.push_str(&format!("<!ENTITY l{number} \"{}\">", format!("&{before};").repeat(10)));
    }
    entities.push_str("]><l>&l9;</l>");
    let noise: Vec<u8> = (0..100_000_u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    vec![
        ("JSON", b"[{\"entity\":\"A\",\"period\":\"2022-06\"}]".to_vec(), Fails("csv_malformed")),
        ("XML", b"<rows><row entity='A'/></rows>".to_vec(), Fails("schema_invalid")),
        ("XML of entities that multiply", entities.into_bytes(), Fails("csv_malformed")),
        ("HTML", b"<html><table><tr><td>A</td></tr></table></html>".to_vec(), Fails("schema_invalid")),
        ("PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n".to_vec(), Fails("schema_invalid")),
        ("a picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(), Fails("encoding_invalid")),
        ("a program", b"\x7fELF\x02\x01\x01\0\0\0".to_vec(), Fails("csv_malformed")),
        ("a database", b"SQLite format 3\0".to_vec(), Fails("csv_malformed")),
        ("a Parquet file", b"PAR1\x15\x04PAR1".to_vec(), Fails("schema_invalid")),
        ("noise", noise, Fails("csv_malformed")),
    ]
}
