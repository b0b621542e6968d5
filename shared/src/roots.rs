//! The input roots: files are read from below them and from nowhere else.

mod open;

use std::{
    fmt,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use url::Url;

pub use self::open::{OpenError, open_below};

use crate::{
    message::failure::{ErrorCode, Failure, Stage},
    stores::object_store::{
        Store,
        access::StoreAccess,
        object_url::{Kind, ObjectUrl},
    },
};

/// The folders and object stores from which files may be read.
#[derive(Debug, Clone)]
pub struct InputRoots(Vec<Root>);

/// A folder, or a prefix in an object store, below which files lie.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Root {
    /// A folder, by its absolute path.
    Folder(PathBuf),
    /// A prefix in a bucket.
    Store(Store),
}

/// A file below a root, by its name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A file, named without any `..`, before links are resolved.
    File {
        /// The folder below which it lies.
        root: PathBuf,
        /// The folder out of which no link may lead: the same one, or one below it.
        within: PathBuf,
        /// The path, absolute.
        path: PathBuf,
    },
    /// An object.
    Object {
        /// The prefix below which it lies.
        store: Store,
        /// Its URL.
        object: ObjectUrl,
    },
}

impl Location {
    /// The root below which it lies.
    pub fn root(&self) -> Root {
        match self {
            Self::File { root, .. } => Root::Folder(root.clone()),
            Self::Object { store, .. } => Root::Store(store.clone()),
        }
    }

    /// The same file, if it lies below one of these places, and then with no link leading out of that place.
    pub fn within(&self, places: &[Place]) -> Option<Self> {
        match self {
            Self::File { root, path, .. } => {
                let folders = places.iter().filter_map(|place| match place {
                    Place::Folder(folder) if path.starts_with(folder) => Some(folder),
                    Place::Folder(_) | Place::Prefix(_) => None,
                });
                // The widest one: a link from one place to another within it is nothing new.
                let widest = folders.min_by_key(|folder| folder.as_os_str().len())?;
                let within = if root.starts_with(widest) { root } else { widest };
                Some(Self::File { root: root.clone(), within: within.clone(), path: path.clone() })
            }
            Self::Object { object, .. } => {
                let is_below = |place: &Place| matches!(place, Place::Prefix(prefix) if object.is_below(prefix));
                places.iter().any(is_below).then(|| self.clone())
            }
        }
    }
}

/// A folder or a prefix in an object store, by its name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder, by its absolute path.
    Folder(PathBuf),
    /// A prefix in a bucket.
    Prefix(ObjectUrl),
}

impl Place {
    /// Reads a path, a `file://` URL or a prefix in an object store; a relative path is below `base`.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment that shows none of it.
    pub fn parse(text: &str, base: &Path) -> Result<Self, &'static str> {
        if kind_of(text).is_some() {
            return ObjectUrl::parse(text, true).map(Self::Prefix);
        }
        let path = path_of(text).ok_or("is not a path, file:// URL or object store")?;
        normal(&base.join(path)).map(Self::Folder).ok_or("leads above the root folder")
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Store(store) => store.fmt(f),
        }
    }
}

impl InputRoots {
    /// The roots as the settings give them: paths, `file://` URLs or prefixes in object stores;
    /// relative paths are below `base`.
    ///
    /// # Errors
    /// If a root is a URL of a scheme that is not read, or the settings do not suffice to reach it.
    pub fn new(roots: &[String], base: &Path, access: &StoreAccess) -> Result<Self, String> {
        let read = |root: &String| {
            if kind_of(root).is_some() {
                let fault = |reason: &str| format!("a URL in AURA_INPUT_ROOTS {reason}");
                let url = ObjectUrl::parse(root, true).map_err(fault)?;
                let store = Store::open(url, access).map_err(|error| crate::telemetry::chain(&error))?;
                return Ok(Root::Store(store));
            }
            let path = path_of(root)
                .ok_or_else(|| format!("{root} in AURA_INPUT_ROOTS is not a path, file:// URL or object store"))?;
            let path = normal(&base.join(path));
            path.map(Root::Folder).ok_or_else(|| format!("{root} in AURA_INPUT_ROOTS leads above the root folder"))
        };
        Ok(Self(roots.iter().map(read).collect::<Result<_, String>>()?))
    }

    /// All roots.
    pub fn all(&self) -> &[Root] {
        &self.0
    }

