//! A closed year as files: exact, whole or not there, and whatever is done to it later is found.

mod tampering;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use bson::{Document, doc};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use shared::fingerprint::Fingerprint;
use tests::{audit::text, cached::Cached};
use uuid::Uuid;

use tampering::{
    balance_changed, column_changed, copy, cut, damage, edit, event_changed, event_removed, last_event_removed, linked,
    manifest, slice_changed,
};

use crate::{
    process::{Said, Worker, command},
    wait::{SOON, until},
    world::{World, csv, job, with},
};

// Keys of nobody's, as openssl makes them.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIIwUF1ZOHVu9Jsp4cBpzVoBN9F+Md3O1zk+6BnvATH+P\n-----END PRIVATE KEY-----\n";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAXNdy5xkbTKF9tEOCBE+s88ZeLrfsGSeqtBsgKNO/YT4=\n-----END PUBLIC KEY-----\n";
const OTHER: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEATGx8YuvhVUYjUBw29smsttreEQ32xVsd5qhL98FVTj4=\n-----END PUBLIC KEY-----\n";
const FILES: [&str; 7] = [
    "README.txt",
    "absent_accounts.parquet",
    "accounts.parquet",
    "audit_trail.parquet",
    "changes.parquet",
    "rejected_rows.parquet",
    "runs.parquet",
];
/// The smallest amount that there is.
const LEAST: &str = "0.0000000000000001";

/// What only these tests do.
trait Archived {
    async fn loads(&self, entity: &str, period: &str, accounts: &[(&str, &str)], more: Value);
    /// Closes periods.
    async fn locks(&self, periods: &[&str]);
    /// A year of two entities: a reload that changes, adds and leaves accounts out, rows put aside, a special period.
    async fn year(&self);
    /// A file of this world, with this in it.
    fn file(&self, name: &str, text: &str) -> String;
    fn folder(&self, name: &str) -> PathBuf;
    async fn archives(&self, name: &str, more: &[&str]) -> Said;
    async fn checks(&self, name: &str, more: &[&str]) -> Said;
    /// What stands in the world's folder under the name of an archive, or beside it.
    fn left(&self, name: &str) -> Vec<String>;
}

impl Archived for World {
    async fn loads(&self, entity: &str, period: &str, accounts: &[(&str, &str)], more: Value) {
        let file = self.write(&format!("{entity}-{}.csv", Uuid::new_v4()), csv(entity, period, accounts));
        self.ends("success", with(job(&file, entity, period), more)).await;
    }

    async fn locks(&self, periods: &[&str]) {
        for period in periods {
            self.producer(&["period", "lock", "--period", period]).await.expect(0);
        }
        self.settled().await;
    }

