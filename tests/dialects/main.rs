//! Ledgers that are written in random dialects and read back through profiles that describe them, and
//! what fuzzing has found. Needs no service.

mod damage;
mod delimited;
mod described;
mod dialect;
mod figures;
mod file;
mod fuzzed;
mod journals;
mod ledger;
mod periods;
mod reading;
#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets use it as a library")]
mod targets;
mod workbooks;
