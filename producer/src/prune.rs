//! `prune`: takes away what no law and nothing in the ledger needs any more.
//!
//! A run goes whole, with its changes and its rejected rows, or stays whole. It stays as long as the ledger's rows are
//! of it, and the last one of before the horizon stays, so that every later moment can be rebuilt and checked. The
//! audit trail stays for ever, and the event `pruned` in the slice's own chain names each job that went: a run that is
//! missing and not named there is a finding of `verify`.

pub(crate) mod report;
mod slice;

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, TimeDelta, TimeZone, Utc};
use deadpool_postgres::Pool;
use shared::{
    message::event::{Event, EventType},
    settings::Settings,
    slice::{Entity, Slice},
    stores::{
        outbox,
        postgres::{PostgresError, transaction},
    },
};

use self::report::{Left, Report};
use crate::{
    actor_event, db,
    errors::{CommandError, ExitStatus},
    output,
};

const NOW: &str = "SELECT now() AS now, to_regclass('pruned_slices') IS NOT NULL AS is_known";
const SLICES: &str = include_str!("prune/slices.sql");
const OLD_LETTERS: &str = include_str!("prune/old_letters.sql");
const TAKE_LETTERS: &str = include_str!("prune/take_letters.sql");
const SUM: &str = include_str!("prune/sum.sql");
/// Years that laws usually ask for. Fewer need a reason.
const USUAL: u16 = 10;
/// A new year begins 14 hours before UTC where it begins first, and 12 hours after it where it ends last.
const FIRST_NEW_YEAR: TimeDelta = TimeDelta::hours(14);
const LAST_NEW_YEAR: TimeDelta = TimeDelta::hours(12);

/// Takes away what is older than the law asks to keep
///
/// That is runs with their changes and rejected rows, and dead letters that have left the queue. Without --apply it changes nothing and tells what would go. Years are calendar years: with ten, what was recorded in
/// 2016 is kept until 2026 has ended. Accounts and their balances, the audit trail, locks and cancelled batches are
/// never taken away; nor are runs that rows of the ledger are of, that a dead letter in the queue is of, or that the
/// state at the horizon is rebuilt from. How a slice stood before the horizon cannot be asked afterwards: archive the
/// year first. It needs the rights of the owner of the tables (aura_owner).
#[derive(clap::Args)]
#[command(after_help = "Examples:
  aura-producer prune
  aura-producer prune --years 12 --entity ABEX --json
  AURA_POSTGRES_URL=postgres://aura_owner@db/aura aura-producer prune --apply --reason 'years up to 2015, ticket 4711'")]
pub(crate) struct Args {
    /// Calendar years that are kept after the one in which something was recorded
    #[arg(long, value_name = "N", default_value_t = USUAL, value_parser = clap::value_parser!(u16).range(1..=200))]
    years: u16,
    /// The same for dead letters that have left the queue; as --years unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=200), conflicts_with = "entity")]
    letters_years: Option<u16>,
    /// Only this legal entity, and no dead letters
    #[arg(long)]
    entity: Option<Entity>,
    /// Why, for the audit trail; needed for fewer than ten years
    #[arg(long)]
    reason: Option<String>,
    /// Does it
    #[arg(long)]
    apply: bool,
}

impl Args {
    /// Returns whether nothing is taken away.
    pub(crate) fn only_reads(&self) -> bool {
        !self.apply
    }
}

/// What is pruned, in whose name and why.
struct Order<'a> {
    before: DateTime<Utc>,
    letters_before: DateTime<Utc>,
    reason: Option<&'a str>,
    apply: bool,
    settings: &'a Settings,
}

impl Order<'_> {
    /// An event that says who prunes, why and what.
    fn event(&self, before: DateTime<Utc>) -> Event {
        actor_event::event(EventType::Pruned, self.settings)
            .with("reason", self.reason)
            .with("before", shared::timestamp::millis_text(before))
    }
}

/// Looks for what is old, and takes it away if it is told to.
pub(crate) async fn run(args: &Args, settings: &Settings, json: bool) -> Result<ExitStatus, CommandError> {
    let letters_years = args.letters_years.unwrap_or(args.years);
    let reason = args.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    if args.apply && args.years.min(letters_years) < USUAL && reason.is_none() {
        return Err(CommandError::Input(format!(
            "fewer than {USUAL} years are kept: --reason says, for the audit trail, why that is enough"
        )));
    }
    let pool = db::open(settings, 2, STATEMENT_TIMEOUT)?;
    db::check(&pool, settings).await?;
    let failed = CommandError::postgres(settings);
    let rows = db::query(&pool, "ask for the time", NOW, &[]).await.map_err(failed)?;
    let Some(row) = rows.first().filter(|row| row.get("is_known")) else {
        return Err(CommandError::Input("the schema is of before retention; first: aura-producer migrate".to_owned()));
    };
    let now: DateTime<Utc> = row.get("now");
    let order = Order {
        before: horizon(now, args.years),
        letters_before: horizon(now, letters_years),
        reason,
        apply: args.apply,
        settings,
    };
    let report = prune(&pool, &order, args.entity.as_ref()).await.map_err(failed)?;
    output::print(json, &report)?;
    Ok(report.exit_status())
}

