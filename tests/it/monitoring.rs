//! What watches Aura: metrics, rules, routes, runbook, dashboard and log, each held against the others and against real
//! workers, by Prometheus' and Alertmanager's own programs.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
    time::Duration,
};

use chrono::Utc;
use lapin::BasicProperties;
use regex::Regex;
use serde_json::{Value, json};
use shared::message::event::EventType;
use tests::{
    alertmanager::Alertmanager,
    program::{Said, run_with_input},
    prometheus::{Prometheus, Rules, folder},
};

use crate::{
    process::{Worker, run, script},
    stack::checkout,
    wait::{SOON, until},
    world::{World, csv, job, with},
};

const LIMIT: Duration = Duration::from_secs(60);
/// What stands in a cell and is not an amount.
const CELL: &str = "5-not-an-amount";

fn read(path: &str) -> String {
    std::fs::read_to_string(checkout().join(path)).expect("a file of the checkout")
}

fn matches<'a>(text: &'a str, pattern: &str) -> Vec<&'a str> {
    let pattern = Regex::new(pattern).expect("a pattern");
    pattern.captures_iter(text).map(|found| found.get(1).expect("a group").as_str()).collect()
}

async fn tool(program: &str, arguments: &[&str]) -> Said {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder());
    run(command, LIMIT).await
}

/// A rule as its file has it.
#[derive(Debug)]
struct Alert {
    name: String,
    /// Everything below its name.
    text: String,
}

impl Alert {
    fn field(&self, name: &str) -> &str {
        let found = matches(&self.text, &format!("(?m)\\b{name}: (.*)$"));
        found.first().copied().unwrap_or_else(|| panic!("{} lacks its {name}", self.name))
    }
}

fn alerts() -> Vec<Alert> {
    let text = read("deploy/monitoring/alerts.yml");
    let parts = text.split("      - alert: ").skip(1);
    let alerts = parts.map(|part| {
        let (name, text) = part.split_once('\n').expect("a name");
        Alert { name: name.to_owned(), text: text.to_owned() }
    });
    alerts.collect()
}

#[tokio::test]
async fn prometheus_and_alertmanager_take_what_they_are_given_and_each_rule_fires_when_it_must_and_not_before() {
    tool("promtool", &["check", "config", "prometheus.yml"]).await.expect(0);
    tool("promtool", &["check", "rules", "--lint=all", "--lint-fatal", "alerts.yml"]).await.expect(0);
    tool("promtool", &["test", "rules", "alerts.test.yml"]).await.expect(0);
    tool("amtool", &["check-config", "alertmanager.yml"]).await.expect(0);
    for (severity, receiver) in [("page", "page"), ("ticket", "ticket"), ("unheard_of", "ticket")] {
        let severity = format!("severity={severity}");
        let asked = ["config", "routes", "test", "--config.file=alertmanager.yml", &severity, "service=aura"];
        assert_eq!(tool("amtool", &asked).await.expect(0).stdout.trim(), receiver, "{severity}");
    }
    let names: BTreeSet<_> = alerts().into_iter().map(|alert| alert.name).collect();
    let tests = read("deploy/monitoring/alerts.test.yml");
    let tested: BTreeSet<_> = matches(&tests, "alertname=\"(\\w+)\"").into_iter().map(str::to_owned).collect();
    assert_eq!(names, tested, "alerts on the left, those of alerts.test.yml on the right");
    let routes = read("deploy/monitoring/alertmanager.yml");
    let named = matches(&routes, "(Aura\\w+)");
    assert!(named.iter().all(|name| names.contains(*name)), "an inhibition names what there is not: {named:?}");
}

#[tokio::test]
async fn an_outage_is_told_once_and_not_what_follows_from_it() {
    let suppressed = async |alerts: &[&str]| {
        let judged = Alertmanager::start().await.suppresses(alerts).await;
        judged.into_iter().filter(|(_, is_suppressed)| *is_suppressed).map(|(name, _)| name).collect::<Vec<_>>()
    };
    let told = suppressed(&["AuraPostgresAway", "AuraJobsNeglected", "AuraQueueGrowing", "AuraChainHalted"]).await;
    assert_eq!(told, ["AuraJobsNeglected", "AuraQueueGrowing"]);
    let told = suppressed(&["AuraNoWorker", "AuraWorkerDown", "AuraDeadLettersMany", "AuraDeadLettersWaiting"]).await;
    assert_eq!(told, ["AuraDeadLettersWaiting", "AuraWorkerDown"]);
    let told = suppressed(&["AuraMongoDbAway", "AuraOutboxOld", "AuraCacheFailing", "AuraCacheLate"]).await;
    assert_eq!(told, ["AuraCacheLate", "AuraOutboxOld"]);
    // Without what it follows from, each is told.
    assert!(suppressed(&["AuraJobsNeglected", "AuraWorkerDown", "AuraOutboxOld"]).await.is_empty());
}

