//! The cause of a dead letter as a person would name it, by which letters are grouped.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Letter;

/// Characters of a cause.
const LONGEST: usize = 300;
/// What stands for figures, names and places of one job.
const FIGURE: &str = "#";

/// What letters of one group have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Names the group: twelve hexadecimal digits, the same wherever they are computed.
    pub group_id: String,
    /// The error code.
    pub code: String,
    /// The stage.
    pub stage: Option<String>,
    /// The mapping profile that the message names.
    pub source: Option<String>,
    /// The message without what differs from job to job.
    pub text: String,
}

impl Cause {
    /// The cause of a letter.
    pub(super) fn of(letter: &Letter) -> Self {
        let Letter { code, stage, source, .. } = letter;
        let text = letter.message.as_deref().map_or_else(|| code.clone(), |message| generalized(message, letter));
        let mut hash = Sha256::new();
        for part in [code.as_str(), stage.as_deref().unwrap_or("-"), source.as_deref().unwrap_or("-"), &text] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let group_id = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self { group_id, code: code.clone(), stage: stage.clone(), source: source.clone(), text }
    }
}

/// A message without the figures, the quoted texts, the file and the slice of its job. Runs of them become one.
fn generalized(message: &str, letter: &Letter) -> String {
    let mut text = String::new();
    let mut was_figure = false;
    for word in words(message) {
        let word = general(word, letter);
        let is_figure = word.trim_end_matches([',', ';']) == FIGURE;
        if was_figure && (is_figure || word == "and" || word == "…") {
            // A list of figures is as long as its job makes it.
            text.truncate(text.trim_end_matches(',').len());
            continue;
        }
        was_figure = is_figure;
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&word);
    }
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    }
}

/// Words between spaces; what stands in double quotes is one, with whatever touches them.
fn words(message: &str) -> impl Iterator<Item = &str> {
    let mut rest = message.trim_start();
    std::iter::from_fn(move || {
        let mut is_quoted = false;
        let end = rest.find(|c: char| {
            is_quoted ^= c == '"';
            c.is_whitespace() && !is_quoted
        });
        let (word, after) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        rest = after.trim_start();
        (!word.is_empty()).then_some(word)
    })
}

fn general(word: &str, letter: &Letter) -> String {
    let is_mark = |c: char| !c.is_alphanumeric() && !matches!(c, '/' | '"' | '#' | '-' | '+');
    let core = word.trim_matches(is_mark);
    let Some(start) = word.find(core).filter(|_| !core.is_empty()) else { return word.to_owned() };
    let (before, after) = (word.get(..start).unwrap_or_default(), word.get(start + core.len()..).unwrap_or_default());
    let is = |own: &Option<String>| own.as_deref().is_some_and(|own| own == core);
    let is_place = core.contains('/') && core.len() > 1 || is(&letter.file);
    let general = if is(&letter.entity) || is(&letter.period) || is_place || is_identity(core) {
        FIGURE.to_owned()
    } else if let Some((name, _)) = core.split_once('"') {
        format!("{name}\"{FIGURE}\"")
    } else {
        without_figures(core)
    };
    format!("{before}{general}{after}")
}

/// Whether it is a hash or a UUID, or has one between its dots.
fn is_identity(word: &str) -> bool {
    word.split('.').any(|part| part.len() >= 32 && part.chars().all(|c| c.is_ascii_hexdigit() || c == '-'))
}

/// A word with one mark for each run of digits, with its sign and what stands between two of them.
fn without_figures(word: &str) -> String {
    let is_joint = |c: char| matches!(c, '.' | ',' | ':' | '-' | '+' | 'T' | 'Z');
    let mut text = String::new();
    let mut rest = word;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, figures) = rest.split_at_checked(start).unwrap_or((rest, ""));
        text.push_str(before.strip_suffix(['-', '+']).unwrap_or(before));
        text.push_str(FIGURE);
        let end = figures.find(|c: char| !c.is_ascii_digit() && !is_joint(c)).unwrap_or(figures.len());
        let run = figures.get(..end).unwrap_or_default();
        // What joins nothing belongs to what follows, except the zone of a time.
        let run = run.strip_suffix('Z').filter(|run| run.contains('T')).map_or(run.trim_end_matches(is_joint), |_| run);
        rest = figures.get(run.len()..).unwrap_or_default();
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::{super::tests::letter, *};

    fn cause(message: &str) -> String {
        let letter = Letter { message: Some(message.to_owned()), ..letter(1, "ABEX", "row_invalid", 1, 0) };
        Cause::of(&letter).text
    }

    #[test]
    fn a_cause_is_the_message_without_what_differs_from_job_to_job() {
        for (message, expected) in [
            ("3 rows are bad; line 12, balance: is not an amount", "# rows are bad; line #, balance: is not an amount"),
            (
                "the file's SHA-256 is aa00000000000000000000000000000000000000000000000000000000000000, the message says bb",
                "the file's SHA# is #, the message says bb",
            ),
            ("account 4711-X stands on lines 3, 5 and 19", "account #-X stands on lines #"),
            ("the file has no row of ABEX 2022-06; it has 3 others", "the file has no row of # it has # others"),
            ("/in/ABEX.csv is not there (yet)", "# is not there (yet)"),
            ("column \"Kto 10\" is missing", "column \"#\" is missing"),
            ("is 1,234.50 and not -99.00", "is # not #"),
            ("an export of 2022-07-01T06:00:00Z has been seen", "an export of # has been seen"),
        ] {
            assert_eq!(cause(message), expected, "{message}");
        }
        assert_eq!(cause(&"x".repeat(5000)).len(), LONGEST);
    }

    #[test]
    fn letters_that_differ_in_their_figures_alone_are_of_one_group() {
        let of = |entity: &str, message: &str| {
            Cause::of(&Letter { message: Some(message.to_owned()), ..letter(1, entity, "row_invalid", 1, 0) }).group_id
        };
        assert_eq!(of("A", "2 rows of A are bad"), of("B", "17 rows of B are bad"));
        assert_ne!(of("A", "2 rows are bad"), of("A", "2 rows are good"));
        assert_eq!(of("A", "x").len(), 12);
    }
}
