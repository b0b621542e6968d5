//! `verify`: PostgreSQL, the audit chain and the Parquet cache against each other.

mod anchored;
mod cache_file;
mod difference;
pub(crate) mod finding;
pub(crate) mod ledger;
mod letters;
mod overdue;
mod part;
mod repair;
mod repaired;
pub(crate) mod report;
mod row;
mod runs;
mod scope;
pub(crate) mod slice;
mod snapshot;
pub(crate) mod stores;
mod trail;

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shared::{
    settings::Settings,
    slice::{Entity, Period, Slice},
    stores::{cache::CacheStore, postgres::PostgresError},
};

use crate::{
    errors::{CommandError, ExitStatus},
    output,
};
use finding::Finding;
use report::{OnTheWay, Report};
use scope::Scope;
use slice::{Checked, Seen};
use stores::{PARALLEL, STATEMENT_TIMEOUT, StoreError, Stores, query};

const ON_THE_WAY: &str = include_str!("verify/on_the_way.sql");
const ON_THE_WAY_OF_ENTITY: &str = include_str!("verify/on_the_way_of_entity.sql");

/// Holds PostgreSQL, the audit chain and the Parquet cache against each other
///
/// Finds audit events that were changed, removed, added or reordered; rows of the ledger, runs and
/// metadata that were changed behind Aura's back; Parquet files that are missing, stale, wrong or
/// unreadable; jobs that make no progress; dead letters that are in the queue and not written down, or the other way
/// round (those only without --entity and --period). It may run at any time: what is still on its way from PostgreSQL to the other stores
/// is not a finding until it has waited for longer than AURA_OUTBOX_WARN_SECONDS. Every finding comes with what to do about it.
///
/// With --repair, what can be derived is put back: a Parquet file and a job's metadata are written
/// again by a running worker, and a halted chain whose cause is gone goes on. Each repair is told in
/// the audit trail. Nothing is put back where that would hide what was tampered with: no chain is ever
/// rewritten, and no file is written from a ledger that is in doubt. With --anchor, each chain must go on from the head
/// that `aura-producer anchor` signed, which finds books and trail that were rewritten together.
#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 nothing was found; 1 something was found, even if it was repaired (run it again \
                        to see that it was); 2 usage; 3 a service is unreachable.\n\nExamples:\n  aura-producer \
                        verify\n  aura-producer verify --entity ABEX --period 2022-06 --repair"
)]
pub(crate) struct Args {
    /// Only this legal entity
    #[arg(long)]
    entity: Option<Entity>,
    /// Only this period, YYYY-MM
    #[arg(long)]
    period: Option<Period>,
    /// Puts back what can be derived
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    anchored: anchored::AgainstAnchor,
}

impl Args {
    /// Returns whether nothing is put back.
    pub(crate) fn only_reads(&self) -> bool {
        !self.repair
    }
}

/// Looks at everything, or at what is asked for.
pub(crate) async fn run(args: Args, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    let anchor = args.anchored.open(settings).await?;
    let stores = Stores::open(settings, STATEMENT_TIMEOUT).await?;
    let scope = Scope { entity: args.entity, period: args.period };
    let report = async {
        let mut report = verify(&stores, &scope, args.repair, ProgressDrawTarget::stderr()).await?;
        if let Some(anchor) = &anchor {
            report.findings.extend(anchored::check(&stores, &scope, anchor).await?);
            let chains = output::count(anchor.heads.len(), "chain");
            output::remark(&format!("held against the anchor of {} with {chains}", output::time(anchor.taken_at)));
        }
        Ok::<_, StoreError>(report)
    };
    let report = report.await;
    stores.mongo.close().await;
    let mut report = report.map_err(|error| error.at(settings))?;
    if scope.is_everything() {
        match letters::check(&stores.pool, settings, args.repair).await {
            Ok((seen, findings)) => {
                report.checked.dead_letters = seen;
                report.findings.extend(findings);
            }
            Err(error) => report.unseen = Some(format!("the dead letters were not looked at: {}", error.line())),
        }
    }
    if let CacheStore::Folder(folder) = &stores.cache
        && !folder.exists()
        && report.checked.rows > 0
    {
        let folder = folder.display();
        output::remark(&format!("there is no folder {folder}; is AURA_CACHE_URL that of the workers?"));
    }
    for finding in &report.findings {
        tracing::warn!(
            finding = finding.code.as_str(),
            entity = finding.name.entity,
            period = finding.name.period,
            job_id = finding.job_id.map(tracing::field::display),
            repaired = finding.repaired,
            "verify found something"
        );
    }
    output::print(json, &report)?;
    Ok(report.exit_status())
}

