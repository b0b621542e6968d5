//! The signature of the manifest.

use std::{fmt, io, path::Path};

use schemars::JsonSchema;
use serde::Serialize;
use shared::signature::PublicKey;

use super::{
    super::manifest::{MANIFEST, SIGNATURE, signature},
    Findings, files,
};

/// The longest file of a signature that is read.
const LONGEST: u64 = 4_096;

/// What is known of the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ArchiveSignature")]
pub(super) enum Signature {
    /// It is of this manifest and the key that was given.
    Good,
    /// It is not.
    Bad,
    /// There is one, and no key was given.
    NotChecked,
    /// There is none.
    None,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "the signature is of this manifest and this key",
            Self::Bad => "THE SIGNATURE IS NOT OF THIS MANIFEST AND THIS KEY",
            Self::NotChecked => "the signature was not checked: --public-key names the key",
            Self::None => "it is not signed: compare the sha256 of the manifest with the one that was written down",
        })
    }
}

/// Checks it, if that can be done.
pub(super) fn check(
    folder: &Path,
    manifest: Option<&[u8]>,
    key: Option<&PublicKey>,
    findings: &mut Findings,
) -> Signature {
    let path = folder.join(SIGNATURE);
    if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        if key.is_some() {
            findings.add(SIGNATURE, "is missing: the archive is not signed, or the signature was taken away");
        }
        return Signature::None;
    }
    let Some(key) = key else { return Signature::NotChecked };
    let text = match files::bytes(&path, LONGEST) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(reason) => {
            findings.add(SIGNATURE, format!("cannot be read: {reason}"));
            return Signature::Bad;
        }
    };
    let is_good =
        manifest.zip(signature::read(&text)).is_some_and(|(manifest, signature)| key.verifies(manifest, &signature));
    if is_good {
        return Signature::Good;
    }
    let detail = format!(
        "is not the signature of this {MANIFEST} and this key: one of them was changed, or the key is another one"
    );
    findings.add(SIGNATURE, detail);
    Signature::Bad
}
