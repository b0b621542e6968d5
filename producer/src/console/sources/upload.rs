//! A form with a file: the token first, then what is asked, and the file into a folder that is gone afterwards.

use std::{collections::BTreeMap, path::PathBuf};

use axum::{
    extract::{
        Multipart,
        multipart::{Field, MultipartError},
    },
    http::StatusCode,
};
use shared::printable;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use crate::console::{entrance::Asked, people::Role, problem::Problem};

/// Fields beside the file, each once and short.
const FIELDS: [&str; 5] = ["csrf", "source", "entity", "period", "what"];
const FIELD_BYTES: usize = 1_024;
/// The most of an upload's own name that is shown.
const NAME: usize = 200;
/// The most of an extension that is kept, and how many of them, as in `.csv.gz`.
const EXTENSION: usize = 8;
const EXTENSIONS: usize = 2;

/// What was brought along.
pub(super) struct Upload {
    pub(super) fields: BTreeMap<String, String>,
    /// The file's own name, which is a label and no path.
    pub(super) label: String,
    pub(super) path: PathBuf,
    /// Deleted with the file in it.
    pub(super) folder: TempDir,
}

/// Takes a form in, if its first field says that it comes from here.
///
/// # Errors
/// If it does not, or it cannot be used, or has no file.
pub(super) async fn take(mut form: Multipart, asked: &Asked, most: u64) -> Result<Upload, Problem> {
    let refused = |error: MultipartError| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(most),
        status => Problem::new(status, error.body_text()),
    };
    let mut next = form.next_field().await.map_err(refused)?;
    let mut fields = BTreeMap::new();
    let token = match next.take() {
        Some(field) if field.name() == Some("csrf") => {
            let token = text(field).await.map_err(refused)?;
            next = form.next_field().await.map_err(refused)?;
            Some(token)
        }
        other => {
            next = other;
            None
        }
    };
    asked.viewer.act(Role::Viewer, token.as_deref().or(asked.csrf.as_deref()))?;
    let mut file = None;
    while let Some(field) = next {
        let name = field.name().unwrap_or_default().to_owned();
        if name == "file" && file.is_none() {
            file = Some(kept(field, most).await?);
        } else if FIELDS.contains(&name.as_str()) && !fields.contains_key(&name) {
            let text = text(field).await.map_err(refused)?;
            fields.insert(name, text.trim().to_owned());
        } else {
            return Err(Problem::input("the form has a field that is not known, or one twice"));
        }
        next = form.next_field().await.map_err(refused)?;
    }
    let Some((label, path, folder)) = file else {
        return Err(Problem::input("the form has no file; its field is called file"));
    };
    Ok(Upload { fields, label, path, folder })
}

fn too_large(most: u64) -> Problem {
    let message =
        format!("the file is larger than the {most} bytes that the console takes; aura-producer check takes it");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// A short text. A longer one is cut, so that it is no value of anything.
async fn text(mut field: Field<'_>) -> Result<String, MultipartError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await? {
        let free = FIELD_BYTES.saturating_sub(bytes.len());
        bytes.extend_from_slice(&chunk[..chunk.len().min(free)]);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes a file into a folder of its own, which nobody else can look into.
async fn kept(mut field: Field<'_>, most: u64) -> Result<(String, PathBuf, TempDir), Problem> {
    let failed = |error: std::io::Error| {
        tracing::error!(error = %error, "an upload cannot be kept");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the file cannot be kept for the check; the log says why")
    };
    let label = label(field.file_name().unwrap_or_default());
    let folder = tempfile::Builder::new().prefix("aura-console-").tempdir().map_err(failed)?;
    let path = folder.path().join(format!("upload{}", extensions(&label)));
    let mut file = tokio::fs::File::create_new(&path).await.map_err(failed)?;
    let mut bytes = 0;
    loop {
        let chunk = field.chunk().await.map_err(|error| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(most),
            status => Problem::new(status, error.body_text()),
        })?;
        let Some(chunk) = chunk else { break };
        bytes += chunk.len() as u64;
        if bytes > most {
            return Err(too_large(most));
        }
        file.write_all(&chunk).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    Ok((label, path, folder))
}

/// An upload's own name without folders and whatever would be acted on.
fn label(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let label = printable::line(&printable::shortened(name, NAME)).into_owned();
    if label.trim().is_empty() { "the file".to_owned() } else { label }
}

/// The extensions by which the kind of a file is known.
fn extensions(label: &str) -> String {
    let is_plain =
        |part: &&str| (1..=EXTENSION).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let (_, rest) = label.split_once('.').unwrap_or_default();
    let mut kept: Vec<&str> = rest.rsplit('.').take_while(is_plain).take(EXTENSIONS).collect();
    kept.reverse();
    kept.into_iter().map(|part| format!(".{part}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_uploads_own_name_only_plain_extensions_become_part_of_a_path() {
        for (name, shown, kept) in [
            ("June.csv.gz", "June.csv.gz", ".csv.gz"),
            ("C:\\books\\June.xlsx", "June.xlsx", ".xlsx"),
            ("../../etc/passwd", "passwd", ""),
            ("a.b.c.d", "a.b.c.d", ".c.d"),
            ("a.c\u{0}v", "a.c v", ""),
            ("", "the file", ""),
        ] {
            assert_eq!(extensions(&label(name)), kept, "{name:?}");
            assert_eq!(label(name), shown, "{name:?}");
        }
        assert!(!label("a\u{202e}\u{1b}[31m.csv").contains(['\u{202e}', '\u{1b}']));
    }
}
