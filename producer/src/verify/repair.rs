//! `--repair`: what can be derived is put back, and the audit trail tells so.
//!
//! A repair is written in one transaction with its event. Files and documents themselves are written
//! by a worker, as all others are: a repair is a task for it.

use serde_json::Value;
use shared::{
    message::event::{Event, EventType},
    stores::{
        outbox,
        postgres::{PostgresError, transaction},
    },
};

use super::{
    finding::{CHAIN, Code, Finding, Findings},
    repaired::{HALT, METADATA, PARQUET},
    stores::{StoreError, Stores},
};
use crate::actor_event;

const PUT_FILE: &str = include_str!("put_file.sql");
const PUT_METADATA: &str = include_str!("put_metadata.sql");
const RELEASE: &str = include_str!("release.sql");

/// What casts doubt on the ledger, from which files are written.
const LEDGER: [Code; 5] =
    [Code::RowsChanged, Code::RowsOfNoRun, Code::SliceChanged, Code::RunMissing, Code::RunChanged];

/// Puts back what can be, and says of each finding what was done.
pub(super) async fn put_back(stores: &Stores<'_>, findings: &mut Findings) -> Result<(), StoreError> {
    let ledger_is_doubtful = findings.has(&LEDGER);
    let chain_is_whole = !findings.has(&CHAIN);
    for finding in &mut findings.list {
        let done = match finding.code {
            Code::ParquetMissing | Code::ParquetStale | Code::ParquetWrong | Code::ParquetUnreadable => {
                if ledger_is_doubtful {
                    Err("not put back: the ledger itself is not what was loaded, and the file would hide that")
                } else {
                    let done = "a task is written; a running worker writes the file within seconds";
                    write(stores, finding, PARQUET, PUT_FILE).await?.then_some(done).ok_or(MOVED_ON)
                }
            }
            Code::MetadataMissing if ledger_is_doubtful => Err("not put back: the run itself is in doubt"),
            Code::MetadataMissing => {
                let done = "the result is written again from the run, and a running worker delivers it; the data \
                            profile is lost and stays null";
                write(stores, finding, METADATA, PUT_METADATA).await?.then_some(done).ok_or(MOVED_ON)
            }
            Code::ChainHalted if chain_is_whole => {
                let done = "the chain goes on; a running worker delivers what waits, and halts it again if it must";
                write(stores, finding, HALT, RELEASE).await?.then_some(done).ok_or(MOVED_ON)
            }
            Code::ChainHalted => Err("not put back: the chain goes on once its other findings are mended"),
            Code::AuditChanged | Code::AuditRemoved | Code::AuditReordered | Code::AuditRewritten => {
                Err("cannot be put back: a chain is never rewritten, and what has left the outbox cannot be derived")
            }
            Code::AuditAdded | Code::OutboxChanged | Code::AnchorBroken => {
                Err("not put back: a chain is never rewritten")
            }
            Code::EventsMissing => Err("cannot be put back: events cannot be derived"),
            Code::RowsChanged | Code::RowsOfNoRun | Code::SliceChanged | Code::RunMissing => {
                Err("cannot be put back from what is here: the export has to be loaded again")
            }
            Code::RunChanged => Err("cannot be put back: nothing tells what stood there"),
            Code::RunStalled => Err("not put back: only its message can set it going again"),
            Code::OutboxOverdue | Code::CacheOverdue => {
                Err("not put back: it is on its way already, and waits for a worker that can deliver it")
            }
            Code::MetadataChanged => Err("not put back: that would hide what was changed"),
            Code::MetadataUnknown | Code::ParquetUnknown => Err("not put back: verify removes nothing"),
            // Their queue is in hand while they are looked at, and they are mended then.
            Code::LetterUnwritten | Code::LetterGone => continue,
            Code::ParquetDisputed => Err("not put back: the file may be right, and the ledger wrong"),
        };
        finding.repaired = done.is_ok();
        finding.repair = Some(done.unwrap_or_else(|reason| reason).to_owned());
    }
    Ok(())
}

const MOVED_ON: &str = "nothing to do: it has moved on meanwhile";

/// Runs a statement that repairs, with its event; returns whether it changed something.
async fn write(
    stores: &Stores<'_>,
    finding: &Finding,
    what: &'static str,
    statement: &'static str,
) -> Result<bool, PostgresError> {
    let event = event(stores, finding, what);
    let (told, name, job_id) = (&event, &finding.name, finding.job_id);
    let written = transaction(&stores.pool, "repair", move |tx, _| {
        Box::pin(async move {
            let written = tx.execute(statement, &[&name.entity, &name.period, &job_id]).await;
            let written = written.map_err(PostgresError::in_("write a repair"))? > 0;
            if written {
                outbox::record(tx, std::slice::from_ref(told)).await?;
            }
            Ok::<_, PostgresError>(written)
        })
    });
    let written = written.await?;
    if written {
        actor_event::note(&event);
    }
    Ok(written)
}

fn event(stores: &Stores<'_>, finding: &Finding, what: &str) -> Event {
    let mut event = actor_event::event(EventType::Repaired, stores.settings)
        .with("what", what)
        .with("finding", finding.code.as_str())
        .with("detail", Value::from(finding.detail.as_str()));
    event.slice = finding.name.slice();
    event.job_id = finding.job_id;
    event
}