    async fn year(&self) {
        let most = "999999999999999999.9999999999999999";
        self.loads("A", "2022-06", &[("10", most), ("20", LEAST), ("30", "-7")], json!({})).await;
        self.loads(
            "A",
            "2022-06",
            &[("10", "-15883780430.629999993"), ("20", LEAST), ("40", "1e")],
            json!({
                "on_error": "quarantine"
            }),
        )
        .await;
        self.loads("A", "2022-13", &[("10", "0.5"), ("20", "-0.5")], json!({"mode": "replace"})).await;
        self.loads("B", "2022-01", &[("10", "1"), ("20", LEAST), ("30", "-1.5")], json!({})).await;
        // A slice of which nothing was loaded has a chain, too.
        let bad = self.write("bad.csv", csv("B", "2022-02", &[("10", "x")]));
        self.ends("failed", job(&bad, "B", "2022-02")).await;
        // And another year stays out of it.
        self.loads("B", "2023-01", &[("10", "1")], json!({})).await;
        self.locks(&["2022-06", "2022-13", "2022-01", "2022-02"]).await;
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    async fn archives(&self, name: &str, more: &[&str]) -> Said {
        let to = self.folder(name).display().to_string();
        self.producer(&[&["archive", "write", "--year", "2022", "--to", &to], more].concat()).await
    }

    async fn checks(&self, name: &str, more: &[&str]) -> Said {
        let folder = self.folder(name).display().to_string();
        self.producer(&[&["archive", "check", &folder], more].concat()).await
    }

    fn left(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path()).expect("the world's folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        names.filter(|found| found.starts_with(name)).collect()
    }
}

fn read(folder: &Path, name: &str) -> Cached {
    Cached::read(File::open(folder.join(name)).expect("a file of the archive"))
}

#[tokio::test]
async fn a_closed_year_is_archived_to_the_last_digit_and_found_clean() {
    let (world, _worker): (World, Worker) = World::with_worker().await;
    world.year().await;
    let (key, public) = (world.file("archive.key", KEY), world.file("archive.pub", PUBLIC));
    let said = world.archives("2022", &["--key", &key, "--json"]).await.expect(0).json();
    let folder = world.folder("2022");
    let files: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o640, "{entry:?}");
            entry.file_name().to_string_lossy().into_owned()
        })
        .collect();
    let expected: BTreeSet<String> =
        FILES.into_iter().chain(["manifest.json", "manifest.sig"]).map(str::to_owned).collect();
    assert_eq!(files, expected);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o750);
    assert_eq!(world.left("2022"), ["2022"], "nothing lies beside it");

    // Everything is what PostgreSQL has, to the last digit.
    let accounts = read(&folder, "accounts.parquet");
    let query = "SELECT entity || ' ' || period || ' ' || account_code || ' ' || trim_scale(balance) AS line FROM gl_accounts \
                 WHERE period LIKE '2022-%' ORDER BY entity, period, company_code, account_code";
    let rows = world.rows(query).await;
    let cell = |name: &str, row: usize| accounts.columns[name][row].clone().unwrap();
    let lines: Vec<String> = (0..accounts.rows)
        .map(|row| ["entity", "period", "account_code", "balance"].map(|name| cell(name, row)).join(" "))
        .collect();
    let of_ledger: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["line"].as_str().unwrap()).collect();
    assert_eq!(lines, of_ledger);
    assert!(
        lines.contains(&format!("A 2022-06 20 {LEAST}")) && lines.contains(&"A 2022-06 30 -7".to_owned()),
        "{lines:?}"
    );
    for (table, file) in [
        ("gl_accounts", "accounts.parquet"),
        ("gl_balance_changes", "changes.parquet"),
        ("gl_rejected_rows", "rejected_rows.parquet"),
        ("gl_absent_accounts", "absent_accounts.parquet"),
        ("ingestion_runs", "runs.parquet"),
    ] {
        has_every_column_and_row(&world, table, &read(&folder, file)).await;
    }

    let manifest = manifest(&folder);
    let named: Vec<(&str, &str, &str)> = manifest["slices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|slice| ["entity", "period", "balance_sum"].map(|name| slice[name].as_str().unwrap()).into())
        .collect();
    let june = "-15883780437.6299999929999999";
    let slices =
        [("A", "2022-06", june), ("A", "2022-13", "0"), ("B", "2022-01", "-0.4999999999999999"), ("B", "2022-02", "0")];
    assert_eq!(named, slices);
    let first = &manifest["slices"][0];
    assert_eq!((&first["rows"], &first["changes"], &first["rejected_rows"]), (&json!(3), &json!(1), &json!(1)));
    assert_eq!((&first["absent_accounts"], &first["runs"]), (&json!(1), &json!(2)));
    assert!(manifest["slices"][3]["job_id"].is_null(), "no job has loaded it");
    assert_eq!(said["slices"], json!(4));
    assert_eq!((&said["rows"], &said["signed"], &said["recorded"]), (&json!(8), &json!(true), &json!(true)));

    // The chains are those of MongoDB, each event with the very text that its hash is of.
    let trail = read(&folder, "audit_trail.parquet");
    for row in 0..trail.rows {
        let event = trail.columns["event"][row].clone().unwrap();
        assert_eq!(trail.columns["hash"][row], Some(Fingerprint::of(event.as_bytes()).to_string()));
    }
    let chain = world.chain("A", "2022-06").await;
    assert_eq!(first["events"], json!(chain.len()));
    assert_eq!(first["head"], text(chain.last().unwrap(), "hash"));

    let clean = world.checks("2022", &["--public-key", &public, "--json"]).await.expect(0).json();
    assert_eq!((&clean["findings"], &clean["signature"]), (&json!([]), &json!("good")));
    assert_eq!(clean["manifest_sha256"], said["manifest_sha256"]);
    let unchecked = world.checks("2022", &[]).await.expect(0).stdout;
    assert!(unchecked.contains("the signature was not checked"), "{unchecked}");
    // It needs no settings, and is not led astray by wrong ones.
    let nothing = [("AURA_POSTGRES_URL".to_owned(), "nonsense".to_owned())];
    let mut bare = command("aura-producer", world.path(), &nothing);
    bare.args(["archive", "check", "2022"]);
    crate::process::run(bare, Duration::from_secs(60)).await.expect(0);

    // The trail tells of it, in no chain that was archived.
    let system = world.chain("_system", "-").await;
    let event = system.last().unwrap();
    let metadata = event.get_document("metadata").unwrap();
    assert_eq!((text(event, "event_type").as_str(), text(metadata, "actor").as_str()), ("archived", "tester"));
    assert_eq!(json!(text(metadata, "manifest_sha256")), said["manifest_sha256"]);
    world.producer(&["verify"]).await.expect(0);

    let again = world.archives("2022", &[]).await.expect(2);
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    let of_one = world.archives("of-a", &["--entity", "A", "--json"]).await.expect(0).json();
    assert_eq!((&of_one["slices"], &of_one["rows"]), (&json!(2), &json!(5)));
    world.checks("of-a", &[]).await.expect(0);
    let no_signature = world.checks("of-a", &["--public-key", &public]).await.expect(1);
    assert!(no_signature.stdout.contains("manifest.sig: is missing"), "{}", no_signature.stdout);
}

