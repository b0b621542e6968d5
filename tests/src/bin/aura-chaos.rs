//! `aura-chaos`: random faults against a stream of jobs, and then the checker.

fn main() {}
