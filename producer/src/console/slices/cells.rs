//! How each slice of a page of entities and periods stands.

use std::collections::BTreeMap;

use deadpool_postgres::Pool;
use schemars::JsonSchema;
use serde::Serialize;
use shared::{settings::Settings, slice::Slice, stores::postgres::PostgresError};
use tokio_postgres::Row;

use crate::db;

const ENTITIES: &str = include_str!("entities.sql");
const LOADED: &str = include_str!("loaded.sql");
const PERIODS: &str = include_str!("periods.sql");
const CELLS: &str = include_str!("cells.sql");
/// Entities among which it is counted how many have loaded a period.
pub(super) const COUNTED: i64 = 1_000;
/// Letters of a slice that are looked at, the newest.
const LETTERS: i64 = 3;

/// How a slice stands; what needs somebody goes before what does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// A job is under way.
    Running,
    /// Its newest job failed or is among the dead letters, and it has not been loaded since.
    Failed,
    /// What it holds does not sum to zero within the tolerance.
    OutOfBalance,
    /// It is loaded, and closed.
    Locked,
    /// It is closed, and was never loaded.
    LockedEmpty,
    /// It is loaded.
    Loaded,
    /// It is not loaded, and more than half of the entities have loaded the period.
    Late,
    /// It is not loaded.
    NotLoaded,
}

impl State {
    /// All, in the order of the legend.
    pub(super) const ALL: [Self; 8] = [
        Self::Loaded,
        Self::Locked,
        Self::Running,
        Self::Late,
        Self::Failed,
        Self::OutOfBalance,
        Self::LockedEmpty,
        Self::NotLoaded,
    ];

    /// Its mark in the table.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Failed => "failed",
            Self::OutOfBalance => "out",
            Self::Locked => "locked",
            Self::LockedEmpty => "locked empty",
            Self::Loaded => "ok",
            Self::Late => "late",
            Self::NotLoaded => "-",
        }
    }

    /// The same in words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Running => "a job is under way",
            Self::Failed => "its newest job failed or is among the dead letters, and it has not been loaded since",
            Self::OutOfBalance => "what it holds does not sum to zero",
            Self::Locked => "loaded, and locked",
            Self::LockedEmpty => "locked, and never loaded",
            Self::Loaded => "loaded",
            Self::Late => "not loaded, though more than half of the entities have loaded the period",
            Self::NotLoaded => "not loaded",
        }
    }

    /// Its colour.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Loaded | Self::Locked => "good",
            Self::Failed | Self::OutOfBalance => "bad",
            Self::Running | Self::Late => "busy",
            Self::LockedEmpty | Self::NotLoaded => "calm",
        }
    }
}

/// A slice among others.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Cell {
    pub(super) period: String,
    pub(super) state: State,
    pub(super) loaded: bool,
    pub(super) locked: bool,
    /// Rows and sum as the job left them whose rows it holds, the sum a decimal.
    pub(super) rows: Option<i64>,
    pub(super) sum: Option<String>,
    /// Whether that sum is zero within AURA_NIL_TOLERANCE.
    pub(super) is_balanced: Option<bool>,
    /// The job with the newest export.
    pub(super) newest_status: Option<String>,
    pub(super) newest_error_code: Option<String>,
    /// Whether a letter of it, newer than what it holds, is among the dead letters.
    pub(super) has_dead_letter: bool,
    /// `running` or `retrying`.
    pub(super) under_way: Option<String>,
}

impl Cell {
    fn read(row: &Row, is_late: bool) -> Self {
        let loaded = row.get::<_, Option<uuid::Uuid>>("job_id").is_some();
        let (locked, has_dead_letter): (bool, bool) = (row.get("locked"), row.get("has_letter"));
        let under_way: Option<String> = row.get("under_way");
        let is_balanced: Option<bool> = row.get("is_balanced");
        let has_failed = row.get::<_, Option<bool>>("has_failed").unwrap_or_default() || has_dead_letter;
        let state = match (loaded, locked) {
            _ if under_way.is_some() => State::Running,
            _ if has_failed => State::Failed,
            (true, _) if is_balanced == Some(false) => State::OutOfBalance,
            (true, true) => State::Locked,
            (true, false) => State::Loaded,
            (false, true) => State::LockedEmpty,
            (false, false) if is_late => State::Late,
            (false, false) => State::NotLoaded,
        };
        Self {
            period: row.get("period"),
            state,
            loaded,
            locked,
            rows: row.get("slice_rows"),
            sum: row.get("slice_sum"),
            is_balanced,
            newest_status: row.get("newest_status"),
            newest_error_code: row.get("error_code"),
            has_dead_letter,
            under_way,
        }
    }

