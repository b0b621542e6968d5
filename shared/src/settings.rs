//! The settings: flags over environment over `aura.toml` over defaults; unknown keys are refused.

use std::{
    collections::BTreeMap,
    fmt,
    io::Write,
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::{Arg, ArgMatches, Command};
use url::Url;

use crate::{
    amount::Amount,
    message::published_by::{MAX_NAME, is_name},
    printable,
    stores::{
        object_store::access::{CloudVariables, Secret, StoreAccess},
        postgres::lifetime::Lifetime,
    },
};

/// The file that is read if it is there and `AURA_CONFIG` names no other.
const DEFAULT_FILE: &str = "aura.toml";
/// Prefixes of variables that belong to the scripts around Aura or, the services, to Kubernetes.
const FOREIGN: [&str; 6] = ["LOCAL_", "TEST_", "DEMO_", "BENCH_", "CHAOS_", "COMPOSE_"];

/// What to do about a password that a URL does not hold as it is.
const ENCODED: &str = "in a user or password, write / as %2F, @ as %40, # as %23, ? as %3F, : as %3A and % as %25";

/// One setting: its key in `aura.toml`, its default and what it means.
pub struct Definition {
    /// The key; the variable is `AURA_` and the key in capitals, the flag has dashes.
    pub key: &'static str,
    /// The value if nobody gives one.
    pub default: &'static str,
    /// What it means, in one line.
    pub meaning: &'static str,
}

const fn define(key: &'static str, default: &'static str, meaning: &'static str) -> Definition {
    Definition { key, default, meaning }
}

/// Every setting there is.
pub const DEFINITIONS: &[Definition] = &[
    define("amqp_url", "amqp://guest:guest@127.0.0.1:5672/%2f", "RabbitMQ, with user, host, port and virtual host"),
    define("postgres_url", "postgres://127.0.0.1:5432/aura", "PostgreSQL 15 or newer; sslmode=require for TLS"),
    define("postgres_max_life_seconds", "1800", "age past which a connection to PostgreSQL is closed between two uses"),
    define("postgres_idle_seconds", "300", "seconds after which an unused connection to PostgreSQL is closed"),
    define("mongodb_url", "mongodb://127.0.0.1:27017/aura", "MongoDB 6 or newer, with the database"),
    define(
        "input_roots",
        "data/input",
        "comma-separated folders, and prefixes such as s3://bucket/in, from which files may be read",
    ),
    define("cache_url", "data/processed", "folder of the Parquet cache, or a prefix such as s3://bucket/cache"),
    define("s3_endpoint", "", "address of an S3-compatible server, such as https://minio:9000; otherwise Amazon's own"),
    define("s3_region", "", "region of the s3:// buckets; otherwise AWS_REGION"),
    define("s3_access_key_id", "", "name of the access key for s3://; otherwise what the AWS_ variables say"),
    define("s3_secret_access_key", "", "the access key for s3://; secret, so better not given as a flag"),
    define("s3_session_token", "", "what a temporary access key for s3:// comes with; secret"),
    define(
        "gcs_service_account_path",
        "",
        "file of the service account for gs://; otherwise what GOOGLE_ variables say",
    ),
    define("azure_account", "", "storage account for az://; otherwise what the AZURE_ variables say"),
    define("azure_key", "", "access key of the storage account for az://; secret"),
    define("sources_dir", "deploy/sources", "folder of the mapping profiles"),
    define(
        "publishers_path",
        "",
        "file that says which RabbitMQ user may have what loaded; without it, whoever may publish may have everything loaded",
    ),
    define("log_dir", "logs", "folder of aura.log, rotated daily"),
    define("log", "info", "which log lines are written: a level, or target=level pairs"),
    define("namespace", "aura", "prefix of all exchanges and queues"),
    define("concurrency", "4", "jobs that one worker runs at a time"),
    define("http_addr", "127.0.0.1:9464", "address of /livez, /readyz and /metrics; port 0 takes a free one"),
    define("drain_seconds", "30", "seconds that running jobs get to finish after SIGTERM"),
    define(
        "job_timeout_seconds",
        "1200",
        "seconds after which an attempt is given up; below RabbitMQ's consumer timeout",
    ),
    define("worker_name", "", "name of this worker in logs and events; otherwise host and process"),
    define(
        "actor",
        "",
        "who runs this command, for the audit trail and what it publishes; otherwise the user of the system",
    ),
    define("nil_tolerance", "0", "how far from zero a slice may sum and still count as balanced"),
    define("max_rejected_rows", "1000", "bad rows that quarantine puts aside before it fails the job"),
    define("max_file_bytes", "17179869184", "largest file that is read"),
    define("max_record_bytes", "1048576", "longest record of a file"),
    define("max_columns", "4096", "most columns of a file"),
    define("max_expanded_bytes", "17179869184", "most bytes that a compressed file unpacks to"),
    define("max_expansion_ratio", "200", "most times its size that a compressed file unpacks to, past 64 MiB"),
    define("max_workbook_bytes", "33554432", "largest .xlsx workbook"),
    define("max_workbook_unpacked_bytes", "268435456", "most bytes that the parts of a workbook unpack to"),
    define("outbox_warn_seconds", "300", "age of what waits for MongoDB or the cache past which /readyz warns"),
];

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// There is no such setting.
    #[error("{origin} is not a setting{hint}")]
    Unknown {
        /// Where it was found.
        origin: String,
        /// The setting that may have been meant.
        hint: String,
    },
    /// Its value is not of its form.
    #[error("{origin} {reason}")]
    Invalid {
        /// Where the value comes from. The value itself may be a secret and is not shown.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// The file cannot be read.
    #[error("cannot read settings from {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a TOML table of plain values.
    #[error("{path} is not a valid settings file: {reason}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// A URL that may hold a password, which neither `Display` nor `Debug` shows.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceUrl(Url);

impl ServiceUrl {
    /// The URL with its password, for the client library.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }

    /// The path without its slash: the database or virtual host.
    pub fn path(&self) -> &str {
        self.0.path().trim_start_matches('/')
    }

    /// The value of a query parameter.
    pub fn query(&self, name: &str) -> Option<String> {
        self.0.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host_str().unwrap_or("");
        let port = self.0.port().map(|port| format!(":{port}")).unwrap_or_default();
        write!(f, "{}://{host}{port}{}", self.0.scheme(), self.0.path())
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// All settings, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// RabbitMQ.
    pub amqp_url: ServiceUrl,
    /// PostgreSQL.
    pub postgres_url: ServiceUrl,
    /// How long connections to PostgreSQL live.
    pub postgres_lifetime: Lifetime,
    /// MongoDB, whose path is the database.
    pub mongodb_url: ServiceUrl,
    /// Where files may be read from, as given.
    pub input_roots: Vec<String>,
    /// The folder or prefix of the Parquet cache.
    pub cache_url: String,
    /// How object stores are reached.
    pub stores: StoreAccess,
    /// The folder of the mapping profiles.
    pub sources_dir: PathBuf,
    /// The file that says who may have what loaded.
    pub publishers_path: Option<PathBuf>,
    /// The folder of the log.
    pub log_dir: PathBuf,
    /// The filter of the log.
    pub log: String,
    /// The prefix of exchanges and queues.
    pub namespace: String,
    /// Jobs at a time.
    pub concurrency: usize,
    /// Where health and metrics are served.
    pub http_addr: SocketAddr,
    /// How long running jobs may go on after SIGTERM.
    pub drain: Duration,
    /// How long an attempt may take.
    pub job_timeout: Duration,
    /// The name of this worker.
    pub worker_name: String,
    /// Who runs this command.
    pub actor: String,
    /// How far from zero a balanced slice may sum.
    pub nil_tolerance: Amount,
    /// Bad rows that quarantine allows.
    pub max_rejected_rows: u64,
    /// The largest file, in bytes.
    pub max_file_bytes: u64,
    /// The longest record, in bytes.
    pub max_record_bytes: usize,
    /// The most columns.
    pub max_columns: usize,
    /// The most bytes that a compressed file unpacks to.
    pub max_expanded_bytes: u64,
    /// The most times its size that a compressed file unpacks to.
    pub max_expansion_ratio: u64,
    /// The largest workbook, in bytes.
    pub max_workbook_bytes: u64,
    /// The most bytes that the parts of a workbook unpack to.
    pub max_workbook_unpacked_bytes: u64,
    /// The age of the outbox past which readiness warns.
    pub outbox_warn: Duration,
}

/// Adds a flag for every setting to a command.
fn with_flags(command: Command) -> Command {
    DEFINITIONS.iter().fold(command, |command, setting| {
        let default =
            if setting.default.is_empty() { String::new() } else { format!(" [default: {}]", setting.default) };
        command.arg(
            Arg::new(setting.key)
                .long(setting.key.replace('_', "-"))
                .value_name("VALUE")
                .global(true)
                .hide_short_help(true)
                .help_heading("Settings (also AURA_… in the environment, and aura.toml)")
                .help(format!("{}{default}", setting.meaning)),
        )
    })
}

/// Reads the command line, with a flag for every setting. If it cannot be used, this says so and ends the process;
/// clap itself would show what was given as it is.
pub fn read_command_line(command: Command) -> ArgMatches {
    with_flags(command).try_get_matches().unwrap_or_else(|error| {
        if !error.use_stderr() {
            error.exit();
        }
        let text = error.render().to_string();
        // Nobody may be listening; the exit code says the same.
        let _ = write!(std::io::stderr(), "{}", printable::lines(&printable::without_passwords(&text)));
        std::process::exit(error.exit_code())
    })
}

/// The settings that were given as flags.
pub fn from_flags(matches: &ArgMatches) -> Vec<(String, String)> {
    let given = |key: &str| matches.try_get_one::<String>(key).ok().flatten().cloned();
    DEFINITIONS.iter().filter_map(|setting| Some((setting.key.to_owned(), given(setting.key)?))).collect()
}

struct Given {
    value: String,
    origin: String,
}

impl Settings {
    /// Reads the settings of this process.
    ///
    /// # Errors
    /// If a key is unknown, a value is not of its form, or the file cannot be read.
    pub fn read(flags: Vec<(String, String)>) -> Result<Self, SettingsError> {
        let environment: Vec<(String, String)> = std::env::vars().collect();
        let named = environment.iter().find(|(name, _)| name == "AURA_CONFIG").map(|(_, path)| PathBuf::from(path));
        let path = named.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        let file = match std::fs::read_to_string(&path) {
            Ok(text) => Some((path, text)),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound && named.is_none() => None,
            Err(source) => return Err(SettingsError::File { path, source }),
        };
        Self::merge(file, environment, flags)
    }

    /// Merges what was given: flags over environment over file.
    ///
    /// # Errors
    /// If a key is unknown or a value is not of its form.
    pub fn merge(
        file: Option<(PathBuf, String)>,
        environment: Vec<(String, String)>,
        flags: Vec<(String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut given = BTreeMap::new();
        let clouds = CloudVariables::of(&environment);
        if let Some((path, text)) = file {
            read_file(&path, &text, &mut given)?;
        }
        for (name, value) in environment {
            let Some(rest) = name.strip_prefix("AURA_") else { continue };
            let foreign = rest == "CONFIG"
                || FOREIGN.iter().any(|prefix| rest.starts_with(prefix))
                || of_kubernetes(rest, &value);
            if !foreign {
                let key = rest.to_ascii_lowercase();
                known(&key, &name)?;
                given.insert(key, Given { value, origin: name });
            }
        }
        for (key, value) in flags {
            let origin = format!("--{}", key.replace('_', "-"));
            known(&key, &origin)?;
            given.insert(key, Given { value, origin });
        }
        let reader = Values(given);
        Ok(Self {
            amqp_url: reader.url("amqp_url", &["amqp", "amqps"])?,
            postgres_url: reader.database("postgres_url", &["postgres", "postgresql"])?,
            postgres_lifetime: Lifetime {
                max_life: Duration::from_secs(reader.in_range("postgres_max_life_seconds", 1, 86_400)?),
                max_idle: Duration::from_secs(reader.in_range("postgres_idle_seconds", 1, 86_400)?),
            },
            mongodb_url: reader.database("mongodb_url", &["mongodb", "mongodb+srv"])?,
            input_roots: reader.list("input_roots")?,
            cache_url: reader.nonempty("cache_url")?,
            stores: reader.stores(clouds)?,
            sources_dir: reader.nonempty("sources_dir")?.into(),
            publishers_path: reader.optional::<String>("publishers_path").map(PathBuf::from),
            log_dir: reader.nonempty("log_dir")?.into(),
            log: reader.nonempty("log")?,
            namespace: reader.check("namespace", namespace)?,
            concurrency: reader.in_range("concurrency", 1, 256)?,
            http_addr: reader.parse("http_addr", "is not an address such as 127.0.0.1:9464")?,
            drain: Duration::from_secs(reader.in_range("drain_seconds", 0, 3600)?),
            job_timeout: Duration::from_secs(reader.in_range("job_timeout_seconds", 1, 86_400)?),
            worker_name: reader.check("worker_name", |text| Ok(or_else(text, host_and_process)))?,
            actor: reader.check("actor", actor)?,
            nil_tolerance: reader.parse("nil_tolerance", "is not a decimal number")?,
            max_rejected_rows: reader.in_range("max_rejected_rows", 0, 1_000_000)?,
            max_file_bytes: reader.in_range("max_file_bytes", 1, u64::MAX)?,
            max_record_bytes: reader.in_range("max_record_bytes", 1024, 16 << 20)?,
            max_columns: reader.in_range("max_columns", 7, 65_536)?,
            max_expanded_bytes: reader.in_range("max_expanded_bytes", 1, u64::MAX)?,
            max_expansion_ratio: reader.in_range("max_expansion_ratio", 1, 1_000_000)?,
            max_workbook_bytes: reader.in_range("max_workbook_bytes", 1, 1 << 30)?,
            max_workbook_unpacked_bytes: reader.in_range("max_workbook_unpacked_bytes", 1, 1 << 32)?,
            outbox_warn: Duration::from_secs(reader.in_range("outbox_warn_seconds", 1, u64::MAX)?),
        })
    }
}

struct Values(BTreeMap<String, Given>);

impl Values {
    fn get(&self, key: &str) -> (String, String) {
        match self.0.get(key) {
            Some(given) => (given.value.clone(), given.origin.clone()),
            None => {
                let default = DEFINITIONS.iter().find(|setting| setting.key == key).map_or("", |s| s.default);
                (default.to_owned(), format!("the default of {key}"))
            }
        }
    }

    fn check<T>(&self, key: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Result<T, SettingsError> {
        let (value, origin) = self.get(key);
        read(&value).map_err(|reason| SettingsError::Invalid { origin, reason })
    }

    fn parse<T: FromStr>(&self, key: &str, fault: &str) -> Result<T, SettingsError> {
        self.check(key, |text| text.trim().parse().map_err(|_| fault.to_owned()))
    }

    fn in_range<T>(&self, key: &str, low: T, high: T) -> Result<T, SettingsError>
    where
        T: FromStr + PartialOrd + fmt::Display + Copy,
    {
        self.check(key, |text| {
            let inside = text.trim().parse().ok().filter(|value| (low..=high).contains(value));
            inside.ok_or_else(|| format!("is not a whole number from {low} to {high}"))
        })
    }

    fn nonempty(&self, key: &str) -> Result<String, SettingsError> {
        self.check(key, |text| if text.is_empty() { Err("is empty".to_owned()) } else { Ok(text.to_owned()) })
    }

    fn optional<T: From<String>>(&self, key: &str) -> Option<T> {
        Some(self.get(key).0).filter(|text| !text.is_empty()).map(T::from)
    }

    fn stores(&self, environment: CloudVariables) -> Result<StoreAccess, SettingsError> {
        Ok(StoreAccess {
            s3_endpoint: self.check("s3_endpoint", endpoint)?,
            s3_region: self.optional("s3_region"),
            s3_access_key_id: self.optional("s3_access_key_id"),
            s3_secret_access_key: self.optional("s3_secret_access_key"),
            s3_session_token: self.optional("s3_session_token"),
            gcs_service_account_path: self.optional("gcs_service_account_path"),
            azure_account: self.optional("azure_account"),
            azure_key: self.optional("azure_key"),
            environment,
        })
    }

    fn list(&self, key: &str) -> Result<Vec<String>, SettingsError> {
        self.check(key, |text| {
            let items: Vec<String> =
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect();
            if items.is_empty() { Err("is empty".to_owned()) } else { Ok(items) }
        })
    }

    fn url(&self, key: &str, schemes: &[&str]) -> Result<ServiceUrl, SettingsError> {
        self.check(key, |text| {
            let form = || format!("must start with {}://", schemes.join(":// or "));
            let (_, rest) = text.split_once("://").ok_or_else(form)?;
            let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}; {ENCODED}"))?;
            if !schemes.contains(&url.scheme()) {
                return Err(form());
            }
            // What looks like a path would otherwise be shown, and be the rest of a password.
            let (_, after_host) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            if after_host.contains(['@', '#']) {
                return Err(format!("has an @ or a # after its host; {ENCODED}"));
            }
            Ok(ServiceUrl(url))
        })
    }

    /// A URL that names its database: a server's own choice would be another one for each program.
    fn database(&self, key: &str, schemes: &[&str]) -> Result<ServiceUrl, SettingsError> {
        let url = self.url(key, schemes)?;
        if !url.path().is_empty() || url.query("dbname").is_some_and(|name| !name.is_empty()) {
            return Ok(url);
        }
        self.check(key, |_| {
            Err(format!(
                "lacks the database; it should look like {}://HOST:PORT/aura",
                schemes.first().copied().unwrap_or_default()
            ))
        })
    }
}

fn read_file(path: &Path, text: &str, given: &mut BTreeMap<String, Given>) -> Result<(), SettingsError> {
    let invalid = |reason: String| SettingsError::Toml { path: path.to_owned(), reason };
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| invalid(mistake(text, &error)))?;
    for (key, value) in table {
        let origin = format!("{key} in {}", path.display());
        known(&key, &origin)?;
        let value = plain(&value).ok_or_else(|| invalid(format!("{key} is not a plain value or list of them")))?;
        given.insert(key, Given { value, origin });
    }
    Ok(())
}

/// A mistake in TOML and its line, without the line's text: that may hold a password.
fn mistake(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map(|before| before.matches('\n').count() + 1);
    let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
    format!("{place}{}", error.message())
}

fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(items) => Some(items.iter().map(plain).collect::<Option<Vec<_>>>()?.join(",")),
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

fn known(key: &str, origin: &str) -> Result<(), SettingsError> {
    if DEFINITIONS.iter().any(|setting| setting.key == key) {
        return Ok(());
    }
    let nearest = DEFINITIONS.iter().min_by_key(|setting| strsim::damerau_levenshtein(setting.key, key));
    let hint = nearest.map(|setting| format!("; the nearest is {}", setting.key)).unwrap_or_default();
    Err(SettingsError::Unknown { origin: origin.to_owned(), hint })
}

fn namespace(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !text.is_empty() && text.len() <= 64 && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("is not 1 to 64 of A-Z, a-z, 0-9, '_', '-', '.'".to_owned())
    }
}

/// The address of an S3-compatible server: no more than scheme, host, port and path.
fn endpoint(text: &str) -> Result<Option<Secret>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let fault = "is not an address such as https://minio:9000, without user, query and fragment";
    let url = Url::parse(text).map_err(|_| fault.to_owned())?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let is_plain = is_plain && url.fragment().is_none() && url.has_host() && matches!(url.scheme(), "http" | "https");
    if is_plain { Ok(Some(text.trim_end_matches('/').to_owned().into())) } else { Err(fault.to_owned()) }
}

fn or_else(text: &str, otherwise: fn() -> String) -> String {
    if text.is_empty() { otherwise() } else { text.to_owned() }
}

fn actor(text: &str) -> Result<String, String> {
    if text.is_empty() || is_name(text) {
        Ok(or_else(text, system_user))
    } else {
        Err(format!("is not a name of at most {MAX_NAME} characters without control characters"))
    }
}

fn host_and_process() -> String {
    format!("{}-{}", gethostname::gethostname().to_string_lossy(), std::process::id())
}

/// The user whose process this is, by name if the system's list has it.
fn system_user() -> String {
    let Ok(process) = std::fs::metadata("/proc/self") else { return "unknown".to_owned() };
    let uid = process.uid().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id == uid).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid {uid}"))
}

