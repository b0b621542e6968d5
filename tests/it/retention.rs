//! Retention: what is older than is kept goes, on the record; what the ledger and later moments need stays.

use bson::{Document, doc};
use serde_json::{Value, json};
use tests::random::Random;
use uuid::Uuid;

use crate::{
    process::Worker,
    world::{World, csv, job, with},
};

/// Puts runs, and what came with them, so many years back.
const AGE: &str = "UPDATE ingestion_runs SET started_at = started_at - interval '11 years', \
    finished_at = finished_at - interval '11 years', applied_at = applied_at - interval '11 years' WHERE ";

/// What only these tests do.
trait Aging {
    async fn load(&self, entity: &str, accounts: &[(&str, &str)]) -> Uuid;
    /// Puts the runs that meet a condition eleven years back.
    async fn age(&self, condition: &str);
    async fn prune(&self, more: &[&str]) -> Value;
    async fn moment(&self, at: &str, code: i32) -> Value;
    async fn counts(&self) -> Value;
}

impl Aging for World {
    async fn load(&self, entity: &str, accounts: &[(&str, &str)]) -> Uuid {
        let file = self.write(&format!("{entity}-{}.csv", Uuid::new_v4()), csv(entity, "2012-06", accounts));
        let message = with(job(&file, entity, "2012-06"), json!({"mode": "replace"}));
        let receipt = self.ends("success", message).await;
        receipt["job_id"].as_str().and_then(|id| id.parse().ok()).expect("a receipt has its job")
    }

    async fn age(&self, condition: &str) {
        self.settled().await;
        self.execute(&format!("{AGE}{condition}")).await;
    }

    async fn prune(&self, more: &[&str]) -> Value {
        self.producer(&[&["prune", "--json"], more].concat()).await.expect(0).json()
    }

    async fn moment(&self, at: &str, code: i32) -> Value {
        let arguments = ["history", "--entity", "A", "--period", "2012-06", "--as-of", at, "--json"];
        self.producer(&arguments).await.expect(code).json()["moment"].clone()
    }

    async fn counts(&self) -> Value {
        self.rows(
            "SELECT (SELECT count(*) FROM ingestion_runs) AS runs, (SELECT count(*) FROM gl_balance_changes) AS changes, \
             (SELECT count(*) FROM gl_rejected_rows) AS rejected, (SELECT count(*) FROM audit_chains) AS chains, \
             (SELECT count(*) FROM gl_accounts) AS accounts, (SELECT sum(balance)::text FROM gl_accounts) AS sum, \
             (SELECT count(*) FROM dead_letters) AS letters",
        )
        .await
    }
}

async fn text(world: &World, query: &str) -> String {
    world.one(query, &[]).await
}

/// The accounts of the slice as they are.
async fn accounts(world: &World) -> Value {
    world
        .rows(
            "SELECT company_code, account_code, account_name, bs_pl, status, trim_scale(balance)::text AS balance \
             FROM gl_accounts WHERE entity = 'A' ORDER BY 1, 2",
        )
        .await
}

