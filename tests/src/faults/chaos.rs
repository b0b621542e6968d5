//! Chaos: random faults against a stream of jobs, and then the checker.

mod breakage;
mod breaking;
mod plan;
mod standstill;
pub mod stream;

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use super::{
    Proxies, World,
    checker::{Findings, check},
    clock,
    machines::Machines,
};
use crate::{random::Random, worker::Worker};

use self::standstill::Pulse;
pub use self::{
    plan::{Fault, Plan},
    standstill::Standstills,
};

/// Workers that are kept running.
const WORKERS: usize = 3;
/// How long workers may take to end, and to start.
const STARTED: Duration = Duration::from_secs(60);
/// How long everything may take to settle afterwards.
const SETTLED: Duration = Duration::from_secs(180);
/// The same in a cluster, where thousands of jobs may have gathered while nothing moved.
const CLUSTER_SETTLED: Duration = Duration::from_secs(1_200);

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// Decides the faults and the jobs.
    pub seed: u64,
    /// For how long things were broken, and how long the whole run took.
    pub took: (Duration, Duration),
    /// How often each fault was brought about.
    pub faults: BTreeMap<&'static str, u64>,
    /// Messages that were confirmed, copies included.
    pub published: u64,
    /// Runs of `aura-producer dead replay`.
    pub replays: u64,
    /// Those of them that were killed since they took minutes.
    pub cut_off: u64,
    /// For how long nothing moved.
    pub standstills: Standstills,
    /// What the checker found.
    pub findings: Findings,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (broken, all) = self.took;
        writeln!(f, "seed {}, faults for {} s, {} s in all", self.seed, broken.as_secs(), all.as_secs())?;
        writeln!(f, "faults")?;
        for (fault, number) in &self.faults {
            writeln!(f, "  {fault:<36}{number:>8}")?;
        }
        writeln!(f, "  {:<36}{:>8}", "in all", self.faults.values().sum::<u64>())?;
        writeln!(f, "seconds in which no job ended            median longest")?;
        for (fault, _, median, longest) in self.standstills.rows() {
            writeln!(f, "  {fault:<36}{median:>8.1}{longest:>8.1}")?;
        }
        writeln!(f, "jobs")?;
        writeln!(f, "  {:<28}{:>7}", "messages confirmed", self.published)?;
        writeln!(f, "  {:<28}{:>7}", "calls of dead replay", self.replays)?;
        writeln!(f, "  {:<28}{:>7}", "… cut off after minutes", self.cut_off)?;
        write!(f, "{}", self.findings)
    }
}

/// The workers, of which there are always as many again.
pub(crate) struct Crew<'a> {
    world: &'a World,
    proxies: &'a Proxies,
    workers: Vec<Worker>,
    /// What workers did that no fault excuses.
    wrong: Vec<String>,
}

impl<'a> Crew<'a> {
    fn new(world: &'a World, proxies: &'a Proxies) -> Self {
        let workers = (0..WORKERS).map(|_| world.spawn("aura-worker", Some(proxies), &[])).collect();
        Self { world, proxies, workers, wrong: Vec::new() }
    }

    /// Starts again what has ended, whoever ended it.
    fn complete(&mut self) {
        for worker in &mut self.workers {
            if worker.exit().is_some() {
                *worker = self.world.spawn("aura-worker", Some(self.proxies), &[]);
            }
        }
    }

    fn one(&mut self, place: usize) -> &mut Worker {
        let place = place % self.workers.len();
        &mut self.workers[place]
    }

    /// Sends a signal to a worker, unless it has ended meanwhile.
    fn signal(&mut self, place: usize, name: &str) {
        let worker = self.one(place);
        if worker.exit().is_none() {
            worker.signal(name);
        }
    }

    /// Ends all workers, and starts as many at once that share a folder for their logs.
    async fn start_together(&mut self) {
        for place in 0..self.workers.len() {
            self.signal(place, "TERM");
        }
        for worker in &mut self.workers {
            worker.ended(STARTED).await;
        }
        let logs = self.world.path().join("logs").join("together");
        std::fs::create_dir_all(&logs).expect("a folder");
        let logs = logs.display().to_string();
        let start = |_| self.world.spawn("aura-worker", Some(self.proxies), &[("AURA_LOG_DIR", &logs)]);
        self.workers = (0..WORKERS).map(start).collect();
        let began = Instant::now();
        for worker in &mut self.workers {
            while !worker.has_logged("taking jobs") && worker.exit().is_none() && began.elapsed() < STARTED {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            if !worker.has_logged("taking jobs") {
                let what = worker.exit().map_or("did not take jobs in time".to_owned(), |status| status.to_string());
                self.wrong.push(format!("a worker that started with others: {what}:\n{}", worker.tail()));
            }
        }
    }

    /// Puts a worker in the place of another, which is killed.
    fn replace(&mut self, place: usize, program: &str, more: &[(&str, &str)]) {
        let worker = self.world.spawn(program, Some(self.proxies), more);
        *self.one(place) = worker;
    }
}

/// Breaks things for so long, those of a cluster if there is one, lets everything come to rest, and checks it.
pub async fn run(world: &World, machines: Option<&Machines>, seed: u64, length: Duration) -> Report {
    clock::library();
    let begun = Instant::now();
    let proxies = world.proxies().await;
    let mut crew = Crew::new(world, &proxies);
    let streaming = stream::Stream::new(world, Random::at(seed, 1));
    let mut met = Vec::new();
    let (mut faults, mut broken) = (BTreeMap::new(), Duration::ZERO);
    let (pulse, mut standstills) = (Pulse::default(), Standstills::default());
    let plan = if machines.is_some() { Plan::of_cluster(seed) } else { Plan::new(seed) };
    let (published, replays, cut_off) = {
        let breaking = async {
            // RabbitMQ 3.10 breaks a queue that it is killed beside within a second of its declaration.
            tokio::time::sleep(Duration::from_secs(3)).await;
            let began = tokio::time::Instant::now();
            for step in plan {
                if began.elapsed() >= length {
                    break;
                }
                tokio::time::sleep(step.calm).await;
                println!("{:>6} s  {}", began.elapsed().as_secs(), step.fault);
                *faults.entry(step.fault.name()).or_default() += 1;
                let from = Instant::now();
                breaking::bring_about(world, &mut crew, &proxies, machines, &step).await;
                crew.complete();
                met.push((step.fault.name(), from, Instant::now()));
            }
            broken = began.elapsed();
            // What the last one held up goes on.
            tokio::time::sleep(Duration::from_secs(2)).await;
            streaming.end();
        };
        tokio::select! {
            (told, ()) = async { tokio::join!(streaming.run(), breaking) } => told,
            () = pulse.watch(world) => unreachable!("it looks for ever"),
        }
    };
    for (fault, from, to) in met {
        standstills.note(fault, pulse.longest(from, to));
    }
    // Nothing is broken any more; what lies among the dead may be replayed once again.
    crew.complete();
    world.run_producer(&["dead", "replay", "--all"]).await;
    let mut findings = check(world, if machines.is_some() { CLUSTER_SETTLED } else { SETTLED }).await;
    std::mem::take(&mut crew.wrong).into_iter().for_each(|what| findings.wrong(what));
    if !findings.is_clean() {
        for worker in &crew.workers {
            println!("---- a worker's log ends so ----\n{}", worker.tail());
        }
    }
    Report {
        seed,
        took: (broken, begun.elapsed()),
        faults,
        published,
        replays: replays + 1,
        cut_off,
        standstills,
        findings,
    }
}