/// Makes sure that a table's file has all of the year's rows, and all columns but those that settle a job.
async fn has_every_column_and_row(world: &World, table: &str, file: &Cached) {
    const INNER: [&str; 9] = [
        "body_hash",
        "resting_at",
        "alone",
        "deaths",
        "claim",
        "claimed_by",
        "ended_claim",
        "arrival_from",
        "arrival_intake",
    ];
    let query = format!("SELECT column_name AS name FROM information_schema.columns WHERE table_name = '{table}'");
    let columns = world.rows(&query).await;
    let columns: BTreeSet<&str> =
        columns.as_array().expect("a value").iter().map(|row| row["name"].as_str().expect("a value")).collect();
    let columns: BTreeSet<&str> = columns.into_iter().filter(|name| !INNER.contains(name)).collect();
    assert_eq!(file.columns.keys().map(String::as_str).collect::<BTreeSet<_>>(), columns, "{table}");
    let count: i64 = world.one(&format!("SELECT count(*) FROM {table} WHERE period LIKE '2022-%'"), &[]).await;
    assert!(count > 0 && file.rows as i64 == count, "{table}: {count} rows, {} in the file", file.rows);
}

#[tokio::test]
async fn what_is_open_or_not_there_is_not_archived() {
    let (world, _worker): (World, Worker) = World::with_worker().await;
    let empty = world.archives("2022", &[]).await.expect(1);
    assert!(empty.stderr.contains("no slice of 2022 has been loaded"), "{}", empty.stderr);
    for entity in ["A", "B", "C", "D", "E", "F", "G"] {
        world.loads(entity, "2022-06", &[("10", "1")], json!({})).await;
    }
    world.loads("A", "2022-14", &[("10", "1")], json!({})).await;
    world.settled().await;
    let open = world.archives("2022", &[]).await.expect(2);
    assert!(open.stderr.contains("A 2022-06, A 2022-14") && open.stderr.contains("and 3 more"), "{}", open.stderr);
    world.locks(&["2022-06"]).await;
    let special = world.archives("2022", &[]).await.expect(2);
    assert!(special.stderr.contains("not closed: A 2022-14; lock"), "{}", special.stderr);
    // A lock of one entity is enough for its own archive.
    world.archives("of-b", &["--entity", "B"]).await.expect(0);
    world.producer(&["period", "lock", "--period", "2022-14", "--entity", "A"]).await.expect(0);
    let unknown = world.archives("of-z", &["--entity", "Z"]).await.expect(1);
    assert!(unknown.stderr.contains("no slice of 2022 of Z"), "{}", unknown.stderr);
    let nowhere = world.archives("not/there", &[]).await.expect(2);
    assert!(nowhere.stderr.contains("cannot be written"), "{}", nowhere.stderr);
    assert_eq!(world.left("2022"), Vec::<String>::new());
    world.archives("2022", &[]).await.expect(0);
    world.checks("2022", &[]).await.expect(0);
}