    /// Places a message's file below a root, by its name alone; nothing is opened. A relative path is
    /// looked for below `base`, and if that is outside every root, below the first folder.
    ///
    /// # Errors
    /// `file_not_allowed` if the file has another scheme or lies outside the roots.
    pub fn locate(&self, file: &str, base: &Path) -> Result<Location, Failure> {
        if kind_of(file).is_some() {
            return self.locate_object(file);
        }
        let named = path_of(file).ok_or_else(|| {
            refuse("the file is named by a scheme that is not read; use a path, or file://, s3://, gs:// or az://")
        })?;
        if named.as_os_str().as_bytes().contains(&0) {
            return Err(refuse("the file's name holds a NUL character, which no file's name can"));
        }
        let absolute = normal(&base.join(&named));
        let below = |path: &PathBuf| {
            let root =
                self.folders().filter(|root| path.starts_with(root)).max_by_key(|root| root.as_os_str().len())?;
            Some(Location::File { root: root.clone(), within: root.clone(), path: path.clone() })
        };
        let found = absolute.as_ref().and_then(below).or_else(|| {
            let first = self.folders().next()?;
            let within = named.is_relative().then(|| normal(&first.join(&named))).flatten()?;
            below(&within)
        });
        found.ok_or_else(outside)
    }

    /// Whether files of a place can be read: it lies below a root, or a root below it.
    pub fn reach(&self, place: &Place) -> bool {
        self.0.iter().any(|root| match (root, place) {
            (Root::Folder(root), Place::Folder(folder)) => folder.starts_with(root) || root.starts_with(folder),
            (Root::Store(store), Place::Prefix(prefix)) => {
                let root = store.root();
                prefix == root || prefix.is_below(root) || root.is_below(prefix)
            }
            (Root::Folder(_), Place::Prefix(_)) | (Root::Store(_), Place::Folder(_)) => false,
        })
    }

    fn locate_object(&self, file: &str) -> Result<Location, Failure> {
        let object = ObjectUrl::parse(file, false).map_err(|reason| {
            refuse(&format!("the file's URL {reason}; use one such as s3://bucket/folder/file.csv"))
        })?;
        let stores = self.0.iter().filter_map(|root| match root {
            Root::Store(store) => Some(store),
            Root::Folder(_) => None,
        });
        let above = stores.filter(|store| object.is_below(store.root())).max_by_key(|store| store.root().key().len());
        let store = above.ok_or_else(outside)?.clone();
        Ok(Location::Object { store, object })
    }

    fn folders(&self) -> impl Iterator<Item = &PathBuf> {
        self.0.iter().filter_map(|root| match root {
            Root::Folder(path) => Some(path),
            Root::Store(_) => None,
        })
    }
}

fn refuse(reason: &str) -> Failure {
    Failure::new(ErrorCode::FileNotAllowed, Stage::Load, reason)
}

fn outside() -> Failure {
    refuse("the file lies outside AURA_INPUT_ROOTS; put it below one of them")
}