#[test]
fn each_alert_says_what_is_wrong_and_has_its_entry_in_the_runbook_and_each_entry_its_alert() {
    let runbook = read("docs/runbook.md");
    let mut entries = matches(&runbook, "(?m)^### (.*)$").into_iter();
    for alert in alerts() {
        assert_eq!(Some(alert.name.as_str()), entries.next(), "the runbook has the alerts, in their order");
        let anchor = alert.name.to_lowercase();
        assert_eq!(alert.field("runbook_url"), format!("docs/runbook.md#{anchor}"));
        for told in ["summary", "description"] {
            assert!(alert.field(told).len() > 20, "{alert:?}");
        }
        let severity = match alert.field("severity") {
            "page, service: aura }" => "Page",
            "ticket, service: aura }" => "Ticket",
            other => panic!("{}: {other}", alert.name),
        };
        let entry = runbook.split(&format!("### {}\n", alert.name)).nth(1).and_then(|rest| rest.split("\n##").next());
        let entry = entry.expect("an entry");
        assert!(entry.starts_with(&format!("\n**{severity}.** ")), "{}: {entry}", alert.name);
        assert!(entry.contains("\n*Look.*") && entry.contains("\n*Do.*"), "{}: {entry}", alert.name);
    }
    assert_eq!(entries.next(), None, "an entry without its alert");
    // What leads from one entry to another leads to one.
    let headings: BTreeSet<_> = matches(&runbook, "(?m)^### (.*)$").into_iter().map(str::to_lowercase).collect();
    for link in matches(&runbook, "\\(#(\\w+)\\)") {
        assert!(headings.contains(link), "{link}");
    }
}

#[tokio::test]
async fn the_dashboard_is_one_that_grafanas_own_models_know_to_the_last_field() {
    let python = std::env::var_os("AURA_TEST_PYTHON")
        .map_or_else(|| checkout().join(".local/python-tests/bin/python"), Into::into);
    assert!(python.exists(), "{} is not there: run 'deploy/test', which makes it", python.display());
    let check = async |dashboard: &Path| {
        let mut command = script(&python, "other_language/dashboard.py");
        command.arg(dashboard);
        run(command, LIMIT).await
    };
    let path = folder().join("grafana-dashboard.json");
    check(&path).await.expect(0);
    // It is seen that a field is unknown, of the wrong type, or that a panel lies over another.
    let text = std::fs::read_to_string(&path).expect("a dashboard");
    let wrong = tempfile::NamedTempFile::new().expect("a file");
    for (right, fault) in [("\"legendFormat\"", "\"legend\""), ("\"multi\"", "\"many\""), ("\"x\": 8", "\"x\": 7")] {
        std::fs::write(wrong.path(), text.replacen(right, fault, 1)).expect("a file");
        check(wrong.path()).await.expect(1);
    }
}

/// Names of metrics that a text has, and the names under which a histogram's parts are asked for.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let names = matches(text, "\\b((?:aura|messaging|db_client|process)_[a-z_]+)\\b");
    let labels = ["messaging_destination_name", "messaging_system", "db_operation_name", "db_client_connection_state"];
    names.into_iter().filter(|name| !labels.contains(name)).collect()
}

fn family(name: &str) -> &str {
    ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// Every query of the dashboard and of the documentation, as Prometheus is asked it.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read("deploy/monitoring/grafana-dashboard.json")).expect("JSON");
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let asked = target["expr"].as_str().expect("an expression");
            queries
                .push((panel["title"].to_string(), asked.replace("$worker", ".*").replace("$__rate_interval", "1m")));
        }
    }
    for document in ["docs/monitoring.md", "docs/runbook.md"] {
        let text = read(document);
        let blocks = text.split("```promql\n").skip(1).filter_map(|rest| rest.split("```").next());
        queries.extend(blocks.map(|query| (document.to_owned(), query.trim().to_owned())));
    }
    assert!(queries.len() > 60, "{}", queries.len());
    queries
}