/// Whether Kubernetes set the variable, for a service whose name begins with `aura`.
fn of_kubernetes(rest: &str, value: &str) -> bool {
    let address = value.starts_with("tcp://") || value.starts_with("udp://");
    let of_port = rest.split_once("_PORT_").is_some_and(|(_, tail)| tail.starts_with(|c: char| c.is_ascii_digit()));
    rest.ends_with("_SERVICE_HOST") || rest.contains("_SERVICE_PORT") || of_port || (rest.ends_with("_PORT") && address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn flags_win_over_environment_over_file() {
        let file = || {
            Some((
                PathBuf::from("aura.toml"),
                "concurrency = 2\nnamespace = \"f\"\ninput_roots = [\"a\", \"b\"]".into(),
            ))
        };
        let environment = pairs(&[("AURA_CONCURRENCY", "3"), ("AURA_HTTP_ADDR", "0.0.0.0:0")]);
        let settings = Settings::merge(file(), environment, pairs(&[("concurrency", "4")])).unwrap();
        assert_eq!((settings.concurrency, settings.namespace.as_str()), (4, "f"));
        assert_eq!(settings.input_roots, ["a", "b"]);
        let settings = Settings::merge(file(), pairs(&[("AURA_CONCURRENCY", "3")]), vec![]).unwrap();
        assert_eq!(settings.concurrency, 3);
    }

    #[test]
    fn an_unknown_key_is_refused_wherever_it_stands() {
        let error = Settings::merge(None, pairs(&[("AURA_CONCURENCY", "3")]), vec![]).unwrap_err();
        assert_eq!(error.to_string(), "AURA_CONCURENCY is not a setting; the nearest is concurrency");
        let file = Some((PathBuf::from("aura.toml"), "cache = 1".into()));
        let error = Settings::merge(file, vec![], vec![]).unwrap_err();
        assert_eq!(error.to_string(), "cache in aura.toml is not a setting; the nearest is cache_url");
        let kubernetes = [("AURA_WEB_SERVICE_HOST", "x"), ("AURA_WEB_PORT_80_TCP", "x"), ("AURA_WEB_PORT", "tcp://x")];
        assert!(Settings::merge(None, pairs(&kubernetes), vec![]).is_ok());
        let error = Settings::merge(None, pairs(&[("AURA_HTTP_PORT", "9000")]), vec![]).unwrap_err();
        assert!(matches!(error, SettingsError::Unknown { .. }));
    }

    #[test]
    fn a_password_is_never_shown() {
        let environment =
            pairs(&[("AURA_AMQP_URL", "amqp://u:hidden@h:1/v"), ("AURA_POSTGRES_URL", "mysql://u:hidden@h/d")]);
        let error = Settings::merge(None, environment, vec![]).unwrap_err();
        assert_eq!(error.to_string(), "AURA_POSTGRES_URL must start with postgres:// or postgresql://");
        let settings =
            Settings::merge(None, pairs(&[("AURA_AMQP_URL", "amqp://u:hidden@h:1/v?x=hidden")]), vec![]).unwrap();
        assert!(!format!("{settings:?} {}", settings.amqp_url).contains("hidden"));
        assert_eq!(settings.amqp_url.to_string(), "amqp://h:1/v");
    }

    #[test]
    fn a_url_that_would_show_a_part_of_its_password_is_refused() {
        for text in
            ["amqp://u:12/hidden@h:1/v", "amqp://u:p@1/hidden@h/v", "amqp://u:1#hidden@h", "amqp://u:1?hidden@h"]
        {
            let error = Settings::merge(None, pairs(&[("AURA_AMQP_URL", text)]), vec![]).unwrap_err().to_string();
            assert!(error.contains("write / as %2F") && !error.contains("hidden"), "{error}");
        }
        for text in ["amqp:u:hidden@h", "amqp://u:hid/den@h/v", "hidden", "amqp://u:hidden@h:x/v"] {
            let error = Settings::merge(None, pairs(&[("AURA_AMQP_URL", text)]), vec![]).unwrap_err().to_string();
            assert!(!error.contains("hid"), "{error}");
        }
        let fine = pairs(&[("AURA_AMQP_URL", "amqp://u:a%2Fb%40c@h:1/%2f?heartbeat=5")]);
        assert!(Settings::merge(None, fine, vec![]).is_ok());
    }

    #[test]
    fn a_mistake_in_the_file_is_told_by_its_line_and_without_its_text() {
        for text in ["namespace = 'a'\namqp_url = \"amqp://u:hidden@h\n", "\namqp_url = amqp://u:hidden@h/\n"] {
            let error = Settings::merge(Some((PathBuf::from("aura.toml"), text.to_owned())), vec![], vec![]);
            let error = error.unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(told.contains("line 2: ") && !told.contains("hidden"), "{told}");
        }
    }

    #[test]
    fn what_opens_an_object_store_is_never_shown() {
        let environment = pairs(&[
            ("AURA_S3_ENDPOINT", "http://127.0.0.1:9000/"),
            ("AURA_S3_SECRET_ACCESS_KEY", "hidden"),
            ("AURA_S3_SESSION_TOKEN", "hidden"),
            ("AURA_AZURE_KEY", "hidden"),
            ("AWS_SECRET_ACCESS_KEY", "hidden"),
        ]);
        let settings = Settings::merge(None, environment, vec![]).unwrap();
        assert!(settings.stores.s3_secret_access_key.is_some() && settings.stores.s3_region.is_none());
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hidden") && !shown.contains("9000"), "{shown}");
        for text in ["127.0.0.1:9000", "ftp://host", "http://user:hidden@host", "http://host/?hidden"] {
            let error = Settings::merge(None, pairs(&[("AURA_S3_ENDPOINT", text)]), vec![]).unwrap_err().to_string();
            assert!(error.starts_with("AURA_S3_ENDPOINT is not an address") && !error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn a_url_without_its_database_is_refused() {
        for (name, text) in [
            ("AURA_POSTGRES_URL", "postgres://u:hidden@h:5432"),
            ("AURA_POSTGRES_URL", "postgres://u:hidden@h:5432/?sslmode=require"),
            ("AURA_MONGODB_URL", "mongodb://u:hidden@h:27017"),
            ("AURA_MONGODB_URL", "mongodb://u:hidden@h:27017/?replicaSet=rs0"),
        ] {
            let error = Settings::merge(None, pairs(&[(name, text)]), vec![]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name} lacks the database; it should look like ")), "{error}");
            assert!(error.ends_with("://HOST:PORT/aura") && !error.contains("hidden"), "{error}");
        }
        let named = pairs(&[("AURA_POSTGRES_URL", "postgres:///?host=/run/postgresql&dbname=books")]);
        assert!(Settings::merge(None, named, vec![]).is_ok());
    }

    #[test]
    fn a_value_out_of_range_names_its_origin() {
        let error = Settings::merge(None, pairs(&[("AURA_CONCURRENCY", "0")]), vec![]).unwrap_err();
        assert_eq!(error.to_string(), "AURA_CONCURRENCY is not a whole number from 1 to 256");
    }
}