#[tokio::test]
async fn a_ledger_or_trail_that_was_tampered_with_is_not_archived() {
    let (world, _worker): (World, Worker) = World::with_worker().await;
    world.year().await;
    let refused = async |what: &str, told: &str| {
        let said = world.archives("2022", &[]).await.expect(1);
        assert!(said.stderr.contains(told), "{what}: {}", said.stderr);
        assert!(said.stderr.contains("aura-producer verify --entity A --period 2022-06"), "{what}: {}", said.stderr);
        assert_eq!(world.left("2022"), Vec::<String>::new(), "{what}");
    };
    let of_slice = "WHERE entity = 'A' AND period = '2022-06'";
    let of_row = "WHERE entity = 'A' AND period = '2022-06' AND account_code = '30'";
    let row = "INSERT INTO gl_accounts (entity, period, company_code, account_code, balance, job_id, source_line) \
               SELECT entity, period, company_code, '99', 0, job_id, 9 FROM gl_accounts";
    let least = format!("balance + {LEAST}");
    let tampering = [
        (
            format!("UPDATE gl_accounts SET balance = {least} {of_row}"),
            format!("UPDATE gl_accounts SET balance = -7 {of_row}"),
            "the balances sum to -15883780437.6299999929999998, the audit trail tells of -15883780437.6299999929999999",
        ),
        (format!("{row} {of_row}"), "DELETE FROM gl_accounts WHERE account_code = '99'".to_owned(), "there are 4 rows"),
        (
            format!("UPDATE gl_accounts SET updated_at = 'infinity' {of_row}"),
            format!("UPDATE gl_accounts SET updated_at = created_at {of_row}"),
            "holds in updated_at what an archive cannot: it is a time without end",
        ),
        (
            format!("UPDATE ingestion_runs SET slice_sum = slice_sum + 1 {of_slice}"),
            format!("UPDATE ingestion_runs SET slice_sum = slice_sum - 1 {of_slice}"),
            "the run of the job tells of -15883780436.6299999929999999",
        ),
        (
            format!(
                "CREATE TABLE kept AS SELECT job_id FROM slices {of_slice}; \
                     UPDATE slices SET job_id = gen_random_uuid() {of_slice}"
            ),
            format!("UPDATE slices SET job_id = (SELECT job_id FROM kept) {of_slice}"),
            "is not that of a run that loaded it",
        ),
        (
            format!("UPDATE audit_chains SET seq = seq - 1 {of_slice}"),
            format!("UPDATE audit_chains SET seq = seq + 1 {of_slice}"),
            "is not the one that the chain should end with",
        ),
    ];
    for (change, back, told) in tampering {
        world.execute(&change).await;
        refused(&change, told).await;
        world.execute(&back).await;
    }
    let trail = world.mongo.collection::<Document>("audit_trail");
    let event = doc! { "_id": "A/2022-06/3" };
    let kept = trail.find_one(event.clone()).await.unwrap().expect("the event");
    trail.update_one(event.clone(), doc! { "$set": { "worker": "nobody" } }).await.unwrap();
    refused("an event", "the hash does not fit what stands in event 3").await;
    trail.delete_one(event).await.unwrap();
    refused("an event removed", "event 4 stands where event 3 should").await;
    trail.insert_one(kept).await.unwrap();
    world.archives("2022", &[]).await.expect(0);
}

#[tokio::test]
async fn events_that_do_not_reach_mongodb_are_waited_for_and_then_named() {
    let (world, mut worker): (World, Worker) = World::with_worker().await;
    world.loads("A", "2022-06", &[("10", "1")], json!({})).await;
    world.settled().await;
    worker.stop().await;
    world.producer(&["period", "lock", "--period", "2022-06", "--entity", "A"]).await.expect(0);
    let late = world.archives("2022", &[]).await.expect(3);
    assert!(late.stderr.contains("1 audit event of 2022 did not reach MongoDB within 30 s"), "{}", late.stderr);
    assert_eq!(world.left("2022"), Vec::<String>::new());
    let waiting = world.archives("2022", &[]);
    let (said, _worker) = tokio::join!(waiting, world.worker(&[]));
    said.expect(0);
    world.checks("2022", &[]).await.expect(0);
}

#[tokio::test]
async fn a_process_that_ends_half_way_leaves_nothing_under_the_name() {
    let (world, _worker): (World, Worker) = World::with_worker().await;
    world.loads("A", "2022-06", &[("10", "1")], json!({})).await;
    world.locks(&["2022-06"]).await;
    for signal in [Signal::KILL, Signal::INT] {
        // The rows are copied by then, and what comes next waits.
        world.execute("BEGIN; LOCK TABLE gl_rejected_rows").await;
        let mut command = command("aura-producer", world.path(), &world.settings_with(&[]));
        command.args(["archive", "write", "--year", "2022", "--to", "2022"]);
        let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
        until("an archive is begun", SOON, async || (!world.left("2022").is_empty()).then_some(())).await;
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'gl_rejected_rows'::regclass \
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        until("the archive waits", SOON, async || (world.one::<i64>(waits, &[]).await > 0).then_some(())).await;
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ended = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
        world.execute("ROLLBACK").await;
        assert!(!world.folder("2022").exists());
        let left = world.left("2022");
        if signal == Signal::INT {
            assert_eq!((ended.code(), left), (Some(3), Vec::new()), "who is told to stop tidies up");
        } else {
            assert!(left.len() == 1 && left[0].ends_with(".partial"), "{left:?}");
            fs::remove_dir_all(world.folder(&left[0])).unwrap();
        }
    }
    world.archives("2022", &[]).await.expect(0);
    world.checks("2022", &[]).await.expect(0);
}

