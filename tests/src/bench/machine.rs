//! The machine: what its processes have used of processor and memory, and whether it is busy with something else.
#![expect(clippy::float_arithmetic, reason = "a measured time is not an amount")]

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::{checkout::checkout, worker::Worker};

/// Ticks in which the kernel counts a process's time.
const TICKS: u64 = 100;

/// The services' processes.
#[derive(Debug, Clone)]
pub struct Machine {
    services: Vec<(String, u32)>,
    psql: String,
}

/// What processes have used of the processor since they began.
#[derive(Debug, Clone, Default)]
pub struct Used(BTreeMap<String, Duration>);

impl Used {
    /// What was used since then, in seconds, by process.
    pub fn since(&self, before: &Self) -> BTreeMap<String, f64> {
        let used = self.0.iter().map(|(name, time)| {
            let earlier = before.0.get(name).copied().unwrap_or_default();
            (name.clone(), time.saturating_sub(earlier).as_secs_f64())
        });
        used.collect()
    }
}

impl Machine {
    /// The services of this checkout.
    ///
    /// # Panics
    /// If they are not up.
    pub fn here() -> Self {
        let local = checkout().join("deploy/local");
        let status = Command::new(local).args(["status", "--json"]).stderr(Stdio::inherit()).output();
        let status: Value = serde_json::from_slice(&status.expect("deploy/local runs").stdout).expect("JSON");
        let all = status["services"].as_array().cloned().unwrap_or_default();
        let pid = |service: &Value| u32::try_from(service["pid"].as_u64()?).ok();
        let named = |service: &Value| Some((service["name"].as_str()?.to_owned(), pid(service)?));
        let binaries =
            all.iter().find_map(|service| service["bin_dir"].as_str().filter(|_| service["name"] == "postgres"));
        let psql = binaries.map_or_else(|| "psql".to_owned(), |folder| format!("{folder}/psql"));
        Self { services: all.iter().filter_map(named).collect(), psql }
    }

    /// The program psql of the services' PostgreSQL.
    pub fn psql(&self) -> &str {
        &self.psql
    }

    /// What the services and these workers have used so far.
    pub fn used(&self, workers: &[Worker]) -> Used {
        let parents = parents();
        let mut used = BTreeMap::new();
        for (name, pid) in &self.services {
            used.insert(name.clone(), of_tree(*pid, &parents));
        }
        used.insert("workers".to_owned(), workers.iter().map(|worker| of_tree(worker.pid(), &parents)).sum());
        Used(used)
    }

    /// What part of the processors is at work just now, looked at for a second.
    pub fn busy(&self) -> f64 {
        let before = processors();
        std::thread::sleep(Duration::from_secs(1));
        let after = processors();
        let (idle, all) = (after.0 - before.0, after.1 - before.1);
        if all > 0.0 { 1.0 - idle / all } else { f64::NAN }
    }
}

/// The time for which the processors have been idle, and all of it.
fn processors() -> (f64, f64) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let times: Vec<f64> = line.split_whitespace().skip(1).filter_map(|time| time.parse().ok()).collect();
    (times.iter().skip(3).take(2).sum(), times.iter().take(8).sum())
}

/// The most memory that workers have had resident, together, in MB.
pub fn peak_of(workers: &[Worker]) -> f64 {
    workers.iter().map(|worker| worker.peak_bytes() as f64 / 1e6).sum()
}

/// Each process and its parent.
fn parents() -> Vec<(u32, u32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, u32::try_from(fields(pid)?.first().copied()?).ok()?))).collect()
}

/// What a process, its children that have ended, and those that live have used.
fn of_tree(pid: u32, parents: &[(u32, u32)]) -> Duration {
    let ticks: u64 = fields(pid).map_or(0, |fields| fields.iter().skip(1).sum());
    let children = parents.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| of_tree(*child, parents));
    Duration::from_millis(ticks * (1_000 / TICKS)) + children.sum::<Duration>()
}

/// A process's parent, and its time in ticks: its own in user and kernel mode, and that of children waited for.
fn fields(pid: u32) -> Option<Vec<u64>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses, and may hold any.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    [1, 11, 12, 13, 14].iter().map(|place| fields.get(*place)?.parse().ok()).collect()
}