#[tokio::test]
async fn what_is_older_than_is_kept_goes_and_every_later_moment_is_rebuilt_and_checked_as_before() {
    let (world, _worker): (World, Worker) = World::with_worker().await;
    let now = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let mut random = Random::new(7);
    let mut moments = Vec::new();
    for number in 0..9 {
        let mut rows: Vec<(String, String)> = Vec::new();
        for account in 0..12 {
            if random.percent(70) {
                rows.push((format!("{account:02}"), random.one_of(&["1.25", "-7", "3", "0"]).to_owned()));
            }
        }
        rows.push(("99".to_owned(), number.to_string()));
        let rows: Vec<(&str, &str)> = rows.iter().map(|(code, balance)| (code.as_str(), balance.as_str())).collect();
        world.load("A", &rows).await;
        moments.push((text(&world, now).await, accounts(&world).await));
        if number == 4 {
            world.age("true").await;
            for (at, _) in &mut moments {
                *at = text(&world, &format!("SELECT to_char((timestamptz '{at}' - interval '11 years') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")).await;
            }
        }
    }
    world.load("B", &[("10", "1")]).await;
    world.settled().await;
    let before = world.counts().await;
    let of_last_old = world.moment(&moments[4].0, 0).await;
    assert_eq!((&of_last_old["accounts"], &of_last_old["check"]), (&moments[4].1, &json!("agrees")));

    let would = world.prune(&[]).await;
    assert_eq!((&would["applied"], world.counts().await), (&json!(false), before.clone()), "{would:#}");
    let did = world.prune(&["--apply", "--reason", "ten years are over"]).await;
    for field in ["before", "slices", "runs", "changes", "movement", "rejected_rows", "kept", "entities"] {
        assert_eq!(would[field], did[field], "{field}: a dry run tells what is done");
    }
    // Of five old runs the last one stays, and those of which there still are rows.
    let (went, kept) = (did["runs"]["success"].as_i64().unwrap_or(0), did["kept"].as_i64().expect("a count"));
    assert!(went > 0 && kept > 0 && went + kept == 5, "{did:#}");
    let after = world.counts().await;
    assert_eq!((&after[0]["accounts"], &after[0]["sum"]), (&before[0]["accounts"], &before[0]["sum"]));
    for (field, gone) in [("runs", went), ("changes", did["changes"].as_i64().expect("a count"))] {
        let count = |counts: &Value| counts[0][field].as_i64().expect("a count");
        assert_eq!(count(&before) - count(&after), gone, "{field}");
    }

    let horizon = did["before"].as_str().expect("a time");
    for (at, accounts) in &moments[5..] {
        let moment = world.moment(at, 0).await;
        assert_eq!((&moment["accounts"], &moment["check"]), (accounts, &json!("agrees")), "at {at}: {moment:#}");
    }
    let moment = world.moment(horizon, 0).await;
    assert_eq!((&moment["accounts"], &moment["check"]), (&moments[4].1, &json!("agrees")), "{moment:#}");
    let (earlier, _) = &moments[2];
    let history = ["history", "--entity", "A", "--period", "2012-06"];
    let said = world.producer(&[&history[..], &["--as-of", earlier]].concat()).await.expect(1);
    assert!(
        said.stderr.contains("is not known any more") && said.stderr.contains("went by retention"),
        "{}",
        said.stderr
    );
    let said = world.producer(&history).await.expect(0).stdout;
    assert!(said.contains(&format!("{went} jobs of before")), "{said}");
    let refused = format!(
        "DO $$ BEGIN PERFORM * FROM gl_accounts_as_of('A', '2012-06', '{earlier}'); \
        RAISE 'it was rebuilt'; EXCEPTION WHEN raise_exception THEN \
        IF SQLERRM NOT LIKE '%has been pruned%' THEN RAISE; END IF; END $$"
    );
    world.execute(&refused).await;

    let events = world.chain("A", "2012-06").await;
    let pruned = events.last().expect("events");
    assert_eq!(pruned.get_str("event_type").expect("a text"), "pruned");
    let details = pruned.get_document("metadata").expect("details");
    let named = details.get_array("jobs").expect("a list").len();
    assert_eq!(named, usize::try_from(went).expect("a count"), "{details}");
    assert_eq!(details.get_str("reason").expect("a text"), "ten years are over");
    assert_eq!(world.events("_system", "-").await, ["pruned"]);
    let said = world.producer(&["verify", "--json"]).await.expect(0).json();
    assert_eq!(said["findings"], json!([]));

    // Nothing is left to do, and nothing is told twice.
    let again = world.prune(&["--apply"]).await;
    assert_eq!((&again["runs"], &again["kept"]), (&json!({}), &json!(kept)), "{again:#}");
    assert_eq!(world.events("_system", "-").await, ["pruned"]);
}

