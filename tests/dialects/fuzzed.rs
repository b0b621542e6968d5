//! What fuzzing has found, and inputs that lead far into the code.

use std::{fs, path::Path};

use crate::targets::TARGETS;

#[test]
fn every_input_that_fuzzing_has_kept_keeps_the_promises_of_the_core() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions");
    for (name, target) in TARGETS {
        let inputs = fs::read_dir(folder.join(name)).unwrap_or_else(|error| panic!("regressions/{name}: {error}"));
        let mut count = 0;
        for input in inputs {
            let path = input.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let held = std::panic::catch_unwind(|| target(&bytes));
            assert!(held.is_ok(), "{name} does not hold for {}", path.display());
            count += 1;
        }
        assert!(count > 0, "{name} has no input");
    }
}
