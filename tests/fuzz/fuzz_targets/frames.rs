#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aura_fuzz::frames(bytes));
