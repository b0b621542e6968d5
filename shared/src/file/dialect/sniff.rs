//! What tells a delimiter and a header, where the profile says neither.

use std::collections::HashSet;

use super::{SAMPLE, SEARCHED, format, holds_all, joined, wanted};
use crate::file::{
    columns::{REQUIRED, key_of},
    layout::expected_names,
    mapping_profile::{HeaderLine, MappingProfile, TextFormat},
    records::{RecordFormat, RecordLimits, Records},
};

/// Delimiters that are found out; a tie goes to the first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Finds the delimiter and how many records stand before the header; without a header, how many columns
/// the first record has.
pub(super) fn sniff(sample: &[u8], profile: &MappingProfile) -> (u8, usize) {
    let text = &profile.text;
    let expected = expected_names(profile);
    let candidates = match text.delimiter {
        Some(delimiter) => vec![delimiter.0],
        None => DELIMITERS.to_vec(),
    };
    let mut best: Option<(usize, u8, usize)> = None;
    for delimiter in candidates {
        if best.is_some_and(|(highest, ..)| cannot_beat(highest, sample, delimiter, text)) {
            continue;
        }
        let records = first_records(sample, format(text, delimiter), profile);
        let (score, place) = match text.header {
            HeaderLine::Absent => {
                let width = records.first().map_or(0, Vec::len);
                let columns = header_place(profile, &records);
                let alike = records.iter().take(20).filter(|record| record.len() == width).count();
                (if width > 1 { width * alike } else { 0 }, columns)
            }
            HeaderLine::Present | HeaderLine::Assumed if !text.header_contains.is_empty() => {
                let wanted = wanted(text);
                let found = |cells: &Vec<String>| holds_all(cells.iter().map(String::as_str), &wanted);
                (usize::from(records.iter().any(found)) * 1000, 0)
            }
            HeaderLine::Present | HeaderLine::Assumed => {
                let place = header_place(profile, &records);
                let mut rows = records.iter().skip(place).take(text.header_rows.0.into());
                let first = rows.next().cloned().unwrap_or_default();
                // What is too long is told of when the header is read.
                let header = rows.try_fold(first, |header, row| joined(&header, row)).unwrap_or_default();
                (known(&header, &expected), place)
            }
        };
        if best.is_none_or(|(highest, ..)| score > highest) {
            best = Some((score, delimiter, place));
        }
    }
    best.map_or((DELIMITERS[0], 0), |(_, delimiter, place)| (delimiter, place))
}

/// Whether a delimiter stands in the sample too seldom to make more known cells than an earlier one made.
fn cannot_beat(highest: usize, sample: &[u8], delimiter: u8, text: &TextFormat) -> bool {
    text.header != HeaderLine::Absent
        && text.header_contains.is_empty()
        && memchr::memchr_iter(delimiter, sample).count() < highest
}

/// How many records stand before the header: none, but that the built-in profile passes over title
/// lines if a record below them has all required columns.
pub(super) fn header_place(profile: &MappingProfile, records: &[Vec<String>]) -> usize {
    match profile.text.header {
        HeaderLine::Absent => return records.first().map_or(0, |cells| columns_of(cells, &profile.text)),
        HeaderLine::Present | HeaderLine::Assumed if !profile.is_default() => return 0,
        HeaderLine::Present | HeaderLine::Assumed => {}
    }
    records.iter().position(|cells| is_header(cells)).unwrap_or(0)
}

/// Whether a record has all required columns of the built-in profile.
fn is_header(cells: &[String]) -> bool {
    let required = REQUIRED.map(|name| vec![name.to_owned()]);
    cells.len() >= required.len() && holds_all(cells.iter().map(String::as_str), &required)
}

/// How many of the expected names a header has.
fn known(header: &[String], expected: &[String]) -> usize {
    let keys: HashSet<String> = header.iter().map(|cell| key_of(cell)).collect();
    expected.iter().filter(|name| keys.contains(*name)).count()
}

/// The first records of a sample whose end may be cut off, as far as a header is looked for.
fn first_records(sample: &[u8], format: RecordFormat, profile: &MappingProfile) -> Vec<Vec<String>> {
    let text = &profile.text;
    let stands_first = text.header != HeaderLine::Absent && text.header_contains.is_empty() && !profile.is_default();
    let mut searched = if stands_first { text.header_rows.0.into() } else { SEARCHED };
    let is_titled = profile.is_default() && text.header != HeaderLine::Absent && text.header_contains.is_empty();
    let limits = RecordLimits { bytes: SAMPLE + 1, fields: 1 << 16 };
    let valid = match std::str::from_utf8(sample) {
        Ok(_) => sample,
        Err(error) => sample.get(..error.valid_up_to()).unwrap_or_default(),
    };
    let mut records = Records::new(valid, format, limits);
    let mut found = Vec::new();
    while found.len() < searched
        && let Ok(Some(record)) = records.read_record(false)
    {
        let cells: Vec<String> = record.iter().map(str::to_owned).collect();
        if is_titled && searched == SEARCHED && is_header(&cells) {
            searched = found.len() + usize::from(text.header_rows.0);
        }
        found.push(cells);
    }
    found
}

/// How many columns a record has without the blank cells that delimiters at its ends make.
fn columns_of(cells: &[String], text: &TextFormat) -> usize {
    let mut cells = cells;
    if let ([first, rest @ ..], true) = (cells, text.leading_delimiter && cells.len() > 1)
        && first.trim().is_empty()
    {
        cells = rest;
    }
    match cells {
        [rest @ .., last] if text.trailing_delimiter && !rest.is_empty() && last.trim().is_empty() => rest.len(),
        _ => cells.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sniffed(profile: &str, text: &str) -> (u8, usize) {
        let name = if profile.is_empty() { "default" } else { "erp" };
        sniff(text.as_bytes(), &MappingProfile::parse(name.parse().unwrap(), profile).unwrap())
    }

    #[test]
    fn the_delimiter_and_the_header_are_found_behind_what_looks_like_others() {
        let columns = ["entity", "period", "account_code", "account_name", "balance", "bs_pl", "status"];
        for (delimiter, other) in [(",", ";"), (";", ","), ("\t", ","), ("|", ";")] {
            let header = columns.join(delimiter);
            let byte = delimiter.as_bytes()[0];
            // Another delimiter stands in titles and rows as often as this one in the header, and more.
            let many = other.repeat(9);
            assert_eq!(sniffed("", &format!("{header}\nA{many}\n")), (byte, 0));
            assert_eq!(sniffed("", &format!("Trial{many}balance\n{many}\n{header}\nA{many}\n")), (byte, 2));
        }
        let two = "header_rows = 2\n[columns]\naccount_code = \"Konto\"\nbalance = \"Saldo EUR\"\n";
        assert_eq!(sniffed(&format!("[text]\n{two}"), "x,Saldo;Konto\n,,,EUR;\n1,5;10\n").0, b';');
    }

    #[test]
    fn what_a_header_contains_is_looked_for_behind_one_that_the_built_in_profile_would_take() {
        let text =
            "account_code;account_name;balance;entity;period;bs_pl;status\nKonto;Text;Saldo;Ges;Per;Posten;Status\n";
        let profile =
            MappingProfile::parse("default".parse().unwrap(), "[text]\nheader_contains = [\"Posten\"]\n").unwrap();
        assert_eq!(sniff(text.as_bytes(), &profile).0, b';');
    }
}
