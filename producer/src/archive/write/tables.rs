//! One slice after the other, from the stores into the archive's tables.

use deadpool_postgres::Transaction;
use shared::stores::mongo::Mongo;

use super::{
    super::{
        agreement::{self, Rows},
        events::{self, TrailError},
        folder::Unfinished,
        ledger::{self, CopyError, SOURCES},
        manifest::{Counts, FileEntry, SliceEntry},
        slices::Known,
        table_file::{TableError, TableFile},
        tables::{ACCOUNTS, TRAIL, Table},
    },
    error::ArchiveError,
};

/// The tables while they are written.
pub(super) struct Files {
    /// In the order of [`SOURCES`].
    ledger: Vec<TableFile>,
    trail: TableFile,
}

impl Files {
    pub(super) fn begin(folder: &Unfinished, year: &str) -> Result<Self, ArchiveError> {
        let begin =
            |table: &'static Table| Ok::<_, ArchiveError>(TableFile::new(table, folder.file(table.file)?, year)?);
        let ledger = SOURCES.iter().map(|source| begin(source.table)).collect::<Result<_, _>>()?;
        Ok(Self { ledger, trail: begin(&TRAIL)? })
    }

    /// Ends the files; returns what the manifest says of them.
    pub(super) fn finish(self) -> Result<Vec<FileEntry>, TableError> {
        self.ledger.into_iter().chain([self.trail]).map(TableFile::finish).collect()
    }

    /// Copies a slice, and makes sure that its rows are those that its job and its chain tell of.
    pub(super) async fn take(
        &mut self,
        tx: &Transaction<'_>,
        mongo: &Mongo,
        slice: &Known,
    ) -> Result<SliceEntry, ArchiveError> {
        if slice.is_of_no_run {
            return Err(ArchiveError::of(slice, "its job or its file is not that of a run that loaded it"));
        }
        let chain = events::copy(mongo, slice, &mut self.trail).await.map_err(|error| match error {
            TrailError::Mongo(error) => ArchiveError::Store(error.into()),
            TrailError::Table(TableError::Cell { column, reason, .. }) => {
                ArchiveError::of(slice, format_args!("an event cannot be archived for its {column}: {reason}"))
            }
            TrailError::Table(error) => ArchiveError::Table(error),
            TrailError::Doubtful(what) => ArchiveError::of(slice, what),
        })?;
        let mut rows = Rows::default();
        let mut copied = Vec::with_capacity(SOURCES.len());
        for (source, file) in SOURCES.iter().zip(&mut self.ledger) {
            let is_ledger = source.table.file == ACCOUNTS.file;
            let add = |balance| {
                if is_ledger {
                    rows.add(balance)
                }
            };
            let count = ledger::copy(tx, source, (&slice.entity, &slice.period), file, add).await;
            copied.push(count.map_err(|error| match error {
                CopyError::Postgres(error) => error.into(),
                CopyError::Table(error @ TableError::Cell { .. }) => ArchiveError::of(slice, error),
                CopyError::Table(error) => ArchiveError::Table(error),
            })?);
        }
        let mut differences = agreement::with_chain(rows, &slice.told, chain.ingested.as_ref());
        if slice.told.job_id.is_some() {
            differences.extend(agreement::differences(rows, &slice.told, "the run of the job"));
        }
        let (true, Some(balance_sum)) = (differences.is_empty(), rows.sum()) else {
            return Err(ArchiveError::of(slice, differences.join("; ")));
        };
        let count = |place: usize| copied.get(place).copied().unwrap_or_default();
        Ok(SliceEntry {
            entity: slice.entity.clone(),
            period: slice.period.clone(),
            job_id: slice.told.job_id,
            fingerprint: slice.told.fingerprint.clone(),
            file: slice.file.clone(),
            balance_sum,
            counts: Counts {
                rows: count(0),
                changes: count(1),
                rejected_rows: count(2),
                absent_accounts: count(3),
                runs: count(4),
                events: chain.events,
            },
            head: chain.head,
        })
    }
}
