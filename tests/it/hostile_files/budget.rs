//! What reading a hostile file takes from the heap, under an allocator that gives no more than its budget.

use std::{alloc::System, io::Cursor, time::Instant};

use cap::Cap;
use shared::{
    amount::Amount,
    file::{
        dialect::FileLimits,
        mapping_profile::MappingProfile,
        trial_balance::{self, LedgerRow, Request, RowSink, read_until_settled},
    },
    message::{
        failure::{BadRow, Failure},
        job::{Control, OnError},
    },
    settings::Settings,
    slice::Slice,
};

use super::{Case, End, archives, delimited, workbooks};

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// What reading one of these files may take, whatever it claims to hold.
const BUDGET: usize = 16 << 20;

/// Rows that are looked at and not kept, as a COPY does.
struct Passing;

impl RowSink for Passing {
    fn good(&mut self, _: &LedgerRow<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn rejected(&mut self, _: &BadRow, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}

/// Reads a file as a worker does, with the limits that it has where nobody sets others.
fn read(bytes: &[u8]) -> Result<(), Failure> {
    let settings = Settings::merge(None, Vec::new(), Vec::new()).expect("the defaults");
    let slice = Slice { entity: "A".parse().expect("an entity"), period: "2022-06".parse().expect("a period") };
    let profile = MappingProfile::default();
    let request = Request {
        slice: &slice,
        profile: &profile,
        on_error: OnError::Abort,
        max_rejected: settings.max_rejected_rows,
        limits: FileLimits::from(&settings),
        control: Control::default(),
        require_balanced: false,
        nil_tolerance: Amount::ZERO,
    };
    read_until_settled(|assumptions| trial_balance::read(Cursor::new(bytes), &request, assumptions, &mut Passing))
        .map(|_| ())
}

/// Reads a file within the budget, and makes sure that it ends as it should.
fn check((what, bytes, end): &Case) {
    // An allocation past the limit ends the process: the last line tells which file it was.
    eprintln!("reading {what}, {} bytes", bytes.len());
    HEAP.set_limit(HEAP.allocated() + BUDGET).expect("less is held than that");
    let began = Instant::now();
    let found = read(bytes);
    eprintln!("  took {} ms", began.elapsed().as_millis());
    HEAP.set_limit(usize::MAX).expect("there is no limit");
    match end {
        End::Loads => assert!(found.is_ok(), "{what}: {found:?}"),
        // PostgreSQL finds that.
        End::Fails("duplicate_key") => assert!(found.is_ok(), "{what}: {found:?}"),
        End::Fails(code) => {
            assert!(found.as_ref().is_err_and(|failure| failure.code.as_str() == *code), "{what}: {found:?}")
        }
    }
}

#[test]
fn no_hostile_file_takes_more_from_the_heap_than_its_budget() {
    // A library may panic at what it reads. The names of a backtrace take more than the file.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    let cases = [delimited::cases(), archives::cases(), workbooks::cases()].concat();
    for case in &cases {
        check(case);
    }
}
