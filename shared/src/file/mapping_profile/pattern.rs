//! Regular expressions in a mapping profile.

use regex::Regex;
use serde::{Deserialize, Serialize};

/// A regular expression in the syntax of the regex crate, which is matched in linear time.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(pub Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let built = regex::RegexBuilder::new(&text).size_limit(1 << 20).build();
        built.map(Self).map_err(|error| format!("{text:?} is not a regular expression: {error}"))
    }
}

impl From<Pattern> for String {
    fn from(value: Pattern) -> String {
        value.0.as_str().to_owned()
    }
}
