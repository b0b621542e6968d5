//! The files of an archive: which there are, how long they are, and what they hash to.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use shared::fingerprint::{Fingerprint, Fingerprinter};

use super::{
    super::{
        manifest::{FileEntry, MANIFEST, Manifest, README, SIGNATURE},
        tables,
    },
    Findings,
};

const CHUNK: usize = 256 << 10;

/// Reads a whole file of at most so many bytes.
pub(super) fn bytes(path: &Path, longest: u64) -> Result<Vec<u8>, String> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    file.take(longest + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > longest { Err(format!("it is longer than {longest} bytes")) } else { Ok(bytes) }
}

/// Opens what is a file, and no link to one.
fn open(path: &Path) -> Result<File, String> {
    let found = path.symlink_metadata().map_err(missing)?;
    if !found.is_file() {
        return Err("it is not a file".to_owned());
    }
    File::open(path).map_err(missing)
}

fn missing(error: io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound { "it is missing".to_owned() } else { error.to_string() }
}

/// Checks the files against the manifest.
pub(super) fn check(folder: &Path, manifest: &Manifest, findings: &mut Findings) {
    let expected: BTreeSet<&str> = tables::ALL.iter().map(|table| table.file).chain([README]).collect();
    let mut listed = BTreeSet::new();
    for entry in &manifest.files {
        if !expected.contains(entry.name.as_str()) {
            findings.add(MANIFEST, format!("lists {:?}, which is not a file of an archive", entry.name));
        } else if !listed.insert(entry.name.as_str()) {
            findings.add(MANIFEST, format!("lists {} more than once", entry.name));
        } else if let Some(detail) = fault(folder, entry) {
            findings.add(&entry.name, detail);
        }
    }
    for name in expected.difference(&listed) {
        findings.add(MANIFEST, format!("does not list {name}"));
    }
    match names(folder) {
        Ok(names) => {
            let known = |name: &str| expected.contains(name) || name == MANIFEST || name == SIGNATURE;
            for name in names.iter().filter(|name| !known(name)) {
                findings.add(name, "does not belong to the archive");
            }
        }
        Err(error) => findings.add(&folder.display().to_string(), format!("its files cannot be listed: {error}")),
    }
}

fn names(folder: &Path) -> io::Result<BTreeSet<String>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// What is wrong with a file, if anything is.
fn fault(folder: &Path, entry: &FileEntry) -> Option<String> {
    match measured(&folder.join(&entry.name)) {
        Err(reason) if reason == "it is missing" => Some("is missing".to_owned()),
        Err(reason) => Some(format!("cannot be read: {reason}")),
        Ok((bytes, _)) if bytes != entry.bytes => Some(format!("has {bytes} bytes, the manifest says {}", entry.bytes)),
        Ok((_, sha256)) if sha256 != entry.sha256 => {
            Some(format!("was changed or is damaged: its SHA-256 is {sha256}, the manifest says {}", entry.sha256))
        }
        Ok(_) => None,
    }
}

/// How long a file is, and its SHA-256.
fn measured(path: &Path) -> Result<(u64, Fingerprint), String> {
    let mut file = open(path)?;
    let (mut bytes, mut hash, mut chunk) = (0, Fingerprinter::default(), vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk).map_err(|error| error.to_string())? {
            0 => return Ok((bytes, hash.finish())),
            length => {
                let (read, _) = chunk.split_at(length);
                hash.update(read);
                bytes += length as u64;
            }
        }
    }
}
