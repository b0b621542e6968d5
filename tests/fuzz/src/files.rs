//! Files: any bytes, through the built-in profile or one of several others.

use std::io::Read;

use shared::{
    amount::Amount,
    file::{
        dialect::{FileLimits, Opened},
        mapping_profile::MappingProfile,
        records::RecordLimits,
        survey::survey,
        trial_balance::{self, CheckedSlice, LedgerRow, Request, RowSink, read_until_settled},
        unpack::Expansion,
        workbook::WorkbookLimits,
    },
    message::{
        failure::{BadRow, ErrorCode, Failure},
        job::{Control, OnError},
    },
    slice::Slice,
};

use super::profiles::PARSED;

/// Limits within which any input is read at once.
pub(super) const LIMITS: FileLimits = FileLimits {
    record: RecordLimits { bytes: 4096, fields: 64 },
    expansion: Expansion { bytes: 1 << 20, ratio: 200 },
    workbook: WorkbookLimits { bytes: 1 << 18, unpacked: 1 << 20 },
};

/// Finds out how a file is written, and reads all of it.
pub fn dialect(bytes: &[u8]) {
    let profile = MappingProfile::default();
    if let Ok(mut opened) = Opened::new(bytes, &profile, LIMITS, 0) {
        let mut line = 0;
        while let Ok(Some(record)) = opened.next_record() {
            assert!(record.line > line, "line {} after line {line}", record.line);
            assert!(record.raw.len() <= LIMITS.record.bytes && record.len() <= LIMITS.record.fields);
            line = record.line;
        }
    }
    read_in_every_way(bytes, &profile);
}

/// Reads a slice; the first byte chooses the profile.
pub fn parse(bytes: &[u8]) {
    let Some((choice, file)) = bytes.split_first() else { return };
    read_in_every_way(file, &PARSED[usize::from(*choice) % PARSED.len()]);
}

/// What was read, for comparison.
#[derive(Debug, Default, PartialEq)]
struct Rows {
    good: Vec<String>,
    rejected: Vec<String>,
    last_line: u64,
    sum: Option<i128>,
}

/// Reads a slice, and holds against each other what must be the same.
pub(super) fn read_in_every_way(bytes: &[u8], profile: &MappingProfile) {
    let whole = read(bytes, profile, OnError::Abort);
    let dripped = read(Drip(bytes, 0), profile, OnError::Abort);
    match (&whole, &dripped) {
        // Of several faults of a damaged archive any may come first.
        (Err(one), Err(other)) if [one.code, other.code].contains(&ErrorCode::ArchiveInvalid) => {}
        _ => assert_eq!(outcome(&whole), outcome(&dripped), "it matters how many bytes are had at a time"),
    }
    let quarantined = read(bytes, profile, OnError::Quarantine);
    match (&whole, &quarantined) {
        (Ok((checked, rows)), Ok((also, others))) => {
            assert_eq!((checked.rows, &rows.good), (also.rows, &others.good), "quarantine changes good rows");
            assert_eq!(rows.good.len() as u64, checked.rows);
            assert_eq!(rows.sum.and_then(Amount::from_units), Some(checked.balance_sum), "the sum is that of the rows");
        }
        (Ok(_), Err(failure)) => panic!("quarantine refuses what abort takes: {failure}"),
        (Err(failure), Ok((also, _))) => {
            assert_eq!(failure.code, ErrorCode::RowInvalid, "quarantine is for bad rows: {failure}");
            assert_eq!(failure.rows_total, also.failed, "{failure}");
        }
        (Err(_), Err(_)) => {}
    }
    for failure in [whole.as_ref().err(), quarantined.as_ref().err()].into_iter().flatten() {
        assert!(!failure.code.is_transient(), "a file that was read whole gives a transient failure: {failure}");
        assert!(failure.message.len() < 64 * 1024, "a message of {} bytes", failure.message.len());
    }
    let slice = slice();
    let Ok(surveyed) = survey(|| Ok::<_, std::convert::Infallible>(bytes), profile, LIMITS, &slice, u64::MAX);
    if let (Ok(found), Ok((checked, _))) = (surveyed, &whole) {
        assert!(found.rows > 0 && found.dialect == checked.dialect, "the survey sees another file");
    }
}

type Outcome<'a> = Result<(u64, u64, String, &'a Rows), &'a Failure>;

fn outcome(read: &Result<(CheckedSlice, Rows), Failure>) -> Outcome<'_> {
    read.as_ref().map(|(checked, rows)| {
        (checked.rows_other_slices, checked.left_out, format!("{:?}{:?}", checked.dialect, checked.profile), rows)
    })
}

fn slice() -> Slice {
    Slice { entity: "A".parse().expect("an entity"), period: "2022-06".parse().expect("a period") }
}

fn read(
    input: impl Read + Clone,
    profile: &MappingProfile,
    on_error: OnError,
) -> Result<(CheckedSlice, Rows), Failure> {
    let slice = slice();
    let request = Request {
        slice: &slice,
        profile,
        on_error,
        max_rejected: u64::MAX,
        limits: LIMITS,
        control: Control::default(),
        require_balanced: false,
        nil_tolerance: Amount::ZERO,
    };
    let mut times = 0;
    read_until_settled(|assumptions| {
        times += 1;
        assert!(times <= 8, "the file is read again and again");
        let mut rows = Rows::default();
        let checked = trial_balance::read(input.clone(), &request, assumptions, &mut rows)?;
        Ok((checked, rows))
    })
}

impl RowSink for Rows {
    fn good(&mut self, row: &LedgerRow<'_>) -> Result<(), Failure> {
        assert!(row.line >= self.last_line, "line {} after line {}", row.line, self.last_line);
        self.last_line = row.line;
        let balance = row.amounts[0].unwrap_or_else(|| panic!("a good row without a balance: {row:?}"));
        self.sum = Some(self.sum.unwrap_or_default() + balance.units());
        assert!(!row.account_code.trim_ascii().is_empty() && row.account_code.len() <= 255, "{row:?}");
        self.good.push(format!("{row:?}"));
        Ok(())
    }

    fn rejected(&mut self, row: &BadRow, raw: &str) -> Result<(), Failure> {
        self.rejected.push(format!("{row:?} {raw}"));
        Ok(())
    }
}

/// Gives one to five bytes at a time.
#[derive(Clone)]
struct Drip<'a>(&'a [u8], usize);

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1 += 1;
        let count = (self.1 * 7 % 5 + 1).min(self.0.len()).min(buffer.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}
