//! Least privilege: what each role of deploy/roles may do suffices for its program, and no more is allowed.

use std::process::Command;

use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind,
    options::{
        BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeBindOptions,
        ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
    },
    types::FieldTable,
};
use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    checkout::checkout,
    console::users,
    stack::{answered, session, stack},
};
use tokio_postgres::error::SqlState;
use url::Url;
use uuid::Uuid;

use crate::{
    process::Said,
    store::management,
    world::{World, csv, job, with},
};

/// The roles' password in tests, as `deploy/local` sets it.
const PASSWORD: &str = "aura";
const ROLES: [&str; 4] = ["aura_owner", "aura_worker", "aura_console", "aura_reader"];
/// A program, and the role that it has with RabbitMQ.
const USERS: [(&str, &str); 4] =
    [("aura_owner", "owner"), ("aura_worker", "worker"), ("aura_console", "console"), ("aura_export", "export")];

/// The roles in a world of its own.
struct Roles {
    world: World,
}

impl Roles {
    /// A world whose schema belongs to its owner, and in which every role may do what deploy/roles says.
    async fn new() -> Self {
        let world = World::new().await;
        let (roles, broker) = (Self { world }, async |(user, role): (&str, &str)| {
            let permitted = printed(role, user);
            management(Method::PUT, &format!("users/{user}"), json!({"password": PASSWORD, "tags": ""})).await;
            (user.to_owned(), permitted)
        });
        // Roles are the server's: tests that run at once make them one after the other.
        let admin = answered(session(&stack().postgres).await);
        admin
            .batch_execute("SELECT pg_advisory_lock(hashtextextended('aura roles of tests', 0))")
            .await
            .expect("a lock");
        roles.grant().await;
        for role in ROLES {
            let login = format!("ALTER ROLE {role} PASSWORD '{PASSWORD}'");
            admin.batch_execute(&login).await.expect("a password");
        }
        admin.batch_execute("SELECT pg_advisory_unlock_all()").await.expect("the lock goes");
        roles.run("aura_owner", &["migrate"]).await.expect(0);
        roles.grant().await;
        for user in USERS {
            let (user, permitted) = broker(user).await;
            let path = format!("{}/{user}", roles.world.name());
            management(Method::PUT, &format!("permissions/{path}"), permitted["permissions"].clone()).await;
            management(Method::PUT, &format!("topic-permissions/{path}"), permitted["topic_permissions"].clone()).await;
        }
        roles
    }

    /// Runs deploy/roles/postgres.sql in the world's database.
    async fn grant(&self) {
        let script = std::fs::read_to_string(checkout().join("deploy/roles/postgres.sql")).expect("the script");
        self.world.execute(&script).await;
    }

    /// The settings of a program that has this role with PostgreSQL and RabbitMQ; whoever lacks one there cannot log
    /// in, so that a program which needs it all the same fails.
    fn settings(&self, role: &str) -> [(&'static str, String); 2] {
        // A reader has nothing to do with RabbitMQ, except for `verify`, which takes the dead letters in hand.
        let user = if role == "aura_reader" { "aura_console" } else { role };
        let of = |setting: &str, role: &str| {
            let mut url = Url::parse(self.world.setting(setting)).expect("a URL");
            url.set_username(role).and_then(|()| url.set_password(Some(PASSWORD))).expect("a URL with a host");
            url.to_string()
        };
        [("AURA_POSTGRES_URL", of("AURA_POSTGRES_URL", role)), ("AURA_AMQP_URL", of("AURA_AMQP_URL", user))]
    }

    /// Runs the producer as a role.
    async fn run(&self, role: &str, arguments: &[&str]) -> Said {
        let settings = self.settings(role);
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let settings = self.world.settings_with(&settings);
        let mut command = crate::process::command("aura-producer", self.world.path(), &settings);
        command.args(arguments);
        crate::process::run(command, std::time::Duration::from_secs(60)).await
    }

    /// A session of a role.
    async fn session(&self, role: &str) -> tokio_postgres::Client {
        let [(_, url), _] = self.settings(role);
        answered(session(&url.parse().expect("a URL")).await)
    }

    /// What PostgreSQL lets a role do of these, against what was expected of it.
    async fn is_refused(&self, role: &str, statements: &[&str]) {
        let client = self.session(role).await;
        for statement in statements {
            let refused = client.batch_execute(statement).await.expect_err(statement);
            assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{role}: {statement}: {refused:?}");
        }
    }

    /// A slice that is loaded with these rows as a full export.
    async fn load(&self, entity: &str, accounts: &[(&str, &str)]) -> Value {
        let file = self.world.write(&format!("{entity}-{}.csv", Uuid::new_v4()), csv(entity, "2022-06", accounts));
        self.world.ends("success", with(job(&file, entity, "2022-06"), json!({"mode": "replace"}))).await
    }

    async fn connection(&self, user: &str) -> Connection {
        let [_, (_, url)] = self.settings(user);
        Connection::connect(&url, ConnectionProperties::default()).await.expect("a connection")
    }
}

/// What deploy/roles/rabbitmq would give a user.
fn printed(role: &str, user: &str) -> Value {
    let said = Command::new(checkout().join("deploy/roles/rabbitmq")).args(["--print", role, user]).output();
    let said = said.expect("the script runs");
    serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&said.stderr)))
}

