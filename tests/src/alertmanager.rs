//! An Alertmanager of a test's own, with the configuration of `deploy/monitoring`.

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    http,
    log::Log,
    prometheus::{folder, listens},
    wait::{SOON, until},
};

/// A running Alertmanager, which ends with its value.
#[derive(Debug)]
pub struct Alertmanager {
    child: Child,
    _folder: TempDir,
    address: String,
}

impl Alertmanager {
    /// Starts one, and waits until it answers. Nobody listens where it would send to.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start() -> Self {
        let own = tempfile::Builder::new().prefix("aura-alertmanager").tempdir().expect("a folder");
        let settings = std::fs::read_to_string(folder().join("alertmanager.yml")).expect("a file of deploy/monitoring");
        let settings = settings.replace("http://127.0.0.1:9095/", "http://127.0.0.1:1/");
        std::fs::write(own.path().join("alertmanager.yml"), settings).expect("a file can be written");
        let mut command = Command::new("prometheus-alertmanager");
        command.args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="]).stdin(Stdio::null());
        for (option, name) in [("--config.file", "alertmanager.yml"), ("--storage.path", "data")] {
            command.arg(format!("{option}={}", own.path().join(name).display()));
        }
        let log = Log::of(&mut command, own.path().join("log"));
        let child = command.spawn().expect("Debian's package prometheus-alertmanager is installed");
        let mut alertmanager = Self { child, _folder: own, address: String::new() };
        alertmanager.address = until("Alertmanager listens", SOON, async || listens(&log.text())).await;
        alertmanager
    }

    /// Gives it alerts, and returns which of them it suppresses, by their names.
    ///
    /// # Panics
    /// If it does not take them.
    pub async fn suppresses(&self, alerts: &[&str]) -> BTreeMap<String, bool> {
        let url = format!("http://{}/api/v2/alerts", self.address);
        let labelled = |alert: &&str| json!({"labels": {"alertname": alert, "service": "aura", "queue": "aura.dead"}});
        let given: Vec<_> = alerts.iter().map(labelled).collect();
        let answer = http::client().post(&url).json(&given).send().await.expect("Alertmanager answers");
        assert!(answer.status().is_success(), "{answer:?}");
        until("Alertmanager has judged them all", SOON, async || {
            let told: Vec<Value> = http::client().get(&url).send().await.ok()?.json().await.ok()?;
            let judged = told.iter().filter(|alert| alert["status"]["state"] != "unprocessed");
            let judged = judged.filter_map(|alert| {
                let name = alert["labels"]["alertname"].as_str()?;
                Some((name.to_owned(), alert["status"]["state"] == "suppressed"))
            });
            Some(judged.collect::<BTreeMap<_, _>>()).filter(|judged| judged.len() == alerts.len())
        })
        .await
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
