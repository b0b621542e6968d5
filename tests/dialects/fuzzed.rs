//! What fuzzing has found, and inputs that lead far into the code.

use std::{fs, path::Path};

use tests::random::Random;

use crate::targets::{TARGETS, properties};

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

/// Changes, doubles, cuts or adds an octet of an input.
fn mutated(input: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..random.between(1, 6) {
        let place = random.between(0, bytes.len() as u64) as usize;
        let octet = random.one_of(&[0, 1, 2, 4, 13, 0x7f, 0x80, 0xff, b'A', b'F', b'S', b'D', b'V', b'l', b's', b'x']);
        match random.between(0, 3) {
            0 if place < bytes.len() => bytes[place] = octet,
            1 => bytes.insert(place, octet),
            2 => bytes.truncate(place),
            _ => bytes.extend_from_slice(&input[..place.min(input.len())]),
        }
    }
    bytes
}

#[test]
fn whatever_becomes_of_properties_lapin_reads_what_the_guard_passes_on() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions/properties");
    let inputs: Vec<_> = fs::read_dir(folder).unwrap().map(|input| fs::read(input.unwrap().path()).unwrap()).collect();
    let mut random = Random::at(7, 7);
    for _ in 0..40_000 {
        let input = &inputs[random.between(0, inputs.len() as u64 - 1) as usize];
        let bytes = mutated(input, &mut random);
        let held = std::panic::catch_unwind(|| properties(&bytes));
        assert!(held.is_ok(), "not for {bytes:?}");
    }
}
