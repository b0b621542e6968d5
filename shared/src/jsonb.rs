//! PostgreSQL's `jsonb`, in the one form in which it writes an object of texts.

use std::collections::BTreeMap;

use serde_json::Value;

/// An object of texts as PostgreSQL writes it: shorter names first, those of one length in the order of their bytes,
/// and of several values of one name the last.
pub fn object<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let sorted: BTreeMap<(usize, &str), &str> =
        pairs.into_iter().map(|(name, text)| ((name.len(), name), text)).collect();
    let mut object = String::from("{");
    for ((_, name), text) in sorted {
        if object.len() > 1 {
            object += ", ";
        }
        object += &quoted(name);
        object += ": ";
        object += &quoted(text);
    }
    object + "}"
}

/// The names and texts of an object that holds nothing but texts; none where it holds anything else.
pub fn texts(json: &str) -> Option<BTreeMap<String, String>> {
    let Value::Object(fields) = serde_json::from_str(json).ok()? else { return None };
    let text = |(name, value)| match value {
        Value::String(text) => Some((name, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    };
    fields.into_iter().map(text).collect()
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_written_as_postgresql_does() {
        let written = object([("name", "a \"b\""), ("b", "2\n"), ("a", "\u{1f}é"), ("b", "3")]);
        assert_eq!(written, r#"{"a": "\u001fé", "b": "3", "name": "a \"b\""}"#);
        assert_eq!(object([]), "{}");
    }

    #[test]
    fn what_is_no_object_of_texts_is_told_apart() {
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(texts(r#"{"a": "1", "b": ""}"#), Some(BTreeMap::from([pair("a", "1"), pair("b", "")])));
        for other in [r#"{"a": 1}"#, r#"{"a": null}"#, r#"["a"]"#, "", r#"{"a": {}}"#] {
            assert_eq!(texts(other), None, "{other}");
        }
    }
}
