//! Where the services are, and what each world has there: a database, a virtual host and a MongoDB database.

mod found;

use std::{error::Error, path::Path, sync::OnceLock, time::Duration};

pub use found::stack;

use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};
use url::Url;

/// What a service answered, or why it did not.
pub type Answer<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The services, as roles that may create databases and virtual hosts reach them.
#[derive(Debug, Clone)]
pub struct Stack {
    /// RabbitMQ.
    pub amqp: Url,
    /// RabbitMQ's management, with the user.
    pub management: Url,
    /// PostgreSQL.
    pub postgres: Url,
    /// MongoDB.
    pub mongodb: Url,
    /// How long a service may take for one thing.
    pub patience: Duration,
}

/// The same address with another database or virtual host.
pub fn at(url: &Url, name: &str) -> Url {
    let mut url = url.clone();
    url.set_path(&format!("/{name}"));
    url
}

/// A session of PostgreSQL.
///
/// # Errors
/// If PostgreSQL does not answer.
pub async fn session(url: &Url) -> Answer<Client> {
    let connecting = tokio_postgres::connect(url.as_str(), NoTls).await;
    let (client, connection) = connecting.map_err(|error| format!("PostgreSQL does not answer ({error})"))?;
    tokio::spawn(connection);
    Ok(client)
}

impl Stack {
    /// Makes a database, with further options of `CREATE DATABASE`.
    ///
    /// # Errors
    /// If PostgreSQL does not do it.
    pub async fn create_database(&self, name: &str, options: &str) -> Answer<()> {
        let create = async {
            let admin = session(&self.postgres).await?;
            Ok(admin.batch_execute(&format!("CREATE DATABASE {name} {options}")).await?)
        };
        self.in_time(create).await
    }

    /// Makes a virtual host that this stack's user may use.
    ///
    /// # Errors
    /// If RabbitMQ does not do it.
    pub async fn create_virtual_host(&self, name: &str) -> Answer<()> {
        self.manage(Method::PUT, &format!("vhosts/{name}"), &json!({})).await?;
        self.permit(name, self.management.username()).await
    }

    /// Makes a user of the broker with access to the virtual host of the same name.
    ///
    /// # Errors
    /// If RabbitMQ does not do it.
    pub async fn create_user(&self, name: &str) -> Answer<()> {
        self.manage(Method::PUT, &format!("users/{name}"), &json!({"password": name, "tags": ""})).await?;
        self.permit(name, name).await
    }

    async fn permit(&self, vhost: &str, user: &str) -> Answer<()> {
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        self.manage(Method::PUT, &format!("permissions/{vhost}/{user}"), &all).await.map(drop)
    }

    /// A client of a MongoDB database, which comes to be with its first document.
    ///
    /// # Errors
    /// If there can be no such client.
    pub async fn mongo_database(&self, name: &str) -> Answer<mongodb::Database> {
        let client = mongodb::Client::with_uri_str(self.mongodb.as_str()).await;
        Ok(client.map_err(|error| format!("MongoDB does not answer ({error})"))?.database(name))
    }

    /// Asks the broker's management API; without a body if that is null.
    ///
    /// # Errors
    /// If it does not answer in time, or not with success.
    ///
    /// # Panics
    /// If the path is none.
    pub async fn manage(&self, method: Method, path: &str, body: &Value) -> Answer<Value> {
        // The user stands in the URL.
        let url = self.management.join(&format!("/api/{path}")).expect("a path");
        let request = crate::http::client().request(method, url).timeout(self.patience);
        let request = if body.is_null() { request } else { request.json(body) };
        let answer =
            request.send().await.map_err(|error| format!("RabbitMQ's management does not answer ({error})"))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(format!("RabbitMQ's management answers {status} to {path}").into());
        }
        Ok(answer.json().await.unwrap_or(Value::Null))
    }

    /// Removes everything of this name: databases, virtual host, a user and a role.
    ///
    /// # Errors
    /// If a service does not do it; what the others have is removed all the same.
    pub async fn remove(&self, name: &str) -> Answer<()> {
        let removed = [
            self.in_time(self.remove_from_broker(name)).await,
            self.in_time(self.remove_from_postgres(name)).await,
            self.in_time(async { Ok(self.mongo_database(name).await?.drop().await?) }).await,
        ];
        removed.into_iter().collect()
    }

    /// The same, from a place that may lie within a runtime, which must not be blocked on from inside.
    ///
    /// # Errors
    /// As above.
    pub fn remove_at_the_end(&self, name: &str) -> Answer<()> {
        std::thread::scope(|scope| {
            let removing = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(self.remove(name))
            });
            removing.join().unwrap_or_else(|_| Err("the removal panicked".into()))
        })
    }

    async fn remove_from_broker(&self, name: &str) -> Answer<()> {
        self.manage(Method::DELETE, &format!("vhosts/{name}"), &Value::Null).await?;
        // A test may have made a user of the same name.
        let users = self.manage(Method::GET, "users?columns=name", &Value::Null).await?;
        if users.as_array().is_some_and(|users| users.iter().any(|user| user["name"] == name)) {
            self.manage(Method::DELETE, &format!("users/{name}"), &Value::Null).await?;
        }
        Ok(())
    }

    async fn remove_from_postgres(&self, name: &str) -> Answer<()> {
        let admin = session(&self.postgres).await?;
        admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        // A test may have made a role of the same name.
        Ok(admin.batch_execute(&format!("DROP ROLE IF EXISTS {name}")).await?)
    }

    async fn in_time<T>(&self, step: impl Future<Output = Answer<T>>) -> Answer<T> {
        tokio::time::timeout(self.patience, step).await?
    }
}

/// What a service answered.
///
/// # Panics
/// If it did not.
pub fn answered<T>(answer: Answer<T>) -> T {
    answer.unwrap_or_else(|error| panic!("{error}; start the services with 'deploy/local up'"))
}

/// Removes, once in a process, what runs that were ended by force have left under this prefix.
///
/// # Panics
/// If the services do not answer.
pub async fn sweep(prefix: &str) {
    static SWEPT: OnceLock<()> = OnceLock::new();
    if SWEPT.set(()).is_err() {
        return;
    }
    let vhosts = answered(stack().manage(Method::GET, "vhosts?columns=name", &Value::Null).await);
    let names = vhosts.as_array().cloned().unwrap_or_default();
    for name in names.iter().filter_map(|vhost| vhost["name"].as_str()) {
        let owner = name.strip_prefix(prefix).and_then(|rest| rest.split('_').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another test may be sweeping it, too.
            let _ = stack().remove(name).await;
        }
    }
}
