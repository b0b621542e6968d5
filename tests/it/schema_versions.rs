//! Programs beside schemas of other versions, and roles that may not change them.

use std::time::Duration;

use futures_util::future::join_all;
use url::Url;

use crate::{
    process::{Said, command, run},
    world::{World, csv, job},
};

/// What a later release would leave in the history.
const LATER: &str = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) \
                     VALUES (900, 'later', '2026-01-01T00:00:00Z', '1')";

/// Programs beside a schema of another version.
trait Versions {
    async fn loads(&self, entity: &str);
    async fn migrated(&self) -> Said;
    /// Runs a worker that is expected to end by itself.
    async fn refused_worker(&self) -> Said;
    /// Makes a role of the world's name that may use the tables but change none, and has the
    /// programs use it.
    async fn use_a_plain_role(&mut self, privileges: &str);
}

impl Versions for World {
    async fn loads(&self, entity: &str) {
        let file = self.write(&format!("{entity}.csv"), csv(entity, "2022-06", &[("10", "5")]));
        self.ends("success", job(&file, entity, "2022-06")).await;
    }

    async fn migrated(&self) -> Said {
        self.producer(&["migrate"]).await
    }

    async fn refused_worker(&self) -> Said {
        let command = command("aura-worker", self.path(), &self.settings_with(&[]));
        run(command, Duration::from_secs(30)).await.expect(2)
    }

    async fn use_a_plain_role(&mut self, privileges: &str) {
        let role = self.name().to_owned();
        self.execute(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'plain'; \
             REVOKE CREATE, TEMPORARY ON DATABASE {role} FROM PUBLIC; REVOKE CREATE ON SCHEMA public FROM PUBLIC; \
             GRANT USAGE ON SCHEMA public TO {role}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}; \
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}; {privileges}"
        ))
        .await;
        let mut url = Url::parse(self.setting("AURA_POSTGRES_URL")).expect("a URL");
        url.set_username(&role).expect("a user");
        url.set_password(Some("plain")).expect("a password");
        self.lay_over(&[("AURA_POSTGRES_URL", url.as_str())]);
    }
}

#[tokio::test]
async fn a_program_works_with_a_schema_that_is_newer_than_itself() {
    let world = World::new().await;
    world.migrated().await.expect(0);
    world.execute(LATER).await;
    let _worker = world.worker(&[]).await;
    world.loads("A").await;
    world.settled().await;
    for arguments in [&["status"][..], &["verify"], &["period", "list"]] {
        world.producer(arguments).await.expect(0);
    }
    let said = world.migrated().await.expect(0);
    assert!(said.stderr.contains("newer"), "{}", said.stderr);
}

#[tokio::test]
async fn a_program_refuses_a_schema_that_needs_a_newer_one() {
    let world = World::new().await;
    world.migrated().await.expect(0);
    world.execute(LATER).await;
    world.execute("UPDATE schema_support SET oldest_program = 900").await;
    let worker = world.refused_worker().await;
    assert!(worker.stderr.contains("install a newer release"), "{}", worker.stderr);
    for arguments in [&["status"][..], &["verify"], &["period", "list"], &["migrate"]] {
        let said = world.producer(arguments).await.expect(2);
        assert!(said.stderr.contains("install a newer release"), "{}", said.stderr);
    }
}

#[tokio::test]
async fn another_history_is_refused() {
    let world = World::new().await;
    world.migrated().await.expect(0);
    world.execute("UPDATE refinery_schema_history SET checksum = '1' WHERE version = 2").await;
    let worker = world.refused_worker().await;
    assert!(worker.stderr.contains("V2__outbox"), "{}", worker.stderr);
    let said = world.producer(&["status"]).await.expect(2);
    assert!(said.stderr.contains("V2__outbox"), "{}", said.stderr);
}

#[tokio::test]
async fn commands_say_of_an_empty_database_what_to_do() {
    let world = World::new().await;
    for arguments in [&["status"][..], &["verify"], &["period", "list"]] {
        let said = world.producer(arguments).await.expect(3);
        let told = said.stderr;
        assert!(told.contains("no schema") && told.contains("aura-producer migrate"), "{told}");
    }
}

#[tokio::test]
async fn a_ledger_in_another_schema_is_not_passed_over_for_an_empty_one() {
    let mut world = World::new().await;
    world.execute("CREATE SCHEMA books").await;
    let plain = world.setting("AURA_POSTGRES_URL").to_owned();
    let named = format!("{plain}?options=-csearch_path%3Dbooks");
    world.lay_over(&[("AURA_POSTGRES_URL", &named)]);
    world.migrated().await.expect(0);
    assert_eq!(world.one::<i64>("SELECT count(*) FROM books.gl_accounts", &[]).await, 0);
    world.lay_over(&[("AURA_POSTGRES_URL", &plain)]);
    let worker = world.refused_worker().await;
    assert!(worker.stderr.contains("options=-csearch_path%3Dbooks"), "{}", worker.stderr);
    let _worker = world.worker(&[("AURA_POSTGRES_URL", &named)]).await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    world.ends("success", job(&file, "A", "2022-06")).await;
    assert_eq!(world.one::<i64>("SELECT count(*) FROM books.gl_accounts", &[]).await, 1);
}

#[tokio::test]
async fn a_current_schema_needs_no_right_to_change_it() {
    let mut world = World::new().await;
    world.migrated().await.expect(0);
    let temporary = format!("GRANT TEMPORARY ON DATABASE {0} TO {0}", world.name());
    world.use_a_plain_role(&temporary).await;
    let mut worker = world.worker(&[]).await;
    world.loads("A").await;
    world.loads("B").await;
    world.settled().await;
    world.producer(&["verify"]).await.expect(0);
    world.migrated().await.expect(0);
    worker.stop().await;
    // The schema is now older than what this program needs, which such a role cannot mend.
    world.execute("DELETE FROM refinery_schema_history WHERE version > 5").await;
    let said = world.refused_worker().await;
    assert!(said.stderr.contains("aura-producer migrate"), "{}", said.stderr);
    let said = world.migrated().await.expect(3);
    assert!(said.stderr.contains("may not bring it to version"), "{}", said.stderr);
}

#[tokio::test]
async fn a_role_that_lacks_a_right_is_told_which() {
    let mut world = World::new().await;
    world.use_a_plain_role("").await;
    let said = world.migrated().await.expect(3);
    assert!(said.stderr.contains("no schema") && said.stderr.contains("may not"), "{}", said.stderr);
    let said = world.refused_worker().await;
    assert!(said.stderr.contains("temporary"), "{}", said.stderr);
}

#[tokio::test]
async fn migrations_that_are_run_at_once_are_applied_once() {
    for _ in 0..3 {
        let world = World::new().await;
        let said = join_all((0..8).map(|_| world.producer(&["--json", "migrate"]))).await;
        let applied = said.into_iter().map(|said| said.expect(0).json()["applied"].as_array().map_or(0, Vec::len));
        let history = "SELECT count(*) FROM refinery_schema_history";
        assert_eq!(applied.sum::<usize>() as i64, world.one::<i64>(history, &[]).await);
    }
}
