//! A copy of the file's rows into the ledger, or into the staging table.

use std::sync::LazyLock;

use deadpool_postgres::Transaction;
use futures_util::SinkExt;
use shared::{
    file::{
        columns::copied_columns,
        trial_balance::{Assumptions, CheckedSlice},
    },
    stores::postgres::PostgresError,
};
use tokio::sync::mpsc;

use super::{
    Broken, Load,
    copy_in::{Rejected, RowCopy},
    parsed,
    statements::ROW,
};
use crate::cache::ahead::{Ahead, Writing};

/// Chunks of rows that wait between the parser and PostgreSQL.
const CHUNKS: usize = 4;

/// Copies whole rows into the ledger.
pub(super) static INTO_LEDGER: LazyLock<String> = LazyLock::new(|| {
    let columns = copied_columns().collect::<Vec<_>>().join(", ");
    format!("COPY gl_accounts ({columns}) FROM STDIN (FORMAT binary)")
});
static INTO_STAGING: LazyLock<String> =
    LazyLock::new(|| format!("COPY aura_staging ({}) FROM STDIN (FORMAT binary)", *ROW));

/// Where rows are copied to.
pub(super) enum Target {
    /// The ledger, and the slice's cache file beside it.
    Ledger(Option<Writing>),
    Staging,
}

/// Rows that were copied.
pub(super) struct Copied {
    pub(super) checked: CheckedSlice,
    pub(super) rejected: Rejected,
    pub(super) ahead: Option<Ahead>,
}

/// Parses on a thread of its own while PostgreSQL, and the cache file, take in what was parsed.
pub(super) async fn copy(
    tx: &Transaction<'_>,
    load: &Load<'_>,
    target: Target,
    assumptions: Assumptions,
) -> Result<Copied, Broken> {
    let is_direct = matches!(target, Target::Ledger(_));
    let (statement, mut file) = match target {
        Target::Ledger(file) => (INTO_LEDGER.as_str(), file),
        Target::Staging => (INTO_STAGING.as_str(), None),
    };
    let (sender, mut chunks) = mpsc::channel(CHUNKS);
    let rows = RowCopy::new(&load.job.slice, load.job.job_id, is_direct, sender);
    let parsing = load.parse(assumptions, rows, RowCopy::finish);
    let stopped = |error: PostgresError| match error.is_unique_violation() && is_direct {
        true => Broken::NeedsStaging,
        false => error.into(),
    };
    let sent: Result<_, PostgresError> = async {
        let statement = tx.prepare_cached(statement).await.map_err(PostgresError::in_("prepare a copy"))?;
        let sink = tx.copy_in(&statement).await.map_err(PostgresError::in_("begin a copy"))?;
        let mut sink = Box::pin(sink);
        while let Some(chunk) = chunks.recv().await {
            if let Some(file) = &mut file {
                file.add(chunk.clone()).await;
            }
            sink.send(chunk).await.map_err(PostgresError::in_("copy rows"))?;
        }
        Ok(sink)
    }
    .await;
    drop(chunks);
    let parsed = parsed(parsing).await;
    let mut sink = sent.map_err(stopped)?;
    // Otherwise the sink is dropped, which breaks the copy off.
    let (checked, rejected) = parsed?;
    sink.as_mut().finish().await.map_err(|source| stopped(PostgresError::in_("copy rows")(source)))?;
    Ok(Copied { checked, rejected, ahead: file.map(Writing::end) })
}