/// The kind of object store whose URL a text is.
pub(crate) fn kind_of(text: &str) -> Option<Kind> {
    Kind::of_scheme(text.split_once("://")?.0)
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

    fn roots(roots: &[&str]) -> InputRoots {
        let roots: Vec<String> = roots.iter().map(|root| (*root).to_owned()).collect();
        let key = |text: &str| Some(text.to_owned().into());
        let access = StoreAccess {
            s3_access_key_id: key("id"),
            s3_secret_access_key: key("key"),
            azure_account: Some("account".to_owned()),
            azure_key: key("a2V5"),
            ..StoreAccess::default()
        };
        InputRoots::new(&roots, Path::new("/srv"), &access).unwrap()
    }

    #[test]
    fn an_object_lies_below_a_root_of_its_own_store_and_bucket() {
        let roots = roots(&["/in", "s3://books/in/", "s3://books/in/eu", "az://books", "gs://books/in"]);
        let located = |file: &str| match roots.locate(file, Path::new("/srv"))? {
            Location::Object { store, object } => Ok::<_, Failure>(format!("{object} below {store}")),
            Location::File { path, .. } => panic!("{} is not an object", path.display()),
        };
        for (file, found) in [
            ("s3://books/in/a.csv", "s3://books/in/a.csv below s3://books/in"),
            ("S3://books/in/eu/a.csv", "s3://books/in/eu/a.csv below s3://books/in/eu"),
            ("az://books/a.csv", "az://books/a.csv below az://books"),
            ("gs://books/in/a.csv", "gs://books/in/a.csv below gs://books/in"),
        ] {
            assert_eq!(located(file).unwrap(), found);
        }
        for file in [
            "s3://books/inner/a.csv",
            "s3://other/in/a.csv",
            "s3://books/in/../x/a.csv",
            "s3://books/in/%2e%2e/x.csv",
            "s3://books/in/a.csv?x",
            "s3://id:key@books/in/a.csv",
            "gs://books/a.csv",
            "https://books/in/a.csv",
            "s3:/books/in/a.csv",
        ] {
            assert_eq!(located(file).unwrap_err().code, ErrorCode::FileNotAllowed, "{file}");
        }
    }

    #[test]
    fn a_root_that_cannot_be_one_is_refused_and_not_shown() {
        let fault =
            |root: &str| InputRoots::new(&[root.to_owned()], Path::new("/srv"), &StoreAccess::default()).unwrap_err();
        assert!(!fault("s3://id:key@books/in").contains("key"));
        assert!(fault("az://books/in").contains("az://books/in cannot be reached with these settings"));
        assert!(fault("ftp://books/in").contains("is not a path"));
    }

    #[test]
    fn only_what_lies_below_a_root_is_located() {
        let roots = roots(&["s3://books/in", "/in", "file:///other/in", "data"]);
        let located = |file: &str| match roots.locate(file, Path::new("/srv"))? {
            Location::File { path, .. } => Ok::<_, Failure>(path.display().to_string()),
            Location::Object { object, .. } => panic!("{object} is not a file"),
        };
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
            "s3://books/a.csv",
            "file://host/in/a.csv",
            "ftp://in/a.csv",
            "data:text/csv,a",
            "http:/in/a.csv",
            "file:///other/in/a%00.csv",
        ] {
            assert_eq!(located(file).unwrap_err().code, ErrorCode::FileNotAllowed, "{file}");
        }
    }

    #[test]
    fn a_link_that_leads_out_is_refused_and_one_that_stays_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (root, link) = (folder.path().join("in"), std::os::unix::fs::symlink::<PathBuf, PathBuf>);
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        std::fs::write(root.join("sub/a.csv"), "x").unwrap();
        for (target, name) in [
            (folder.path().join("secret"), "out.csv"),
            (folder.path().join("none"), "out-to-nothing.csv"),
            (folder.path().join("none/none"), "out-far.csv"),
            ("../secret".into(), "up.csv"),
            (folder.path().to_owned(), "way-out"),
            (root.join("sub/a.csv"), "in.csv"),
            ("sub/../in.csv".into(), "twice.csv"),
            ("sub".into(), "way-in"),
            ("nothing.csv".into(), "to-nothing.csv"),
            ("circle.csv".into(), "circle.csv"),
        ] {
            link(target, root.join(name)).unwrap();
        }
        let at = |name: &str| open_below(&root, &root.join(name));
        for name in ["out.csv", "out-to-nothing.csv", "out-far.csv", "up.csv", "way-out/secret", "way-out/none"] {
            assert!(matches!(at(name), Err(OpenError::Outside)), "{name}");
        }
        for name in ["sub/a.csv", "in.csv", "twice.csv", "way-in/a.csv", "way-out/in/in.csv"] {
            assert_eq!(std::io::read_to_string(at(name).unwrap()).unwrap(), "x", "{name}");
        }
        let long = "x".repeat(300);
        for name in ["circle.csv", "a\0.csv", long.as_str()] {
            assert!(matches!(at(name), Err(OpenError::NoSuchName(_))), "{name}: {:?}", at(name));
        }
        for name in ["sub", ".", "way-in"] {
            assert!(matches!(at(name), Err(OpenError::NotRegular)), "{name}: {:?}", at(name));
        }
        for name in ["none.csv", "to-nothing.csv", "in.csv/x"] {
            assert!(matches!(at(name), Err(OpenError::Io(_))), "{name}: {:?}", at(name));
        }
        std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        assert!(matches!(at("socket"), Err(OpenError::NotRegular)));
        // The folder may be reached by a link itself.
        link(root.clone(), folder.path().join("alias")).unwrap();
        let alias = folder.path().join("alias");
        assert!(open_below(&alias, &alias.join("in.csv")).is_ok());
    }

    #[test]
    fn no_exchange_of_a_folder_with_a_link_leads_out() {
        use std::sync::atomic::{AtomicBool, Ordering};

        use rustix::fs::{CWD, RenameFlags, renameat_with};

        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("in"), folder.path().join("outside"));
        for (place, text) in [(root.join("sub"), "inside"), (outside.clone(), "secret")] {
            std::fs::create_dir_all(&place).unwrap();
            std::fs::write(place.join("a.csv"), text).unwrap();
        }
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        let done = AtomicBool::new(false);
        let mut opened = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    renameat_with(CWD, root.join("sub"), CWD, root.join("link"), RenameFlags::EXCHANGE).unwrap();
                }
            });
            for _ in 0..20_000 {
                match open_below(&root, &root.join("sub/a.csv")) {
                    Ok(file) => {
                        assert_eq!(std::io::read_to_string(file).unwrap(), "inside");
                        opened += 1;
                    }
                    Err(OpenError::Outside | OpenError::Unsteady) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(opened > 0, "the folder was never there");
    }
}
