//! Secrets: what is never shown, and the files that they may stand in.

use std::{fmt, io::Read, path::PathBuf};

/// The largest file of a secret that is read.
const MOST: u64 = 64 << 10;

/// A file that holds a secret. It is read again whenever the secret is used, so that it may change while a program runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile {
    /// The setting that names it, as it was given.
    pub origin: String,
    /// Where it is.
    pub path: PathBuf,
}

impl SecretFile {
    /// What the file says, without the end of its last line.
    ///
    /// # Errors
    /// What is wrong, to stand behind the name of the setting, without anything of the file's content.
    pub fn read(&self) -> Result<String, String> {
        let path = self.path.display();
        let fault = |error: std::io::Error| format!("names {path}, which cannot be read: {error}");
        let mut bytes = Vec::new();
        std::fs::File::open(&self.path).map_err(fault)?.take(MOST + 1).read_to_end(&mut bytes).map_err(fault)?;
        if bytes.len() as u64 > MOST {
            return Err(format!("names {path}, which has more than {MOST} bytes"));
        }
        let text = String::from_utf8(bytes).map_err(|_| format!("names {path}, which is not UTF-8"))?;
        let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        if line.is_empty() { Err(format!("names {path}, which is empty")) } else { Ok(line.to_owned()) }
    }

    /// What the file says now; nothing, and a warning, if it cannot be read.
    pub fn read_again(&self) -> Option<String> {
        let read = self.read();
        read.inspect_err(|fault| tracing::warn!("{} {fault}; what it said at the start is used", self.origin)).ok()
    }
}

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    value: String,
    file: Option<SecretFile>,
}

impl Secret {
    /// A secret that stands in a file, and what that said at the start.
    pub fn of_file(value: String, file: SecretFile) -> Self {
        Self { value, file: Some(file) }
    }

    /// The value as it was at the start, for the client library.
    pub fn expose(&self) -> &str {
        &self.value
    }

    /// The value as it is now.
    pub fn current(&self) -> String {
        self.file.as_ref().and_then(SecretFile::read_again).unwrap_or_else(|| self.value.clone())
    }

    /// Whether the value may change.
    pub fn is_in_file(&self) -> bool {
        self.file.is_some()
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self { value, file: None }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_secret_is_read_again_and_loses_the_end_of_its_line_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let file = SecretFile { origin: "AURA_X_FILE".to_owned(), path: path.clone() };
        assert!(file.read().unwrap_err().contains("cannot be read"));
        for (text, value) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), (" a \n\n", " a \n"), ("é\n", "é")] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(file.read().unwrap(), value);
        }
        let secret = Secret::of_file("first".to_owned(), file.clone());
        assert_eq!(secret.current(), "é");
        for (bytes, fault) in [(&b"\n"[..], "empty"), (b"\xff", "UTF-8"), (&[b'a'; 70_000][..], "more than")] {
            std::fs::write(&path, bytes).unwrap();
            assert!(file.read().unwrap_err().contains(fault));
        }
        assert_eq!((secret.current().as_str(), format!("{secret:?}").as_str()), ("first", "(secret)"));
    }
}
