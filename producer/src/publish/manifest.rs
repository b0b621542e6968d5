//! Manifests: CSV whose header names message fields, or JSON lines.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use csv::{ByteRecord, ReaderBuilder};
use serde_json::{Map, Number, Value};
use shared::message::receive::{CONTROL, FIELDS, fields_of};

use super::draft::{Draft, Drafts};
use crate::errors::CommandError;

/// Columns beside the plain fields; those of `control` are written either way.
const CONTROL_COLUMNS: [&str; 4] = ["control.rows", "control.balance_sum", "control_rows", "control_balance_sum"];
/// Columns whose cells are `true` or `false`.
const BOOLEANS: [&str; 3] = ["skip_duplicates", "force", "require_balanced"];

/// Reads the manifest, from stdin if its name is `-`.
pub(super) fn read(path: &Path) -> Result<Drafts, CommandError> {
    let mut bytes = Vec::new();
    let (name, read) = if path == Path::new("-") {
        ("stdin".to_owned(), io::stdin().lock().read_to_end(&mut bytes).map(|_| ()))
    } else {
        (path.display().to_string(), fs::read(path).map(|all| bytes = all))
    };
    read.map_err(|error| CommandError::Input(format!("cannot read the manifest {name}: {error}")))?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let json = match extension.to_ascii_lowercase().as_str() {
        "csv" => false,
        "jsonl" | "ndjson" | "json" => true,
        _ => text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{'),
    };
    let drafts = if json { read_json_lines(text) } else { read_csv(text) };
    if drafts.is_empty() {
        return Err(CommandError::Input(format!("the manifest {name} names no job")));
    }
    Ok(Drafts { drafts, unmatched: Vec::new() })
}

fn read_json_lines(text: &[u8]) -> Vec<Draft> {
    let lines = text.split(|byte| *byte == b'\n').enumerate();
    let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    lines.map(|(index, line)| Draft { place: format!("line {}", index + 1), fields: read_json(line) }).collect()
}

fn read_json(line: &[u8]) -> Result<Map<String, Value>, Vec<String>> {
    // The JSON reader counts lines, too: of this one.
    let told = |fault: String| fault.trim_start_matches("body: ").replace(" at line 1 column ", " at column ");
    let (list, _) = fields_of(line).map_err(|fault| vec![told(fault)])?;
    let (mut fields, mut faults) = (Map::new(), Vec::new());
    for (name, value) in list {
        if fields.insert(name.clone(), value).is_some() {
            faults.push(format!("{name}: is given more than once"));
        }
    }
    if faults.is_empty() { Ok(fields) } else { Err(faults) }
}

fn read_csv(text: &[u8]) -> Vec<Draft> {
    let head = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    // No field's name holds one of these, so that the header tells the delimiter.
    let delimiter = [b',', b';', b'\t'].into_iter().find(|mark| head.contains(mark)).unwrap_or(b',');
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(text);
    let (mut drafts, mut header) = (Vec::new(), None::<Vec<String>>);
    let mut record = ByteRecord::new();
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(false) => return drafts,
            Ok(true) => {}
            Err(error) => {
                drafts.push(Draft { place: "CSV".to_owned(), fields: Err(vec![error.to_string()]) });
                return drafts;
            }
        }
        let place = format!("line {}", line_of(text, &record));
        match &header {
            Some(names) => drafts.push(Draft { place, fields: read_cells(names, &record) }),
            None => match read_header(&record) {
                Ok(names) => header = Some(names),
                // Without a header nothing below it can be told.
                Err(faults) => return vec![Draft { place, fields: Err(faults) }],
            },
        }
    }
}

/// The line on which a record starts. The reader's own count is that of the blank lines before it.
fn line_of(text: &[u8], record: &ByteRecord) -> u64 {
    let Some(position) = record.position() else { return 0 };
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let blank = text.get(start..).unwrap_or_default().iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
    position.line() + blank.filter(|byte| **byte == b'\n').count() as u64
}

fn read_header(record: &ByteRecord) -> Result<Vec<String>, Vec<String>> {
    let names: Vec<String> = record.iter().map(|cell| String::from_utf8_lossy(cell).trim().to_owned()).collect();
    let known = FIELDS.iter().chain(&CONTROL_COLUMNS);
    let mut faults = Vec::new();
    for (index, name) in names.iter().enumerate() {
        if !known.clone().any(|field| field == name) {
            let nearest = known.clone().min_by_key(|field| strsim::damerau_levenshtein(field, name));
            let hint = match nearest {
                Some(field) if strsim::damerau_levenshtein(field, name) <= 2 => format!(", did you mean {field}?"),
                _ => format!("; the fields are {}, {CONTROL}.rows, {CONTROL}.balance_sum", FIELDS.join(", ")),
            };
            faults.push(format!("column {name:?} is not a message field{hint}"));
        } else if names[..index].iter().any(|earlier| plain(earlier) == plain(name)) {
            faults.push(format!("column {name:?} is there twice"));
        }
    }
    if faults.is_empty() { Ok(names) } else { Err(faults) }
}

