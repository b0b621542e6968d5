//! What an object's URL names: `s3://bucket/key`, `gs://bucket/key`, `az://container/key`.
//!
//! A key stands in its URL as it is, as the stores' own tools have it: nothing is decoded, so that two
//! texts never name one object. What a store or something on the way to it might decode into another
//! place is refused.

use std::fmt;

/// The kinds of object stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Amazon S3 and what speaks like it.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl Kind {
    const ALL: [Self; 3] = [Self::S3, Self::Gcs, Self::Azure];

    /// The scheme of its URLs.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }

    /// The kind of store that a scheme names.
    pub fn of_scheme(scheme: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.scheme().eq_ignore_ascii_case(scheme))
    }
}

/// A bucket or container, and a key or the beginning of keys in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectUrl {
    kind: Kind,
    bucket: String,
    key: String,
}

impl ObjectUrl {
    /// Reads the URL of an object, or of a prefix that objects lie below; a prefix may be empty or end
    /// with a slash.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment that shows none of it: it may hold what is secret.
    pub fn parse(text: &str, is_prefix: bool) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("is not a URL")?;
        let kind = Kind::of_scheme(scheme).ok_or("is of a scheme that is not read")?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if bucket.is_empty() || !bucket.chars().all(fits) || bucket.chars().all(|c| c == '.') {
            return Err("names no bucket; a host, port or user has no place in it");
        }
        let key = if is_prefix { key.strip_suffix('/').unwrap_or(key) } else { key };
        if key.contains(['?', '#', '\\']) || key.chars().any(char::is_control) {
            return Err("has a query, fragment, backslash or control character");
        }
        let empty_prefix = is_prefix && key.is_empty();
        if !empty_prefix && key.split('/').any(|segment| segment.is_empty() || leads_elsewhere(segment)) {
            return Err("has an empty, '.' or '..' segment");
        }
        Ok(Self { kind, bucket: bucket.to_owned(), key: key.to_owned() })
    }

    /// The kind of its store.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The bucket or container.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The key, or the beginning of keys; empty for a whole bucket.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether it lies below a prefix, by whole segments.
    pub fn is_below(&self, prefix: &Self) -> bool {
        let rest = self.key.strip_prefix(&prefix.key);
        let is_inside = rest.is_some_and(|rest| match prefix.key.is_empty() {
            true => !rest.is_empty(),
            false => rest.len() > 1 && rest.starts_with('/'),
        });
        self.kind == prefix.kind && self.bucket == prefix.bucket && is_inside
    }

    /// What a name means below this prefix.
    pub fn join(&self, name: &str) -> Self {
        let key = if self.key.is_empty() { name.to_owned() } else { format!("{}/{name}", self.key) };
        Self { kind: self.kind, bucket: self.bucket.clone(), key }
    }
}

/// Whether a segment means another folder, or would if somebody decoded it.
fn leads_elsewhere(segment: &str) -> bool {
    let lower = segment.to_ascii_lowercase();
    let decoded = lower.replace("%2e", ".");
    decoded == "." || decoded == ".." || lower.contains("%2f") || lower.contains("%5c")
}

impl fmt::Display for ObjectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.kind.scheme(), self.bucket)?;
        if self.key.is_empty() { Ok(()) } else { write!(f, "/{}", self.key) }
    }
}

impl fmt::Debug for ObjectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_bucket_and_key_as_they_stand() {
        for (text, bucket, key) in [
            ("s3://books/in/a.csv", "books", "in/a.csv"),
            ("S3://books/a b%20c.csv", "books", "a b%20c.csv"),
            ("gs://books/ä/..a..csv", "books", "ä/..a..csv"),
            ("az://books/a.csv", "books", "a.csv"),
        ] {
            let url = ObjectUrl::parse(text, false).unwrap();
            assert_eq!((url.bucket(), url.key()), (bucket, key), "{text}");
        }
        for text in ["s3://books", "s3://books/", "s3://books/in", "s3://books/in/"] {
            let url = ObjectUrl::parse(text, true).unwrap();
            assert_eq!(url.to_string(), text.trim_end_matches('/'));
        }
    }

    #[test]
    fn what_may_mean_another_place_is_refused() {
        for text in [
            "s3:books/a.csv",
            "s3://",
            "s3:///a.csv",
            "s3://books",
            "s3://books/",
            "s3://books//a.csv",
            "s3://books/in//a.csv",
            "s3://books/in/",
            "s3://books/./a.csv",
            "s3://books/in/../a.csv",
            "s3://books/in/%2e%2E/a.csv",
            "s3://books/in/.%2e/a.csv",
            "s3://books/in%2f..%2fa.csv",
            "s3://books/in/..\\a.csv",
            "s3://books/a.csv?versionId=1",
            "s3://books/a.csv#x",
            "s3://key:secret@books/a.csv",
            "s3://books:9000/a.csv",
            "s3://../a.csv",
            "s3://books/a\n.csv",
            "http://books/a.csv",
            "s3a://books/a.csv",
        ] {
            assert!(ObjectUrl::parse(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn below_is_by_whole_segments_of_one_bucket() {
        let below = |object: &str, prefix: &str| {
            ObjectUrl::parse(object, false).unwrap().is_below(&ObjectUrl::parse(prefix, true).unwrap())
        };
        assert!(below("s3://b/in/a.csv", "s3://b/in"));
        assert!(below("s3://b/in/a.csv", "s3://b/in/"));
        assert!(below("s3://b/a.csv", "s3://b"));
        for (object, prefix) in [
            ("s3://b/inner/a.csv", "s3://b/in"),
            ("s3://b/in", "s3://b/in"),
            ("s3://bb/in/a.csv", "s3://b/in"),
            ("gs://b/in/a.csv", "s3://b/in"),
            ("s3://B/in/a.csv", "s3://b/in"),
            ("s3://b/IN/a.csv", "s3://b/in"),
        ] {
            assert!(!below(object, prefix), "{object} below {prefix}");
        }
    }
}
