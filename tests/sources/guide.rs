//! The guide names every key of a profile with its default, and its examples are profiles.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shared::{
    file::mapping_profile::{MappingProfile, PeriodFormat},
    message::job::DEFAULT_SOURCE,
};

use crate::{folder, sources};

/// What stands in the guide where a key has no default of its own.
const NO_DEFAULT: &str = "none";

/// A table of the guide: the heading above it, how to be told its keys, and the default of each key.
struct KeyTable {
    heading: &'static str,
    /// A profile that has the unknown key `zzz` there; the refusal names the known ones.
    unknown: &'static str,
    /// Where the defaults stand in the default profile, if they do.
    defaults: Option<&'static str>,
}

const TABLES: [KeyTable; 7] = [
    KeyTable { heading: "## The profile itself", unknown: "zzz = 1", defaults: Some("") },
    KeyTable { heading: "## `[text]`", unknown: "[text]\nzzz = 1", defaults: Some("/text") },
    KeyTable { heading: "## `[rows]`", unknown: "[rows]\nzzz = 1", defaults: Some("/rows") },
    KeyTable { heading: "### A condition", unknown: "[rows]\nkeep = [{ zzz = 1 }]", defaults: None },
    KeyTable { heading: "## `[amounts]`", unknown: "[amounts]\nzzz = 1", defaults: Some("/amounts") },
    KeyTable { heading: "## `[balance]` and `[balance_carryforward]`", unknown: "[balance]\nzzz = 1", defaults: None },
    KeyTable { heading: "### A column's table", unknown: "[columns]\nstatus = { zzz = 1 }", defaults: None },
];
const COLUMNS: &str = "## `[columns]`";

fn guide() -> String {
    std::fs::read_to_string(folder().join("README.md")).expect("the guide")
}

fn parse(toml: &str) -> Result<MappingProfile, String> {
    MappingProfile::parse("guide".parse().expect("a name"), toml).map_err(|invalid| invalid.to_string())
}

/// The keys that a refusal names.
fn known(unknown: &str) -> BTreeSet<String> {
    let refusal = parse(unknown).expect_err("an unknown key");
    let (_, list) = refusal.split_once("expected one of ").unwrap_or_else(|| panic!("{refusal}"));
    list.split(", ").map(|key| key.trim_matches('`').to_owned()).collect()
}

/// The first two cells of each row of the first table below a heading: the keys and their defaults.
fn rows<'a>(guide: &'a str, heading: &str) -> Vec<(&'a str, &'a str)> {
    let lines = guide.lines().skip_while(|line| *line != heading);
    let table: Vec<&str> =
        lines.skip(1).skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).collect();
    assert!(table.len() > 2, "the guide has no table below {heading}");
    let cells = |line: &'a str| {
        let mut cells = line.trim_matches('|').split(" | ").map(str::trim);
        (cells.next().expect("a key").trim_matches('`'), cells.next().expect("a second cell"))
    };
    table[2..].iter().map(|line| cells(line)).collect()
}

/// The guide's examples.
fn examples(guide: &str) -> Vec<&str> {
    guide.split("```toml\n").skip(1).map(|rest| rest.split("```").next().expect("an example")).collect()
}

#[test]
fn the_guides_tables_name_the_keys_that_exist_and_no_others() {
    let guide = guide();
    for table in TABLES {
        let named: BTreeSet<String> = rows(&guide, table.heading).iter().map(|(key, _)| (*key).to_owned()).collect();
        assert_eq!(named, known(table.unknown), "{}", table.heading);
    }
    let columns: BTreeSet<String> = rows(&guide, COLUMNS).iter().map(|(key, _)| (*key).to_owned()).collect();
    assert_eq!(columns, known("[columns]\nzzz = 1"), "{COLUMNS}");
}