/// A column's name with the one way to write `control`'s.
fn plain(name: &str) -> String {
    name.replacen("control_", "control.", 1)
}

fn read_cells(names: &[String], record: &ByteRecord) -> Result<Map<String, Value>, Vec<String>> {
    let mut faults = Vec::new();
    if record.len() != names.len() {
        faults.push(format!("has {} cells, the header has {}", record.len(), names.len()));
    }
    let (mut fields, mut control) = (Map::new(), Map::new());
    for (name, cell) in names.iter().zip(record) {
        let Ok(cell) = std::str::from_utf8(cell) else {
            faults.push(format!("{name}: is not UTF-8"));
            continue;
        };
        let cell = cell.trim();
        if cell.contains('\n') {
            faults.push(format!("{name}: holds a line break; is a quote left open?"));
        }
        if cell.is_empty() || cell.contains('\n') {
            continue;
        }
        let value = Value::String(cell.to_owned());
        match plain(name).as_str() {
            "control.rows" => {
                // What is not a number stays a text, and the message's check names the fault.
                control.insert("rows".to_owned(), cell.parse().map_or(value, |n: u64| Value::Number(Number::from(n))));
            }
            "control.balance_sum" => {
                control.insert("balance_sum".to_owned(), value);
            }
            field if BOOLEANS.contains(&field) => {
                let read = cell.to_ascii_lowercase().parse().map_or(value, Value::Bool);
                fields.insert(field.to_owned(), read);
            }
            field => {
                fields.insert(field.to_owned(), value);
            }
        }
    }
    if !control.is_empty() {
        fields.insert(CONTROL.to_owned(), Value::Object(control));
    }
    if faults.is_empty() { Ok(fields) } else { Err(faults) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(drafts: &[Draft]) -> String {
        let lines = drafts.iter().flat_map(|Draft { place, fields }| match fields {
            Ok(fields) => vec![format!("{place} {}", Value::Object(fields.clone()))],
            Err(faults) => faults.iter().map(|fault| format!("{place}: {fault}")).collect(),
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn csv_cells_become_fields_of_their_types() {
        let text = "file,entity,period,force,reason,control.rows,control_balance_sum\r\n\
                    a.csv,A,2022-06,,,501,-1.50\r\n\r\n\"b, c.csv\",B,2022-06,TRUE,late,,\r\n";
        insta::assert_snapshot!(shown(&read_csv(text.as_bytes())), @r#"
        line 2 {"control":{"balance_sum":"-1.50","rows":501},"entity":"A","file":"a.csv","period":"2022-06"}
        line 4 {"entity":"B","file":"b, c.csv","force":true,"period":"2022-06","reason":"late"}
        "#);
        let semicolons = shown(&read_csv(b"file;entity;period\na;A;2022-06"));
        assert_eq!(semicolons, r#"line 2 {"entity":"A","file":"a","period":"2022-06"}"#);
    }

    #[test]
    fn every_fault_of_a_csv_manifest_is_told_with_its_line() {
        insta::assert_snapshot!(shown(&read_csv(b"file,entty,period,period,x")), @r#"
        line 1: column "entty" is not a message field, did you mean entity?
        line 1: column "period" is there twice
        line 1: column "x" is not a message field; the fields are file, entity, period, job_id, batch_id, sha256, exported_at, source, mode, on_error, skip_duplicates, force, reason, require_balanced, control.rows, control.balance_sum
        "#);
        insta::assert_snapshot!(shown(&read_csv(b"file,entity,period\na,A\n\n\xff,B,2022-06\n\"c,C,2022-06\nd,D,2022-06\n")), @r"
        line 2: has 2 cells, the header has 3
        line 4: file: is not UTF-8
        line 5: has 1 cells, the header has 3
        line 5: file: holds a line break; is a quote left open?
        ");
    }

    #[test]
    fn json_lines_are_read_one_by_one() {
        let text = b"{\"file\": \"a\", \"force\": \"yes\"}\r\n\n[1]\n{\"a\": 1, \"a\": 2}\n{";
        insta::assert_snapshot!(shown(&read_json_lines(text)), @r#"
        line 1 {"file":"a","force":"yes"}
        line 3: is not a JSON object: invalid type: sequence, expected a JSON object at column 0
        line 4: a: is given more than once
        line 5: is not a JSON object: EOF while parsing an object at column 1
        "#);
    }
}
