//! Who may have what loaded: the file `AURA_PUBLISHERS_PATH`, checked against the RabbitMQ user of a message.
//!
//! A message counts as that of the user whom the broker vouches for, its `user_id`. Without the file whoever may
//! publish may have everything loaded.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use shared::{
    message::{
        failure::{ErrorCode, Failure, Stage, clean},
        job::{Job, Mode},
    },
    roots::{InputRoots, Location, Place},
};

/// A file of publishers that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishersError {
    /// It cannot be read.
    #[error("the file of publishers {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It does not say who may do what.
    #[error("the file of publishers {} cannot be used: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// What the file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Other users as whom workers log in.
    #[serde(default)]
    workers: Vec<String>,
    /// What each user may have loaded.
    publishers: BTreeMap<String, WrittenGrant>,
    /// What a message may without a user whom the broker vouches for.
    without_user_id: Option<WrittenGrant>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenGrant {
    entities: Option<Vec<String>>,
    periods: Option<Vec<String>>,
    sources: Option<Vec<String>>,
    roots: Option<Vec<String>>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    replace: bool,
}

/// What a publisher may have loaded; of a list that is not given, everything.
#[derive(Debug)]
struct Grant {
    entities: Option<Vec<GlobMatcher>>,
    periods: Option<Vec<GlobMatcher>>,
    sources: Option<Vec<GlobMatcher>>,
    places: Option<Vec<Place>>,
    force: bool,
    replace: bool,
}

/// Who may have what loaded.
#[derive(Debug)]
pub(crate) struct Publishers {
    own_user: Option<String>,
    rules: Option<Rules>,
}

#[derive(Debug)]
struct Rules {
    workers: Vec<String>,
    users: BTreeMap<String, Grant>,
    without_user_id: Option<Grant>,
}

impl Publishers {
    /// Reads the file, if one is named. `own_user` is whom this worker logs in as.
    ///
    /// # Errors
    /// If the file cannot be read, or says something that cannot be meant.
    pub(crate) fn open(
        path: Option<&Path>,
        own_user: Option<String>,
        base: &Path,
        roots: &InputRoots,
    ) -> Result<Self, PublishersError> {
        let Some(path) = path else { return Ok(Self { own_user, rules: None }) };
        let unreadable = |source| PublishersError::Unreadable { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let rules = Rules::parse(&text, own_user.as_deref(), base, roots);
        let rules = rules.map_err(|reason| PublishersError::Invalid { path: path.to_owned(), reason })?;
        Ok(Self { own_user, rules: Some(rules) })
    }

    /// Whether it matters who published a job.
    pub(crate) fn are_restricted(&self) -> bool {
        self.rules.is_some()
    }

    /// Whether it is a worker who logs in as this user.
    pub(crate) fn is_worker(&self, user: &str) -> bool {
        self.own_user.as_deref() == Some(user)
            || self.rules.as_ref().is_some_and(|rules| rules.workers.iter().any(|worker| worker == user))
    }

    /// What those who asked for a job may have loaded. Each of them asked for all of it: it is enough that one may.
    pub(crate) fn authority<'a>(&'a self, users: [Option<&str>; 2]) -> Authority<'a> {
        let Some(rules) = &self.rules else { return Authority(None) };
        let [first, last] = users;
        let users = if first == last { vec![first] } else { vec![first, last] };
        let grant = |user: Option<&str>| {
            let grant = user.map_or(rules.without_user_id.as_ref(), |user| rules.users.get(user));
            (user.map(str::to_owned), grant)
        };
        Authority(Some(users.into_iter().map(grant).collect()))
    }
}

impl Rules {
    fn parse(text: &str, own_user: Option<&str>, base: &Path, roots: &InputRoots) -> Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let is_worker = |user: &String| own_user == Some(user.as_str()) || written.workers.contains(user);
        if let Some(user) = written.publishers.keys().find(|user| is_worker(user)) {
            return Err(format!(
                "publishers.{user}: workers log in as {user}, whose word about other publishers is taken; let them \
                 have a RabbitMQ user of their own"
            ));
        }
        let read = |name: String, written| match Grant::read(written, base, roots) {
            Ok(grant) => Ok((name, grant)),
            Err(reason) => Err(format!("publishers.{name}.{reason}")),
        };
        let users = written.publishers.into_iter().map(|(name, grant)| read(name, grant));
        let users = users.collect::<Result<_, _>>()?;
        let without = written.without_user_id.map(|grant| Grant::read(grant, base, roots)).transpose();
        let without_user_id = without.map_err(|reason| format!("without_user_id.{reason}"))?;
        Ok(Self { workers: written.workers, users, without_user_id })
    }
}

impl Grant {
    fn read(written: WrittenGrant, base: &Path, roots: &InputRoots) -> Result<Self, String> {
        let WrittenGrant { entities, periods, sources, roots: places, force, replace } = written;
        let place = |text: &String| {
            let place = Place::parse(text, base).map_err(|reason| format!("roots: {} {reason}", clean(text)))?;
            if roots.reach(&place) {
                Ok(place)
            } else {
                Err(format!("roots: {} lies outside AURA_INPUT_ROOTS", clean(text)))
            }
        };
        Ok(Self {
            entities: patterns("entities", entities)?,
            periods: patterns("periods", periods)?,
            sources: patterns("sources", sources)?,
            places: places.map(|places| places.iter().map(place).collect()).transpose()?,
            force,
            replace,
        })
    }