#[tokio::test]
async fn a_run_that_is_gone_and_that_no_pruning_names_is_found() {
    let (world, _worker): (World, Worker) = World::with_worker().await;
    for balance in ["1", "2", "3", "4"] {
        world.load("A", &[("10", balance)]).await;
    }
    world.age("entity = 'A' AND job_id <> (SELECT job_id FROM slices WHERE entity = 'A')").await;
    let newest_old = "SELECT job_id FROM ingestion_runs WHERE finished_at < now() - interval '1 year' ORDER BY finished_at DESC LIMIT 1";
    let kept: Uuid = world.one(newest_old, &[]).await;
    assert_eq!(world.prune(&["--apply"]).await["runs"], json!({"success": 2}));
    world.producer(&["verify"]).await.expect(0);
    world.execute(&format!("DELETE FROM ingestion_runs WHERE job_id = '{kept}'")).await;
    let said = world.producer(&["verify", "--json"]).await.expect(1).json();
    let codes: Vec<_> =
        said["findings"].as_array().expect("findings").iter().map(|one| (&one["code"], &one["job_id"])).collect();
    let of_kept = json!(kept);
    assert_eq!(
        codes,
        [(&json!("metadata_unknown"), &of_kept), (&json!("run_missing"), &of_kept)]
            .into_iter()
            .rev()
            .collect::<Vec<_>>(),
        "{said:#}"
    );
}

#[tokio::test]
async fn dead_letters_that_left_the_queue_go_and_those_in_it_keep_their_runs() {
    let (world, _worker): (World, Worker) = World::with_worker().await;
    let bad = world.write("bad.csv", csv("A", "2012-06", &[("10", "no amount")]));
    let (gone, open) = (world.send(job(&bad, "A", "2012-06")).await, world.send(job(&bad, "B", "2012-06")).await);
    world.broker.dead(2).await;
    world.producer(&["dead", "discard", &gone.to_string(), "--reason", "sent twice"]).await.expect(0);
    world.age("true").await;
    world.execute("UPDATE dead_letters SET settled_at = settled_at - interval '11 years'").await;
    world.execute("UPDATE dead_letter_operations SET ended_at = ended_at - interval '11 years'").await;
    let did = world.prune(&["--apply"]).await;
    assert_eq!(did["letters"], json!({"letters discarded": 1, "operations": 1}), "{did:#}");
    assert_eq!((&did["runs"], &did["kept"]), (&json!({"failed": 1}), &json!(1)), "{did:#}");
    let left = world.rows("SELECT job_id, state FROM dead_letters").await;
    assert_eq!(left, json!([{"job_id": open, "state": "waiting"}]));
    world.settled().await;
    world.producer(&["verify"]).await.expect(0);
    // Its run is there, so that the replay is known for the same job.
    std::fs::write(&bad, csv("B", "2012-06", &[("10", "1")])).expect("a file");
    world.producer(&["dead", "replay", &open.to_string()]).await.expect(0);
    crate::wait::until("it is loaded", crate::wait::SOON, async || {
        (world.job_run(open).await["status"] == "success").then_some(())
    })
    .await;
}

#[tokio::test]
async fn prunings_that_run_at_once_take_each_run_once_and_tell_each_once() {
    let (world, _worker): (World, Worker) = World::with_worker().await;
    for entity in ["A", "B", "C", "D"] {
        for balance in ["1", "2", "3"] {
            world.load(entity, &[("10", balance), ("20", "7")]).await;
        }
    }
    world.age("true").await;
    let four = tokio::join!(
        world.prune(&["--apply"]),
        world.prune(&["--apply"]),
        world.prune(&["--apply"]),
        world.prune(&["--apply"])
    );
    let runs = [&four.0, &four.1, &four.2, &four.3].map(|did| did["runs"]["success"].as_i64().unwrap_or(0));
    // The first is of the rows that never changed, the last of those that did.
    assert_eq!(runs.iter().sum::<i64>(), 4, "{runs:?}");
    world.settled().await;
    let events = world.mongo.collection::<Document>("audit_trail");
    let told = events.count_documents(doc! {"event_type": "pruned", "entity": {"$ne": "_system"}}).await;
    assert_eq!(told.expect("MongoDB answers"), 4);
    assert_eq!(world.one::<i64>("SELECT sum(runs)::bigint FROM pruned_slices", &[]).await, 4);
    world.producer(&["verify"]).await.expect(0);
}

