//! The names of a header's columns.

use std::collections::{HashMap, HashSet};

use crate::file::{columns::key_of, mapping_profile::RepeatedHeaders};

/// Bytes of a text in JSON, with its quotes.
pub(super) fn json_bytes(text: &str) -> usize {
    let bytes = text.bytes().map(|byte| match byte {
        b'"' | b'\\' => 2,
        byte if byte.is_ascii_control() => 6,
        _ => 1,
    });
    2 + bytes.sum::<usize>()
}

/// The names of a header's cells, and those that stand twice.
pub(super) fn names(cells: &[String], repeated: RepeatedHeaders) -> (Vec<String>, Vec<String>) {
    let by_left = if repeated == RepeatedHeaders::Left { by_left(cells) } else { Vec::new() };
    let cells = if by_left.is_empty() { cells } else { &by_left };
    let (mut names, mut twice) = (Vec::with_capacity(cells.len()), Vec::new());
    let mut told: HashSet<String> = HashSet::new();
    let mut taken: HashSet<String> = HashSet::with_capacity(cells.len());
    // By each key how often it stands so far, and the last number that was given to one of its names.
    let mut numbers: HashMap<String, (usize, usize)> = HashMap::with_capacity(cells.len());
    for (place, cell) in cells.iter().enumerate() {
        let name = match cell.split_whitespace().next() {
            None => format!("column_{}", place + 1),
            Some(_) => cell.trim().trim_matches('\u{feff}').to_owned(),
        };
        let key = key_of(&name);
        let (before, last) = numbers.entry(key.clone()).or_default();
        let name = match repeated {
            RepeatedHeaders::Number | RepeatedHeaders::Left if *before > 0 || taken.contains(&key) => {
                let mut number = (*before).max(*last).max(1) + 1;
                while taken.contains(&key_of(&format!("{name} ({number})"))) {
                    number += 1;
                }
                *last = number;
                format!("{name} ({number})")
            }
            RepeatedHeaders::Refuse if *before > 0 && told.insert(name.clone()) => {
                twice.push(name.clone());
                name
            }
            RepeatedHeaders::Number | RepeatedHeaders::Left | RepeatedHeaders::Refuse => name,
        };
        *before += 1;
        taken.insert(key_of(&name));
        names.push(name);
    }
    (names, twice)
}

/// The cells, of which those that stand several times are called by the one on their left.
fn by_left(cells: &[String]) -> Vec<String> {
    let mut times: HashMap<String, usize> = HashMap::with_capacity(cells.len());
    for cell in cells {
        *times.entry(key_of(cell)).or_default() += 1;
    }
    let left = |place: usize| place.checked_sub(1).and_then(|left| cells.get(left)).map_or("", |cell| cell.trim());
    let named = cells.iter().enumerate().map(|(place, cell)| match (cell.trim(), left(place)) {
        (own, left) if !own.is_empty() && !left.is_empty() && times.get(&key_of(cell)) > Some(&1) => {
            format!("{own} ({left})")
        }
        _ => cell.clone(),
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{
        file::{columns::REQUIRED, layout::Layout, mapping_profile::MappingProfile},
        message::failure::ErrorCode,
    };

    fn numbered(cells: &[&str]) -> Vec<String> {
        let cells: Vec<String> = cells.iter().map(|cell| (*cell).to_owned()).collect();
        names(&cells, RepeatedHeaders::Number).0
    }

    #[test]
    fn each_repeated_header_gets_the_first_number_that_is_free() {
        assert_eq!(numbered(&["a", "A", "b", "a"]), ["a", "A (2)", "b", "a (3)"]);
        assert_eq!(numbered(&["a (2)", "a", "a", "a"]), ["a (2)", "a", "a (3)", "a (4)"]);
        assert_eq!(numbered(&["a", "a", "a (2)"]), ["a", "a (2)", "a (2) (2)"]);
        assert_eq!(numbered(&["", " ", "column_2"]), ["column_1", "column_2", "column_2 (2)"]);
    }

    #[test]
    fn repeated_headers_may_be_called_by_those_on_their_left() {
        let named = |cells: &[&str]| {
            let cells: Vec<String> = cells.iter().map(|cell| (*cell).to_owned()).collect();
            names(&cells, RepeatedHeaders::Left).0
        };
        assert_eq!(named(&["EB", "S/H", "Saldo", "s/h"]), ["EB", "S/H (EB)", "Saldo", "s/h (Saldo)"]);
        assert_eq!(named(&["Saldo", "S/H", "EB", "S/H"]), ["Saldo", "S/H (Saldo)", "EB", "S/H (EB)"]);
        assert_eq!(named(&["a", "b", "a", "b"]), ["a", "b (a)", "a (b)", "b (a) (2)"]);
        assert_eq!(named(&["", "x", "y"]), ["column_1", "x", "y"]);
    }

    #[test]
    fn names_that_each_row_would_repeat_are_bounded() {
        let layout = |length: usize, count: usize| {
            let cells = REQUIRED.into_iter().map(str::to_owned);
            let cells: Vec<String> =
                cells.chain((0..count).map(|n| format!("{n}{}", "\u{1}".repeat(length)))).collect();
            Layout::new(&MappingProfile::default(), &cells).map_err(|failure| failure.code).map(|_| ())
        };
        assert_eq!(layout(200, 100), Ok(()));
        assert_eq!(layout(200, 1_000), Err(ErrorCode::FileTooLarge));
    }

    /// A hundred times what it takes, and far below what it took when each name was compared with all others.
    #[test]
    fn names_take_a_time_that_grows_with_their_number_alone() {
        const MANY: usize = 60_000;
        let began = Instant::now();
        let same = vec!["Soll".to_owned(); MANY];
        assert_eq!(names(&same, RepeatedHeaders::Number).0.last().unwrap(), &format!("Soll ({MANY})"));
        let (taken, same): (Vec<String>, Vec<String>) =
            (2..MANY / 2).map(|number| (format!("a ({number})"), "a".to_owned())).unzip();
        let all: HashSet<_> = names(&[taken, same].concat(), RepeatedHeaders::Number).0.into_iter().collect();
        assert_eq!(all.len(), 2 * (MANY / 2 - 2));
        let pairs: Vec<String> = (0..MANY).map(|place| format!("c{}", place / 2)).collect();
        assert_eq!(names(&pairs, RepeatedHeaders::Refuse).1.len(), MANY / 2);

        let mut profile = MappingProfile::default();
        profile.text.column_names = (0..MANY).map(|place| format!("c{place}")).collect();
        let error = Layout::new(&profile, &profile.text.column_names).unwrap_err();
        assert_eq!(error.schema.unwrap().extra_columns.len(), MANY);
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    }
}
