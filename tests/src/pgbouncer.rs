//! A PgBouncer before the tests' PostgreSQL.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::wait::{SOON, until};

/// A PgBouncer; it ends with its value.
#[derive(Debug)]
pub struct PgBouncer {
    server: Child,
    _folder: TempDir,
    port: u16,
}

impl PgBouncer {
    /// A PgBouncer before the server of a URL, with this mode and these start-up parameters left out.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn before(url: &Url, mode: &str, ignored: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").await.and_then(|port| port.local_addr()).expect("a port").port();
        let folder = tempfile::tempdir().expect("a folder");
        let settings = format!(
            "[databases]\n* = host={} port={} user={} password={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nauth_type = any\npool_mode = {mode}\nignore_startup_parameters = {ignored}\n\
             unix_socket_dir =\ndefault_pool_size = 50\nmax_client_conn = 200\n",
            url.host_str().unwrap_or_default(),
            url.port().unwrap_or(5432),
            url.username(),
            url.password().unwrap_or_default(),
        );
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, settings).expect("settings");
        let mut command = Command::new("pgbouncer");
        if fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
            // It refuses to be root.
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
            command.args(["--user", "nobody"]);
        }
        command.arg("--quiet").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = command.spawn().expect("pgbouncer, which deploy/test installs");
        until("PgBouncer listens", SOON, async || TcpStream::connect(("127.0.0.1", port)).await.ok()).await;
        Self { server, _folder: folder, port }
    }

    /// The same URL through it.
    ///
    /// # Panics
    /// If it names no host.
    pub fn through(&self, url: &Url) -> String {
        let mut url = url.clone();
        url.set_port(Some(self.port)).expect("a URL with a host has a port");
        url.to_string()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
