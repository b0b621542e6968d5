//! Jobs and batches in the browser, and the same at the terminal.

use std::{
    collections::BTreeSet,
    process::{Child, Stdio},
};

use serde_json::{Value, json};
use tests::{digest::sha256, http::client, log::Log};
use uuid::Uuid;

use crate::{
    process::command,
    wait::{SOON, until},
    world::{World, csv, job, with},
};

const TOKEN: &str = "olgaolgaolgaolga";
const VIEWER: &str = "veraveraveravera";

/// A console of which olga is an operator and vera a viewer.
struct Console {
    child: Child,
    url: String,
    client: reqwest::Client,
}

impl Console {
    async fn start(world: &World, more: &[(&str, &str)]) -> Self {
        let users = world.path().join("users.toml");
        let user = |name: &str, role: &str, token: &str| {
            format!("[users.{name}]\nrole = '{role}'\ntoken_sha256 = '{}'\n", sha256(token.as_bytes()))
        };
        std::fs::write(&users, user("olga", "operator", TOKEN) + &user("vera", "viewer", VIEWER)).expect("it is there");
        let mut settings = vec![
            ("AURA_CONSOLE_ADDR", "127.0.0.1:0"),
            ("AURA_CONSOLE_USERS_PATH", users.to_str().expect("it is there")),
        ];
        settings.extend(more);
        let mut console = command("aura-producer", world.path(), &world.settings_with(&settings));
        console.arg("console").stdin(Stdio::null());
        let log = Log::of(&mut console, world.path().join(format!("console-{}", Uuid::new_v4())));
        let mut child = console.spawn().expect("the console starts");
        let served = async || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("the console ended ({status}): {}", log.tail());
            }
            let text = log.text();
            let (_, rest) = text.split_once("the console is at ")?;
            Some(rest.split_once("/ ")?.0.to_owned())
        };
        let url = until("the console is served", SOON, served).await;
        Self { child, url, client: client() }
    }

    async fn get(&self, path: &str, accept: &str) -> (u16, String) {
        let request = self.client.get(format!("{}{path}", self.url)).bearer_auth(TOKEN).header("accept", accept);
        let answer = request.send().await.expect("the console answers");
        (answer.status().as_u16(), answer.text().await.expect("a text"))
    }

    async fn json(&self, path: &str) -> Value {
        let (status, text) = self.get(path, "application/json").await;
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    async fn html(&self, path: &str) -> String {
        let (status, text) = self.get(path, "text/html").await;
        assert_eq!(status, 200, "{path}: {text}");
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}') && !text.contains("<script>alert"), "{text}");
        text
    }

    async fn post(&self, path: &str, token: &str, body: &str) -> (u16, String) {
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(token);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer =
            request.header("accept", "application/json").body(body.to_owned()).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a text"))
    }

    /// The identities that a list holds from its first page to its last, in its order.
    async fn all(&self, path: &str, list: &str, id: &str) -> Vec<String> {
        let (mut all, mut before) = (Vec::new(), String::new());
        loop {
            let page = self.json(&format!("{path}{before}")).await;
            let ids = page[list]
                .as_array()
                .expect("it is there")
                .iter()
                .map(|entry| entry[id].as_str().expect("it is there").to_owned());
            all.extend(ids);
            let Some(next) = page["next"].as_str() else { return all };
            let sign = if path.contains('?') { '&' } else { '?' };
            before = format!("{sign}before={}", next.replace(':', "%3A"));
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const HEADER: &str = "entity,period,account_code,account_name,balance,bs_pl,status\n";

/// Has a job of a batch die of its file; returns its identity.
async fn dies(world: &World, entity: &str, batch: Uuid) -> String {
    let file = world.write(&format!("{entity}.csv"), format!("{HEADER}{entity},2022-06,10,Cash,bad,BS,Assets\n"));
    let message = with(job(&file, entity, "2022-06"), json!({"batch_id": batch}));
    world.ends("failed", message).await["job_id"].as_str().expect("it is there").to_owned()
}

async fn loads(world: &World, entity: &str, more: Value) -> String {
    let file = world.write(&format!("{entity}.csv"), csv(entity, "2022-06", &[("10", "5")]));
    world.ends("success", with(job(&file, entity, "2022-06"), more)).await["job_id"]
        .as_str()
        .expect("it is there")
        .to_owned()
}

async fn status(world: &World, id: &str) -> (String, Value) {
    let text = world.producer(&["status", id]).await.expect(0).stdout;
    (text, world.producer(&["status", id, "--json"]).await.expect(0).json())
}

#[tokio::test]
async fn a_batch_says_what_is_missing_still_and_not_what_once_failed() {
    let (world, _worker) = World::with_worker().await;
    let batch = Uuid::new_v4();
    loads(&world, "OK", json!({"batch_id": batch})).await;
    let mut died = Vec::new();
    for entity in ["DISCARDED", "LOADED", "MISSING", "REPLACED"] {
        died.push(dies(&world, entity, batch).await);
    }
    let [discarded, loaded, missing, replaced] = died.try_into().unwrap();
    world.broker.dead(4).await;
    let reason = "<script>alert(1)</script> =HYPERLINK(\u{1b}[31m \u{202e}gone";
    world.producer(&["dead", "discard", &discarded, "--reason", reason]).await.expect(0);
    let other = loads(&world, "LOADED", json!({})).await;
    world.write("REPLACED.csv", csv("REPLACED", "2022-06", &[("10", "5")]));
    let replay = ["dead", "replay", &replaced, "--as-new", "--wait", "--timeout", "60", "--json"];
    let new = world.producer(&replay).await.expect(0).json()["jobs"][0]["new_job_id"].as_str().unwrap().to_owned();

    let (text, said) = status(&world, &batch.to_string()).await;
    assert!(text.contains("1 job is still missing: MISSING 2022-06 (row_invalid)"), "{text}");
    assert!(
        text.contains("discarded by tester at ") && !text.contains('\u{1b}') && !text.contains('\u{202e}'),
        "{text}"
    );
    let fates = |said: &Value| -> Vec<(String, String, bool)> {
        let jobs = said["not_loaded"].as_array().unwrap().iter();
        let text = |job: &Value, name: &str| job[name].as_str().unwrap().to_owned();
        jobs.map(|job| (text(job, "entity"), text(job, "became"), job["is_missing"].as_bool().unwrap())).collect()
    };
    let fate = |entity: &str, became: &str, missing| (entity.to_owned(), became.to_owned(), missing);
    let expected = [
        fate("DISCARDED", "discarded", false),
        fate("LOADED", "loaded_since", false),
        fate("MISSING", "missing", true),
        fate("REPLACED", "replaced", false),
    ];
    assert_eq!(fates(&said), expected, "{said:#}");
    assert_eq!((&said["jobs"], &said["failed"], &said["still_missing"]), (&json!(6), &json!(4), &json!(1)));

    let console = Console::start(&world, &[]).await;
    let page = console.json(&format!("/batches/{batch}")).await;
    assert_eq!(fates(&page), expected, "{page:#}");
    let html = console.html(&format!("/batches/{batch}")).await;
    assert!(html.contains("1 job is still missing: MISSING 2022-06 (row_invalid)."), "{html}");
    for id in [&other, &new, &missing] {
        assert!(html.contains(&format!("href=\"/jobs/{id}\"")), "{html}");
    }
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt; =HYPERLINK("), "{html}");
    let list = console.json("/batches").await;
    assert_eq!((&list["batches"][0]["batch_id"], &list["batches"][0]["failed"]), (&json!(batch), &json!(4)));
    assert!(console.html("/batches").await.contains(&format!("/jobs?batch={batch}&amp;status=failed")));

    // And of each job the terminal says the same as the page.
    for (id, words) in [
        (&discarded, "discarded by tester at ".to_owned()),
        (&loaded, format!("its slice has since been loaded by job {other} at ")),
        (&replaced, format!(" by job {new}, which is success")),
        (&missing, format!("see: aura-producer dead show {missing}")),
    ] {
        let (text, said) = status(&world, id).await;
        assert!(text.contains(&words), "{text}");
        assert_eq!(text.contains("dead show"), id == &missing, "{text}");
        let page = console.json(&format!("/jobs/{id}")).await;
        assert_eq!(page["run"]["fate"], said["fate"], "{page:#}");
    }
    world.producer(&["dead", "replay", &missing]).await.expect(0);
    until("it has failed again", SOON, async || {
        let page = console.json(&format!("/jobs/{missing}")).await;
        (page["letters"].as_array().unwrap().len() == 2).then_some(())
    })
    .await;
    assert_eq!(console.json(&format!("/batches/{batch}")).await["still_missing"], 1);
    // An older export that comes late does not make up for it.
    loads(&world, "MISSING", json!({"exported_at": "2022-07-01T00:00:00Z"})).await;
    assert_eq!(console.json(&format!("/batches/{batch}")).await["still_missing"], 1);
    let file = world.write("MISSING.csv", csv("MISSING", "2022-06", &[("10", "6")]));
    world.ends("success", job(&file, "MISSING", "2022-06")).await;
    let html = console.html(&format!("/batches/{batch}")).await;
    assert!(html.contains("nothing is missing any more"), "{html}");
}

#[tokio::test]
async fn a_batch_whose_messages_were_refused_is_not_called_whole() {
    let (world, _worker) = World::with_worker().await;
    let batch = Uuid::new_v4();
    loads(&world, "OK", json!({"batch_id": batch})).await;
    let refused = json!({"job_id": Uuid::new_v4(), "batch_id": batch, "file": "/in/a.csv", "entity": "no such", "period": "June"});
    world.send(refused).await;
    until("it is written down", SOON, async || {
        (world.one::<i64>("SELECT count(*) FROM dead_letters", &[]).await == 1).then_some(())
    })
    .await;
    let console = Console::start(&world, &[]).await;
    let page = console.json(&format!("/batches/{batch}")).await;
    assert_eq!((&page["still_missing"], &page["refused"]), (&json!(0), &json!(1)), "{page:#}");
    let html = console.html(&format!("/batches/{batch}")).await;
    assert!(html.contains("<p class=\"bad\" role=\"status\">1 message of it never became a job"), "{html}");
    assert!(status(&world, &batch.to_string()).await.0.contains("1 message of it never became a job"));
}

#[tokio::test]
async fn a_batch_is_cancelled_by_operators_only_and_says_by_whom_and_why() {
    let (world, _worker) = World::with_worker().await;
    let batch = Uuid::new_v4();
    loads(&world, "A", json!({"batch_id": batch})).await;
    let console = Console::start(&world, &[]).await;
    let cancel = format!("/batches/{batch}/cancel");
    assert_eq!(console.post(&cancel, VIEWER, "reason=x").await.0, 403);
    assert_eq!(console.post(&cancel, TOKEN, "reason=+").await.0, 400);
    let (code, text) = console.post(&cancel, TOKEN, "reason=wrong+month").await;
    assert_eq!(code, 200, "{text}");
    let said: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&said["cancelled_by"], &said["already_cancelled"]), (&json!("olga"), &json!(false)));
    let file = world.write("B.csv", csv("B", "2022-06", &[("10", "5")]));
    let later = world.ends("cancelled", with(job(&file, "B", "2022-06"), json!({"batch_id": batch}))).await;
    let page = console.json(&format!("/batches/{batch}")).await;
    assert_eq!((&page["cancelled_by"], &page["reason"]), (&json!("olga"), &json!("wrong month")));
    assert_eq!((&page["cancelled"], &page["not_loaded"][0]["became"]), (&json!(1), &json!("cancelled")));
    let html = console.html(&format!("/batches/{batch}")).await;
    assert!(html.contains(" by olga (wrong month): none of its jobs has loaded since"), "{html}");
    assert!(!html.contains("Reason, for the audit trail"), "{html}");
    let (text, _) = status(&world, later["job_id"].as_str().unwrap()).await;
    assert!(text.contains("cancelled with its batch by olga at ") && text.contains(": wrong month"), "{text}");
    let events = world.events("_system", "-").await;
    assert!(events.iter().any(|event| event == "batch_cancelled"), "{events:?}");
}

#[tokio::test]
async fn every_batch_and_every_job_is_reached_once_from_page_to_page() {
    let world = World::new().await;
    world.producer(&["migrate"]).await.expect(0);
    // Batches that run beside each other, jobs that began at the same time, and more of one batch than are looked at.
    world
        .execute(
            "INSERT INTO ingestion_runs (job_id, batch_id, file, entity, period, source, exported_at, status, started_at, \
                 finished_at, body_hash)
             SELECT gen_random_uuid(), CASE WHEN n % 3 > 0 THEN md5('batch ' || (n / 40 + n % 2))::uuid END, '/in/x.csv', \
                 'E' || n % 5, '2022-0' || n % 4 + 1, 'default', at, \
                 (ARRAY['success', 'failed', 'skipped', 'superseded'])[n % 4 + 1], at, at, 'x' \
             FROM generate_series(1, 3000) AS n, LATERAL (SELECT timestamptz '2022-07-01Z' + make_interval(secs => n / 7)) AS of (at);
             INSERT INTO ingestion_runs (job_id, batch_id, file, entity, period, source, exported_at, status, started_at, \
                 finished_at, body_hash)
             SELECT gen_random_uuid(), md5('large')::uuid, '/in/x.csv', 'LARGE', '2021-12', 'default', at, 'success', at, at, 'x' \
             FROM generate_series(1, 25000) AS n, LATERAL (SELECT timestamptz '2022-06-01Z' + make_interval(secs => n / 9)) AS of (at);
             INSERT INTO ingestion_runs (job_id, batch_id, file, entity, period, source, exported_at, status, started_at, \
                 finished_at, body_hash)
             VALUES (gen_random_uuid(), md5('oldest')::uuid, '/in/x.csv', 'OLD', '2021-11', 'default', '2022-05-01Z', 'failed', \
                 '2022-05-01Z', '2022-05-01Z', 'x');
             ANALYZE",
        )
        .await;
    let console = Console::start(&world, &[]).await;
    let known = async |query: &str| -> BTreeSet<String> {
        let rows = world.rows(query).await;
        rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    let once = |all: Vec<String>, known: BTreeSet<String>, what: &str| {
        let set: BTreeSet<String> = all.iter().cloned().collect();
        assert_eq!(all.len(), set.len(), "{what}: something comes twice");
        assert!(set == known, "{what}: {} of {}", set.len(), known.len());
    };
    let batches = known("SELECT DISTINCT batch_id AS id FROM ingestion_runs WHERE batch_id IS NOT NULL").await;
    assert!(batches.len() > 70);
    once(console.all("/batches", "batches", "batch_id").await, batches, "batches");
    let batch: String = world.one("SELECT md5('batch 9')::uuid::text", &[]).await;
    let filters = [
        ("status=failed".to_owned(), "status = 'failed'".to_owned()),
        ("entity=E3".to_owned(), "entity = 'E3'".to_owned()),
        ("entity=E3&period=2022-02".to_owned(), "entity = 'E3' AND period = '2022-02'".to_owned()),
        ("entity=E3&status=skipped".to_owned(), "entity = 'E3' AND status = 'skipped'".to_owned()),
        ("period=2022-03".to_owned(), "period = '2022-03'".to_owned()),
        ("period=2021-11".to_owned(), "period = '2021-11'".to_owned()),
        ("period=2022-03&status=skipped".to_owned(), "period = '2022-03' AND status = 'skipped'".to_owned()),
        (format!("batch={batch}"), format!("batch_id = '{batch}'")),
        (format!("batch={batch}&status=failed"), format!("batch_id = '{batch}' AND status = 'failed'")),
        ("".to_owned(), "entity <> 'LARGE'".to_owned()),
    ];
    for (filter, condition) in &filters {
        if filter.is_empty() {
            continue;
        }
        let jobs = known(&format!("SELECT job_id AS id FROM ingestion_runs WHERE {condition}")).await;
        once(console.all(&format!("/jobs?{filter}"), "jobs", "job_id").await, jobs, filter);
    }
    world.execute("DELETE FROM ingestion_runs WHERE entity = 'LARGE'").await;
    let jobs = known("SELECT job_id AS id FROM ingestion_runs").await;
    once(console.all("/jobs", "jobs", "job_id").await, jobs, "all jobs");
    let html = console.html("/jobs?status=failed").await;
    assert!(html.contains("Older jobs") && html.contains("id=\"jobs\""), "{html}");
    for wrong in
        ["/jobs?status=lost", "/jobs?entity=%3Cscript%3E", "/jobs?period=June", "/jobs?batch=7", "/jobs?before=7"]
    {
        assert_eq!(console.get(wrong, "text/html").await.0, 400, "{wrong}");
    }
    let unknown = Uuid::new_v4();
    for path in ["jobs", "batches"] {
        let (code, text) = console.get(&format!("/{path}/{unknown}"), "application/json").await;
        assert!(code == 404 && text.contains("no worker has seen"), "{code} {text}");
    }
}

#[tokio::test]
async fn the_whole_life_of_a_job_is_on_one_page() {
    let (world, _worker) = World::with_worker().await;
    let name = "<script>alert(1)</script>\u{202e}=1+1.csv";
    let path = world.input(name).display().to_string();
    std::fs::create_dir_all(world.input(name).parent().unwrap()).unwrap();
    let failed = world.ends("failed", job(&path, "A", "2022-06")).await;
    let id = failed["job_id"].as_str().unwrap().to_owned();
    world.broker.dead(1).await;
    world.write(name, csv("A", "2022-06", &[("10", "5"), ("20", "-5.50")]));
    world.producer(&["dead", "replay", &id, "--wait", "--timeout", "60"]).await.expect(0);
    world.settled().await;
    let console = Console::start(&world, &[]).await;
    let page = console.json(&format!("/jobs/{id}")).await;
    let mut what: Vec<&str> =
        page["moments"].as_array().unwrap().iter().map(|moment| moment["what"].as_str().unwrap()).collect();
    // A worker may claim the job, and even load it, before its replay is written down.
    if let (Some(died), Some(replayed)) =
        (what.iter().position(|one| *one == "dead-lettered"), what.iter().position(|one| *one == "replayed"))
    {
        let replayed = what.remove(replayed);
        what.insert(died + 1, replayed);
    }
    let expected = [
        "exported",
        "attempt failed",
        "waits",
        "attempt failed",
        "waits",
        "attempt failed",
        "waits",
        "attempt failed",
        "dead-lettered",
        "replayed",
        "claimed",
        "loaded",
        "ended",
    ];
    assert_eq!(what, expected, "{:#}", page["moments"]);
    assert_eq!(page["run"], world.producer(&["status", &id, "--json"]).await.expect(0).json());
    assert_eq!((&page["run"]["balance_sum"], &page["run"]["status"]), (&json!("-0.5"), &json!("success")));
    assert_eq!(page["data_profile"]["row_count"], 2, "{page:#}");
    let chain = world.chain("A", "2022-06").await;
    let seqs: Vec<i64> =
        page["events"].as_array().unwrap().iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=chain.len() as i64).collect::<Vec<_>>());
    assert_eq!(page["jobs_of_slice"][0]["job_id"], id);
    let html = console.html(&format!("/jobs/{id}")).await;
    for part in [
        "&lt;script&gt;",
        "4 s for attempt 4",
        "replayed by tester at",
        "Data profile",
        "dead_lettered",
        "/slices/A/2022-06",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    assert!(!html.contains("cannot be seen"), "{html}");

    // Without MongoDB the page has the rest, and says what it lacks.
    let without = Console::start(&world, &[("AURA_MONGODB_URL", "mongodb://127.0.0.1:1/nowhere")]).await;
    let page = without.json(&format!("/jobs/{id}")).await;
    assert_eq!((&page["run"]["status"], &page["events"]), (&json!("success"), &json!([])));
    assert!(page["unseen"].as_str().unwrap().contains("MongoDB at mongodb://127.0.0.1:1/nowhere"), "{page:#}");
    assert!(without.html(&format!("/jobs/{id}")).await.contains("cannot be seen"));
}

#[tokio::test]
async fn bad_rows_and_rows_put_aside_are_shown_with_what_stood_there() {
    let (world, _worker) = World::with_worker().await;
    let rows = "Q,2022-06,10,Cash,5,BS,Assets\nQ,2022-06,20,<script>alert(2)</script>,=1+1,BS,Assets\n";
    let file = world.write("q.csv", format!("{HEADER}{rows}"));
    let failed = world.ends("failed", job(&file, "Q", "2022-06")).await;
    let put_aside = with(job(&file, "Q", "2022-06"), json!({"on_error": "quarantine"}));
    let loaded = world.ends("success", put_aside).await;
    let console = Console::start(&world, &[]).await;
    let id = failed["job_id"].as_str().unwrap();
    let page = console.json(&format!("/jobs/{id}")).await;
    assert_eq!(page["run"]["result"]["error"]["rows"][0]["line"], 3, "{page:#}");
    assert_eq!(page["run"]["fate"]["became"], "loaded_since");
    assert!(console.html(&format!("/jobs/{id}")).await.contains("Bad rows"));
    let id = loaded["job_id"].as_str().unwrap();
    let page = console.json(&format!("/jobs/{id}")).await;
    let rejected = &page["rejected_rows"][0];
    assert_eq!((&rejected["line"], &rejected["column"]), (&json!(3), &json!("balance")), "{page:#}");
    assert!(rejected["text"].as_str().unwrap().contains("=1+1"));
    assert!(console.html(&format!("/jobs/{id}")).await.contains("&lt;script&gt;alert(2)"));
}