#[tokio::test]
async fn each_program_does_its_work_with_the_rights_of_its_role_alone() {
    let roles = Roles::new().await;
    let world = &roles.world;
    let settings = roles.settings("aura_worker");
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut worker = world.worker(&settings).await;

    // An export job, over its own queue of receipts; it has no role with PostgreSQL and none is asked for.
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5"), ("20", "-5"), ("30", "1")]));
    let publish = ["publish", "--file", &file, "--entity", "A", "--period", "2022-06", "--wait", "--json"];
    let said = roles.run("aura_export", &publish).await.expect(0).json();
    assert_eq!(said["successful"], 1, "{said:#}");
    // Loaded again: reloaded, replaced with a deletion, merged by a profile, with a bad row put aside.
    roles.load("A", &[("10", "6"), ("20", "-6")]).await;
    let loaded = roles.load("A", &[("10", "6"), ("20", "-6"), ("40", "2")]).await;
    assert_eq!(loaded["inserted"], 1, "{loaded:#}");
    let header = "entity,period,account_code,account_name,balance,bs_pl,status\n";
    let bad = world.write("q.csv", format!("{header}A,2022-06,10,Cash,8,BS,Assets\nA,2022-06,20,Cash,x,BS,Assets\n"));
    let quarantine = with(job(&bad, "A", "2022-06"), json!({"on_error": "quarantine"}));
    let put_aside = world.ends("success", quarantine).await;
    assert_eq!((&put_aside["failed"], &put_aside["absent"]), (&json!(1), &json!(2)), "{put_aside:#}");

    // A file that is late: three retries, then dead, and replayed by an engineer once it is there.
    let late = world.input("late.csv").display().to_string();
    let failed = world.ends("failed", job(&late, "B", "2022-06")).await;
    assert_eq!((&failed["attempt"], &failed["error"]["code"]), (&json!(4), &json!("file_not_found")), "{failed:#}");
    world.broker.dead(1).await;
    world.write("late.csv", csv("B", "2022-06", &[("10", "1")]));
    roles.run("aura_console", &["dead", "list"]).await.expect(0);
    let tried = roles.run("aura_console", &["dead", "replay", "--all", "--dry-run", "--json"]).await.expect(0);
    assert!(tried.stdout.contains("would_load") || tried.stdout.contains("success"), "{}", tried.stdout);
    roles.run("aura_console", &["dead", "replay", "--all", "--wait", "--json"]).await.expect(0);
    assert_eq!(world.slice("B", "2022-06").await, (1, "1".to_owned()));
    // Its receipt, once more, for whoever sends the same job again.
    let again = json!({"job_id": failed["job_id"]});
    let id = world.send(with(job(&late, "B", "2022-06"), again)).await;
    assert_eq!(world.broker.nth_receipt(id, 3).await["status"], "success");

    // A console: locks, lets go, discards.
    let path = world.path().join("users.toml");
    users(&path, &[("carla", "controller")]);
    let settings = roles.settings("aura_console");
    let mut settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    settings.push(("AURA_CONSOLE_USERS_PATH", path.to_str().expect("a path")));
    let console = world.console(&settings).await;
    let lock = [("period", "2022-06"), ("entity", "B"), ("reason", "closed")];
    console.act("/periods/lock", "carla", &lock).await.expect(200);
    let locked = world.write("b.csv", csv("B", "2022-06", &[("10", "2")]));
    let locked = world.ends("failed", job(&locked, "B", "2022-06")).await;
    assert_eq!(locked["error"]["code"], "period_locked", "{locked:#}");
    world.broker.dead(1).await;
    console.act("/periods/unlock", "carla", &lock).await.expect(200);
    console.act("/dead/discard", "carla", &[("all", "1"), ("reason", "sent twice")]).await.expect(202);
    let gone = async || (world.broker.depth("aura.dead").await == 0).then_some(());
    crate::wait::until("the letter is discarded", crate::wait::SOON, gone).await;
    let batch = Uuid::new_v4().to_string();
    roles.run("aura_console", &["cancel", &batch, "--reason", "wrong month"]).await.expect(0);
    let cancelled = world.write("c.csv", csv("C", "2022-06", &[("10", "2")]));
    world.ends("cancelled", with(job(&cancelled, "C", "2022-06"), json!({"batch_id": batch}))).await;

    world.settled().await;
    // Whoever only reads finds nothing, and sees everything; what the relay wrote is whole.
    for arguments in
        [&["verify"][..], &["status"], &["history", "--entity", "A", "--period", "2022-06"], &["period", "list"]]
    {
        roles.run("aura_reader", arguments).await.expect(0);
    }
    std::fs::remove_file(world.path().join("cache/B_2022-06_ingested.parquet")).expect("the file is there");
    roles.run("aura_console", &["verify", "--repair"]).await.expect(1);
    world.settled().await;
    roles.run("aura_reader", &["verify"]).await.expect(0);
    // Reading is enough for an archive; that there is one, only somebody who may write can have told.
    roles.run("aura_console", &["period", "lock", "--period", "2022-06"]).await.expect(0);
    world.settled().await;
    let archive = ["archive", "write", "--year", "2022", "--to"];
    let said = roles.run("aura_reader", &[&archive[..], &["by-reader", "--json"]].concat()).await.expect(3);
    assert!(said.stderr.contains("the archive is whole and stays"), "{}", said.stderr);
    assert_eq!(said.json()["recorded"], false);
    roles.run("aura_console", &[&archive[..], &["by-console"]].concat()).await.expect(0);
    for folder in ["by-reader", "by-console"] {
        world.producer(&["archive", "check", folder]).await.expect(0);
    }
    world.settled().await;
    assert_eq!(worker.stop().await, Some(0));
    let log = worker.text();
    assert!(!log.contains("permission denied") && !log.contains("ACCESS_REFUSED"), "{log}");
}

