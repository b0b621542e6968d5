//! The folder of mapping profiles: one `NAME.toml` for each source, beside the built-in `default`.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use crate::{
    failure::{ErrorCode, Failure, Stage},
    job::{DEFAULT_SOURCE, SourceName},
    mapping_profile::{InvalidProfile, MappingProfile},
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
    /// The file is no profile.
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
        let path = self.0.join(format!("{name}.toml"));
        let unreadable = |source| ProfileError::Unreadable { path: path.clone(), source };
        match std::fs::metadata(&path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                if name.as_str() == DEFAULT_SOURCE {
                    return Ok(MappingProfile::default());
                }
                let known: Vec<_> = self.names().iter().map(ToString::to_string).collect();
                Err(ProfileError::Unknown { name: name.clone(), folder: self.0.clone(), known: known.join(", ") })
            }
            Err(error) => Err(unreadable(error)),
            Ok(metadata) if !metadata.is_file() || metadata.len() > MAX_BYTES => {
                Err(unreadable(std::io::Error::new(ErrorKind::InvalidInput, "it is no file of at most 1 MiB")))
            }
            Ok(_) => {
                let text = std::fs::read_to_string(&path).map_err(unreadable)?;
                MappingProfile::parse(name.clone(), &text)
                    .map_err(|fault| ProfileError::Invalid { path: path.clone(), fault })
            }
        }
    }

    /// The text of a profile's file; none of the built-in one.
    ///
    /// # Errors
    /// As [`Self::named`].
    pub fn text(&self, name: &SourceName) -> Result<Option<String>, ProfileError> {
        self.named(name)?;
        Ok(std::fs::read_to_string(self.0.join(format!("{name}.toml"))).ok())
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
                .starts_with("line 3: \"latin-77\" is no known encoding; such are utf-8")
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
                .starts_with("line 2: \"(\" is no regular expression")
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
    fn profiles_that_say_the_same_have_the_same_hash() {
        let parse = |text: &str| MappingProfile::parse("erp".parse().unwrap(), text).unwrap();
        let one = parse("[columns]\naccount_code = 'Konto'\nstatus = { value = 'x' }\n");
        let same =
            parse("description = 'x'\n# comment\n[columns]\nstatus = { value = \"x\" }\naccount_code = ['Konto']\n");
        assert_eq!(one.hash(), same.hash());
        assert_ne!(one.hash(), parse("[columns]\naccount_code = 'Konto'\nstatus = { value = 'y' }\n").hash());
    }
}