/// Jobs that succeed, come again, fail, and are tried again until they are dead.
async fn every_kind_of_job(world: &World) {
    let good = world.write("good.csv", csv("GOOD", "2022-06", &[("10", "5"), ("20", "-5")]));
    let bad = world.write("bad.csv", csv("BAD", "2022-06", &[("10", CELL)]));
    let lacking = world.write("lacking.csv", "account_code,balance\n10,5\n");
    let properties = BasicProperties::default().with_timestamp(Utc::now().timestamp().unsigned_abs());
    let timed = with(job(&good, "GOOD", "2022-06"), json!({"exported_at": "2022-07-01T10:00:00Z"}));
    world.broker.publish_with(timed.to_string().as_bytes(), properties).await;
    world.broker.count("a success", 1, SOON, |receipt| receipt["status"] == "success").await;
    world.ends("skipped", job(&good, "GOOD", "2022-06")).await;
    let newer = world.write("older.csv", csv("GOOD", "2022-06", &[("10", "7")]));
    let older = with(job(&newer, "GOOD", "2022-06"), json!({"exported_at": "2022-06-30T10:00:00Z"}));
    world.ends("superseded", older).await;
    world.ends("failed", job(&bad, "BAD", "2022-06")).await;
    world.ends("failed", job(&lacking, "LACK", "2022-06")).await;
    let missing = world.input("missing.csv").display().to_string();
    world.ends("failed", job(&missing, "LATE", "2022-06")).await;
    world.settled().await;
}

async fn metrics_of(worker: &Worker) -> String {
    worker.get("/metrics").await.expect("the worker answers").1
}

#[tokio::test]
async fn the_metrics_are_those_that_are_documented_and_no_query_of_dashboard_and_runbook_is_without_an_answer() {
    let (world, first) = World::with_worker().await;
    let second = world.worker(&[]).await;
    let prometheus = Prometheus::start(&[first.address(), second.address()], Rules::AsTheyAre).await;
    every_kind_of_job(&world).await;

    until("Prometheus has seen both workers and what they did", SOON, async || {
        let up = prometheus.query("up{job=\"aura-worker\"} == 1").await.len();
        let dead = prometheus.query("sum(rate(aura_jobs_total{status=\"failed\"}[1m])) > 0").await.len();
        let letters = prometheus.query("max by (code, group) (aura_dead_letters)").await.len();
        (up == 2 && dead == 1 && letters >= 3).then_some(())
    })
    .await;
    // Both workers together serve what is documented, and nothing else.
    let served = metrics_of(&first).await + &metrics_of(&second).await;
    let served: BTreeSet<_> = matches(&served, "(?m)^# TYPE (\\w+) ").into_iter().collect();
    let document = read("docs/monitoring.md");
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    let first_cells: String = rows.take_while(|line| !line.starts_with("| `timestamp`")).map(first_cell).collect();
    let documented: BTreeSet<_> = matches(&first_cells, "`(\\w+)`").into_iter().collect();
    assert_eq!(documented, served, "documented on the left, served on the right");
    let mut lint = Command::new("promtool");
    lint.args(["check", "metrics"]);
    let said = run_with_input(lint, metrics_of(&first).await.as_bytes(), LIMIT).await;
    // Names of OpenTelemetry's that Prometheus' own would not have.
    let complaints = said.stderr.lines().filter(|line| !line.contains("should not have \"_count\" suffix"));
    assert_eq!(complaints.collect::<Vec<_>>(), Vec::<&str>::new());

    let mut empty = Vec::new();
    for (place, query) in queries() {
        let series = until_some(&prometheus, &query).await;
        if series == 0 {
            empty.push(format!("{place}: {query}"));
        }
        for name in metrics_in(&query) {
            assert!(
                served.contains(name) || served.contains(family(name)),
                "{place} asks for {name}, which no worker serves"
            );
        }
    }
    assert!(empty.is_empty(), "without an answer:\n{}", empty.join("\n"));
    for alert in alerts() {
        for name in metrics_in(&alert.text) {
            assert!(
                served.contains(name) || served.contains(family(name)),
                "{} looks at {name}, which no worker serves",
                alert.name
            );
        }
    }
    // Six jobs of which some failed wake nobody.
    assert_eq!(prometheus.firing().await, BTreeSet::new());
    for query in read("docs/runbook.md").split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        let answered = world.postgres.simple_query(query).await;
        assert!(answered.is_ok(), "{query}: {answered:?}");
    }
}

