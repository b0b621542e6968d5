//! A slice as it stood at a moment, and whether that is what its newest job of then left.

use bson::{Bson, Document, doc};
use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use shared::{
    settings::Settings,
    slice::{Entity, Period},
    stores::{
        mongo::{Mongo, MongoError, within},
        postgres::PostgresError,
    },
    telemetry::chain,
};
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use crate::db;

const AS_OF: &str = include_str!("as_of.sql");
const TOTALS: &str = include_str!("totals.sql");
const WAITING: &str = include_str!("waiting.sql");

/// An account at that moment.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "AccountThen")]
pub(crate) struct Account {
    pub(crate) company_code: String,
    pub(crate) account_code: String,
    pub(crate) account_name: Option<String>,
    pub(crate) bs_pl: Option<String>,
    pub(crate) status: Option<String>,
    /// A decimal.
    pub(crate) balance: String,
}

impl From<&Row> for Account {
    fn from(row: &Row) -> Self {
        Self {
            company_code: row.get("company_code"),
            account_code: row.get("account_code"),
            account_name: row.get("account_name"),
            bs_pl: row.get("bs_pl"),
            status: row.get("status"),
            balance: row.get("balance"),
        }
    }
}

/// Rows and sum of a slice, as somebody has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "SliceTotals")]
pub(crate) struct Totals {
    pub(crate) rows: i64,
    /// A decimal.
    pub(crate) sum: String,
}

/// What came of holding the rebuilt slice against what was written down then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "MomentCheck")]
#[serde(rename_all = "snake_case")]
pub(crate) enum Check {
    /// They are the same.
    Agrees,
    /// They are not: what was rebuilt is not what the slice held.
    Differs,
    /// There was no job yet, and the slice was empty.
    NothingYet,
    /// The audit trail could not be asked.
    Unchecked,
}

/// A slice as it stood at a moment.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Moment {
    pub(crate) at: DateTime<Utc>,
    /// The newest job that had been applied, and when.
    pub(crate) job_id: Option<Uuid>,
    pub(crate) applied_at: Option<DateTime<Utc>>,
    /// What is rebuilt, all accounts.
    pub(crate) rebuilt: Totals,
    /// What the job's run says that the slice held.
    pub(crate) of_run: Option<Totals>,
    /// What the job's event `file_ingested` says.
    pub(crate) of_audit_trail: Option<Totals>,
    pub(crate) check: Check,
    /// Why it is unchecked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    /// The accounts, or the one that was asked for.
    pub(crate) accounts: Vec<Account>,
}

/// Which accounts of a moment are listed, in the order of company and code.
#[derive(Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// Only this one, of whatever company.
    pub(crate) account: Option<&'a str>,
    /// Only those behind this company and account.
    pub(crate) after: (&'a str, &'a str),
    /// At most so many; otherwise all.
    pub(crate) limit: Option<i64>,
}

/// The accounts of a slice at a moment.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn accounts(
    pool: &Pool,
    (entity, period): (&Entity, &Period),
    at: DateTime<Utc>,
    wanted: &Wanted<'_>,
) -> Result<Vec<Account>, PostgresError> {
    let (entity, period, (company, account)) = (entity.as_str(), period.as_str(), wanted.after);
    let parameters: [&(dyn ToSql + Sync); 7] =
        [&entity, &period, &at, &wanted.account, &company, &account, &wanted.limit];
    let rows = db::query(pool, "rebuild a slice", AS_OF, &parameters).await?;
    Ok(rows.iter().map(Account::from).collect())
}

