//! Where an anchor lies: in a file or in an object store.

use std::{
    fmt,
    io::Write,
    path::{Path, PathBuf},
    str::FromStr,
};

use futures_util::TryStreamExt;
use shared::{
    file_modes,
    settings::Settings,
    stores::object_store::{ObjectError, Store, object_url::ObjectUrl},
    telemetry::chain,
};

use crate::{errors::CommandError, output};

/// An anchor of a million chains has some 100 MB.
const LARGEST: u64 = 1 << 30;

/// The place of an anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Standard output.
    Output,
    /// A file.
    File(PathBuf),
    /// An object.
    Object(ObjectUrl),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "-" => Ok(Self::Output),
            _ if text.contains("://") => match ObjectUrl::parse(text, false) {
                Ok(object) => Ok(Self::Object(object)),
                Err(fault) => Err(format!("it {fault}; an object is s3://BUCKET/KEY, gs://… or az://…")),
            },
            path => Ok(Self::File(path.into())),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output => f.write_str("-"),
            Self::File(path) => path.display().fmt(f),
            Self::Object(object) => object.fmt(f),
        }
    }
}

impl Place {
    /// Writes an anchor where there is none yet, whole or not at all.
    ///
    /// # Errors
    /// If something is there, or it cannot be written.
    pub(crate) async fn write_new(&self, text: &str, settings: &Settings) -> Result<(), CommandError> {
        let failed = |fault: String| CommandError::Input(format!("the anchor cannot be written to {self}: {fault}"));
        match self {
            Self::Output => output::write(text),
            Self::File(path) => write_file(path, text).map_err(|error| failed(error.to_string())),
            Self::Object(object) => match store(object, settings)?.create(object, text.to_owned().into()).await {
                Err(ObjectError::Replaced) => Err(failed("there is an object of that name".to_owned())),
                Err(error) => Err(self.away(&error)),
                Ok(()) => Ok(()),
            },
        }
    }

    /// Reads an anchor.
    ///
    /// # Errors
    /// If it cannot be read, or is larger than any anchor.
    pub(crate) async fn read(&self, settings: &Settings) -> Result<String, CommandError> {
        let failed = |fault: String| CommandError::Input(format!("{self}: cannot be read: {fault}"));
        match self {
            Self::Output => Err(failed("an anchor is read from a file or an object".to_owned())),
            Self::File(path) => std::fs::read_to_string(path).map_err(|error| failed(error.to_string())),
            Self::Object(object) => {
                let store = store(object, settings)?;
                let read = async {
                    let (size, bytes) = store.read(object).await?;
                    if size > LARGEST {
                        return Ok(Err(failed(format!("it has {size} bytes, which no anchor has"))));
                    }
                    let pieces: Vec<_> = bytes.try_collect().await?;
                    Ok(String::from_utf8(pieces.concat()).map_err(|_| failed("it is not a text".to_owned())))
                };
                match read.await {
                    Ok(text) => text,
                    Err(error @ ObjectError::Missing) => Err(failed(error.to_string())),
                    Err(error) => Err(self.away(&error)),
                }
            }
        }
    }

    fn away(&self, error: &ObjectError) -> CommandError {
        CommandError::Store { place: self.to_string(), reason: chain(error) }
    }
}

fn store(object: &ObjectUrl, settings: &Settings) -> Result<Store, CommandError> {
    Store::open(object.clone(), &settings.stores).map_err(|error| CommandError::Input(chain(&error)))
}

/// Writes a file that is not there yet, whole and on the disk, or none.
fn write_file(path: &Path, text: &str) -> std::io::Result<()> {
    file_modes::limit();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    std::fs::File::open(folder)?.sync_all()
}
