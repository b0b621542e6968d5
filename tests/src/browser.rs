//! A browser for tests of pages: Chromium, driven by ChromeDriver, with axe-core to check a page for accessibility.
//!
//! `deploy/test` installs both and says by `AURA_TEST_CHROMEDRIVER` and `AURA_TEST_AXE` where they are.

mod session;

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use fantoccini::ClientBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tempfile::TempDir;

pub use self::session::{DOWN, ENTER, ESCAPE, SHIFT_TAB, Session, TAB, UP};
use crate::{
    log::Log,
    wait::{SOON, until},
};

/// How long ChromeDriver may take to end its browsers and itself.
const GRACE: Duration = Duration::from_secs(20);

const ARGUMENTS: [&str; 7] = [
    "--headless=new",
    // As root, Chromium starts only without its sandbox.
    "--no-sandbox",
    // In a container /dev/shm may be too small for a page.
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-proxy-server",
    "--no-first-run",
    "--disable-background-networking",
];

/// ChromeDriver on a port of its own; it and its browsers end when the value goes.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    address: String,
    folder: TempDir,
}

impl Browser {
    /// Starts ChromeDriver; `None`, and a line that says SKIPPED, if this machine has none.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start() -> Option<Self> {
        let Some(program) = chromedriver() else {
            eprintln!("SKIPPED: no chromedriver; install it or set AURA_TEST_CHROMEDRIVER");
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(&program);
        // Whatever is kept, profiles too, is kept in the folder.
        command.env_clear().envs(["HOME", "TMPDIR"].map(|name| (name, folder.path())));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LANG", "C.UTF-8");
        let log = Log::of(&mut command, folder.path().join("chromedriver.log"));
        let driver = command.arg("--port=0").stdin(Stdio::null()).spawn();
        let driver = driver.unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        let mut browser = Self { driver, address: String::new(), folder };
        browser.address = until("chromedriver says its port", SOON, async || {
            let ended = browser.driver.try_wait().expect("chromedriver can be asked");
            assert!(ended.is_none(), "chromedriver ended at once:\n{}", log.tail());
            let text = log.text();
            let (port, _) = text.split_once("started successfully on port ")?.1.split_once('.')?;
            Some(format!("127.0.0.1:{port}"))
        })
        .await;
        Some(browser)
    }

    /// Opens a window with a profile of its own, so without another's cookies. The page has this size in CSS pixels; it
    /// is asked to be dark or light, and to move as little as it can.
    ///
    /// # Panics
    /// If Chromium does not start.
    pub async fn session(&self, width: u32, height: u32, dark: bool) -> Session {
        let profile = tempfile::tempdir_in(self.folder.path()).expect("a folder").keep();
        let mut arguments = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        arguments.push(format!("--window-size={width},{height}"));
        let capabilities = json!({
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"script": 120_000, "pageLoad": 120_000},
        });
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities.as_object().cloned().unwrap_or_default());
        let client = builder.connect(&format!("http://{}", self.address)).await.expect("Chromium starts");
        let session = Session::of(client);
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        session.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = json!({"name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" }});
        let motion = json!({"name": "prefers-reduced-motion", "value": "reduce"});
        session.devtools("Emulation.setEmulatedMedia", json!({"features": [scheme, motion]})).await;
        session
    }

    /// Asks ChromeDriver to end its browsers, then itself.
    fn shut_down(&self) -> std::io::Result<()> {
        let mut connection = TcpStream::connect(&self.address)?;
        connection.set_read_timeout(Some(GRACE))?;
        write!(connection, "GET /shutdown HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)?;
        connection.read_to_end(&mut Vec::new()).map(drop)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let asked = Instant::now();
        if self.shut_down().is_ok() {
            while asked.elapsed() < GRACE && matches!(self.driver.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The program that the environment names, or else the first on the path.
fn chromedriver() -> Option<PathBuf> {
    let named = std::env::var_os("AURA_TEST_CHROMEDRIVER").map(PathBuf::from);
    named.or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join("chromedriver")).find(|program| program.is_file())
    })
}
