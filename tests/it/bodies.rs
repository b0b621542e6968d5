//! Bodies of jobs near the edges of what is valid, made from a seed.

use serde_json::{Map, Value, json};
use tests::random::Random;

/// Characters that change what a text is.
const EDGES: [char; 38] = [
    'a', 'F', 'Z', 'g', '0', '1', '6', '9', '-', '+', '.', ':', 'T', 't', 'z', ' ', '\n', '\t', '\0', '_', '/', '{',
    '}', ',', 'e', 'E', '\u{85}', '\u{a0}', '\u{feff}', '\u{3000}', '\u{200b}', '\u{1c}', 'ä', '😀', '−', '٣', '０',
    'İ',
];

/// A body with everything, all of it valid.
fn whole(random: &mut Random) -> Map<String, Value> {
    let fields = json!({
        "file": "/exports/ABEX_2022-06.csv", "entity": "ABEX", "period": "2022-06",
        "job_id": "018f6f2e-5d1c-7c3a-9d5e-0a1b2c3d4e5f", "batch_id": "0b0e7a3c-55d1-4d53-8f43-0d2f5c3e9a11",
        "sha256": "333692eda6e653126836877677bdf2e113075d6812c78212db31b8a4dbba8033",
        "exported_at": "2022-07-01T06:00:00.25+02:00", "source": "sap-fi", "mode": "upsert", "on_error": "abort",
        "skip_duplicates": true, "force": false, "reason": "late entries", "require_balanced": false,
        "control": {"rows": 501, "balance_sum": "15883780430.629999993"},
    });
    let Value::Object(mut fields) = fields else { unreachable!() };
    for optional in fields.keys().cloned().collect::<Vec<_>>() {
        if !["file", "entity", "period"].contains(&optional.as_str()) && random.percent(40) {
            fields.remove(&optional);
        }
    }
    fields
}

/// Values of every type, for a field of any.
fn any(random: &mut Random) -> Value {
    let values = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(501.0),
        json!(1.5),
        json!(-1),
        json!(-0.0),
        json!(1e300),
        json!(9_007_199_254_740_991_u64),
        json!(9_007_199_254_740_992_u64),
        json!(u64::MAX),
        json!(5e2),
        json!(9_007_199_254_740_991.0),
        json!(-1e-9),
        json!(""),
        json!("true"),
        json!("501"),
        json!([]),
        json!({}),
        json!(["a"]),
    ];
    values[random.between(0, values.len() as u64 - 1) as usize].clone()
}

