//! The folder of mapping profiles: one `NAME.toml` for each source, beside the built-in `default`.

use std::{
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

use crate::{
    file::mapping_profile::{InvalidProfile, MappingProfile},
    message::{
        failure::{ErrorCode, Failure, Stage},
        job::{DEFAULT_SOURCE, SourceName},
    },
    roots::{OpenError, open_below},
};

/// The largest profile that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The folder of mapping profiles. Each is read when it is asked for, so that a change needs no restart.
#[derive(Debug, Clone)]
pub struct Sources(PathBuf);

/// A profile that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// There is no such profile.
    #[error("there is no mapping profile {name} in {folder}; the ones there are: {known}", folder = folder.display())]
    Unknown {
        /// What was asked for.
        name: SourceName,
        /// Where it was looked for.
        folder: PathBuf,
        /// The names of those that are there.
        known: String,
    },
    /// The file is not a profile.
    #[error("{path}: {fault}", path = path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and on which line.
        fault: InvalidProfile,
    },
    /// The file cannot be read.
    #[error("{path} cannot be read", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// What lies there cannot be a profile, however often it is read.
    #[error("{path} cannot be read: {reason}", path = path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl From<ProfileError> for Failure {
    fn from(error: ProfileError) -> Self {
        match error {
            // Receipts are read by publishers, to whom neither the folder nor other profiles are anything.
            ProfileError::Unknown { name, .. } => {
                let reason = format!("there is no mapping profile {name}; ask those who run the workers for its name");
                Self::new(ErrorCode::UnknownSource, Stage::Receive, reason)
            }
            ProfileError::Invalid { path, fault } => {
                let reason = format!("the mapping profile cannot be used: {}: {fault}", file_name(&path));
                Self::new(ErrorCode::UnknownSource, Stage::Receive, reason)
            }
            ProfileError::Unfit { path, reason } => {
                let reason = format!("the mapping profile cannot be used: {}: {reason}", file_name(&path));
                Self::new(ErrorCode::UnknownSource, Stage::Receive, reason)
            }
            ProfileError::Unreadable { path, source } => {
                let reason = format!("the mapping profile {} cannot be read: {source}", file_name(&path));
                Self::new(ErrorCode::StorageUnavailable, Stage::Receive, reason)
            }
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Sources {
    /// The profiles of a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The profile of that name. The folder may have a `default.toml`, which then counts.
    ///
    /// # Errors
    /// If there is none, or it cannot be read, or it is not valid.
    pub fn named(&self, name: &SourceName) -> Result<MappingProfile, ProfileError> {
        match self.read(name)? {
            Some(text) => MappingProfile::parse(name.clone(), &text)
                .map_err(|fault| ProfileError::Invalid { path: self.path(name), fault }),
            None if name.as_str() == DEFAULT_SOURCE => Ok(MappingProfile::default()),
            None => {
                let known: Vec<_> = self.names().iter().map(ToString::to_string).collect();
                Err(ProfileError::Unknown { name: name.clone(), folder: self.0.clone(), known: known.join(", ") })
            }
        }
    }

    fn path(&self, name: &SourceName) -> PathBuf {
        self.0.join(format!("{name}.toml"))
    }

    /// The text of a profile's file, if it is there.
    fn read(&self, name: &SourceName) -> Result<Option<String>, ProfileError> {
        let path = self.path(name);
        let unfit = |reason: String| Err(ProfileError::Unfit { path: path.clone(), reason });
        let absolute = match std::path::absolute(&path) {
            Ok(absolute) => absolute,
            Err(source) => return Err(ProfileError::Unreadable { path, source }),
        };
        let folder = absolute.parent().unwrap_or(&absolute);
        let file = match open_below(folder, &absolute) {
            Ok(file) => file,
            Err(OpenError::Io(error)) => {
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
                    return Ok(None);
                }
                if error.kind() == ErrorKind::PermissionDenied {
                    return unfit(format!("{error}; give this user permission"));
                }
                return Err(ProfileError::Unreadable { path, source: error });
            }
            Err(error @ OpenError::Unsteady) => {
                return Err(ProfileError::Unreadable { path, source: std::io::Error::other(error) });
            }
            Err(error @ (OpenError::Outside | OpenError::NotRegular | OpenError::NoSuchName(_))) => {
                return unfit(error.to_string());
            }
        };
        let mut text = Vec::new();
        match file.take(MAX_BYTES + 1).read_to_end(&mut text) {
            Err(source) => Err(ProfileError::Unreadable { path, source }),
            Ok(_) if text.len() as u64 > MAX_BYTES => unfit("it is longer than 1 MiB".to_owned()),
            Ok(_) => String::from_utf8(text).map(Some).or_else(|_| unfit("it is not UTF-8".to_owned())),
        }
    }

    /// The text of a profile's file; none of the built-in one.
    ///
    /// # Errors
    /// As [`Self::named`].
    pub fn text(&self, name: &SourceName) -> Result<Option<String>, ProfileError> {
        self.read(name)
    }

    /// The names of all profiles, the built-in one first. A folder that is not there has none.
    pub fn names(&self) -> Vec<SourceName> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            let path = entry.path();
            let stem = path.file_stem()?.to_str()?.to_owned();
            (path.extension()? == "toml" && stem != DEFAULT_SOURCE).then(|| stem.parse().ok())?
        });
        let mut names: Vec<SourceName> = names.collect();
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        names.insert(0, SourceName::default());
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_a_profile_is_told_with_file_line_and_what_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources::new(folder.path());
        let fault = |text: &str| {
            std::fs::write(folder.path().join("erp.toml"), text).unwrap();
            let failure = Failure::from(sources.named(&"erp".parse().unwrap()).unwrap_err());
            assert_eq!(failure.code, ErrorCode::UnknownSource);
            let (_, told) = failure.message.split_once("erp.toml: ").unwrap();
            told.to_owned()
        };
        assert!(
            fault("mode = 'replace'\n[text]\ndelimeter = ';'\n")
                .starts_with("line 3: unknown field `delimeter`, expected one of `encoding`, `delimiter`")
        );
        assert!(
            fault("[text]\n\nencoding = 'latin-77'\n")
                .starts_with("line 3: \"latin-77\" is not a known encoding; such are utf-8")
        );
        assert!(
            fault("[columns]\naccount = 'Konto'\n")
                .starts_with("line 2: unknown column `account`, expected one of entity, period")
        );
        assert!(
            fault("[columns]\nstatus = { value = 'x', column = 'y' }\n")
                .starts_with("line 2: a column needs exactly one of")
        );
        assert!(fault("[columns]\nstatus = { vlaue = 'x' }\n").starts_with("line 2: unknown field `vlaue`"));
        assert!(fault("[balance]\ndebit = 'Soll'\n").starts_with("line 1: debit and credit go together"));
        assert!(
            fault("[rows]\ndrop = [{ column = 'a', matches = '(' }]\n")
                .starts_with("line 2: \"(\" is not a regular expression")
        );
        assert!(
            fault("[columns]\nperiod = { column = 'p', format = 'MM' }\n")
                .starts_with("line 2: the format \"MM\" needs one year")
        );
        assert!(
            fault("[columns]\nbalance = 'a'\n[balance]\ncolumn = 'b'\n")
                .starts_with("line 2: balance is given under [columns]")
        );
        assert!(fault("mode = ").starts_with("line 1: "));
        let unknown = sources.named(&"sap".parse().unwrap()).unwrap_err();
        assert!(unknown.to_string().ends_with("the ones there are: default, erp"), "{unknown}");
    }

    #[test]
    fn a_publisher_is_told_neither_the_folder_nor_other_profiles() {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources::new(folder.path());
        std::fs::write(folder.path().join("bad.toml"), "x = ").unwrap();
        std::fs::create_dir(folder.path().join("folder.toml")).unwrap();
        for name in ["sap", "bad", "folder"] {
            let told = Failure::from(sources.named(&name.parse().unwrap()).unwrap_err()).message;
            let others = ["sap", "bad", "folder"].into_iter().filter(|other| *other != name);
            let leaked = others.chain(["default", folder.path().to_str().unwrap()]).find(|text| told.contains(text));
            assert_eq!(leaked, None, "{told}");
            assert!(told.contains(name), "{told}");
        }
    }

    #[test]
    fn what_cannot_be_a_profile_is_refused_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources::new(folder.path().join("sources"));
        std::fs::create_dir_all(sources.folder().join("folder.toml")).unwrap();
        let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, sources.folder().join(name)).unwrap();
        std::fs::write(folder.path().join("outside.toml"), "mode = 'replace'").unwrap();
        link("../outside.toml", "out.toml");
        link("../nothing.toml", "out-to-nothing.toml");
        link("circle.toml", "circle.toml");
        for (name, text) in [
            ("long", "#".repeat(1 << 20) + "#"),
            ("nul", "mode\0 = 'replace'".to_owned()),
            ("escaped", "\"a\\u0000\" = 1".to_owned()),
            ("key", format!("{} = 1", "k".repeat(100_000))),
        ] {
            std::fs::write(sources.folder().join(format!("{name}.toml")), text).unwrap();
        }
        std::fs::write(sources.folder().join("latin.toml"), b"# \xe9").unwrap();
        for name in ["folder", "out", "out-to-nothing", "circle", "long", "latin", "nul", "escaped", "key"] {
            let failure = Failure::from(sources.named(&name.parse().unwrap()).unwrap_err());
            assert_eq!(failure.code, ErrorCode::UnknownSource, "{name}: {failure}");
            assert!(!failure.message.contains('\0') && failure.message.len() < 4_000, "{name}: {failure}");
        }
        // As Kubernetes lays out what it mounts.
        std::fs::create_dir(sources.folder().join("..2026")).unwrap();
        std::fs::write(sources.folder().join("..2026/erp.toml"), "mode = 'replace'").unwrap();
        link("..2026", "..data");
        link("..data/erp.toml", "erp.toml");
        assert_eq!(sources.named(&"erp".parse().unwrap()).unwrap().mode, crate::message::job::Mode::Replace);
    }

    #[test]
    fn profiles_that_say_the_same_have_the_same_hash() {
        let parse = |text: &str| MappingProfile::parse("erp".parse().unwrap(), text).unwrap();
        let one = parse("[columns]\naccount_code = 'Konto'\nstatus = { value = 'x' }\n");
        let same =
            parse("description = 'x'\n# comment\n[columns]\nstatus = { value = \"x\" }\naccount_code = ['Konto']\n");
        assert_eq!(one.hash(), same.hash());
        assert_ne!(one.hash(), parse("[columns]\naccount_code = 'Konto'\nstatus = { value = 'y' }\n").hash());
    }
}
