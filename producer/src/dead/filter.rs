//! Which dead letters a command is about.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use chrono::{DateTime, TimeDelta, Utc};
use shared::{
    message::{
        failure::ErrorCode,
        letter::{Letter, death},
    },
    slice::{Entity, Period},
};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::errors::CommandError;

/// A letter must pass every filter that is given.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Filters (a letter must pass all that are given)")]
pub(crate) struct Filter {
    /// A job's identity; may be given several times
    #[arg(long = "id", value_name = "UUID")]
    pub(crate) ids: Vec<Uuid>,
    /// A legal entity
    #[arg(long)]
    entity: Option<Entity>,
    /// A period
    #[arg(long)]
    period: Option<Period>,
    /// A batch
    #[arg(long, value_name = "UUID")]
    batch: Option<Uuid>,
    /// An error code, such as row_invalid
    #[arg(long)]
    code: Option<String>,
    /// A mapping profile
    #[arg(long)]
    source: Option<String>,
    /// A cause, as dead list names it
    #[arg(long)]
    group: Option<String>,
    /// Died longer ago than this: 90s, 10m, 2h, 3d, 1h30m
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<TimeDelta>,
    /// Died more recently than this
    #[arg(long, value_name = "AGE", value_parser = age)]
    newer_than: Option<TimeDelta>,
}

impl Filter {
    /// Reads a filter from the fields of a form or a query, named as the flags are. What is empty is not asked for.
    ///
    /// # Errors
    /// If a field is not of its form.
    pub(crate) fn read(fields: &BTreeMap<String, String>) -> Result<Self, CommandError> {
        fn parsed<T: FromStr<Err: fmt::Display>>(name: &str, text: Option<&str>) -> Result<Option<T>, CommandError> {
            let invalid = |error: T::Err| CommandError::Input(format!("{name}: {error}"));
            text.map(|text| text.parse().map_err(invalid)).transpose()
        }
        let field = |name: &str| fields.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        let ids = field("id").into_iter().flat_map(|ids| ids.split([',', ' '])).filter(|id| !id.is_empty());
        let ids = ids.map(|id| id.parse::<Uuid>()).collect::<Result<Vec<Uuid>, _>>();
        let age_of = |name: &str| {
            let invalid = |reason: String| CommandError::Input(format!("{name} {reason}"));
            field(name).map(|text| age(text).map_err(invalid)).transpose()
        };
        Ok(Self {
            ids: ids.map_err(|error| CommandError::Input(format!("id: {error}")))?,
            entity: parsed("entity", field("entity"))?,
            period: parsed("period", field("period"))?,
            batch: parsed("batch", field("batch"))?,
            code: field("code").map(str::to_owned),
            source: field("source").map(str::to_owned),
            group: field("group").map(str::to_owned),
            older_than: age_of("older_than")?,
            newer_than: age_of("newer_than")?,
        })
    }