#[tokio::test]
async fn verify_beside_a_pruning_finds_nothing_and_a_busy_slice_is_left_alone_by_name() {
    let (world, _worker): (World, Worker) = World::with_worker().await;
    for entity in ["A", "B"] {
        for number in 0..20 {
            world.load(entity, &[("10", &number.to_string())]).await;
        }
    }
    world.age("true").await;
    let busy = tests::stack::answered(
        tests::stack::session(&world.setting("AURA_POSTGRES_URL").parse().expect("a URL")).await,
    );
    busy.batch_execute("SELECT pg_advisory_lock(hashtextextended('slice:A:2012-06', 0))").await.expect("a lock");
    let left = async {
        let did = world.producer(&["prune", "--apply", "--json"]).await.expect(3).json();
        assert_eq!((&did["left"][0]["entity"], &did["runs"]), (&json!("A"), &json!({"success": 19})), "{did:#}");
    };
    let looking = async {
        for _ in 0..6 {
            world.producer(&["verify"]).await.expect(0);
        }
    };
    tokio::join!(left, looking);
    busy.batch_execute("SELECT pg_advisory_unlock_all()").await.expect("the lock goes");
    let (did, ()) = tokio::join!(world.prune(&["--apply"]), async {
        for _ in 0..4 {
            world.producer(&["verify"]).await.expect(0);
        }
    });
    assert_eq!(did["runs"], json!({"success": 19}), "{did:#}");
}

#[tokio::test]
async fn what_is_asked_for_is_held_against_the_law_and_the_rights() {
    let (world, _worker): (World, Worker) = World::with_worker().await;
    world.load("A", &[("10", "1")]).await;
    let said = world.producer(&["prune", "--years", "3", "--apply"]).await.expect(2);
    assert!(said.stderr.contains("--reason"), "{}", said.stderr);
    world.producer(&["prune", "--years", "0"]).await.expect(2);
    assert_eq!(world.prune(&["--years", "3"]).await["applied"], json!(false));
    let text = world.producer(&["prune"]).await.expect(0).stdout;
    assert!(text.contains("no run of before"), "{text}");
}

#[tokio::test]
async fn the_console_says_what_was_pruned_and_shows_no_moment_of_before() {
    let (world, _worker): (World, Worker) = World::with_worker().await;
    let first = world.load("A", &[("10", "1")]).await;
    for balance in ["2", "3"] {
        world.load("A", &[("10", balance)]).await;
    }
    world.age("job_id <> (SELECT job_id FROM slices)").await;
    let before = world.prune(&["--apply"]).await["before"].clone();
    let console = world.console(&[]).await;
    let page = console.page("/slices/A/2012-06").await.expect(200).text;
    assert!(page.contains("1 job of before"), "{page}");
    let gone = console.page(&format!("/jobs/{first}")).await.expect(404).text;
    assert!(gone.contains("or retention took it away"), "{gone}");
    let gone = world.producer(&["status", &first.to_string()]).await.expect(1).stderr;
    assert!(gone.contains("or retention took it away"), "{gone}");
    let one = console.json("/slices/A/2012-06", None).await.expect(200).json();
    assert_eq!((&one["pruned"]["before"], &one["pruned"]["runs"]), (&before, &json!(1)), "{one:#}");
    for path in ["/slices/A/2012-06", "/slices/A/2012-06/accounts.csv"] {
        let refused = console.page(&format!("{path}?as_of=2014-01-01T00:00:00Z")).await.expect(404).text;
        assert!(refused.contains("is not known any more"), "{refused}");
        console.page(&format!("{path}?as_of={}", before.as_str().expect("a time"))).await.expect(200);
    }
    let changes = console.page("/slices/A/2012-06/changes.csv").await.expect(200);
    let name = changes.header("content-disposition");
    assert!(name.contains("changes-since-20"), "{name}");
}
