//! A standby of a stack's PostgreSQL, which may be promoted once that is lost, and the gate through which clients reach
//! either.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use tokio::net::TcpListener;
use url::Url;

use super::{
    proxy::{Proxy, Way},
    services::{Service, Services},
};
use crate::{
    stack::session,
    wait::{SOON, until},
};

const STREAMS: &str = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
/// What its connection to the primary says that it is.
const NAME: &str = "standby";

/// A standby. It ends with its value, and the primary's settings are then as before.
#[derive(Debug)]
pub struct Standby {
    primary: Services,
    address: String,
    folder: TempDir,
    server: Child,
    replication: Proxy,
}

/// A command that runs as the user of the server.
fn as_user(user: &str, program: &Path) -> Command {
    let own = std::env::var("USER").is_ok_and(|name| name == user);
    let mut command = if own || !is_root() { Command::new(program) } else { Command::new("setpriv") };
    if !own && is_root() {
        command.args([format!("--reuid={user}"), format!("--regid={user}"), "--init-groups".to_owned()]).arg(program);
    }
    command.current_dir("/").env("LANG", "C.UTF-8").stdin(Stdio::null());
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

fn succeeds(mut command: Command) {
    let output = command.output().expect("a program of PostgreSQL");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Standby {
    /// A standby of a stack's PostgreSQL, for which that does not wait yet.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn of(primary: &Services) -> Self {
        reset_settings(primary);
        let status = primary.status().await;
        let told = status["services"].as_array().into_iter().flatten().find(|service| service["name"] == "postgres");
        let told = told.expect("a PostgreSQL of this machine");
        let (bin, user) = (&told["bin_dir"], told["user"].as_str().expect("a user").to_owned());
        let bin = PathBuf::from(bin.as_str().expect("a folder"));
        let (replication, through) = Proxy::before(&primary.stack.postgres).await;
        let folder = tempfile::tempdir().expect("a folder");
        if is_root() {
            let mut own = Command::new("chown");
            own.arg(format!("{user}:")).arg(folder.path());
            succeeds(own);
        }
        let data = folder.path().join("data");
        let mut copy = as_user(&user, &bin.join("pg_basebackup"));
        copy.args(["--checkpoint=fast", "--wal-method=stream", "--dbname", through.as_str(), "--pgdata"]).arg(&data);
        succeeds(copy);
        let port = TcpListener::bind("127.0.0.1:0").await.and_then(|port| port.local_addr()).expect("a port").port();
        let mut conninfo = through.clone();
        conninfo.set_query(Some(&format!("application_name={NAME}")));
        let settings = format!("port = {port}\nprimary_conninfo = '{conninfo}'\nwal_retrieve_retry_interval = 200ms\n");
        std::fs::write(data.join("postgresql.auto.conf"), settings).expect("settings");
        std::fs::write(data.join("standby.signal"), "").expect("a signal");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let mut start = as_user(&user, &bin.join("postgres"));
        let server = start.arg("-D").arg(&data).stdout(Stdio::null()).stderr(log).spawn().expect("a server");
        let standby =
            Self { primary: primary.clone(), address: format!("127.0.0.1:{port}"), folder, server, replication };
        standby.streams().await;
        standby
    }

    /// Its address, `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    async fn streams(&self) {
        until("the standby streams", SOON, async || {
            let session = session(&self.primary.stack.postgres).await.ok()?;
            let row = session.query_one(STREAMS, &[]).await.ok()?;
            (row.get::<_, i64>(0) == 1).then_some(())
        })
        .await;
    }

    /// Sets something on the primary, whose commits wait for this if it is `synchronous_standby_names`.
    ///
    /// # Panics
    /// If the primary does not take it.
    pub async fn set(&self, setting: &str, value: &str) {
        let session = session(&self.primary.stack.postgres).await.expect("the primary answers");
        for statement in [format!("ALTER SYSTEM SET {setting} = '{value}'"), "SELECT pg_reload_conf()".to_owned()] {
            session.batch_execute(&statement).await.expect("the primary takes a setting");
        }
    }

    /// The name under which the primary knows it.
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// Keeps everything that the primary writes from now on from it, for good.
    pub fn lose_the_rest(&self) {
        self.replication.set(Way::Hole);
    }

    /// Makes it the primary. The old one must be gone.
    ///
    /// # Panics
    /// If it does not become one.
    pub async fn promote(&self) {
        self.replication.cut();
        let mut url = self.primary.stack.postgres.clone();
        let port = self.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        url.set_port(port).expect("a URL with a host has a port");
        let session = session(&url).await.expect("the standby answers");
        let row = session.query_one("SELECT pg_promote(true, 60)", &[]).await.expect("the standby can be promoted");
        assert!(row.get::<_, bool>(0), "the standby was not promoted: {}", self.folder.path().display());
    }
}

/// Takes back what was set on the primary, which may be gone.
fn reset_settings(primary: &Services) {
    let file = primary.directory().join("services/postgres/data/postgresql.auto.conf");
    std::fs::write(file, "").expect("the primary's settings can be taken back");
    if let Some(pid) = primary.pid_if_running(Service::Postgres) {
        let _ = Command::new("kill").args(["-s", "HUP", &pid.to_string()]).status();
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        reset_settings(&self.primary);
        let _ = Command::new("kill").args(["-s", "QUIT", &self.server.id().to_string()]).status();
        let _ = self.server.wait();
    }
}

/// What stands before PostgreSQL, and leads clients to another server when it is told to.
#[derive(Debug)]
pub struct Gate(Proxy);

impl Gate {
    /// A gate before the PostgreSQL of a stack, and the services with it for their PostgreSQL.
    pub async fn before(services: &Services) -> (Self, Services) {
        let (proxy, url) = Proxy::before(&services.stack.postgres).await;
        (Self(proxy), services.with_postgres(url))
    }

    /// Leads all clients to an address from now on; their connections end.
    pub fn lead_to(&self, address: &str) {
        self.0.lead_to(address);
        self.0.cut();
    }
}

/// The address of a service.
pub fn address_of(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or_default())
}
