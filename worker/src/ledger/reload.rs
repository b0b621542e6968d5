//! A slice that has rows: what the ledger holds of it is read once and compared with the file's rows, part by part, and
//! only what differs is written. The rows that come of it go into the slice's cache file as they are compared.
//!
//! Rows are written where they were found (`ctid`), and only if their key is the same there. If one has moved since,
//! because somebody else than a job wrote it, everything is taken back and goes through the staging table.

mod comparison;
mod held;
mod parts;
mod whole_row;
mod writes;

use bytes::{BufMut, Bytes};
use deadpool_postgres::Transaction;
use foldhash::fast::RandomState;
use futures_util::{SinkExt, TryStreamExt, future::try_join};
use shared::{
    amount::{SCALE, decimal_text},
    file::{
        columns::{COPIED, copied_columns},
        trial_balance::{Assumptions, CheckedSlice},
    },
    message::job::Mode,
    stores::postgres::PostgresError,
};
use tokio_postgres::error::SqlState;

use self::{
    comparison::{Compared, Comparison},
    held::Held,
    parts::{FileRows, Parts, TooMany},
    whole_row::WholeRow,
};
use super::{
    Applied, Broken, Load, Taken, copy_in::SIGNATURE, copying::INTO_LEDGER, parsed, statements::WrittenColumns,
};
use crate::{
    cache::{ahead::Writing, copy_out::CopiedRows},
    failpoint,
};

const COPY: &str = include_str!("reload/copy.sql");
/// Bytes of rows that are handed on at a time.
const PIECE: usize = 256 << 10;

/// Makes the ledger hold the file's rows.
pub(super) async fn reload(tx: &Transaction<'_>, load: &Load<'_>, assumptions: Assumptions) -> Result<Taken, Broken> {
    let job = load.job;
    let (count, hasher) = (parts::count(load.loaded.bytes), RandomState::default());
    let rows = FileRows::new(&job.slice, job.job_id, Parts::new(count, hasher.clone()));
    let parsing = load.parse(assumptions, rows, |rows| Ok(rows.end()));
    // The ledger's rows come while the file is parsed.
    let forgotten = async { writes::forget_absent(tx, load).await.map_err(Broken::from) };
    let of_ledger = try_join(forgotten, of_ledger(tx, load, Parts::new(count, hasher))).await;
    let (checked, (of_file, rejected)) = parsed(parsing).await?;
    let (mut of_file, ((), mut of_ledger)) = (of_file.ok_or(Broken::NeedsStaging)?, of_ledger?);

    let written = WrittenColumns::of(&checked.columns, load.mode == Mode::Replace);
    let mut file = CacheRows::begin(load.begin_cache_file());
    let mut totals = Totals::default();
    let (mut file_rows, mut ledger_rows) = (Vec::new(), Vec::new());
    for part in 0..count {
        let held = of_file.rows(part, file_rows).ok().and_then(Held::index).ok_or(Broken::NeedsStaging)?;
        ledger_rows = of_ledger.rows(part, ledger_rows).map_err(|TooMany| Broken::NeedsStaging)?;
        let comparison = compare(&held, &ledger_rows, &written, &mut file).await.ok_or(Broken::NeedsStaging)?;
        failpoint::reach_for("compared", &job.slice);
        if !writes::write(tx, load, &comparison, &written).await.map_err(stopped)? {
            return Err(Broken::NeedsStaging);
        }
        totals.inserted += insert(tx, &comparison, &mut file).await?;
        totals.add(&comparison).ok_or(Broken::NeedsStaging)?;
        drop(comparison);
        file_rows = held.into_rows();
    }
    let applied = totals.applied(&checked, load.mode).ok_or(Broken::NeedsStaging)?;
    Ok(Taken { checked, applied, ahead: file.end().await.map(Writing::end), rejected: Some(rejected) })
}

/// Reads what the ledger holds of the slice, each row with its place behind it.
async fn of_ledger(tx: &Transaction<'_>, load: &Load<'_>, mut parts: Parts) -> Result<Parts, Broken> {
    // COPY takes no parameters; neither code can hold a quote.
    let statement = COPY
        .replace("{columns}", &copied_columns().collect::<Vec<_>>().join(", "))
        .replace("{entity}", load.job.slice.entity.as_str())
        .replace("{period}", load.job.slice.period.as_str());
    let stream = tx.copy_out(&statement).await.map_err(PostgresError::in_("copy a slice")).map_err(stopped)?;
    let mut stream = std::pin::pin!(stream);
    let mut rows = CopiedRows::new(COPIED + 1);
    while let Some(bytes) = stream.try_next().await.map_err(PostgresError::in_("copy a slice")).map_err(stopped)? {
        rows.push(&bytes);
        while let Some(cells) = rows.next().map_err(|_| Broken::NeedsStaging)? {
            let (row, _) = WholeRow::split(cells.bytes()).ok_or(Broken::NeedsStaging)?;
            parts.add(row.key(), cells.bytes()).map_err(|TooMany| Broken::NeedsStaging)?;
        }
    }
    rows.finish().map_err(|_| Broken::NeedsStaging)?;
    Ok(parts)
}