#[test]
fn the_guides_defaults_are_those_of_the_profile() {
    let (guide, defaults) = (guide(), serde_json::to_value(MappingProfile::default()).unwrap());
    for table in TABLES {
        let Some(place) = table.defaults else { continue };
        for (key, written) in rows(&guide, table.heading) {
            // The description is not kept, and tables have tables of their own.
            let Some(value) = defaults.pointer(&format!("{place}/{key}")).filter(|value| !value.is_object()) else {
                continue;
            };
            let text = written.trim_matches('`');
            let told = match text {
                NO_DEFAULT => Value::Null,
                _ => {
                    let parsed: BTreeMap<String, toml::Value> = toml::from_str(&format!("it = {text}"))
                        .unwrap_or_else(|error| panic!("{key} of {}: {written}: {error}", table.heading));
                    serde_json::to_value(&parsed["it"]).unwrap()
                }
            };
            assert_eq!(told, *value, "{key} of {}", table.heading);
        }
    }
}

#[test]
fn the_guides_examples_are_profiles_and_show_every_key() {
    let guide = guide();
    let mut shown: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let examples = examples(&guide);
    assert!(!examples.is_empty());
    for example in examples {
        parse(example).unwrap_or_else(|fault| panic!("{fault} in the example\n{example}"));
        let table: toml::Table = toml::from_str(example).unwrap();
        show(&mut shown, "## The profile itself", &table);
        for (key, value) in &table {
            match (key.as_str(), value) {
                ("text", toml::Value::Table(text)) => show(&mut shown, "## `[text]`", text),
                ("amounts", toml::Value::Table(amounts)) => show(&mut shown, "## `[amounts]`", amounts),
                ("balance" | "balance_carryforward", toml::Value::Table(balance)) => {
                    show(&mut shown, "## `[balance]` and `[balance_carryforward]`", balance);
                }
                ("rows", toml::Value::Table(rows)) => {
                    show(&mut shown, "## `[rows]`", rows);
                    let conditions = rows.values().filter_map(toml::Value::as_array).flatten();
                    conditions.filter_map(toml::Value::as_table).for_each(|it| show(&mut shown, "### A condition", it));
                }
                ("columns", toml::Value::Table(columns)) => {
                    let rules = columns.values().filter_map(toml::Value::as_table);
                    rules.for_each(|rule| show(&mut shown, "### A column's table", rule));
                }
                _ => {}
            }
        }
    }
    for table in TABLES {
        let missing: Vec<String> = known(table.unknown).difference(&shown[table.heading]).cloned().collect();
        assert!(missing.is_empty(), "no example shows {missing:?} of {}", table.heading);
    }
}

#[test]
fn the_guide_lists_every_profile_that_is_shipped() {
    let guide = guide();
    let listed: BTreeSet<String> =
        rows(&guide, "## The profiles that are here").iter().map(|(name, _)| (*name).to_owned()).collect();
    let shipped = sources().names().into_iter().map(|name| name.to_string()).filter(|name| name != DEFAULT_SOURCE);
    assert_eq!(listed, shipped.collect());
}

#[test]
fn the_guides_encodings_are_known_and_its_formats_read_june_2022() {
    let guide = guide();
    for (names, notes) in rows(&guide, "### Names of encodings") {
        // The first cell begins with a name, whose first quote is gone.
        let names = names.split('`').step_by(2).chain(notes.split('`').skip(1).step_by(2));
        for name in names.filter(|name| !name.is_empty()) {
            parse(&format!("[text]\nencoding = '{name}'")).unwrap_or_else(|fault| panic!("{fault}"));
        }
    }
    for (format, text) in rows(&guide, "### Examples of formats") {
        let read = PeriodFormat::new(format, &[], 0).unwrap().read(text.trim_matches('`'));
        assert_eq!(read.as_deref(), Some("2022-06"), "{format} {text}");
    }
}

fn show(shown: &mut BTreeMap<&'static str, BTreeSet<String>>, heading: &'static str, table: &toml::Table) {
    shown.entry(heading).or_default().extend(table.keys().cloned());
}
