#![no_main]

use std::{panic, sync::Once};

static QUIET: Once = Once::new();

// The core catches the panics of the library that reads workbooks; the fuzzer's own hook would not let it.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    QUIET.call_once(|| panic::set_hook(Box::new(|_| {})));
    aura_fuzz::workbook(bytes);
});
