//! A Prometheus of a test's own, with what `deploy/monitoring` has for one.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use url::Url;

use crate::{
    checkout::checkout,
    http,
    log::Log,
    wait::{SOON, until},
};

/// How long a question may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How often it scrapes and evaluates rules.
const PACE: &str = "1s";

/// Which rules it evaluates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// Those of `alerts.yml`, as they are.
    AsTheyAre,
    /// The same, as [`quickened`].
    Quick,
}

/// A running Prometheus, which ends with its value.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    log: Log,
    folder: TempDir,
    address: String,
}

/// The folder of what Prometheus, Alertmanager and Grafana are given.
pub fn folder() -> PathBuf {
    checkout().join("deploy/monitoring")
}

/// The rules with less patience: each alert has to hold for two seconds instead of its minutes or hours, and what is
/// looked at over minutes is looked at over 15 or 20 seconds, over an hour over 90. All else stays, limits too.
///
/// # Panics
/// If a time stays that is none of these.
pub fn quickened(rules: &str) -> String {
    let mut quick = String::new();
    for line in rules.lines() {
        let indent = line.len() - line.trim_start().len();
        match line.trim_start().strip_prefix("for: ") {
            Some(_) => quick.push_str(&format!("{}for: 2s", &line[..indent])),
            None => quick.push_str(&line.replace("[30m:1m]", "[15s:1s]")),
        }
        quick.push('\n');
    }
    for long in ["[5m]", "[10m]", "[15m]", "[30m]"] {
        quick = quick.replace(long, "[20s]");
    }
    quick = quick.replace("[1h]", "[90s]");
    assert!(!quick.contains("m]") && !quick.contains("h]"), "a long time stays:\n{quick}");
    quick
}

impl Prometheus {
    /// Starts one that scrapes these workers every second, and waits until it answers.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(workers: &[&str], rules: Rules) -> Self {
        let folder = tempfile::Builder::new().prefix("aura-prometheus").tempdir().expect("a folder");
        let read = |name: &str| fs::read_to_string(self::folder().join(name)).expect("a file of deploy/monitoring");
        let settings = read("prometheus.yml").replace(": 15s", &format!(": {PACE}"));
        // Nobody is told.
        let settings = settings.replace("\"127.0.0.1:9093\"", "");
        assert!(settings.contains(&format!("evaluation_interval: {PACE}")) && !settings.contains("9093"), "{settings}");
        let alerts = match rules {
            Rules::AsTheyAre => read("alerts.yml"),
            Rules::Quick => quickened(&read("alerts.yml")),
        };
        let targets = folder.path().join("targets");
        fs::create_dir(&targets).expect("a folder");
        for (name, content) in [("prometheus.yml", &settings), ("alerts.yml", &alerts)] {
            fs::write(folder.path().join(name), content).expect("a file can be written");
        }
        fs::copy(self::folder().join("targets/rabbitmq.yml"), targets.join("rabbitmq.yml")).expect("a copy");
        watch(folder.path(), "workers.yml", workers);

        let mut command = Command::new("prometheus");
        command.stdin(Stdio::null()).arg("--web.listen-address=127.0.0.1:0");
        for (option, name) in [("--config.file", "prometheus.yml"), ("--storage.tsdb.path", "data")] {
            command.arg(format!("{option}={}", folder.path().join(name).display()));
        }
        let log = Log::of(&mut command, folder.path().join("log"));
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("prometheus does not start ({error}): install Debian's packages prometheus and prometheus-alertmanager, as deploy/test does")
        });
        let mut prometheus = Self { child, log, folder, address: String::new() };
        prometheus.address = until("Prometheus is ready", SOON, async || {
            let text = prometheus.log.text();
            let ended = matches!(prometheus.child.try_wait(), Ok(Some(_)));
            assert!(!ended, "Prometheus ended:\n{text}");
            listens(&text).filter(|_| text.contains("ready to receive web requests"))
        })
        .await;
        prometheus
    }

    /// Has it scrape these workers from now on.
    pub fn watches(&self, workers: &[&str]) {
        watch(self.folder.path(), "workers.yml", workers);
    }

    /// Has it scrape these nodes of RabbitMQ from now on.
    pub fn watches_brokers(&self, nodes: &[&str]) {
        watch(self.folder.path(), "rabbitmq.yml", nodes);
    }

    /// What it answers to a path of its API.
    async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let url = Url::parse_with_params(&format!("http://{}/api/v1/{path}", self.address), parameters).expect("a URL");
        let answer = http::client().get(url).timeout(ANSWER).send().await.expect("Prometheus answers");
        let mut answer: Value = answer.json().await.expect("JSON");
        assert_eq!(answer["status"], "success", "{parameters:?}: {answer:#}");
        answer["data"].take()
    }

    /// The series that an expression has now: each with its labels in `metric`, and time and value in `value`.
    ///
    /// # Panics
    /// If it cannot be evaluated.
    pub async fn query(&self, expression: &str) -> Vec<Value> {
        let data = self.ask("query", &[("query", expression)]).await;
        let result = &data["result"];
        // A scalar is a series without labels.
        result.as_array().cloned().unwrap_or_else(|| vec![result.clone()])
    }

    /// The alerts that fire.
    ///
    /// # Panics
    /// If one of them shows a fault of its template.
    pub async fn firing(&self) -> BTreeSet<String> {
        let alerts = self.ask("alerts", &[]).await;
        let alerts = alerts["alerts"].as_array().expect("alerts");
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        let named = firing.map(|alert| {
            let told = alert["annotations"].to_string();
            assert!(!told.contains("<no value>") && !told.contains("error expanding"), "{told}");
            alert["labels"]["alertname"].as_str().expect("a name").to_owned()
        });
        named.collect()
    }

    /// Waits until each of these alerts has fired, and returns all that did meanwhile.
    pub async fn fires(&self, alerts: &[&str], limit: Duration) -> BTreeSet<String> {
        self.fires_while(alerts, limit, async || ()).await
    }

    /// The same, with something done before each look.
    pub async fn fires_while(&self, alerts: &[&str], limit: Duration, mut act: impl AsyncFnMut()) -> BTreeSet<String> {
        let mut told = BTreeSet::new();
        until(&format!("{alerts:?} have fired"), limit, async || {
            act().await;
            told.append(&mut self.firing().await);
            alerts.iter().all(|alert| told.contains(*alert)).then_some(())
        })
        .await;
        told
    }

    /// Waits until none of these alerts fires any more.
    pub async fn is_quiet_about(&self, alerts: &[&str], limit: Duration) {
        let look = async || {
            let firing = self.firing().await;
            (!alerts.iter().any(|alert| firing.contains(*alert))).then_some(())
        };
        until(&format!("{alerts:?} are over"), limit, look).await;
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- Prometheus ends so ----\n{}\n----", self.log.tail());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where Prometheus, or Alertmanager, listens, as its log says: first what it was told, port 0, and then what it has.
pub(crate) fn listens(log: &str) -> Option<String> {
    let addresses = log.lines().filter_map(|line| line.rsplit_once("address=")).map(|(_, address)| address);
    let mut addresses = addresses.filter(|address| address.starts_with("127.0.0.1:"));
    addresses.find(|address| !address.ends_with(":0")).map(str::to_owned)
}

/// Writes what there is to scrape, so that a reader sees all of it or what was there before.
fn watch(folder: &Path, name: &str, addresses: &[&str]) {
    let (path, partial) = (folder.join("targets").join(name), folder.join("targets/partial"));
    fs::write(&partial, format!("- targets: {addresses:?}\n")).expect("a file can be written");
    fs::rename(&partial, &path).expect("a file can be moved");
}