/// Rebuilds a slice, and checks it.
///
/// # Errors
/// If PostgreSQL fails.
pub(crate) async fn at(
    pool: &Pool,
    settings: &Settings,
    slice: (&Entity, &Period),
    at: DateTime<Utc>,
    wanted: &Wanted<'_>,
) -> Result<Moment, PostgresError> {
    let accounts = accounts(pool, slice, at, wanted).await?;
    let (entity, period) = (slice.0.as_str(), slice.1.as_str());
    let totals = db::query(pool, "add a slice up", TOTALS, &[&entity, &period, &at]).await?;
    let mut moment = Moment {
        at,
        job_id: None,
        applied_at: None,
        rebuilt: Totals { rows: 0, sum: "0".to_owned() },
        of_run: None,
        of_audit_trail: None,
        check: Check::NothingYet,
        why: None,
        accounts,
    };
    if let Some(row) = totals.first() {
        let job: Option<Uuid> = row.get("job_id");
        (moment.job_id, moment.applied_at) = (job, row.get("applied_at"));
        moment.rebuilt = Totals { rows: row.get("rows"), sum: row.get("sum") };
        let of_run = row.get::<_, Option<i64>>("slice_rows").zip(row.get::<_, Option<String>>("slice_sum"));
        moment.of_run = of_run.map(|(rows, sum)| Totals { rows, sum });
    }
    let Some(job) = moment.job_id else {
        if moment.rebuilt.rows > 0 {
            moment.check = Check::Differs;
        }
        return Ok(moment);
    };
    match of_audit_trail(pool, settings, entity, period, job).await {
        Ok(found) => {
            moment.check = match &found {
                _ if moment.of_run.as_ref().is_some_and(|run| *run != moment.rebuilt) => Check::Differs,
                Some(told) if *told != moment.rebuilt => Check::Differs,
                Some(_) => Check::Agrees,
                None => Check::Unchecked,
            };
            moment.why =
                found.is_none().then(|| format!("the audit trail has no file_ingested of job {job}; see: verify"));
            moment.of_audit_trail = found;
        }
        Err(TrailError::Postgres(error)) => return Err(error),
        Err(TrailError::Mongo(error)) => {
            (moment.check, moment.why) =
                (Check::Unchecked, Some(format!("the audit trail cannot be asked: {}", chain(&error))));
        }
    }
    Ok(moment)
}

enum TrailError {
    Postgres(PostgresError),
    Mongo(MongoError),
}

/// What the event says that the slice held once the job had loaded.
async fn of_audit_trail(
    pool: &Pool,
    settings: &Settings,
    entity: &str,
    period: &str,
    job: Uuid,
) -> Result<Option<Totals>, TrailError> {
    let waiting = db::query(pool, "look an event up", WAITING, &[&entity, &period, &job]).await;
    if let Some(row) = waiting.map_err(TrailError::Postgres)?.first() {
        let metadata: Value = row.get("metadata");
        let text = |name: &str| metadata.get(name).and_then(Value::as_str).map(str::to_owned);
        return Ok(metadata.get("slice_rows").and_then(Value::as_i64).zip(text("slice_sum")).map(totals));
    }
    let found = async {
        let mongo = Mongo::open(&settings.mongodb_url, "aura-producer").await?;
        let event = doc! {"entity": entity, "period": period, "job_id": job.to_string(), "event_type": "file_ingested"};
        let trail = mongo.audit_trail.clone();
        let found = within("look an event up", async move { trail.find_one(event).await }).await;
        mongo.close().await;
        found
    };
    let found: Option<Document> = found.await.map_err(TrailError::Mongo)?;
    let metadata = found.as_ref().and_then(|event| event.get_document("metadata").ok());
    let rows = metadata.and_then(|metadata| match metadata.get("slice_rows") {
        Some(Bson::Int64(rows)) => Some(*rows),
        Some(Bson::Int32(rows)) => Some(i64::from(*rows)),
        _ => None,
    });
    let sum = metadata.and_then(|metadata| metadata.get_str("slice_sum").ok()).map(str::to_owned);
    Ok(rows.zip(sum).map(totals))
}

fn totals((rows, sum): (i64, String)) -> Totals {
    Totals { rows, sum }
}
