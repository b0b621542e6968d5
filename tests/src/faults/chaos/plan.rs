//! The faults of a run, drawn from its seed: the same seed gives the same sequence.

use std::{fmt, time::Duration};

use super::breakage::Breakage;
use crate::{faults::services::Service, random::Random};

/// Something that is broken for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A worker is killed.
    KillWorker,
    /// A worker stands still.
    HaltWorker,
    /// A worker is told to end.
    EndWorker,
    /// A worker is replaced by one whose clock is that far from the others'.
    SkewWorker(&'static str),
    /// All workers end, and start together with one folder for their logs.
    StartTogether,
    /// A worker dies at a step.
    DieAt(&'static str),
    /// A service is killed.
    Kill(Service),
    /// A service stands still.
    Halt(Service),
    /// All connections to a service are cut.
    Cut(Service),
    /// Whatever is sent to or from a service is late.
    Slow(Service),
    /// Whatever is sent to or from a service does not arrive, and nobody is told.
    Hole(Service),
    /// Nobody is let through to a service.
    Shut(Service),
    /// The answers to some commits of jobs are lost.
    LoseCommitReplies,
    /// The answers to some commits that note a dead letter are lost.
    LoseDeadLetterReplies,
    /// The broker says that it has no memory left.
    MemoryAlarm,
    /// The input root is gone.
    HideInputRoot,
    /// The cache takes no file.
    BlockCache,
    /// Somebody holds a slice.
    HoldSlice,
    /// A part of a cluster.
    Cluster(Breakage),
}

const SERVICES: [Service; 3] = [Service::Postgres, Service::RabbitMq, Service::MongoDb];
const SKEWS: [&str; 2] = ["+10s", "-10s"];
const STEPS: [&str; 13] = [
    "claimed",
    "loaded",
    "copied",
    "before_commit",
    "committed",
    "cached",
    "cache_written",
    "receipt_sent",
    "before_ack",
    "retry_published",
    "dead_published",
    "dead_noted",
    "audit_inserted",
];

impl Fault {
    fn draw(random: &mut Random) -> Self {
        let service = random.one_of(&SERVICES);
        match random.between(0, 30) {
            0..5 => Self::KillWorker,
            5..7 => Self::HaltWorker,
            7..9 => Self::EndWorker,
            9..12 => Self::DieAt(random.one_of(&STEPS)),
            12..14 => Self::Kill(service),
            14..16 => Self::Halt(service),
            16..18 => Self::Cut(service),
            18 => Self::Slow(service),
            19 => Self::Hole(service),
            20 => Self::Shut(service),
            21 => Self::LoseCommitReplies,
            22 => Self::MemoryAlarm,
            23 => Self::HideInputRoot,
            24 => Self::BlockCache,
            25..28 => Self::SkewWorker(random.one_of(&SKEWS)),
            28 => Self::LoseDeadLetterReplies,
            29 => Self::StartTogether,
            _ => Self::HoldSlice,
        }
    }

    /// Draws one for a cluster: of its machines and servers, of workers, and of their connections to PostgreSQL and
    /// RabbitMQ.
    fn draw_for_cluster(random: &mut Random) -> Self {
        let service = random.one_of(&[Service::Postgres, Service::RabbitMq]);
        match random.between(0, 19) {
            0..12 => Self::Cluster(Breakage::draw(random)),
            12..14 => Self::KillWorker,
            14 => Self::HaltWorker,
            15 => Self::EndWorker,
            16..18 => Self::DieAt(random.one_of(&STEPS)),
            18 => Self::Cut(service),
            _ => Self::LoseCommitReplies,
        }
    }

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::KillWorker => "worker killed",
            Self::HaltWorker => "worker halted",
            Self::EndWorker => "worker told to end",
            Self::SkewWorker(_) => "worker with another clock",
            Self::StartTogether => "all workers start together",
            Self::DieAt(_) => "worker dies at a step",
            Self::Kill(Service::Postgres) => "postgresql killed",
            Self::Kill(Service::RabbitMq) => "rabbitmq killed",
            Self::Kill(Service::MongoDb) => "mongodb killed",
            Self::Halt(Service::Postgres) => "postgresql halted",
            Self::Halt(Service::RabbitMq) => "rabbitmq halted",
            Self::Halt(Service::MongoDb) => "mongodb halted",
            Self::Cut(_) => "connections cut",
            Self::Slow(_) => "connections slow",
            Self::Hole(_) => "connections black-holed",
            Self::Shut(_) => "connections refused",
            Self::LoseCommitReplies => "answers to commits lost",
            Self::LoseDeadLetterReplies => "answers to dead letters lost",
            Self::MemoryAlarm => "memory alarm",
            Self::HideInputRoot => "input root away",
            Self::BlockCache => "cache takes no file",
            Self::HoldSlice => "slice held",
            Self::Cluster(breakage) => breakage.name(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Self::DieAt(step) = self {
            write!(f, ": {step}")?;
        }
        if let Self::SkewWorker(by) = self {
            write!(f, ": {by}")?;
        }
        if let Self::Cut(service) | Self::Slow(service) | Self::Hole(service) | Self::Shut(service) = self {
            write!(f, ": {service:?}")?;
        }
        Ok(())
    }
}

/// One step of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How long nothing is broken before it.
    pub calm: Duration,
    /// What is broken.
    pub fault: Fault,
    /// For how long.
    pub lasting: Duration,
    /// Which worker, slice and so on it meets.
    pub place: usize,
}

/// The steps of a seed, without end.
#[derive(Debug, Clone)]
pub struct Plan {
    random: Random,
    is_cluster: bool,
}

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64) -> Self {
        Self { random: Random::at(seed, 0), is_cluster: false }
    }

    /// The plan of a seed for a cluster.
    pub fn of_cluster(seed: u64) -> Self {
        Self { random: Random::at(seed, 2), is_cluster: true }
    }
}

impl Iterator for Plan {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let random = &mut self.random;
        let calm = Duration::from_millis(random.between(200, 2_500));
        let fault = if self.is_cluster { Fault::draw_for_cluster(random) } else { Fault::draw(random) };
        // In a cluster another takes over only after a while.
        let longest = if matches!(fault, Fault::Cluster(_)) { 30_000 } else { 7_000 };
        Some(Step {
            calm,
            fault,
            lasting: Duration::from_millis(random.between(300, longest)),
            place: random.between(0, 1_000) as usize,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_faults_and_all_kinds_come() {
        let first: Vec<_> = Plan::new(7).take(300).collect();
        assert_eq!(first, Plan::new(7).take(300).collect::<Vec<_>>());
        assert_ne!(first, Plan::new(8).take(300).collect::<Vec<_>>());
        let kinds: std::collections::BTreeSet<_> = first.iter().map(|step| step.fault.name()).collect();
        assert_eq!(kinds.len(), 22, "{kinds:?}");
    }

    #[test]
    fn everything_in_a_cluster_is_broken_at_some_time() {
        let kinds: std::collections::BTreeSet<_> =
            Plan::of_cluster(7).take(1_000).map(|step| step.fault.name()).collect();
        assert_eq!(kinds.len(), 26, "{kinds:?}");
    }
}
