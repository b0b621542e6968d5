//! A place in a list that is ordered by time, the newest first: what a page begins behind.

use std::{borrow::Cow, fmt, str::FromStr};

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use uuid::Uuid;

/// A time, to the microsecond that PostgreSQL keeps, and who stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) at: DateTime<Utc>,
    pub(crate) id: Uuid,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.at.to_rfc3339_opts(SecondsFormat::Micros, true), self.id)
    }
}

/// The text is not a place.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a place: a time, _ and an identity")]
pub(crate) struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (at, id) = text.split_once('_').ok_or(NoPlace)?;
        let at = DateTime::parse_from_rfc3339(at).map_err(|_| NoPlace)?;
        Ok(Self { at: at.to_utc(), id: id.parse().map_err(|_| NoPlace)? })
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Place {
    fn schema_name() -> Cow<'static, str> {
        "Place".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": "string", "description": "what a page begins behind: a time, _ and an identity"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written_to_the_microsecond() {
        let at = DateTime::from_timestamp_micros(1_656_655_200_123_456).unwrap();
        let place = Place { at, id: Uuid::from_u128(7) };
        assert_eq!(place.to_string(), "2022-07-01T06:00:00.123456Z_00000000-0000-0000-0000-000000000007");
        assert_eq!(place.to_string().parse(), Ok(place));
        for wrong in
            ["", "2022-07-01T06:00:00Z", "7_2022-07-01T06:00:00Z", "2022-07-01_00000000-0000-0000-0000-000000000007"]
        {
            assert_eq!(wrong.parse::<Place>(), Err(NoPlace), "{wrong}");
        }
    }
}
