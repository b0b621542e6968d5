//! Texts of others, made harmless: for a terminal, which acts on control characters, and for whoever reads.
//!
//! An escaped character is written as `\u001b`. JSON and TOML read that as the character itself, so that a
//! document stays the same document.

use std::borrow::Cow;

/// The schemes of URLs that may hold a password.
const SCHEMES: [&str; 8] =
    ["amqp://", "amqps://", "postgres://", "postgresql://", "mongodb://", "mongodb+srv://", "http://", "https://"];

/// A text in one line: line breaks and tabs are escaped, too.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, acts)
}

/// A text of several lines, or a JSON document.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| acts(c) && c != '\n')
}

/// At most so many characters of a text in one line.
pub fn shortened(text: &str, limit: usize) -> String {
    let mut line: String = text.chars().take(limit).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(limit).is_some() {
        line.push('…');
    }
    line
}

/// Whether a terminal acts on the character, or shows what follows in another order.
fn acts(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(text: &str, acts: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&acts) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if acts(c) {
            clean.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            clean.push(c);
        }
    }
    Cow::Owned(clean)
}

/// A text without what stands before the `@` of the services' URLs in it.
pub fn without_passwords(text: &str) -> Cow<'_, str> {
    let mut clean = String::new();
    let mut rest = text;
    while let Some((before, address)) = next_address(rest) {
        let end = address.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`'));
        let (address, after) = address.split_at(end.unwrap_or(address.len()));
        clean.push_str(before);
        match address.rsplit_once('@') {
            Some((_, place)) => {
                clean.push_str("…@");
                clean.push_str(place);
            }
            None => clean.push_str(address),
        }
        rest = after;
    }
    if clean.is_empty() {
        return Cow::Borrowed(text);
    }
    clean.push_str(rest);
    Cow::Owned(clean)
}

/// A text up to the end of the first scheme in it, and what follows.
fn next_address(text: &str) -> Option<(&str, &str)> {
    let ends = SCHEMES.iter().filter_map(|scheme| Some(text.find(scheme)? + scheme.len()));
    text.split_at_checked(ends.min()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_reaches_a_terminal_that_it_would_act_on() {
        let hostile = "a\u{1b}]0;x\u{7}b\u{9b}2J\u{202e}c\u{7f}\r\nd\te";
        assert_eq!(line(hostile), "a\\u001b]0;x\\u0007b\\u009b2J\\u202ec\\u007f\\u000d\\u000ad\\u0009e");
        assert_eq!(lines("a\nb\u{1b}"), "a\nb\\u001b");
        for fine in ["Kasse 1000 €", "حساب", "日本語", "ÄÖÜ"] {
            assert!(matches!(line(fine), Cow::Borrowed(_)), "{fine}");
        }
    }

    #[test]
    fn a_json_document_stays_the_same_document() {
        let value = serde_json::json!({"a\u{9b}": "\\\u{202e}\u{1b}\u{85}\"\n", "b": ["\u{7f}"]});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let clean = lines(&text);
        assert!(!clean.contains(|c| acts(c) && c != '\n'), "{clean}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&clean).unwrap(), value);
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        let told = without_passwords("cannot use 'amqp://u:se/cr@et@h:1/v', nor http://x/y or postgres://u:secret@h");
        assert_eq!(told, "cannot use 'amqp://…@h:1/v', nor http://x/y or postgres://…@h");
        assert_eq!(without_passwords("a@b and s3://c/d@e"), "a@b and s3://c/d@e");
    }
}
