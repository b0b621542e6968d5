//! Hostile messages: properties, headers and bodies that no library would send.

use serde_json::{Value, json};

use super::wire::{Properties, long, short};

/// How a message must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its rows load: what is odd about it does no harm.
    Loads,
    /// It ends as `invalid_message`.
    Refused,
    /// The broker puts it among the dead as it is.
    Rejected,
    /// The job fails in this way.
    Fails(&'static str),
}

/// A message, and how it must end. The broker may also refuse to take it.
#[derive(Debug, Clone)]
pub struct Hostile {
    /// What is hostile about it.
    pub name: String,
    /// The routing key with which it is published to `aura.jobs`, and CC headers apart.
    pub key: Vec<u8>,
    /// Its properties.
    pub properties: Properties,
    /// Its body.
    pub body: Vec<u8>,
    /// How it must end.
    pub end: End,
}

/// The properties that are short texts, by the bit of their flag. The broker itself checks `expiration` and
/// `user_id`.
const TEXTS: [(&str, u32); 8] = [
    ("content_type", 15),
    ("content_encoding", 14),
    ("correlation_id", 10),
    ("reply_to", 9),
    ("message_id", 7),
    ("type", 5),
    ("app_id", 3),
    ("cluster_id", 2),
];
/// Texts in other encodings, and none at all.
const LATIN1: &[u8] = b"Gesch\xe4ft";
const NO_UTF8: [&[u8]; 5] = [LATIN1, b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"];

fn entry(name: &[u8], kind: u8, value: &[u8]) -> Vec<u8> {
    [&short(name)[..], &[kind], value].concat()
}

fn text_header(name: &str, value: &str) -> Properties {
    Properties::headers(&entry(name.as_bytes(), b'S', &long(value.as_bytes())))
}

fn nested(kind: u8, depth: usize) -> Properties {
    let mut value = vec![b'V'];
    for _ in 0..depth {
        value = match kind {
            b'A' => [&[b'A'][..], &long(&value)].concat(),
            _ => [&[b'F'][..], &long(&[&short(b"a")[..], &value].concat())].concat(),
        };
    }
    Properties::headers(&[&short(b"deep")[..], &value].concat())
}

/// Every hostile message. `job` makes the body of a good job of its own; `missing` of one whose file is not there.
pub fn all(job: impl Fn() -> Value, missing: impl Fn() -> Value) -> Vec<Hostile> {
    let mut all = Vec::new();
    let mut add = |name: String, properties: Properties, body: Vec<u8>, end: End| {
        all.push(Hostile { name, key: b"job".to_vec(), properties, body, end });
    };
    let body = || job().to_string().into_bytes();
    properties(&mut add, &body);
    headers(&mut add, &body);
    forged(&mut add, &body, &missing);
    bodies(&mut add, &job);
    // The broker routes by CC, and hands on the key that it was published with.
    let cc = entry(b"CC", b'A', &long(&[&[b'S'][..], &long(b"job")].concat()));
    for key in [LATIN1, b"\xff", b"\x1b[2J"] {
        let properties = Properties::headers(&cc);
        all.push(Hostile {
            name: format!("routing key {key:?}"),
            key: key.to_vec(),
            properties,
            body: body(),
            end: End::Loads,
        });
    }
    all
}

type Add<'a> = &'a mut dyn FnMut(String, Properties, Vec<u8>, End);

fn properties(add: Add<'_>, body: &dyn Fn() -> Vec<u8>) {
    for (name, bit) in TEXTS {
        for text in NO_UTF8 {
            add(format!("{name} {text:?}"), Properties::one(bit, short(text)), body(), End::Refused);
        }
        // The type is the message's version, and another one is refused.
        let end = if name == "type" { End::Refused } else { End::Loads };
        for text in [&b""[..], b"\x1b]0;owned\x07", b"\xe2\x80\xaetxt", &[b'x'; 255]] {
            let end = if name == "type" || end == End::Refused { End::Refused } else { End::Loads };
            add(format!("{name} of {} odd bytes", text.len()), Properties::one(bit, short(text)), body(), end);
        }
    }
    for timestamp in [0, 1, i64::MAX as u64, u64::MAX, 253_402_300_800] {
        let end = match timestamp {
            253_402_300_800 => End::Refused,
            _ => End::Loads,
        };
        add(format!("timestamp {timestamp}"), Properties::one(6, timestamp.to_be_bytes().to_vec()), body(), end);
    }
    for octet in [0, 3, 255] {
        add(format!("delivery mode {octet}"), Properties::one(12, vec![octet]), body(), End::Loads);
        add(format!("priority {octet}"), Properties::one(11, vec![octet]), body(), End::Loads);
    }
    // The broker reads the flags, and writes its own.
    add("the last flag".to_owned(), Properties { flags: 2, values: vec![] }, body(), End::Loads);
    add("values without flags".to_owned(), Properties { flags: 0, values: vec![1, 2, 3] }, body(), End::Refused);
    add("a text that is cut off".to_owned(), Properties::one(15, vec![200, b'a']), body(), End::Refused);
    add("a timestamp that is cut off".to_owned(), Properties::one(6, vec![1, 2]), body(), End::Refused);
}

fn headers(add: Add<'_>, body: &dyn Fn() -> Vec<u8>) {
    for kind in [b'A', b'F'] {
        for (depth, end) in
            [(1, End::Loads), (16, End::Loads), (17, End::Refused), (500, End::Refused), (2_064, End::Refused)]
        {
            add(format!("{} within each other: {depth}", kind as char), nested(kind, depth), body(), end);
        }
    }
    let values: [(u8, &[u8]); 17] = [
        (b't', &[7]),
        (b'b', &[0x80]),
        (b'B', &[0xff]),
        (b's', &[0x80, 0]),
        (b'u', &[0xff; 2]),
        (b'I', &[0x80, 0, 0, 0]),
        (b'i', &[0xff; 4]),
        (b'l', &[0x80, 0, 0, 0, 0, 0, 0, 0]),
        (b'f', &[0x7f, 0xc0, 0, 0]),
        (b'd', &[0xff; 8]),
        (b'D', &[255, 0xff, 0xff, 0xff, 0xff]),
        (b'S', &[0, 0, 0, 2, 0xff, 0]),
        (b'A', &[0, 0, 0, 0]),
        (b'T', &[0xff; 8]),
        (b'F', &[0, 0, 0, 0]),
        (b'x', &[0, 0, 0, 1, 0]),
        (b'V', &[]),
    ];
    for (kind, value) in values {
        add(
            format!("a header of type {}", kind as char),
            Properties::headers(&entry(b"h", kind, value)),
            body(),
            End::Loads,
        );
        // The same under each name of Aura's own.
        for name in ["aura-attempt", "aura-replays", "aura-exported-at", "aura-forced-at", "traceparent"] {
            let properties = Properties::headers(&entry(name.as_bytes(), kind, value));
            add(format!("{name} of type {}", kind as char), properties, body(), End::Loads);
        }
    }
    for kind in [0, b'?', b'S' | 0x80, 0xff] {
        add(format!("a header of no type {kind}"), Properties::headers(&entry(b"h", kind, &[])), body(), End::Refused);
    }
    for name in NO_UTF8 {
        add(format!("a header named {name:?}"), Properties::headers(&entry(name, b'V', &[])), body(), End::Refused);
    }
    add("a header without a name".to_owned(), Properties::headers(&entry(b"", b'V', &[])), body(), End::Loads);
    add("a header twice".to_owned(), Properties::headers(&entry(b"h", b'V', &[]).repeat(2)), body(), End::Loads);
    add("a table that is cut off".to_owned(), Properties::one(13, vec![0, 0, 0, 9, 1, b'a']), body(), End::Refused);
    add("a table of 4 GiB".to_owned(), Properties::one(13, vec![0xff; 4]), body(), End::Refused);
    add("a name that is cut off".to_owned(), Properties::headers(&[250, b'a']), body(), End::Refused);
    let text_of = |bytes: usize| Properties::headers(&entry(b"h", b'S', &long(&vec![b'x'; bytes])));
    add("headers of 40 KB".to_owned(), text_of(40_000), body(), End::Loads);
    add("headers of 130 KB".to_owned(), text_of(130_000), body(), End::Refused);
    let many: Vec<u8> = (0..9_000_u32).flat_map(|number| entry(format!("{number:x}").as_bytes(), b'V', &[])).collect();
    add("nine thousand headers".to_owned(), Properties::headers(&many), body(), End::Loads);
}

fn forged(add: Add<'_>, body: &dyn Fn() -> Vec<u8>, missing: &dyn Fn() -> Value) {
    let times =
        ["-200000-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:60Z", "2022-07-01", "yesterday", "\0"];
    for name in ["aura-exported-at", "aura-forced-at", "aura-first-failed-at", "aura-arrival-from"] {
        for time in times {
            let end = match (name, time) {
                ("aura-exported-at", "9999-12-31T23:59:60Z") => End::Refused,
                _ => End::Loads,
            };
            add(format!("{name}: {time:?}"), text_header(name, time), body(), end);
        }
    }
    for number in [i32::MIN, -1, 0, 5, 99, i32::MAX] {
        for name in ["aura-attempt", "aura-replays"] {
            let properties = || Properties::headers(&entry(name.as_bytes(), b'I', &number.to_be_bytes()));
            add(format!("{name} {number}"), properties(), body(), End::Loads);
            let failing = missing().to_string().into_bytes();
            add(format!("{name} {number} of a job that fails"), properties(), failing, End::Fails("file_not_found"));
        }
    }
    for (name, value) in [
        ("aura-job-id", "00000000-0000-0000-0000-000000000000"),
        ("aura-job-id", "no uuid"),
        ("aura-returned-claim", "00000000-0000-0000-0000-000000000000"),
        ("aura-arrival-intake", "00000000-0000-0000-0000-000000000000"),
        ("aura-error-code", "row_invalid"),
        ("aura-fingerprint", "\u{1b}[31m"),
        ("aura-worker", "\u{202e}evil"),
        ("aura-malformed", ""),
        ("aura-withheld", "x"),
        ("x-death", "x"),
        ("x-delivery-count", "x"),
        ("traceparent", "00-00000000000000000000000000000000-0000000000000000-00"),
        ("traceparent", "\u{0}\u{0}"),
        ("tracestate", "\u{1b}"),
        ("BCC", "x"),
    ] {
        let end = match name {
            "aura-malformed" => End::Refused,
            _ => End::Loads,
        };
        add(format!("forged {name}: {value:?}"), text_header(name, value), body(), end);
    }
}

fn bodies(add: Add<'_>, job: &dyn Fn() -> Value) {
    let mut refused = |name: &str, body: Vec<u8>| add(name.to_owned(), Properties::default(), body, End::Refused);
    refused("no body", vec![]);
    refused("a byte order mark alone", b"\xef\xbb\xbf".to_vec());
    refused("not UTF-8", b"{\"file\": \"Gesch\xe4ft.csv\"}".to_vec());
    refused("brackets, 50,000 of them", b"[".repeat(50_000));
    refused("objects within each other", [b"{\"a\":".repeat(10_000), b"1".to_vec(), b"}".repeat(10_000)].concat());
    refused("a number of a thousand digits", [b"{\"file\": ".to_vec(), b"9".repeat(1_000), b"}".to_vec()].concat());
    refused("100 KB", vec![b' '; 100_000]);
    refused("1 MB", vec![b'x'; 1 << 20]);
    for (field, value) in [
        ("file", json!("")),
        ("file", json!("a\0b")),
        ("file", json!("x".repeat(5_000))),
        ("entity", json!("A\nB")),
        ("entity", json!("A'; DROP TABLE gl_accounts; --")),
        ("entity", json!("Ä")),
        ("entity", json!("")),
        ("period", json!("2022-00")),
        ("period", json!("2022-17")),
        ("period", json!("٢٠٢٢-٠٦")),
        ("job_id", json!("{}")),
        ("exported_at", json!("9999-12-31T23:59:59Z")),
        ("exported_at", json!("-200000-01-01T00:00:00Z")),
        ("exported_at", json!("2022-07-01T06:00:00")),
        ("source", json!("../../etc/passwd")),
        ("source", json!("a/b")),
        ("source", json!("\0")),
        ("mode", json!("REPLACE")),
        ("reason", json!("\0")),
        ("force", json!(true)),
        ("control", json!([1])),
        ("control", json!({"balance_sum": "1e400"})),
        ("control", json!({"balance_sum": "9".repeat(40)})),
        ("control", json!({"rows": -1})),
        ("control", json!({"rows": 1.0e300})),
        ("sha256", json!("A".repeat(64))),
        ("__proto__", json!({})),
        ("\u{1b}[2J", json!(1)),
        ("\u{202e}", json!(1)),
        ("\0", json!(1)),
    ] {
        let mut message = job();
        message[field] = value.clone();
        let shown: String = value.to_string().chars().take(40).collect();
        refused(&format!("{field:?}: {shown}"), message.to_string().into_bytes());
    }
    let twice = job().to_string().replacen('{', "{\"entity\": \"OTHER\", ", 1);
    refused("a field twice", twice.into_bytes());
    add("5 MB".to_owned(), Properties::default(), vec![b'x'; 5 << 20], End::Rejected);
    let mut unknown = job();
    unknown["source"] = json!("no-such-profile");
    add(
        "an unknown profile".to_owned(),
        Properties::default(),
        unknown.to_string().into_bytes(),
        End::Fails("unknown_source"),
    );
}
