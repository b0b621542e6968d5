//! Every service over TLS, with a private CA, and with certificates that the servers ask for.
//!
//! The services are a stack of their own, which takes nothing but TLS; MongoDB there asks for users, too.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use bson::{Document, doc};
use mongodb::{
    Client, IndexModel,
    error::ErrorKind,
    options::{ClientOptions, Tls, TlsOptions},
};
use serde_json::json;
use tempfile::TempDir;
use tests::{
    checkout::checkout,
    object_server::{KEY, KEY_ID, ObjectServer},
    tls_front::{Speaks, TlsFront},
};
use url::Url;
use uuid::Uuid;

use crate::{
    process::{Said, Worker, command, run},
    world::csv,
};

/// MongoDB's code of what a user may not.
const UNAUTHORIZED: i32 = 13;

/// The stack, and folders of one test.
struct Secured {
    settings: BTreeMap<String, String>,
    /// Where the stack's certificates are.
    certificates: PathBuf,
    folder: TempDir,
}

fn local(arguments: &[&str]) -> Command {
    let folder = std::env::var_os("AURA_TEST_TLS_DIR").map_or_else(|| checkout().join(".local/tls"), PathBuf::from);
    let mut command = Command::new(checkout().join("deploy/local"));
    command.args(arguments).env("AURA_LOCAL_DIR", folder).env_remove("AURA_LOCAL_PEER");
    command
}

fn done(mut command: Command) -> String {
    let said = command.output().expect("deploy/local runs");
    assert!(said.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).expect("a text")
}

impl Secured {
    /// The stack, which is started if it does not run, with the schema and its roles.
    async fn new() -> Self {
        done(local(&["up", "--tls"]));
        let settings = done(local(&["env"]));
        let settings = settings.lines().filter_map(|line| line.split_once('='));
        let mut settings: BTreeMap<_, _> = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        settings.retain(|name, _| !name.starts_with("AURA_LOCAL_"));
        let certificates = Path::new(&settings["AURA_TLS_CA_PATH"]).parent().expect("a folder").to_owned();
        let folder = tempfile::tempdir().expect("a folder");
        for part in ["in", "cache", "logs"] {
            std::fs::create_dir(folder.path().join(part)).expect("a folder");
            let name = match part {
                "in" => "AURA_INPUT_ROOTS",
                "cache" => "AURA_CACHE_URL",
                _ => "AURA_LOG_DIR",
            };
            settings.insert(name.to_owned(), folder.path().join(part).display().to_string());
        }
        settings.insert("AURA_SOURCES_DIR".to_owned(), checkout().join("deploy/sources").display().to_string());
        settings.insert("AURA_HTTP_ADDR".to_owned(), "127.0.0.1:0".to_owned());
        let secured = Self { settings, certificates, folder };
        let script = checkout().join("deploy/roles/postgres.sql").display().to_string();
        let grant = || done(local(&["psql", "-qv", "ON_ERROR_STOP=1", "-f", &script]));
        grant();
        secured.run(&secured.of("aura_owner"), &["migrate"]).await.expect(0);
        grant();
        secured
    }

    /// The settings of a program that is this user everywhere, by password and certificate.
    fn of(&self, user: &str) -> BTreeMap<String, String> {
        let mut settings = self.settings.clone();
        for (name, service) in [("AURA_AMQP_URL", user), ("AURA_POSTGRES_URL", user), ("AURA_MONGODB_URL", user)] {
            let service = if name == "AURA_AMQP_URL" && service == "aura_reader" { "aura_console" } else { service };
            let mut url = Url::parse(&settings[name]).expect("a URL");
            url.set_username(service).expect("a URL with a host");
            let text = url.to_string().replace("&authSource=admin", "");
            settings.insert(name.to_owned(), text);
        }
        for (name, end) in [("AURA_TLS_CERT_PATH", "crt"), ("AURA_TLS_KEY_PATH", "key")] {
            settings.insert(name.to_owned(), self.file(&format!("{user}.{end}")));
        }
        settings
    }

    fn file(&self, name: &str) -> String {
        self.certificates.join(name).display().to_string()
    }

    async fn run(&self, settings: &BTreeMap<String, String>, arguments: &[&str]) -> Said {
        let settings: Vec<_> = settings.clone().into_iter().collect();
        let mut command = command("aura-producer", self.folder.path(), &settings);
        command.args(arguments);
        run(command, Duration::from_secs(60)).await
    }

