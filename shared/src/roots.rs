//! The input roots: files are read from below them and from nowhere else.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use url::Url;

use crate::failure::{ErrorCode, Failure, Stage};

/// The folders from which files may be read.
#[derive(Debug, Clone)]
pub struct InputRoots(Vec<PathBuf>);

/// A file below a root, named without any `..`, before links are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The root below which it lies.
    pub root: PathBuf,
    /// The path, absolute.
    pub path: PathBuf,
}

impl InputRoots {
    /// The roots as the settings give them: paths or `file://` URLs; relative ones are below `base`.
    ///
    /// # Errors
    /// If a root is a URL of a scheme that is not read.
    pub fn new(roots: &[String], base: &Path) -> Result<Self, String> {
        let read = |root: &String| {
            let path = path_of(root).ok_or_else(|| format!("{root} in AURA_INPUT_ROOTS is no path or file:// URL"))?;
            normal(&base.join(path)).ok_or_else(|| format!("{root} in AURA_INPUT_ROOTS leads above the root folder"))
        };
        Ok(Self(roots.iter().map(read).collect::<Result<_, _>>()?))
    }

    /// All roots.
    pub fn all(&self) -> &[PathBuf] {
        &self.0
    }

    /// Places a message's file below a root, by its name alone; nothing is opened. A relative path is
    /// looked for below `base`, and if that is outside every root, below the first root.
    ///
    /// # Errors
    /// `file_not_allowed` if the file has another scheme or lies outside the roots.
    pub fn locate(&self, file: &str, base: &Path) -> Result<Location, Failure> {
        let refuse = |reason: String| Failure::new(ErrorCode::FileNotAllowed, Stage::Load, reason);
        let named = path_of(file).ok_or_else(|| {
            refuse("the file is named by a scheme that is not read; use a path or file:// URL".to_owned())
        })?;
        let absolute = normal(&base.join(&named));
        let below = |path: &PathBuf| {
            let root = self.0.iter().filter(|root| path.starts_with(root)).max_by_key(|root| root.as_os_str().len())?;
            Some(Location { root: root.clone(), path: path.clone() })
        };
        let found = absolute.as_ref().and_then(below).or_else(|| {
            let first = self.0.first()?;
            let within = named.is_relative().then(|| normal(&first.join(&named))).flatten()?;
            below(&within)
        });
        found.ok_or_else(|| refuse("the file lies outside AURA_INPUT_ROOTS; put it below one of them".to_owned()))
    }
}

/// Resolves links and makes sure that the file still lies below its root.
///
/// # Errors
/// If it does not exist or cannot be reached, or `Ok(Err)` with `file_not_allowed` if a link leads out.
pub fn resolve(location: &Location) -> io::Result<Result<PathBuf, Failure>> {
    let root = location.root.canonicalize()?;
    let path = location.path.canonicalize()?;
    if path.starts_with(&root) {
        Ok(Ok(path))
    } else {
        let reason = "a link leads out of AURA_INPUT_ROOTS; put the file itself below one of them";
        Ok(Err(Failure::new(ErrorCode::FileNotAllowed, Stage::Load, reason)))
    }
}

/// The path that a text names: a plain path or a `file://` URL of this machine. What begins with a
/// scheme is a URL even without slashes, as `data:` is; a file of such a name is reached by `./`.
fn path_of(text: &str) -> Option<PathBuf> {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(fits)
    });
    match scheme {
        None => Some(PathBuf::from(text)),
        Some(scheme) if scheme.eq_ignore_ascii_case("file") => Url::parse(text).ok()?.to_file_path().ok(),
        Some(_) => None,
    }
}

/// The path without `.` and `..`, or none if it leads above the root folder.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !clean.pop() {
                    return None;
                }
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => clean.push(part),
        }
    }
    Some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_below_a_root_is_located() {
        let roots =
            InputRoots::new(&["/in".into(), "file:///other/in".into(), "data".into()], Path::new("/srv")).unwrap();
        let located = |file: &str| roots.locate(file, Path::new("/srv")).map(|l| l.path.display().to_string());
        for (file, path) in [
            ("/in/a.csv", "/in/a.csv"),
            ("/in/../in/./a.csv", "/in/a.csv"),
            ("file:///other/in/b%20c.csv", "/other/in/b c.csv"),
            ("data/a.csv", "/srv/data/a.csv"),
            ("a.csv", "/in/a.csv"),
            ("./a:b.csv", "/in/a:b.csv"),
        ] {
            assert_eq!(located(file).unwrap(), path, "{file}");
        }
        for file in [
            "/etc/passwd",
            "/in/../etc/passwd",
            "/inner/a.csv",
            "../x.csv",
            "http://host/in/a.csv",
            "s3://b/a.csv",
            "file://host/in/a.csv",
            "ftp://in/a.csv",
            "data:text/csv,a",
            "http:/in/a.csv",
        ] {
            assert_eq!(located(file).unwrap_err().code, ErrorCode::FileNotAllowed, "{file}");
        }
    }

    #[test]
    fn a_link_that_leads_out_is_refused_and_one_that_stays_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("in");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        std::fs::write(root.join("a.csv"), "x").unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret"), root.join("out.csv")).unwrap();
        std::os::unix::fs::symlink(root.join("a.csv"), root.join("in.csv")).unwrap();
        let at = |name: &str| resolve(&Location { root: root.clone(), path: root.join(name) });
        assert_eq!(at("out.csv").unwrap().unwrap_err().code, ErrorCode::FileNotAllowed);
        assert!(at("in.csv").unwrap().unwrap().ends_with("a.csv"));
        assert!(at("none.csv").is_err());
    }
}