    /// All that is known of it, in words.
    pub(super) fn title(&self, entity: &str) -> String {
        let mut told = vec![self.state.words().to_owned()];
        if let (Some(rows), Some(sum)) = (self.rows, &self.sum) {
            told.push(format!("{rows} rows that sum to {sum}"));
        }
        if self.locked && !matches!(self.state, State::Locked | State::LockedEmpty) {
            told.push("locked".to_owned());
        }
        if let Some(status) = &self.newest_status {
            let code = self.newest_error_code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
            told.push(format!("its newest job: {status}{code}"));
        }
        format!("{entity} {}: {}", self.period, told.join("; "))
    }
}

/// An entity, and its slices in the order of the columns.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Line {
    pub(super) entity: String,
    pub(super) slices: Vec<Cell>,
}

/// How many entities have loaded a period.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Column {
    pub(super) period: String,
    pub(super) loaded: i64,
}

/// A part of a close.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Close {
    /// The newest first.
    pub(super) periods: Vec<Column>,
    /// The entities among which `loaded` is counted: all, or the first 1,000.
    pub(super) counted: usize,
    pub(super) more_than_counted: bool,
    pub(super) entities: Vec<Line>,
    /// The entity behind which the next page begins.
    pub(super) next: Option<String>,
}

/// Which part of a close is asked for.
pub(crate) struct Wanted<'a> {
    /// How the entities begin.
    pub(super) prefix: &'a str,
    /// The entity behind which they begin.
    pub(super) after: &'a str,
    /// The newest period.
    pub(super) until: &'a str,
    /// The most entities, and the most periods.
    pub(super) entities: i64,
    pub(super) periods: i64,
}

async fn entities(pool: &Pool, prefix: &str, after: &str, limit: i64) -> Result<(Vec<String>, bool), PostgresError> {
    let more = limit + 1;
    let rows = db::query(pool, "list the entities", ENTITIES, &[&prefix, &after, &more]).await?;
    Ok(crate::history::cut(rows.iter().map(|row| row.get("name")).collect(), limit))
}

/// How one slice stands. Whether it is late takes the others.
///
/// # Errors
/// If PostgreSQL fails.
pub(super) async fn one(pool: &Pool, slice: &Slice, settings: &Settings) -> Result<Cell, PostgresError> {
    let (entities, periods) = ([slice.entity.as_str()], [slice.period.as_str()]);
    let tolerance = settings.nil_tolerance.to_string();
    let (entities, periods) = (entities.as_slice(), periods.as_slice());
    let client = pool.get().await?;
    let row = client.query_one(CELLS, &[&entities, &periods, &tolerance, &LETTERS]).await;
    Ok(Cell::read(&row.map_err(PostgresError::in_("look at a slice"))?, false))
}

/// Looks at a part of a close.
///
/// # Errors
/// If PostgreSQL fails.
pub(super) async fn look(pool: &Pool, wanted: &Wanted<'_>, settings: &Settings) -> Result<Close, PostgresError> {
    let (all, more_than_counted) = entities(pool, "", "", COUNTED).await?;
    let (shown, is_more) = entities(pool, wanted.prefix, wanted.after, wanted.entities).await?;
    let (until, most) = (wanted.until, wanted.periods);
    let loaded = db::query(pool, "count the loaded slices", LOADED, &[&all, &until, &most]).await?;
    let known = db::query(pool, "list the periods", PERIODS, &[&shown, &until, &most]).await?;
    let mut periods: BTreeMap<String, i64> = known.iter().map(|row| (row.get("period"), 0)).collect();
    periods.extend(loaded.iter().map(|row| (row.get("period"), row.get("loaded"))));
    let newest = periods.into_iter().rev().take(usize::try_from(most).unwrap_or_default());
    let columns: Vec<Column> = newest.map(|(period, loaded)| Column { period, loaded }).collect();
    let names: Vec<&str> = columns.iter().map(|column| column.period.as_str()).collect();
    let tolerance = settings.nil_tolerance.to_string();
    let rows = db::query(pool, "look at the slices", CELLS, &[&shown, &names, &tolerance, &LETTERS]).await?;
    let mut cells: BTreeMap<(String, String), Cell> = BTreeMap::new();
    for row in &rows {
        let period: String = row.get("period");
        let loaded = columns.iter().find(|column| column.period == period).map_or(0, |column| column.loaded);
        let is_late = usize::try_from(loaded).unwrap_or_default() * 2 > all.len();
        cells.insert((row.get("entity"), period), Cell::read(row, is_late));
    }
    let next = shown.last().filter(|_| is_more).cloned();
    let lines = shown.into_iter().map(|entity| {
        let of_entity = names.iter().filter_map(|period| cells.remove(&(entity.clone(), (*period).to_owned())));
        Line { slices: of_entity.collect(), entity }
    });
    let entities = lines.collect();
    Ok(Close { periods: columns, counted: all.len(), more_than_counted, entities, next })
}
