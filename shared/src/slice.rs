//! The slice: one legal entity in one period, the unit that every rule is about.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The pattern of an entity's code.
pub const ENTITY_PATTERN: &str = "^[A-Z0-9][A-Z0-9_.-]{0,31}$";
/// The pattern of a period.
pub const PERIOD_PATTERN: &str = "^[0-9]{4}-(0[1-9]|1[0-6])$";

/// A text that is not a valid code, with what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidCode(pub &'static str);

/// A legal entity's code: `[A-Z0-9][A-Z0-9_.-]{0,31}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Entity(String);

impl Entity {
    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Entity {
    type Err = InvalidCode;

    fn from_str(text: &str) -> Result<Self, InvalidCode> {
        let first = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
        let rest = |b: u8| first(b) || matches!(b, b'_' | b'.' | b'-');
        match text.as_bytes() {
            [head, tail @ ..] if first(*head) && tail.len() < 32 && tail.iter().all(|b| rest(*b)) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(InvalidCode("an entity is 1 to 32 of A-Z, 0-9, '_', '.', '-' and starts with a letter or digit")),
        }
    }
}

/// A month `01`–`12`, or a special closing period `13`–`16`, of a year: `YYYY-MM`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(String);

impl Period {
    /// The period as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Period {
    type Err = InvalidCode;

    fn from_str(text: &str) -> Result<Self, InvalidCode> {
        let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
        match text.as_bytes() {
            [year @ .., b'-', tens, ones]
                if year.len() == 4
                    && digits(year)
                    && digits(&[*tens, *ones])
                    && (1..=16).contains(&((tens - b'0') * 10 + (ones - b'0'))) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(InvalidCode("a period is YYYY-MM with MM from 01 to 16")),
        }
    }
}

macro_rules! text_type {
    ($type:ident, $name:literal, $pattern:expr, $example:literal) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidCode;

            fn try_from(text: String) -> Result<Self, InvalidCode> {
                text.parse()
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "examples": [$example]})
            }
        }
    };
}
text_type!(Entity, "Entity", ENTITY_PATTERN, "ABEX");
text_type!(Period, "Period", PERIOD_PATTERN, "2022-06");

/// One (entity, period).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slice {
    /// The legal entity.
    pub entity: Entity,
    /// The period.
    pub period: Period,
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.entity, self.period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_is_a_code_of_at_most_32_characters() {
        for good in ["ABEX", "0", "A_.-", &"A".repeat(32)] {
            assert!(good.parse::<Entity>().is_ok(), "{good}");
        }
        for bad in ["", "abex", "-A", "_A", "A B", "Ä", "A/B", "A\n", &"A".repeat(33)] {
            assert!(bad.parse::<Entity>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_period_has_a_month_or_a_closing_period() {
        for good in ["2022-06", "2022-01", "2022-13", "2022-16", "0000-12"] {
            assert!(good.parse::<Period>().is_ok(), "{good}");
        }
        for bad in ["", "2022-00", "2022-17", "2022-6", "22-06", "2022/06", "2022-06 ", "２022-06", "202é-06"] {
            assert!(bad.parse::<Period>().is_err(), "{bad:?}");
        }
    }
}
