//! An anchor as a text: a line that says what it is, one for its time, one for each chain, and the signature.
//!
//! The signature is of everything before its line, so that openssl can check it, too.

use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use shared::signature::{PublicKey, SigningKey};

const FIRST: &str = "aura-anchor 1";
const TIME: &str = "taken_at ";
const SIGNATURE: &str = "signature ";

/// The head of a chain: how long it was, and the hash of its last event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) entity: String,
    pub(crate) period: String,
    pub(crate) seq: i64,
    pub(crate) hash: String,
}

/// The heads of all chains at a moment, by PostgreSQL's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) taken_at: DateTime<Utc>,
    pub(crate) heads: Vec<Head>,
}

/// An anchor cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnchorError {
    /// A chain's name cannot stand in a line.
    #[error("a chain is named {0:?}, which no slice is; somebody wrote it into PostgreSQL")]
    Name(String),
    /// It is not one, or was changed so that it cannot be read.
    #[error("this is not an anchor: line {line} {fault}")]
    Form { line: usize, fault: &'static str },
    /// The signature is not of this text and this key.
    #[error("the signature is not of this anchor and this key: the anchor was changed, or the key is another one")]
    Signature,
}

impl Anchor {
    /// The text, with its signature.
    pub(crate) fn signed(&self, key: &SigningKey) -> Result<String, AnchorError> {
        let mut text = format!("{FIRST}\n{TIME}{}\n", self.taken_at.to_rfc3339_opts(SecondsFormat::Micros, true));
        for Head { entity, period, seq, hash } in &self.heads {
            for name in [entity, period, hash] {
                if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
                    return Err(AnchorError::Name(name.clone()));
                }
            }
            // A String takes all.
            let _ = writeln!(text, "{entity} {period} {seq} {hash}");
        }
        let signature = key.sign(text.as_bytes());
        text.push_str(SIGNATURE);
        for byte in signature {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
        Ok(text)
    }

    /// Reads a text and makes sure that the signature is this key's.
    pub(crate) fn read(text: &str, key: &PublicKey) -> Result<Self, AnchorError> {
        let last = text.trim_end_matches('\n').lines().count();
        let fault = |line, fault| AnchorError::Form { line, fault };
        let at = text.rfind(SIGNATURE).ok_or_else(|| fault(last, "has no signature"))?;
        let (signed, signature) = text.split_at(at);
        let signature = signature.trim_start_matches(SIGNATURE).trim_end();
        let bytes = hex(signature).ok_or_else(|| fault(last, "has no signature"))?;
        if !key.verifies(signed.as_bytes(), &bytes) {
            return Err(AnchorError::Signature);
        }
        let mut lines = signed.lines().enumerate().map(|(place, line)| (place + 1, line));
        lines.next().filter(|(_, line)| *line == FIRST).ok_or_else(|| fault(1, "does not say aura-anchor 1"))?;
        let time = lines.next().and_then(|(_, line)| line.strip_prefix(TIME)?.parse().ok());
        let taken_at = time.ok_or_else(|| fault(2, "has no time"))?;
        let heads = lines.map(|(number, line)| head(line).ok_or_else(|| fault(number, "is not that of a chain")));
        Ok(Self { taken_at, heads: heads.collect::<Result<_, _>>()? })
    }
}

fn head(line: &str) -> Option<Head> {
    let mut parts = line.split(' ').map(str::to_owned);
    let (entity, period) = (parts.next()?, parts.next()?);
    let (seq, hash) = (parts.next()?.parse().ok()?, parts.next()?);
    parts.next().is_none().then_some(Head { entity, period, seq, hash })
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok().filter(|_| pair.len() == 2))
        .collect()
}