    /// Whether nothing is filtered, so that every letter is meant.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { ids, entity, period, batch, code, source, group, older_than, newer_than } = self;
        ids.is_empty()
            && entity.is_none()
            && period.is_none()
            && batch.is_none()
            && code.is_none()
            && source.is_none()
            && group.is_none()
            && older_than.is_none()
            && newer_than.is_none()
    }

    /// Refuses to mean every letter by saying nothing.
    pub(crate) fn or_all(&self, all: bool) -> Result<(), CommandError> {
        match (self.is_empty(), all) {
            (true, false) => Err(CommandError::Input("say which letters by filters, or --all".to_owned())),
            (false, true) => Err(CommandError::Input("--all does not go with filters".to_owned())),
            _ => Ok(()),
        }
    }

    /// Refuses an error code that is none, and that none of the letters has: a worker of a later version may
    /// write others than this version knows.
    pub(crate) fn check_code(&self, of_letters: &BTreeSet<String>) -> Result<(), CommandError> {
        let Some(code) = &self.code else { return Ok(()) };
        let known = ErrorCode::ALL.iter().map(|code| code.as_str()).chain(death::CODES);
        let all: BTreeSet<&str> = known.chain(of_letters.iter().map(String::as_str)).collect();
        if all.contains(code.as_str()) {
            return Ok(());
        }
        let nearest = all.iter().max_by(|a, b| strsim::jaro(a, code).total_cmp(&strsim::jaro(b, code)));
        let nearest = nearest.copied().unwrap_or_default();
        Err(CommandError::Input(format!(
            "--code {code:?} is not an error code, and no letter has it; is {nearest} meant?"
        )))
    }

    /// Whether the letter is meant. One of unknown age is neither older nor newer than anything.
    pub(crate) fn selects(&self, letter: &Letter, now: DateTime<Utc>) -> bool {
        let is = |wanted: Option<&str>, found: Option<&String>| {
            wanted.is_none_or(|wanted| found.is_some_and(|found| found == wanted))
        };
        let died = letter.at();
        (self.ids.is_empty() || letter.job_id.is_some_and(|id| self.ids.contains(&id)))
            && is(self.entity.as_ref().map(Entity::as_str), letter.entity.as_ref())
            && is(self.period.as_ref().map(Period::as_str), letter.period.as_ref())
            && self.batch.is_none_or(|batch| letter.batch_id == Some(batch))
            && is(self.code.as_deref(), Some(&letter.code))
            && is(self.source.as_deref(), letter.source.as_ref())
            && self.group.as_ref().is_none_or(|group| *group == letter.cause().group_id)
            && self.older_than.is_none_or(|age| died.is_some_and(|at| at < now - age))
            && self.newer_than.is_none_or(|age| died.is_some_and(|at| at > now - age))
    }

    /// The same for PostgreSQL, where what is not asked for is null.
    pub(crate) fn parameters(&self, now: DateTime<Utc>) -> Selected {
        Selected {
            ids: (!self.ids.is_empty()).then(|| self.ids.clone()),
            entity: self.entity.as_ref().map(|entity| entity.as_str().to_owned()),
            period: self.period.as_ref().map(|period| period.as_str().to_owned()),
            batch: self.batch,
            code: self.code.clone(),
            source: self.source.clone(),
            group: self.group.clone(),
            before: self.older_than.map(|age| now - age),
            after: self.newer_than.map(|age| now - age),
        }
    }

    /// The same in words, for whoever reads later what was done.
    pub(crate) fn words(&self) -> String {
        let mut words: Vec<String> = self.ids.iter().take(10).map(|id| format!("job {id}")).collect();
        if self.ids.len() > words.len() {
            words.push(format!("and {} more", self.ids.len() - words.len()));
        }
        let named = [
            ("entity", self.entity.as_ref().map(Entity::to_string)),
            ("period", self.period.as_ref().map(Period::to_string)),
            ("batch", self.batch.map(|batch| batch.to_string())),
            ("code", self.code.clone()),
            ("source", self.source.clone()),
            ("group", self.group.clone()),
            ("older than", self.older_than.map(|age| format!("{} s", age.num_seconds()))),
            ("newer than", self.newer_than.map(|age| format!("{} s", age.num_seconds()))),
        ];
        words.extend(named.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))));
        if words.is_empty() { "all".to_owned() } else { words.join(", ") }
    }

    /// The identities that were asked for and that no letter has.
    pub(crate) fn missing<'a>(&self, letters: impl Iterator<Item = &'a Letter> + Clone) -> Vec<Uuid> {
        let there = |id: &Uuid| letters.clone().any(|letter| letter.job_id == Some(*id));
        self.ids.iter().filter(|id| !there(id)).copied().collect()
    }
}

/// A filter as the parameters `$1` to `$9` of the statements that look at letters.
pub(crate) struct Selected {
    ids: Option<Vec<Uuid>>,
    entity: Option<String>,
    period: Option<String>,
    batch: Option<Uuid>,
    code: Option<String>,
    source: Option<String>,
    group: Option<String>,
    before: Option<DateTime<Utc>>,
    after: Option<DateTime<Utc>>,
}

impl Selected {
    /// The parameters in their order.
    pub(crate) fn all(&self) -> [&(dyn ToSql + Sync); 9] {
        let Self { ids, entity, period, batch, code, source, group, before, after } = self;
        [ids, entity, period, batch, code, source, group, before, after]
    }
}