    /// Runs a command with one setting changed, which must fail and say this.
    async fn refuses(&self, changed: &[(&str, &str)], arguments: &[&str], reason: &str) {
        let mut settings = self.of("aura_console");
        for (name, value) in changed {
            settings.insert((*name).to_owned(), (*value).to_owned());
        }
        let said = self.run(&settings, arguments).await;
        assert_eq!(said.code, 3, "{changed:?}: {} {}", said.stdout, said.stderr);
        assert!(said.stderr.contains(reason), "{changed:?}: {}", said.stderr);
        assert!(!said.stderr.contains(":aura@") && !said.stderr.contains(KEY), "{}", said.stderr);
    }

    /// A client of MongoDB as a user.
    async fn mongo(&self, user: &str) -> mongodb::Database {
        let mut options = ClientOptions::parse(&self.of(user)["AURA_MONGODB_URL"]).await.expect("a URL");
        let identity = self.folder.path().join(format!("{user}.pem"));
        let both = ["crt", "key"].map(|end| std::fs::read(self.file(&format!("{user}.{end}"))).expect("a file"));
        std::fs::write(&identity, both.concat()).expect("a file");
        let tls = TlsOptions::builder().ca_file_path(PathBuf::from(self.file("ca.crt"))).cert_key_file_path(identity);
        options.tls = Some(Tls::Enabled(tls.build()));
        Client::with_options(options).expect("a client").database("aura")
    }
}

/// Whether MongoDB refused for want of a right.
#[track_caller]
fn is_unauthorized<T: std::fmt::Debug>(answer: Result<T, mongodb::error::Error>) {
    let error = answer.expect_err("it is not allowed");
    let code = if let ErrorKind::Command(refused) = &*error.kind { Some(refused.code) } else { None };
    assert_eq!(code, Some(UNAUTHORIZED), "{error:?}");
}