/// Texts that are, or nearly are, what a field wants.
fn edge_of(field: &str, random: &mut Random) -> Value {
    let many = |text: &str, count: usize| text.repeat(count);
    let texts: Vec<String> = match field {
        "file" => {
            vec![many("a", 4096), many("a", 4097), many("ä", 4096), many("😀", 4097), " ".into(), "s3://b/k".into()]
        }
        "entity" => vec![many("A", 32), many("A", 33), "0".into(), "_A".into(), "abex".into(), "A_.-".into()],
        "period" => ["2022-00", "2022-12", "2022-13", "2022-16", "2022-17", "0000-01", "2022-1", "２０２２-06"]
            .map(String::from)
            .into(),
        "job_id" | "batch_id" => [
            "018F6F2E5D1C7C3A9D5E0A1B2C3D4E5F",
            "{018f6f2e-5d1c-7c3a-9d5e-0a1b2c3d4e5f}",
            "urn:uuid:018f6f2e-5d1c-7c3a-9d5e-0a1b2c3d4e5f",
            "URN:UUID:018f6f2e-5d1c-7c3a-9d5e-0a1b2c3d4e5f",
            "{018f6f2e5d1c7c3a9d5e0a1b2c3d4e5f}",
            "018f6f2e-5d1c7c3a-9d5e-0a1b2c3d4e5f-",
            "00000000-0000-0000-0000-000000000000",
            "018f6f2e-5d1c-7c3a-9d5e-0a1b2c3d4e5f ",
            "urn:uuid:018f6f2e5d1c7c3a9d5e0a1b2c3d4e5f",
        ]
        .map(String::from)
        .into(),
        "sha256" => vec![many("a", 64), many("A", 64), many("a", 63), many("g", 64), many("0", 65)],
        "exported_at" => [
            "2022-07-01t06:00:00z",
            "2022-07-01 06:00:00Z",
            "2022-07-01T06:00:00",
            "2022-07-01",
            "2022-02-29T00:00:00Z",
            "2024-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2000-02-29T00:00:00Z",
            "0000-02-29T00:00:00Z",
            "2022-04-31T00:00:00Z",
            "2022-12-31T24:00:00Z",
            "2022-12-31T23:59:60Z",
            "2022-12-31T22:59:60-01:00",
            "2022-12-31T12:00:60Z",
            "2023-01-01T05:29:60.5+05:30",
            "2022-12-31T23:59:60+00:01",
            "2022-12-31T23:59:61Z",
            "2022-07-01T06:00:00.Z",
            "2022-07-01T06:00:00.1234567890123Z",
            "2022-07-01T06:00:00+23:59",
            "2022-07-01T06:00:00+24:00",
            "2022-07-01T06:00:00-00:00",
            "2022-07-01T06:00:00+0200",
            "2022-07-01T06:00:00+02",
            "2022-07-01T06:00:00−02:00",
            "2022-07-01T06:00Z",
            "9999-12-31T23:59:59-23:59",
            "10000-01-01T00:00:00Z",
            "+2022-07-01T06:00:00Z",
            "2022-00-01T00:00:00Z",
            "0001-01-01T00:00:00+23:59",
            "2022-07-01T06:00:00,5Z",
            "2022-07-01\t06:00:00Z",
            "2022-07-01T06:60:00Z",
        ]
        .map(String::from)
        .into(),
        "source" => vec![many("a", 64), many("a", 65), "-a".into(), "A.b_c-d".into(), "Z".into()],
        "mode" => ["upsert", "replace", "Replace", "merge"].map(String::from).into(),
        "on_error" => ["abort", "quarantine", "ABORT", "skip"].map(String::from).into(),
        "reason" => vec![
            many("a", 1000),
            many("a", 1001),
            many("😀", 1000),
            many("😀", 1001),
            many(" ", 1000),
            "\u{85}\u{a0}\u{3000}".into(),
            "\u{feff}".into(),
            "\u{200b}".into(),
            "\u{1c}".into(),
            "a\0".into(),
            "\n a \n".into(),
            "\u{180e}".into(),
        ],
        "balance_sum" => vec![
            ".".into(),
            "+".into(),
            "-".into(),
            "-.".into(),
            "1.".into(),
            ".5".into(),
            "00.5".into(),
            "0".into(),
            "-0".into(),
            many("0", 40),
            format!("{}.{}", many("9", 18), many("9", 16)),
            many("9", 19),
            format!("0{}", many("9", 18)),
            format!("1.{}", many("0", 17)),
            format!("+.{}", many("0", 16)),
            format!(".{}", many("0", 17)),
            "1e5".into(),
            "1,5".into(),
            "1_000".into(),
            "--1".into(),
            "+-1".into(),
            " 1".into(),
            "1 ".into(),
            "1.2.3".into(),
            "NaN".into(),
            "0x1".into(),
            "٣".into(),
        ],
        _ => return any(random),
    };
    Value::String(texts[random.between(0, texts.len() as u64 - 1) as usize].clone())
}

/// A text with one character put in, taken away or changed.
fn nearly(text: &str, random: &mut Random) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let place = random.between(0, letters.len() as u64) as usize;
    let letter = random.one_of(&EDGES);
    match random.between(0, 2) {
        0 => letters.insert(place, letter),
        1 if place < letters.len() => letters[place] = letter,
        _ if place < letters.len() => {
            letters.remove(place);
        }
        _ => letters.push(letter),
    }
    letters.into_iter().collect()
}

fn change(fields: &mut Map<String, Value>, names: &[&str], random: &mut Random) {
    let name = random.one_of(names);
    let changed = match fields.get(name) {
        Some(Value::String(text)) if random.percent(40) => Value::String(nearly(text, random)),
        Some(_) | None if random.percent(60) => edge_of(name, random),
        Some(_) | None => any(random),
    };
    fields.insert(name.to_owned(), changed);
}

/// The body of this number: valid, or changed in a place or two.
pub(crate) fn body(number: u64) -> Value {
    const NAMES: [&str; 14] = [
        "file",
        "entity",
        "period",
        "job_id",
        "batch_id",
        "sha256",
        "exported_at",
        "source",
        "mode",
        "on_error",
        "skip_duplicates",
        "force",
        "reason",
        "require_balanced",
    ];
    let random = &mut Random::at(11, number);
    let mut fields = whole(random);
    for _ in 0..random.between(0, 2) {
        match random.between(0, 9) {
            0 => {
                fields.remove(random.one_of(&NAMES));
            }
            1 => {
                fields.insert(
                    random.one_of(&["forced", "", "File", "rows", "controls", "file "]).to_owned(),
                    any(random),
                );
            }
            2 | 3 => {
                let mut control = fields.get("control").and_then(Value::as_object).cloned().unwrap_or_default();
                change(&mut control, &["rows", "balance_sum", "balance_sum", "sum"], random);
                fields.insert("control".to_owned(), Value::Object(control));
            }
            4 => {
                fields.insert("control".to_owned(), any(random));
            }
            5 => {
                fields.insert("force".to_owned(), json!(true));
            }
            6 => {
                fields.insert("mode".to_owned(), json!("replace"));
                fields.insert("on_error".to_owned(), json!(random.one_of(&["abort", "quarantine"])));
            }
            _ => change(&mut fields, &NAMES, random),
        }
    }
    Value::Object(fields)
}