/// How long one statement may take: the changes of a slice, or all dead letters.
const STATEMENT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(3600);

/// The moment before which nothing is kept: the beginning of a calendar year, wherever on earth it was lived in.
fn horizon(now: DateTime<Utc>, years: u16) -> DateTime<Utc> {
    let year = (now - LAST_NEW_YEAR).year() - i32::from(years);
    let new_year = Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).single().unwrap_or(DateTime::UNIX_EPOCH);
    new_year - FIRST_NEW_YEAR
}

async fn prune(pool: &Pool, order: &Order<'_>, entity: Option<&Entity>) -> Result<Report, PostgresError> {
    let mut report = Report::new(order);
    let mut movements = Vec::new();
    let entity_name = entity.map(Entity::as_str);
    for row in db::query(pool, "look for old runs", SLICES, &[&order.before, &entity_name]).await? {
        let (entity, period): (String, String) = (row.get("entity"), row.get("period"));
        let (Ok(of_entity), Ok(of_period)) = (entity.parse(), period.parse()) else {
            report.left.push(Left { entity, period, why: "it has the name of no slice; see: verify".to_owned() });
            continue;
        };
        let slice = Slice { entity: of_entity, period: of_period };
        match slice::prune(pool, &slice, order).await {
            Ok(gone) => {
                movements.push(gone.movement.clone());
                report.add(entity, gone);
            }
            // A job is loading it. The others are not kept waiting for that.
            Err(error) if error.is_conflict() || error.is_timeout() => {
                report.left.push(Left { entity, period, why: shared::telemetry::chain(&error) });
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(row) = db::query(pool, "add the movements up", SUM, &[&movements]).await?.first() {
        report.movement = row.get("sum");
    }
    if entity.is_none() && !order.apply {
        let rows = db::query(pool, "look for old letters", OLD_LETTERS, &[&order.letters_before]).await?;
        report.letters = letters(&rows);
    }
    if order.apply {
        report.letters = finish(pool, order, entity, &report).await?;
    }
    Ok(report)
}

fn letters(rows: &[tokio_postgres::Row]) -> BTreeMap<String, i64> {
    rows.iter().map(|row| (row.get("what"), row.get("rows"))).filter(|(_, rows)| *rows > 0).collect()
}

/// Takes the letters, and tells the chain of no slice what went in all.
async fn finish(
    pool: &Pool,
    order: &Order<'_>,
    entity: Option<&Entity>,
    report: &Report,
) -> Result<BTreeMap<String, i64>, PostgresError> {
    let told = transaction(pool, "prune_letters", move |transaction, _| {
        Box::pin(async move {
            let gone = match entity {
                None => {
                    let gone = transaction.query(TAKE_LETTERS, &[&order.letters_before]).await;
                    letters(&gone.map_err(PostgresError::in_("take letters away"))?)
                }
                Some(_) => BTreeMap::new(),
            };
            if gone.is_empty() && report.slices == 0 {
                return Ok::<_, PostgresError>((gone, None));
            }
            let event = order
                .event(order.before)
                .with("entity", entity.map_or("*", Entity::as_str))
                .with("slices", report.slices)
                .with("runs", report.runs.values().sum::<i64>())
                .with("changes", report.changes)
                .with("movement", report.movement.as_str())
                .with("rejected_rows", report.rejected_rows)
                .with("letters_before", shared::timestamp::millis_text(order.letters_before))
                .with("letters", serde_json::json!(gone));
            outbox::record(transaction, std::slice::from_ref(&event)).await?;
            Ok((gone, Some(event)))
        })
    });
    let (gone, event) = told.await?;
    if let Some(event) = event {
        actor_event::note(&event);
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_year_is_kept_until_it_is_long_enough_ago_everywhere_on_earth() {
        // 2016 is kept until 2026 has ended; on the Line Islands 2016 began 14 hours before UTC's.
        assert_eq!(horizon(at("2026-11-28T12:00:00Z"), 10), at("2015-12-31T10:00:00Z"));
        // On Baker Island 2026 has not ended yet.
        assert_eq!(horizon(at("2027-01-01T11:59:59Z"), 10), at("2015-12-31T10:00:00Z"));
        assert_eq!(horizon(at("2027-01-01T12:00:00Z"), 10), at("2016-12-31T10:00:00Z"));
        assert_eq!(horizon(at("2026-11-28T12:00:00Z"), 1), at("2024-12-31T10:00:00Z"));
    }
}