#[tokio::test]
async fn no_role_of_postgresql_may_do_what_is_not_its_work() {
    let roles = Roles::new().await;
    let world = &roles.world;
    let _worker = world.worker(&[]).await;
    roles.load("A", &[("10", "5")]).await;
    roles.load("A", &[("10", "6")]).await;
    let missing = world.write("f.csv", "nothing\n");
    world.ends("failed", job(&missing, "A", "2022-06")).await;
    world.settled().await;

    let nobodys = [
        "CREATE TABLE mine (a integer)",
        "DROP TABLE gl_accounts",
        "TRUNCATE gl_accounts",
        "ALTER TABLE ingestion_runs DISABLE TRIGGER ended_runs_stay",
        "CREATE OR REPLACE FUNCTION keep_ended_run() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "SET session_replication_role = replica",
        "SET ROLE aura_owner",
        "CREATE ROLE mine",
        "DELETE FROM ingestion_runs",
        "UPDATE gl_balance_changes SET old_balance = 0",
        "DELETE FROM gl_balance_changes",
        "DELETE FROM gl_rejected_rows",
        "UPDATE gl_accounts SET review_status = 'approved'",
        "DELETE FROM audit_chains",
        "DELETE FROM dead_letters",
        "DELETE FROM refused_messages",
        "UPDATE schema_support SET oldest_program = 1",
        "DELETE FROM refinery_schema_history",
    ];
    for role in ["aura_worker", "aura_console", "aura_reader"] {
        roles.is_refused(role, &nobodys).await;
    }
    let workers = [
        "UPDATE ingestion_runs SET status = 'failed' WHERE status = 'success'",
        "UPDATE ingestion_runs SET balance_sum = 0 WHERE status = 'success'",
        "UPDATE ingestion_runs SET replays = replays + 1 WHERE status = 'success'",
        "UPDATE ingestion_runs SET finished_at = NULL WHERE status = 'success'",
        "UPDATE ingestion_runs SET error_code = NULL WHERE status = 'failed'",
        "UPDATE ingestion_runs SET result = '{}' WHERE status = 'failed'",
        "UPDATE gl_accounts SET account_code = '11'",
        "INSERT INTO period_locks (period, locked_by) VALUES ('2022-06', 'me')",
        "DELETE FROM period_locks",
        "INSERT INTO batches (batch_id) VALUES ('00000000-0000-0000-0000-000000000001')",
        "UPDATE dead_letters SET body = ''",
        "DELETE FROM slices",
    ];
    roles.is_refused("aura_worker", &workers).await;
    let consoles = [
        "CREATE TEMPORARY TABLE mine (a integer)",
        "UPDATE gl_accounts SET balance = 0",
        "DELETE FROM gl_accounts",
        "INSERT INTO gl_balance_changes (entity, period, company_code, account_code, job_id, old_balance, change) \
         VALUES ('A', '2022-06', 'A', '10', '00000000-0000-0000-0000-000000000001', 1, 'updated')",
        "UPDATE ingestion_runs SET status = 'failed'",
        "INSERT INTO slices (entity, period, newest_at, newest_fingerprint) VALUES ('Z', '2022-06', now(), '')",
        "UPDATE audit_chains SET hash = ''",
        "UPDATE audit_outbox SET event = '{}'",
        "DELETE FROM audit_outbox",
        "UPDATE dead_letters SET body = ''",
    ];
    roles.is_refused("aura_console", &consoles).await;
    let readers = [
        "CREATE TEMPORARY TABLE mine (a integer)",
        "UPDATE gl_accounts SET balance = 0",
        "UPDATE ingestion_runs SET status = 'failed'",
        "INSERT INTO audit_outbox (entity, period, event) VALUES ('A', '2022-06', '{}')",
        "INSERT INTO cache_tasks (entity, period, job_id) VALUES ('A', '2022-06', '00000000-0000-0000-0000-000000000001')",
        "INSERT INTO period_locks (period, locked_by) VALUES ('2022-06', 'me')",
        "UPDATE dead_letters SET state = 'gone'",
    ];
    roles.is_refused("aura_reader", &readers).await;

    // A failed run may go on in a later round, and have an attempt noted; the owner may mend anything.
    let worker = roles.session("aura_worker").await;
    for fine in [
        "UPDATE ingestion_runs SET status = 'running', finished_at = NULL, replays = replays + 1 WHERE status = 'failed'",
        "UPDATE ingestion_runs SET tries = '[]' WHERE status = 'failed'",
    ] {
        worker.batch_execute(&format!("BEGIN; {fine}; ROLLBACK")).await.expect(fine);
    }
    let owner = roles.session("aura_owner").await;
    owner
        .batch_execute("UPDATE ingestion_runs SET error_code = NULL; DELETE FROM ingestion_runs")
        .await
        .expect("it may");
}