#[tokio::test]
async fn a_job_goes_its_whole_way_over_tls_and_mongodb_lets_nobody_change_the_trail() {
    let secured = Secured::new().await;
    let server = ObjectServer::start("books").await;
    let plain = (std::net::Ipv4Addr::LOCALHOST, server.url.port().expect("a port")).into();
    let front = TlsFront::start(&secured.certificates, "server", Speaks::Tls, Some(plain)).await;
    let entity = format!("T{}", &Uuid::new_v4().simple().to_string()[..8].to_uppercase());
    let with_store = |user: &str| {
        let mut settings = secured.of(user);
        for (name, value) in [
            ("AURA_S3_ENDPOINT", format!("https://127.0.0.1:{}", front.port)),
            ("AURA_S3_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("AURA_S3_SECRET_ACCESS_KEY", KEY.to_owned()),
            ("AURA_INPUT_ROOTS", "s3://books/in".to_owned()),
            ("AURA_CACHE_URL", "s3://books/cache".to_owned()),
        ] {
            settings.insert(name.to_owned(), value);
        }
        settings
    };
    let settings: Vec<_> = with_store("aura_worker").into_iter().collect();
    let log = secured.folder.path().join("logs/stdout");
    let mut worker = Worker::start(command("aura-worker", secured.folder.path(), &settings), log).await;

    let file = server.put("in/a.csv", csv(&entity, "2022-06", &[("10", "5"), ("20", "-5")])).await;
    let publish = ["publish", "--file", &file, "--entity", &entity, "--period", "2022-06", "--wait", "--json"];
    let said = secured.run(&secured.of("aura_export"), &publish).await.expect(0).json();
    assert_eq!(said["successful"], 1, "{said:#}");
    let verify = ["verify", "--entity", &entity, "--period", "2022-06", "--json"];
    let arrived = async || {
        let said = secured.run(&with_store("aura_reader"), &verify).await.expect(0).json();
        (said["checked"]["audit_events"] == 8 && said["checked"]["parquet_files"] == 1).then_some(())
    };
    crate::wait::until("all has arrived", crate::wait::SOON, arrived).await;
    assert_eq!(worker.stop().await, Some(0));

    for user in ["aura_worker", "aura_reader"] {
        let database = secured.mongo(user).await;
        let trail = database.collection::<Document>("audit_trail");
        let own = doc! { "entity": &entity };
        assert_eq!(trail.find_one(own.clone()).await.expect("it may read").map(|_| ()), Some(()));
        is_unauthorized(trail.update_one(own.clone(), doc! { "$set": { "seq": 9 } }).await);
        is_unauthorized(trail.delete_many(own.clone()).await);
        is_unauthorized(trail.find_one_and_replace(own.clone(), doc! {}).await);
        is_unauthorized(trail.drop().await);
        is_unauthorized(trail.drop_indexes().await);
        // An index that lets documents expire removes them.
        is_unauthorized(trail.create_index(IndexModel::builder().keys(doc! { "timestamp": 1 }).build()).await);
        let metadata = database.collection::<Document>("gl_metadata");
        is_unauthorized(metadata.update_many(own.clone(), doc! { "$set": { "entity": "B" } }).await);
        is_unauthorized(metadata.delete_many(own).await);
        is_unauthorized(database.run_command(doc! { "collMod": "audit_trail", "validator": {} }).await);
        is_unauthorized(database.run_command(doc! { "createUser": "me", "pwd": "me", "roles": [] }).await);
    }
    let reader = secured.mongo("aura_reader").await.collection::<Document>("audit_trail");
    is_unauthorized(reader.insert_one(doc! { "entity": &entity }).await);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_trusted_is_refused_in_plain_words() {
    let secured = Secured::new().await;
    let server = ObjectServer::start("books").await;
    let plain = (std::net::Ipv4Addr::LOCALHOST, server.url.port().expect("a port")).into();
    let store = TlsFront::start(&secured.certificates, "server", Speaks::Tls, Some(plain)).await;
    let cache =
        [("AURA_CACHE_URL", "s3://books/cache"), ("AURA_S3_ACCESS_KEY_ID", KEY_ID), ("AURA_S3_SECRET_ACCESS_KEY", KEY)];
    let endpoint = format!("https://127.0.0.1:{}", store.port);
    let expired = (
        TlsFront::start(&secured.certificates, "expired", Speaks::Tls, None).await,
        TlsFront::start(&secured.certificates, "expired", Speaks::Postgres, None).await,
    );
    let console = secured.of("aura_console");
    let verify = &["verify", "--entity", "A"][..];
    let services: [(&str, String, u16, &[&str]); 4] = [
        ("AURA_AMQP_URL", console["AURA_AMQP_URL"].clone(), expired.0.port, &["topology"]),
        ("AURA_POSTGRES_URL", console["AURA_POSTGRES_URL"].clone(), expired.1.port, &["period", "list"]),
        ("AURA_MONGODB_URL", console["AURA_MONGODB_URL"].clone(), expired.0.port, verify),
        ("AURA_S3_ENDPOINT", endpoint, expired.0.port, verify),
    ];
    let (other_ca, stranger) =
        (secured.file("other-ca.crt"), ["crt", "key"].map(|end| secured.file(&format!("stranger.{end}"))));
    for (name, url, expired, command) in services {
        let at = |host: &str, port: Option<u16>| {
            let mut url = Url::parse(&url).expect("a URL");
            url.set_host(Some(host)).expect("a host");
            if let Some(port) = port {
                url.set_port(Some(port)).expect("a URL with a host");
            }
            url.to_string()
        };
        let refuses = async |url: &str, more: &[(&str, &str)], reason: &str| {
            let changed = [&cache[..], &[(name, url)], more].concat();
            // The other services are trusted as ever, so that nothing else can be what is refused.
            let changed = if name == "AURA_S3_ENDPOINT" { changed } else { changed[3..].to_vec() };
            secured.refuses(&changed, command, reason).await;
        };
        refuses(&at("localhost", None), &[], "its certificate is for another name").await;
        refuses(&at("127.0.0.1", Some(expired)), &[], "its certificate has expired").await;
        // PostgreSQL is asked before MongoDB and the store, so it says this for them, too.
        refuses(&url, &[("AURA_TLS_CA_PATH", &other_ca)], "not of a CA that is trusted here").await;
        let none = [("AURA_TLS_CERT_PATH", ""), ("AURA_TLS_KEY_PATH", "")];
        refuses(&url, &none, "it asks for a certificate").await;
        let strange = [("AURA_TLS_CERT_PATH", stranger[0].as_str()), ("AURA_TLS_KEY_PATH", stranger[1].as_str())];
        refuses(&url, &strange, "it does not trust the CA of the certificate").await;
    }
    // A certificate of another role's name, of which PostgreSQL tells its own log alone.
    let reader = ["crt", "key"].map(|end| secured.file(&format!("aura_reader.{end}")));
    let another = [("AURA_TLS_CERT_PATH", reader[0].as_str()), ("AURA_TLS_KEY_PATH", reader[1].as_str())];
    secured.refuses(&another, &["period", "list"], "authentication failed for user").await;

    // What the settings name is looked at before anything is asked.
    let mut settings = console;
    settings.insert("AURA_TLS_CA_PATH".to_owned(), "/nowhere.crt".to_owned());
    let said = secured.run(&settings, &["topology", "--json"]).await.expect(2);
    assert!(said.stderr.contains("AURA_TLS_CA_PATH names /nowhere.crt, which cannot be read"), "{}", said.stderr);
    assert!(said.json() != json!(null));
}