/// Looks at one slice for at most so long, and puts nothing back. What was not seen by then is told in the report.
///
/// # Errors
/// If a store cannot be asked.
pub(crate) async fn of_slice(slice: Slice, settings: &Settings, limit: Duration) -> Result<Report, CommandError> {
    let looked_at = async {
        let stores = Stores::open(settings, limit).await?;
        let scope = Scope { entity: Some(slice.entity.clone()), period: Some(slice.period.clone()) };
        let report = verify(&stores, &scope, false, ProgressDrawTarget::hidden()).await;
        stores.mongo.close().await;
        report.map_err(|error| error.at(settings))
    };
    match tokio::time::timeout(limit, looked_at).await {
        Ok(report) => report,
        Err(_) => Ok(Report {
            checked: Checked::default(),
            findings: Vec::new(),
            on_the_way: OnTheWay::default(),
            unseen: Some(format!(
                "not all was looked at within {} s, so nothing is said; aura-producer verify --entity {} --period {} takes \
                 as long as it needs",
                limit.as_secs(),
                slice.entity,
                slice.period
            )),
        }),
    }
}

async fn verify(
    stores: &Stores<'_>,
    scope: &Scope,
    repair: bool,
    progress: ProgressDrawTarget,
) -> Result<Report, StoreError> {
    let (names, mut nameless) = scope::all(stores, scope).await?;
    if repair {
        repair::put_back(stores, &mut nameless).await?;
    }
    let bar = ProgressBar::with_draw_target(Some(names.len() as u64), progress);
    if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} slices {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    let looked_at = stream::iter(names).map(|name| async move {
        let mut seen = slice::check(stores, &name).await?;
        if repair {
            repair::put_back(stores, &mut seen.findings).await?;
        }
        Ok::<_, StoreError>(seen)
    });
    let mut looked_at = looked_at.buffer_unordered(PARALLEL);
    let (mut checked, mut all): (Checked, Vec<Finding>) = (Checked::default(), nameless.list);
    let mut all_pruned = BTreeSet::new();
    while let Some(Seen { checked: more, findings, pruned }) = looked_at.try_next().await? {
        checked += more;
        all.extend(findings.list);
        all_pruned.extend(pruned);
        bar.inc(1);
        if !all.is_empty() {
            bar.set_message(format!("({})", output::count(all.len(), "finding")));
        }
    }
    for mut findings in runs::unknown_metadata(stores, scope, &all_pruned).await? {
        if repair {
            repair::put_back(stores, &mut findings).await?;
        }
        all.extend(findings.list);
    }
    bar.finish_and_clear();
    all.sort_by(|a, b| (&a.name, a.code).cmp(&(&b.name, b.code)));
    Ok(Report { checked, findings: all, on_the_way: on_the_way(stores, scope).await?, unseen: None })
}

async fn on_the_way(stores: &Stores<'_>, scope: &Scope) -> Result<OnTheWay, StoreError> {
    let client = stores.pool.get().await.map_err(PostgresError::from)?;
    let what = "count what is on its way";
    let rows = match scope.entity() {
        Some(entity) => query(&client, what, ON_THE_WAY_OF_ENTITY, &[&entity, &scope.period()]).await?,
        None => query(&client, what, ON_THE_WAY, &[&scope.period()]).await?,
    };
    let row = &rows[0];
    Ok(OnTheWay {
        audit_events: row.get("audit_events"),
        metadata: row.get("metadata"),
        parquet_files: row.get("parquet_files"),
        oldest_seconds: row.get("oldest_seconds"),
    })
}
