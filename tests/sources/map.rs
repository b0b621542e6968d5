//! The map of ARCHITECTURE.md names every file of the library and the worker, and none that is not there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;

/// Every source file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of sources").map(|entry| entry.expect("an entry").path());
    let inside = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(inside).filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

fn name(path: &Path) -> String {
    path.file_name().expect("a file's name").to_string_lossy().into_owned()
}

#[test]
fn the_map_of_the_code_names_every_file_and_none_that_is_gone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let written = Regex::new(r"`[^`]*?([a-z_]+\.rs)`").expect("an expression");
    let named: BTreeSet<String> = written.captures_iter(&text).map(|found| found[1].to_owned()).collect();
    let all: Vec<PathBuf> = ["shared/src", "worker/src", "producer/src", "tests"]
        .iter()
        .flat_map(|folder| files(&root.join(folder)))
        .collect();
    let there: BTreeSet<String> = all.iter().map(|path| name(path)).collect();
    assert_eq!(named.difference(&there).collect::<Vec<_>>(), Vec::<&String>::new(), "these are gone");

    // A file within a file's own folder is part of that file, deeper than the rooms.
    let is_room = |path: &&PathBuf| {
        let inside = path.strip_prefix(&root).expect("below the root").components().count();
        ["shared", "worker"].iter().any(|one| path.starts_with(root.join(one)))
            && inside <= 4
            && name(path) != "tests.rs"
    };
    let unnamed: Vec<&PathBuf> = all.iter().filter(is_room).filter(|path| !named.contains(&name(path))).collect();
    assert_eq!(unnamed, Vec::<&PathBuf>::new(), "the map lacks these");
}
