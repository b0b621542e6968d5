//! The stores: each test's own databases, and what is in them.

use std::{path::Path, sync::OnceLock};

use reqwest::Method;
use serde_json::{Value, json};
use tests::stack::at;
use tokio_postgres::{Client, NoTls, types::ToSql};
use url::Url;

use crate::{
    stack::stack,
    wait::{SOON, until},
    world::World,
};

/// What all worlds' names start with.
const PREFIX: &str = "aura_t_";

async fn postgres(url: &Url) -> Client {
    let (client, connection) = tokio_postgres::connect(url.as_str(), NoTls).await.unwrap_or_else(|error| {
        panic!("PostgreSQL does not answer ({error}); start the services with 'deploy/local up'")
    });
    tokio::spawn(connection);
    client
}

/// Makes a database and connects to it.
pub(crate) async fn create_database(name: &str) -> Client {
    let admin = postgres(&stack().postgres).await;
    admin.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a database can be created");
    postgres(&at(&stack().postgres, name)).await
}

/// Makes a virtual host that the tests' user may use.
pub(crate) async fn create_virtual_host(name: &str) {
    let user = stack().management.username().to_owned();
    management(Method::PUT, &format!("vhosts/{name}"), json!({})).await;
    let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
    management(Method::PUT, &format!("permissions/{name}/{user}"), all).await;
}

/// Makes a user of the broker with access to the virtual host of the same name.
pub(crate) async fn create_user(name: &str) {
    management(Method::PUT, &format!("users/{name}"), json!({"password": name, "tags": ""})).await;
    let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
    management(Method::PUT, &format!("permissions/{name}/{name}"), all).await;
}

/// MongoDB.
pub(crate) async fn mongodb() -> mongodb::Client {
    let url = stack().mongodb.as_str();
    mongodb::Client::with_uri_str(url)
        .await
        .unwrap_or_else(|error| panic!("MongoDB does not answer ({error}); start the services with 'deploy/local up'"))
}

/// Asks the broker's management API; without a body if that is null.
pub(crate) async fn management(method: Method, path: &str, body: Value) -> Value {
    // The user stands in the URL.
    let url = stack().management.join(&format!("/api/{path}")).expect("a path");
    let request = tests::http::client().request(method, url);
    let request = if body.is_null() { request } else { request.json(&body) };
    let response = request.send().await.unwrap_or_else(|error| {
        panic!("RabbitMQ's management does not answer ({error}); start the services with 'deploy/local up'")
    });
    let status = response.status();
    assert!(status.is_success(), "RabbitMQ's management answers {status} to {path}");
    response.json().await.unwrap_or(Value::Null)
}

/// Removes everything that belongs to a world.
pub(crate) async fn remove(name: &str) {
    management(Method::DELETE, &format!("vhosts/{name}"), Value::Null).await;
    let users = management(Method::GET, "users?columns=name", Value::Null).await;
    if users.as_array().is_some_and(|users| users.iter().any(|user| user["name"] == name)) {
        management(Method::DELETE, &format!("users/{name}"), Value::Null).await;
    }
    let admin = postgres(&stack().postgres).await;
    let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
    admin.batch_execute(&drop).await.expect("a database can be dropped");
    // A test may have made a role of the same name.
    admin.batch_execute(&format!("DROP ROLE IF EXISTS {name}")).await.expect("a role can be dropped");
    mongodb().await.database(name).drop().await.expect("a MongoDB database can be dropped");
}

/// Removes, once in a process, what runs that were ended by force have left.
pub(crate) async fn sweep() {
    static SWEPT: OnceLock<()> = OnceLock::new();
    if SWEPT.set(()).is_err() {
        return;
    }
    let vhosts = management(Method::GET, "vhosts?columns=name", Value::Null).await;
    let names = vhosts.as_array().cloned().unwrap_or_default();
    for name in names.iter().filter_map(|vhost| vhost["name"].as_str()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('_').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another test may be sweeping it, too.
            let name = name.to_owned();
            let _ = tokio::spawn(async move { remove(&name).await }).await;
        }
    }
}

impl World {
    /// The rows of a query as JSON; amounts must be cast to text in it.
    pub(crate) async fn rows(&self, query: &str) -> Value {
        let query = format!("SELECT coalesce(json_agg(row_to_json(q)), '[]')::text FROM ({query}) q");
        let text: String = self.one(&query, &[]).await;
        serde_json::from_str(&text).expect("PostgreSQL writes JSON")
    }

    /// The one value of a query's one row.
    pub(crate) async fn one<T>(&self, query: &str, values: &[&(dyn ToSql + Sync)]) -> T
    where
        T: for<'a> tokio_postgres::types::FromSql<'a>,
    {
        let row = self.postgres.query_one(query, values).await;
        row.unwrap_or_else(|error| panic!("{query}: {error:?}")).get(0)
    }

    /// Runs statements.
    pub(crate) async fn execute(&self, statements: &str) {
        let done = self.postgres.batch_execute(statements).await;
        done.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
    }

    /// How many rows a slice has, and what their balances sum to.
    pub(crate) async fn slice(&self, entity: &str, period: &str) -> (i64, String) {
        let query = "SELECT count(*), coalesce(trim_scale(sum(balance)), 0)::text \
                     FROM gl_accounts WHERE entity = $1 AND period = $2";
        let row = self.postgres.query_one(query, &[&entity, &period]).await.expect("the ledger is there");
        (row.get(0), row.get(1))
    }

    /// The balances of a slice: account and balance, in the order of the accounts.
    pub(crate) async fn balances(&self, entity: &str, period: &str) -> Vec<(String, String)> {
        let query = "SELECT account_code, trim_scale(balance)::text FROM gl_accounts \
                     WHERE entity = $1 AND period = $2 ORDER BY account_code COLLATE \"C\"";
        let rows = self.postgres.query(query, &[&entity, &period]).await.expect("the ledger is there");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// A job's row in `ingestion_runs`, amounts as text; null if there is none.
    pub(crate) async fn job_run(&self, job_id: uuid::Uuid) -> Value {
        let query = format!(
            "SELECT batch_id, file, fingerprint, entity, period, source, mapping_hash, mode, exported_at, status, \
             error_code, inserted, updated, unchanged, deleted, absent, failed, rows, \
             trim_scale(balance_sum)::text AS balance_sum, slice_rows, trim_scale(slice_sum)::text AS slice_sum, \
             attempts, started_at, finished_at, duration_seconds, result \
             FROM ingestion_runs WHERE job_id = '{job_id}'"
        );
        self.rows(&query).await[0].take()
    }

    /// Waits until what PostgreSQL has committed has reached audit trail, metadata and cache.
    pub(crate) async fn settled(&self) {
        let query = "SELECT (SELECT count(*) FROM audit_outbox) + (SELECT count(*) FROM metadata_outbox) \
                     + (SELECT count(*) FROM cache_tasks)";
        until("the outbox is empty", SOON, async || (self.one::<i64>(query, &[]).await == 0).then_some(())).await;
    }
}