/// Reads an age: numbers with `s`, `m`, `h`, `d` or `w`, one after the other.
pub(crate) fn age(text: &str) -> Result<TimeDelta, String> {
    const FORM: &str = "is not an age such as 90s, 10m, 2h, 3d or 1h30m";
    let (mut seconds, mut number, mut units) = (0_i64, None::<i64>, 0);
    for c in text.chars() {
        let scale = match c {
            '0'..='9' => {
                let digit = i64::from(c as u8 - b'0');
                number = Some(number.unwrap_or(0).checked_mul(10).and_then(|n| n.checked_add(digit)).ok_or(FORM)?);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(FORM.to_owned()),
        };
        let part = number.take().and_then(|n| n.checked_mul(scale)).ok_or(FORM)?;
        seconds = seconds.checked_add(part).ok_or(FORM)?;
        units += 1;
    }
    // A hundred years is more than any clock here has to tell apart.
    let fits = number.is_none() && units > 0 && seconds <= 3_155_760_000;
    if fits { TimeDelta::try_seconds(seconds).ok_or_else(|| FORM.to_owned()) } else { Err(FORM.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{letter, now},
        *,
    };

    #[test]
    fn an_age_is_numbers_with_units() {
        assert_eq!(age("90s").unwrap(), TimeDelta::seconds(90));
        assert_eq!(age("1h30m").unwrap(), TimeDelta::minutes(90));
        assert_eq!(age("3d").unwrap(), TimeDelta::days(3));
        for bad in ["", "10", "m", "10x", "1h30", "-1h", "9999999999999999999s", "99999999999w", "1 h"] {
            assert!(age(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_letter_must_pass_every_filter() {
        let selects = |filter: Filter| filter.selects(&letter(1, "ABEX", "timeout", 30, 0), now());
        assert!(selects(Filter::default()));
        let all = || Filter {
            ids: vec![Uuid::from_u128(2), Uuid::from_u128(1)],
            entity: "ABEX".parse().ok(),
            period: "2022-06".parse().ok(),
            batch: Some(Uuid::from_u128(9)),
            code: Some("timeout".to_owned()),
            source: Some("default".to_owned()),
            group: Some(letter(1, "ABEX", "timeout", 30, 0).cause().group_id),
            older_than: age("29m").ok(),
            newer_than: age("31m").ok(),
        };
        assert!(selects(all()));
        assert!(!selects(Filter { ids: vec![Uuid::from_u128(2)], ..all() }));
        assert!(!selects(Filter { entity: "ABEY".parse().ok(), ..all() }));
        assert!(!selects(Filter { period: "2022-07".parse().ok(), ..all() }));
        assert!(!selects(Filter { batch: Some(Uuid::nil()), ..all() }));
        assert!(!selects(Filter { code: Some("row_invalid".to_owned()), ..all() }));
        assert!(!selects(Filter { source: Some("sap".to_owned()), ..all() }));
        assert!(!selects(Filter { group: Some("00".to_owned()), ..all() }));
        assert!(!selects(Filter { older_than: age("31m").ok(), ..all() }));
        assert!(!selects(Filter { newer_than: age("29m").ok(), ..all() }));
    }

    #[test]
    fn a_code_that_is_none_is_refused_with_the_nearest() {
        let check = |code: &str, of_letters: &[&str]| {
            let filter = Filter { code: Some(code.to_owned()), ..Filter::default() };
            filter.check_code(&of_letters.iter().map(|code| (*code).to_owned()).collect())
        };
        for good in ["row_invalid", "unknown", "expired"] {
            assert!(check(good, &[]).is_ok(), "{good}");
        }
        let error = check("row_invlaid", &[]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("row_invalid"), "{error}");
        assert!(check("of_a_later_version", &["of_a_later_version"]).is_ok());
    }

    #[test]
    fn saying_nothing_does_not_mean_everything() {
        assert!(Filter::default().or_all(false).is_err());
        assert!(Filter::default().or_all(true).is_ok());
        let one = Filter { ids: vec![Uuid::nil()], ..Filter::default() };
        assert!(one.or_all(false).is_ok() && one.or_all(true).is_err());
        assert_eq!(one.missing([letter(1, "A", "timeout", 1, 0)].iter()), [Uuid::nil()]);
    }
}
