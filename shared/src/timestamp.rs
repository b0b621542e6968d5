//! Times as texts: RFC 3339 in UTC, with the precision of whoever keeps them.

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};

/// Cuts a time to the microsecond, the precision that PostgreSQL keeps.
pub fn to_micros(at: DateTime<Utc>) -> DateTime<Utc> {
    at.trunc_subsecs(6)
}

/// With microseconds: the times that order exports, in headers and messages.
pub fn micros_text(at: DateTime<Utc>) -> String {
    to_micros(at).to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// With milliseconds, the precision that MongoDB keeps: the times of audit events.
pub fn millis_text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