/// What it means that PostgreSQL fails here. A table whose rows have no place, such as one that is distributed, is
/// loaded through the staging table.
fn stopped(error: PostgresError) -> Broken {
    match error.sql_state() {
        Some(state) if *state == SqlState::FEATURE_NOT_SUPPORTED || *state == SqlState::UNDEFINED_COLUMN => {
            Broken::NeedsStaging
        }
        _ => error.into(),
    }
}

/// Compares the rows of one part; none if they cannot be compared.
async fn compare<'a>(
    held: &'a Held,
    of_ledger: &[u8],
    written: &WrittenColumns,
    file: &mut CacheRows,
) -> Option<Comparison<'a>> {
    let mut comparison = Comparison::new(held, written);
    let mut rest = of_ledger;
    while !rest.is_empty() {
        let (row, place, tail) = WholeRow::split_placed(rest)?;
        rest = tail;
        match comparison.take(&row, place)? {
            Compared::Unchanged => file.add(row.bytes()),
            Compared::Changed => comparison.put_changed(&row, file.next_row()),
            Compared::Missing => {}
        }
        file.hand_on().await;
    }
    Some(comparison)
}

/// Copies the rows that the ledger does not have; returns how many they are.
async fn insert(tx: &Transaction<'_>, comparison: &Comparison<'_>, file: &mut CacheRows) -> Result<u64, PostgresError> {
    let mut rows = comparison.new_rows().peekable();
    if rows.peek().is_none() {
        return Ok(0);
    }
    let statement = tx.prepare_cached(&INTO_LEDGER).await.map_err(PostgresError::in_("prepare a copy"))?;
    let sink = tx.copy_in(&statement).await.map_err(PostgresError::in_("begin a copy"))?;
    let mut sink = std::pin::pin!(sink);
    let mut piece = SIGNATURE.to_vec();
    for row in rows {
        put_row(&mut piece, row.bytes());
        file.add(row.bytes());
        if piece.len() >= PIECE {
            sink.send(taken(&mut piece)).await.map_err(PostgresError::in_("copy rows"))?;
            file.hand_on().await;
        }
    }
    piece.put_i16(-1);
    sink.send(piece.into()).await.map_err(PostgresError::in_("copy rows"))?;
    sink.finish().await.map_err(PostgresError::in_("copy rows"))
}

/// What all parts came to.
#[derive(Default)]
struct Totals {
    inserted: u64,
    updated: u64,
    missing: u64,
    /// The sum of the missing rows' balances, in units of 10⁻¹⁶.
    missing_sum: i128,
}

impl Totals {
    /// Adds what differs in a part; none if its balances cannot be added up.
    fn add(&mut self, comparison: &Comparison<'_>) -> Option<()> {
        self.updated += comparison.changed.len() as u64;
        self.missing += comparison.missing.len() as u64;
        self.missing_sum = self.missing_sum.checked_add(comparison.missing_sum)?;
        Some(())
    }

    /// What the job changed. The slice holds the file's rows, and those that the file lacks if they were left.
    fn applied(&self, checked: &CheckedSlice, mode: Mode) -> Option<Applied> {
        let (deleted, absent, left) = match mode {
            Mode::Replace => (self.missing, 0, 0),
            Mode::Upsert => (0, self.missing, self.missing_sum),
        };
        Some(Applied {
            inserted: self.inserted,
            updated: self.updated,
            unchanged: checked.rows.checked_sub(self.inserted + self.updated)?,
            deleted,
            absent,
            slice_rows: (checked.rows + absent) as i64,
            slice_sum: decimal_text(checked.balance_sum.units().checked_add(left)?, SCALE),
        })
    }
}

/// Rows on their way into a cache file that is written ahead, if one is.
struct CacheRows {
    file: Option<Writing>,
    piece: Vec<u8>,
}

impl CacheRows {
    fn begin(file: Option<Writing>) -> Self {
        Self { file, piece: SIGNATURE.to_vec() }
    }

    fn add(&mut self, row: &[u8]) {
        if self.file.is_some() {
            put_row(&mut self.piece, row);
        }
    }

    /// Begins a row, whose cells are to be put there.
    fn next_row(&mut self) -> &mut Vec<u8> {
        self.piece.put_i16(COPIED as i16);
        &mut self.piece
    }

    /// Hands rows on once they are worth it.
    async fn hand_on(&mut self) {
        if self.piece.len() >= PIECE {
            self.send().await;
        }
    }

    async fn send(&mut self) {
        let piece = taken(&mut self.piece);
        if let Some(file) = &mut self.file {
            file.add(piece).await;
        }
    }

    async fn end(mut self) -> Option<Writing> {
        self.piece.put_i16(-1);
        self.send().await;
        self.file
    }
}

/// Takes what a piece holds, of which another begins.
fn taken(piece: &mut Vec<u8>) -> Bytes {
    let next = Vec::with_capacity(piece.len());
    std::mem::replace(piece, next).into()
}

fn put_row(piece: &mut Vec<u8>, row: &[u8]) {
    piece.put_i16(COPIED as i16);
    piece.put_slice(row);
}