/// Whether the broker refused for want of a right.
fn is_refused<T>(answer: lapin::Result<T>) -> bool {
    let Err(error) = answer else { return false };
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == 403)
}

/// Publishes, and returns what came of it: a refusal closes the channel before the confirm.
async fn publish(channel: &Channel, exchange: &str, key: &str) -> lapin::Result<Confirmation> {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    channel.basic_publish(exchange.into(), key.into(), options, b"{}", properties).await?.await
}

#[tokio::test]
async fn an_export_job_may_publish_jobs_and_read_its_own_receipts_and_nothing_else() {
    let roles = Roles::new().await;
    roles.run("aura_owner", &["topology"]).await.expect(0);
    let connection = roles.connection("aura_export").await;
    let none = FieldTable::default;
    let channel = async || connection.create_channel().await.expect("a channel");
    let declare = async |queue: &str| {
        channel().await.queue_declare(queue.into(), QueueDeclareOptions::default(), none()).await.map(drop)
    };
    let own = "aura.receipts.aura_export.mine";
    let bind = async |queue: &str, exchange: &str, key: &str| {
        let options = QueueBindOptions::default();
        channel().await.queue_bind(queue.into(), exchange.into(), key.into(), options, none()).await
    };

    declare(own).await.expect("a queue of its own");
    let batch = Uuid::new_v4();
    bind(own, "aura.events", &format!("job.*.{batch}")).await.expect("its own receipts");
    for key in ["#", "job.#", "job.*.*", "job.success.*", "job.*.-", "*.*.*"] {
        assert!(is_refused(bind(own, "aura.events", key).await), "the receipts of others: {key}");
    }
    let unread = bind(own, "aura.jobs", "job").await;
    assert!(is_refused(unread), "the jobs of others");
    let sent = publish(&channel().await, "aura.jobs", "job").await;
    assert!(matches!(sent, Ok(Confirmation::Ack(None))), "{sent:?}");
    for (exchange, key) in [
        ("", "aura.jobs"),
        ("", "aura.dead"),
        ("", "aura.dry_runs"),
        ("aura.events", "job.success.-"),
        ("amq.topic", "x"),
    ] {
        assert!(is_refused(publish(&channel().await, exchange, key).await), "{exchange:?} {key}");
    }
    for queue in ["aura.mine", "mine", "aura.receipts.aura_console.x", "aura.receipts.aura_exporter.x", "aura.jobs"] {
        assert!(is_refused(declare(queue).await), "{queue}");
    }
    for queue in ["aura.jobs", "aura.dead", "aura.retry.1s", "aura.dry_runs"] {
        let got = channel().await.basic_get(queue.into(), BasicGetOptions::default()).await;
        assert!(is_refused(got), "{queue}");
        let options = BasicConsumeOptions::default();
        let consumed = channel().await.basic_consume(queue.into(), "".into(), options, none()).await;
        assert!(is_refused(consumed), "{queue}");
        let purged = channel().await.queue_purge(queue.into(), QueuePurgeOptions::default()).await;
        assert!(is_refused(purged), "{queue}");
        let deleted = channel().await.queue_delete(queue.into(), QueueDeleteOptions::default()).await;
        assert!(is_refused(deleted), "{queue}");
    }
    let options = ExchangeDeclareOptions::default();
    let kind = lapin::ExchangeKind::Fanout;
    assert!(is_refused(channel().await.exchange_declare("aura.mine".into(), kind, options, none()).await));
    let (options, key) = (ExchangeBindOptions::default(), "#".into());
    let bound = channel().await.exchange_bind("aura.jobs".into(), "aura.events".into(), key, options, none()).await;
    assert!(is_refused(bound), "receipts among the jobs");

    // Where the topology is not there, it says what to do and declares nothing.
    let namespace = ["publish", "--namespace", "elsewhere", "--file", "a", "--entity", "A", "--period", "2022-06"];
    let said = roles.run("aura_export", &namespace).await.expect(3);
    assert!(said.stderr.contains("aura-producer topology"), "{}", said.stderr);
}