/// How many series a query has; a rate may have none for as long as there is one sample.
async fn until_some(prometheus: &Prometheus, query: &str) -> usize {
    let began = std::time::Instant::now();
    loop {
        let series = prometheus.query(query).await.len();
        if series > 0 || began.elapsed() > Duration::from_secs(5) {
            return series;
        }
        tokio::task::yield_now().await;
    }
}

fn first_cell(row: &str) -> &str {
    row.trim_start_matches("| ").split(" | ").next().unwrap_or_default()
}

/// The events that are documented: level, metadata that are always there, and those that may be.
fn documented_events() -> BTreeMap<String, (String, BTreeSet<String>, BTreeSet<String>)> {
    let document = read("docs/monitoring.md");
    let (_, table) = document.split_once("| event_type | level | metadata |").expect("a table");
    let mut events = BTreeMap::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let [name, level, metadata]: [&str; 3] =
            row.trim_matches(['|', ' ']).split(" | ").collect::<Vec<_>>().try_into().expect("three cells");
        let (always, sometimes) = metadata.split_once('[').unwrap_or((metadata, ""));
        let names = |text: &str| matches(text, "`(\\w+)`").into_iter().map(str::to_owned).collect();
        events.insert(name.trim_matches('`').to_owned(), (level.to_owned(), names(always), names(sometimes)));
    }
    events
}

#[tokio::test]
async fn the_log_has_the_events_and_fields_that_are_documented_and_three_lines_of_a_job_that_succeeds() {
    let events = documented_events();
    let all: BTreeSet<_> = EventType::ALL.iter().map(|event| event.as_str().to_owned()).collect();
    assert_eq!(events.keys().cloned().collect::<BTreeSet<_>>(), all, "documented on the left");

    let world = World::new().await;
    let worker = world.worker(&[("AURA_LOG", "debug")]).await;
    every_kind_of_job(&world).await;
    let document = read("docs/monitoring.md");
    let mut seen = BTreeSet::new();
    assert!(!worker.text().contains(CELL), "the log has a cell");
    let is_own = |line: &Value| {
        line["target"]
            .as_str()
            .is_some_and(|target| ["aura_worker", "shared"].iter().any(|own| target.starts_with(own)))
    };
    for line in worker.lines().into_iter().filter(is_own) {
        for (field, _) in line.as_object().expect("an object") {
            let is_single = line["job_id"].is_null() && line["event_type"].is_null();
            assert!(is_single || document.contains(&format!("`{field}`")), "{field} is not documented: {line}");
        }
        for field in ["timestamp", "level", "message", "target", "worker"] {
            assert!(line[field].is_string(), "a line lacks its {field}: {line}");
        }
        let Some(event) = line["event_type"].as_str() else { continue };
        let (level, always, sometimes) = &events[event];
        assert_eq!(line["level"], level.as_str(), "{line}");
        for field in ["job_id", "entity", "period"] {
            assert!(line[field].is_string(), "an event lacks its {field}: {line}");
        }
        let told: BTreeSet<_> = line["metadata"].as_object().expect("metadata").keys().cloned().collect();
        assert!(told.is_superset(always), "{event} lacks some of {always:?}: {line}");
        let unknown: Vec<_> =
            told.iter().filter(|name| !always.contains(*name) && !sometimes.contains(*name)).collect();
        assert!(unknown.is_empty(), "{event} has {unknown:?}, which is not documented");
        seen.insert(event.to_owned());
    }
    // Those of people are not a worker's, and no batch was cancelled.
    let of_others = [
        EventType::JobCancelled,
        EventType::Replayed,
        EventType::Discarded,
        EventType::BatchCancelled,
        EventType::PeriodLocked,
        EventType::PeriodUnlocked,
        EventType::Repaired,
        EventType::Pruned,
        EventType::Archived,
    ];
    let unseen: BTreeSet<_> = all.difference(&seen).cloned().collect();
    assert_eq!(unseen, of_others.iter().map(|event| event.as_str().to_owned()).collect());

    let quiet = World::new().await;
    let worker = quiet.worker(&[]).await;
    let file = quiet.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let id = quiet.ends("success", job(&file, "A", "2022-06")).await["job_id"].clone();
    let lines = worker.lines().into_iter().filter(|line| line["job_id"] == id).map(|line| line["message"].clone());
    assert_eq!(lines.collect::<Vec<_>>(), ["ingestion_started", "file_ingested", "ingestion_completed"]);
}
