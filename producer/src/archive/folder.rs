//! The folder of an archive: made beside its place, and moved there once it is whole and on the disk.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use shared::fingerprint::Fingerprint;
use tempfile::TempDir;

use super::manifest::FileEntry;

/// The place of a new archive, at which nothing is yet.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    parent: PathBuf,
    name: String,
}

impl Place {
    /// The place that was asked for.
    ///
    /// # Errors
    /// If something is there, or it cannot be the name of a folder.
    pub(super) fn new(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let name = path.file_name().ok_or_else(|| format!("{shown} is not the name of a folder that can be made"))?;
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(_) => return Err(format!("{shown} is there already; an archive is never written over anything")),
            Err(error) => return Err(format!("{shown} cannot be looked for: {error}")),
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Self { path: path.to_owned(), parent: parent.to_owned(), name: name.to_string_lossy().into_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder in which the archive is written.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(super) fn begin(&self) -> io::Result<Unfinished> {
        // What the umask leaves of it, and not a temporary folder's own mode.
        let folder = tempfile::Builder::new()
            .prefix(&format!("{}.", self.name))
            .suffix(".partial")
            .permissions(Permissions::from_mode(0o777))
            .tempdir_in(&self.parent)?;
        Ok(Unfinished(folder))
    }

    /// Moves a whole archive to its place.
    ///
    /// # Errors
    /// If something is there by now, or the folder cannot be moved. Nothing of the archive is left then.
    pub(super) fn finish(&self, unfinished: Unfinished) -> io::Result<()> {
        let folder = unfinished.0;
        sync(folder.path())?;
        match renameat_with(CWD, folder.path(), CWD, &self.path, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            // NFS, for one, does not know such a rename.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => take_place(folder.path(), &self.path)?,
            Err(error) => return Err(error.into()),
        }
        // It is no longer where it would be removed.
        let _ = folder.keep();
        sync(&self.parent)
    }
}

/// Moves a folder to a place where nothing is. What is made there first is empty, and a folder replaces only such.
fn take_place(folder: &Path, place: &Path) -> io::Result<()> {
    fs::create_dir(place)?;
    fs::rename(folder, place).inspect_err(|_| {
        let _ = fs::remove_dir(place);
    })
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// An archive that is being written; it goes unless it is finished.
#[derive(Debug)]
pub(super) struct Unfinished(TempDir);

impl Unfinished {
    /// Makes a file.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(super) fn file(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(self.0.path().join(name))
    }

    /// Writes a whole file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> io::Result<FileEntry> {
        let mut file = self.file(name)?;
        file.write_all(content)?;
        file.sync_all()?;
        let sha256 = Fingerprint::of(content);
        Ok(FileEntry { name: name.to_owned(), bytes: content.len() as u64, rows: None, sha256 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_stands_at_its_place_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let place = Place::new(&root.path().join("2022")).unwrap();
        let unfinished = place.begin().unwrap();
        unfinished.write("a", b"text").unwrap();
        assert!(!place.path().exists());
        place.finish(unfinished).unwrap();
        assert_eq!(fs::read(place.path().join("a")).unwrap(), b"text");
        assert!(Place::new(place.path()).unwrap_err().contains("is there already"));

        let late = Place::new(&root.path().join("2023")).unwrap();
        let unfinished = late.begin().unwrap();
        fs::create_dir(late.path()).unwrap();
        assert!(late.finish(unfinished).is_err(), "what came meanwhile is not replaced, though it is empty");
        drop(late.begin().unwrap());
        let left: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn where_no_rename_refuses_to_replace_nothing_is_replaced_either() {
        let root = tempfile::tempdir().unwrap();
        let [folder, place] = ["folder", "place"].map(|name| root.path().join(name));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a"), b"text").unwrap();
        fs::write(&place, b"").unwrap();
        assert!(take_place(&folder, &place).is_err());
        fs::remove_file(&place).unwrap();
        take_place(&folder, &place).unwrap();
        assert!(place.join("a").exists() && !folder.exists());
    }

    #[test]
    fn a_place_without_a_name_is_refused() {
        assert!(Place::new(Path::new("/")).is_err());
        assert!(Place::new(Path::new("..")).is_err());
    }
}