#[tokio::test]
async fn only_the_owner_of_the_tables_takes_old_runs_away() {
    let roles = Roles::new().await;
    let worker = roles
        .world
        .worker(&roles.settings("aura_worker").each_ref().map(|(name, value)| (*name, value.as_str())))
        .await;
    for balance in ["1", "2", "3"] {
        roles.load("A", &[("10", balance)]).await;
    }
    let age = "UPDATE ingestion_runs SET started_at = started_at - interval '11 years', \
               finished_at = finished_at - interval '11 years', applied_at = applied_at - interval '11 years'";
    roles.world.settled().await;
    roles.world.execute(age).await;
    for role in ["aura_reader", "aura_console", "aura_owner"] {
        let would = roles.run(role, &["prune", "--json"]).await.expect(0).json();
        assert_eq!(would["runs"], json!({"success": 2}), "{role}: {would:#}");
    }
    for role in ["aura_reader", "aura_worker", "aura_console"] {
        let said = roles.run(role, &["prune", "--apply"]).await.expect(3);
        assert!(said.stderr.contains("permission denied"), "{role}: {}", said.stderr);
    }
    assert_eq!(roles.world.one::<i64>("SELECT count(*) FROM ingestion_runs", &[]).await, 3);
    let did = roles.run("aura_owner", &["prune", "--apply", "--json"]).await.expect(0).json();
    assert_eq!(did["runs"], json!({"success": 2}), "{did:#}");
    drop(worker);
}

/// What a migration changes, a grant may not change at the same moment: PostgreSQL would let one of the two fail.
#[tokio::test]
async fn the_roles_are_given_once_a_migration_is_through() {
    const MIGRATION: i64 = 0x6175_7261;
    let roles = Roles::new().await;
    let migration = roles.session("aura_owner").await;
    migration.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION]).await.expect("the lock of a migration");
    let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let given = roles.grant();
    let released = async {
        // The world's own session waits for the lock itself.
        let waiting = async || {
            let row = migration.query_one(waits, &[]).await.expect("PostgreSQL answers");
            (row.get::<_, i64>(0) == 1).then_some(())
        };
        crate::wait::until("the roles wait", crate::wait::SOON, waiting).await;
        migration.execute("SELECT pg_advisory_unlock($1)", &[&MIGRATION]).await.expect("the lock goes");
    };
    tokio::join!(given, released);
}