/// What is done to an archive.
type Change = fn(&Path);

#[tokio::test]
async fn whatever_is_done_to_an_archive_is_found() {
    let (world, _worker): (World, Worker) = World::with_worker().await;
    world.year().await;
    let (key, public, other) =
        (world.file("archive.key", KEY), world.file("archive.pub", PUBLIC), world.file("other.pub", OTHER));
    world.archives("2022", &["--key", &key]).await.expect(0);
    let with_key = ["--public-key", public.as_str()];
    let strange = world.checks("2022", &["--public-key", &other]).await.expect(1);
    assert!(strange.stdout.contains("THE SIGNATURE IS NOT OF THIS MANIFEST AND THIS KEY"), "{}", strange.stdout);

    let changes: [(&str, Change, &[&str], &[&str]); 18] = [
        (
            "a byte of a file",
            |it| damage(it, "accounts.parquet"),
            &[],
            &["accounts.parquet: was changed or is damaged"],
        ),
        ("a byte of the text", |it| damage(it, "README.txt"), &[], &["README.txt: was changed or is damaged"]),
        ("a file cut off", |it| cut(it, "runs.parquet"), &[], &["runs.parquet: has ", "cannot be read to the end"]),
        (
            "a file gone",
            |it| fs::remove_file(it.join("changes.parquet")).unwrap(),
            &[],
            &["changes.parquet: is missing"],
        ),
        ("a file more", |it| fs::write(it.join("more"), "").unwrap(), &[], &["more: does not belong to the archive"]),
        ("a link", |it| linked(it, "runs.parquet"), &[], &["runs.parquet: cannot be read: it is not a file"]),
        (
            "the manifest gone",
            |it| fs::remove_file(it.join("manifest.json")).unwrap(),
            &[],
            &["manifest.json: cannot be read"],
        ),
        ("no JSON", |it| fs::write(it.join("manifest.json"), "{").unwrap(), &[], &["manifest.json: cannot be read"]),
        (
            "the manifest",
            |it| edit(it, |m| m["actor"] = json!("another")),
            &with_key,
            &["manifest.sig: is not the signature"],
        ),
        (
            "a count",
            |it| edit(it, |m| m["slices"][0]["rows"] = json!(4)),
            &[],
            &["totals", "A 2022-06: there are 3 rows"],
        ),
        (
            "the file that a slice came from",
            |it| edit(it, |m| m["slices"][0]["file"] = json!("/another")),
            &[],
            &["is of another file"],
        ),
        (
            "another path",
            |it| edit(it, |m| m["files"][0]["name"] = json!("../x")),
            &[],
            &["which is not a file of an archive"],
        ),
        (
            "an event, its hash made anew",
            event_changed,
            &[],
            &["A 2022-06: its audit chain is not whole: event 4 does not follow event 3"],
        ),
        (
            "an event removed",
            event_removed,
            &[],
            &["its audit chain is not whole: event 4 stands where event 3 should"],
        ),
        ("the last event removed", last_event_removed, &[], &["its audit chain is not whole: the chain has "]),
        (
            "a column beside an event",
            column_changed,
            &[],
            &["the columns beside event 3 do not say what the event says"],
        ),
        (
            "a balance, everything else made anew",
            balance_changed,
            &[],
            &["the audit trail tells of -15883780437.6299999929999999"],
        ),
        ("rows of another slice", slice_changed, &[], &["of Z 2022-06, which is not a slice of the manifest"]),
    ];
    for (what, change, arguments, expected) in changes {
        let folder = world.folder("changed");
        copy(&world.folder("2022"), &folder);
        change(&folder);
        let said = world.checks("changed", arguments).await.expect(1);
        for told in expected {
            assert!(said.stdout.contains(told), "{what}: {}", said.stdout);
        }
        assert!(!said.stderr.contains("panicked"), "{what}: {}", said.stderr);
        // Whatever it was, the signature does not fit, or the files do not.
        world.checks("changed", &with_key).await.expect(1);
        fs::remove_dir_all(folder).unwrap();
    }
    let newer = world.folder("newer");
    copy(&world.folder("2022"), &newer);
    edit(&newer, |manifest| manifest["version"] = json!(2));
    let newer = world.checks("newer", &[]).await.expect(2);
    assert!(newer.stderr.contains("version 2; this program reads"), "{}", newer.stderr);
    world.checks("nowhere", &[]).await.expect(2);
    world.checks("2022", &with_key).await.expect(0);
}
