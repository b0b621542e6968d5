//! The log's file: one a day, and `aura.log`, a link to the newest. Any number of processes may share
//! a folder.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use uuid::Uuid;

const LINK: &str = "aura.log";

/// Appends lines to the file of the day.
pub(super) struct LogFile {
    folder: PathBuf,
    name: String,
    file: File,
}

impl LogFile {
    /// Opens today's file, and makes the folder if it is not there.
    ///
    /// # Errors
    /// If the folder cannot be made, or file or link not be written.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let name = name_of(Utc::now());
        fs::create_dir_all(folder)?;
        let file = append_to(&folder.join(&name))?;
        link(folder, &name)?;
        Ok(Self { folder: folder.to_owned(), name, file })
    }

    /// Goes on to another day's file. If that cannot be opened, the old one takes the lines.
    fn turn(&mut self, name: String) {
        if let Ok(file) = append_to(&self.folder.join(&name)) {
            // The lines are in the file, whether or not the link leads there.
            let _ = link(&self.folder, &name);
            self.file = file;
        }
        self.name = name;
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let name = name_of(Utc::now());
        if name != self.name {
            self.turn(name);
        }
        self.file.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn name_of(time: DateTime<Utc>) -> String {
    time.format("aura.log.%Y-%m-%d").to_string()
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Points the link at a file beside it. It is made under another name and moved, since another
/// process may do the same at this moment.
fn link(folder: &Path, name: &str) -> io::Result<()> {
    let link = folder.join(LINK);
    if fs::read_link(&link).is_ok_and(|target| target == Path::new(name)) {
        return Ok(());
    }
    let fresh = folder.join(format!(".{LINK}.{}", Uuid::new_v4().simple()));
    symlink(name, &fresh)?;
    fs::rename(&fresh, &link).inspect_err(|_| drop(fs::remove_file(&fresh)))
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    #[test]
    fn any_number_of_writers_may_open_one_folder_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..50 {
            let logs = folder.path().join(round.to_string());
            let start = Barrier::new(8);
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        start.wait();
                        LogFile::open(&logs).unwrap().write_all(b"line\n").unwrap();
                    });
                }
            });
            assert_eq!(fs::read_to_string(logs.join(LINK)).unwrap(), "line\n".repeat(8));
            assert_eq!(fs::read_dir(&logs).unwrap().count(), 2, "something but file and link was left");
        }
    }

    #[test]
    fn another_day_has_another_file_and_the_link_follows() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(folder.path()).unwrap();
        log.turn("aura.log.2022-06-30".to_owned());
        log.file.write_all(b"old\n").unwrap();
        assert_eq!(fs::read_to_string(folder.path().join(LINK)).unwrap(), "old\n");
        log.write_all(b"new\n").unwrap();
        assert_eq!(fs::read_to_string(folder.path().join(LINK)).unwrap(), "new\n");
        assert_eq!(fs::read_to_string(folder.path().join("aura.log.2022-06-30")).unwrap(), "old\n");
    }
}