    /// What of a job it does not allow, before its mapping profile and its file are looked at.
    fn refuses(&self, job: &Job) -> Option<Denied> {
        if !allows(self.entities.as_deref(), job.slice.entity.as_str()) {
            return Some(Denied::Entity);
        }
        if !allows(self.periods.as_deref(), job.slice.period.as_str()) {
            return Some(Denied::Period);
        }
        if !allows(self.sources.as_deref(), job.source.as_str()) {
            return Some(Denied::Source);
        }
        (job.forced_at.is_some() && !self.force).then_some(Denied::Force)
    }
}

/// Names and patterns with `*`, `?`, `[…]` and `{…,…}`, which match a whole name.
fn patterns(key: &str, written: Option<Vec<String>>) -> Result<Option<Vec<GlobMatcher>>, String> {
    let compile = |text: &String| {
        let glob = GlobBuilder::new(text).literal_separator(false).backslash_escape(true).build();
        glob.map(|glob| glob.compile_matcher()).map_err(|error| format!("{key}: {error}"))
    };
    written.map(|written| written.iter().map(compile).collect()).transpose()
}

fn allows(patterns: Option<&[GlobMatcher]>, name: &str) -> bool {
    patterns.is_none_or(|patterns| patterns.iter().any(|pattern| pattern.is_match(name)))
}

/// What is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Denied {
    Anything,
    Entity,
    Period,
    Source,
    Force,
    Replace,
    Place,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anything => "may have nothing loaded",
            Self::Entity => "may not have this entity loaded",
            Self::Period => "may not have this period loaded",
            Self::Source => "may not have a file read by this mapping profile",
            Self::Force => "may not force a file past a newer export",
            Self::Replace => "may not replace a whole slice",
            Self::Place => "may not have a file from there loaded",
        })
    }
}

/// What those who asked for a job may have loaded; everything where nothing is restricted.
#[derive(Debug)]
pub(crate) struct Authority<'a>(Option<Vec<(Option<String>, Option<&'a Grant>)>>);

impl<'a> Authority<'a> {
    /// Goes on with those who may have a job of this kind loaded.
    ///
    /// # Errors
    /// `not_authorized` if nobody is left.
    pub(crate) fn may_load(&mut self, job: &Job) -> Result<(), Failure> {
        self.retain(Stage::Receive, |grant| grant.refuses(job))
    }

    /// Goes on with those who may have a file loaded in this mode, which may be the mapping profile's.
    ///
    /// # Errors
    /// `not_authorized` if nobody is left.
    pub(crate) fn may_use(&mut self, mode: Mode) -> Result<(), Failure> {
        self.retain(Stage::Receive, |grant| (mode == Mode::Replace && !grant.replace).then_some(Denied::Replace))
    }

    /// The file where one of those may have it from.
    ///
    /// # Errors
    /// `not_authorized` if nobody may.
    pub(crate) fn locate(&mut self, location: Location) -> Result<Location, Failure> {
        let within = |grant: &Grant| match &grant.places {
            None => Some(location.clone()),
            Some(places) => location.within(places),
        };
        self.retain(Stage::Load, |grant| within(grant).is_none().then_some(Denied::Place))?;
        let granted = self.0.iter().flatten().find_map(|(_, grant)| within((*grant)?));
        Ok(granted.unwrap_or(location))
    }

    fn retain(&mut self, stage: Stage, refuses: impl Fn(&Grant) -> Option<Denied>) -> Result<(), Failure> {
        let Some(grants) = &mut self.0 else { return Ok(()) };
        let mut first = None;
        grants.retain(|(user, grant)| {
            let Some(denied) = grant.map_or(Some(Denied::Anything), &refuses) else { return true };
            first.get_or_insert_with(|| (user.clone(), denied));
            false
        });
        match first {
            Some((user, denied)) if grants.is_empty() => Err(not_authorized(stage, user.as_deref(), denied)),
            _ => Ok(()),
        }
    }
}

fn not_authorized(stage: Stage, user: Option<&str>, denied: Denied) -> Failure {
    let reason = match user {
        Some(user) => format!("the publisher {} {denied}; ask those who run the workers for the right", clean(user)),
        None => format!(
            "a message whose publisher RabbitMQ does not vouch for {denied}; publish it with the property user_id, \
             and ask those who run the workers for the right"
        ),
    };
    Failure::new(ErrorCode::NotAuthorized, stage, reason)
}

/// What it means that a link leads out of the place that a publisher may have files from.
pub(crate) fn link_leads_out() -> Failure {
    let reason = "a link leads out of where this publisher may have files from; put the file itself there";
    Failure::new(ErrorCode::NotAuthorized, Stage::Load, reason)
}
