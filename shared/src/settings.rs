//! The settings: flags over environment over `aura.toml` over defaults; unknown keys are refused.

mod command_line;
mod console;
mod definitions;
mod lineage;
mod service_url;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use url::Url;

use self::service_url::Form;
pub use self::{
    command_line::{from_flags, read_command_line, with_settings},
    console::ConsoleSettings,
    definitions::{DEFINITIONS, Definition},
    lineage::LineageSettings,
    service_url::ServiceUrl,
};
use crate::{
    amount::Amount,
    file::{dialect::FileLimits, records::RecordLimits, unpack::Expansion, workbook::WorkbookLimits},
    message::published_by::{MAX_NAME, is_name},
    secret::{Secret, SecretFile},
    stores::{
        object_store::access::{CloudVariables, StoreAccess},
        postgres::lifetime::Lifetime,
    },
    telemetry::chain,
    tls::Tls,
};

/// The file that is read if it is there and `AURA_CONFIG` names no other.
const DEFAULT_FILE: &str = "aura.toml";
/// Prefixes of variables that belong to the scripts around Aura or, the services, to Kubernetes.
const FOREIGN: [&str; 6] = ["LOCAL_", "TEST_", "DEMO_", "BENCH_", "CHAOS_", "COMPOSE_"];
/// What the name of a setting ends in that names a file with the value of another.
const FILE: &str = "_file";
/// The folder of the log where no file is wanted: a container's lines are kept by whoever runs it.
const NO_LOG_FILE: &str = "-";

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
    /// Certificates or keys cannot be used.
    #[error("{0}")]
    Tls(String),
    /// The file is not a TOML table of plain values.
    #[error("{path} is not a valid settings file: {reason}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
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
    /// The folder of the log, unless the console is enough.
    pub log_dir: Option<PathBuf>,
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
    /// Where events of OpenLineage go.
    pub lineage: LineageSettings,
    /// The console in the browser.
    pub console: ConsoleSettings,
}

struct Given {
    value: String,
    origin: String,
}

impl From<&Settings> for FileLimits {
    fn from(settings: &Settings) -> Self {
        Self {
            record: RecordLimits { bytes: settings.max_record_bytes, fields: settings.max_columns },
            expansion: Expansion { bytes: settings.max_expanded_bytes, ratio: settings.max_expansion_ratio },
            workbook: WorkbookLimits {
                bytes: settings.max_workbook_bytes,
                unpacked: settings.max_workbook_unpacked_bytes,
            },
        }
    }
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
        for (name, value) in environment.iter().cloned() {
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
        let reader = Values::new(given)?;
        let tls = reader.tls()?;
        Ok(Self {
            amqp_url: reader.url("amqp_url", Form { schemes: &["amqp", "amqps"], is_of_database: false }, &tls)?,
            postgres_url: reader.url("postgres_url", database(&["postgres", "postgresql"]), &tls)?,
            postgres_lifetime: Lifetime {
                max_life: Duration::from_secs(reader.in_range("postgres_max_life_seconds", 1, 86_400)?),
                max_idle: Duration::from_secs(reader.in_range("postgres_idle_seconds", 1, 86_400)?),
            },
            mongodb_url: reader.url("mongodb_url", database(&["mongodb", "mongodb+srv"]), &tls)?,
            input_roots: reader.list("input_roots")?,
            cache_url: reader.nonempty("cache_url")?,
            stores: reader.stores(clouds, &tls)?,
            sources_dir: reader.nonempty("sources_dir")?.into(),
            publishers_path: reader.optional::<String>("publishers_path").map(PathBuf::from),
            log_dir: Some(reader.nonempty("log_dir")?).filter(|folder| folder != NO_LOG_FILE).map(PathBuf::from),
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
            lineage: LineageSettings::read(&reader, &environment)?,
            console: ConsoleSettings::read(&reader)?,
        })
    }
}

/// What was given, the values of files read.
struct Values {
    given: BTreeMap<String, Given>,
    /// The files that values stand in, by the values' keys.
    files: BTreeMap<&'static str, SecretFile>,
}

impl Values {
    fn new(mut given: BTreeMap<String, Given>) -> Result<Self, SettingsError> {
        let mut files = BTreeMap::new();
        for key in DEFINITIONS.iter().filter_map(|setting| setting.key.strip_suffix(FILE)) {
            let Some(named) = given.remove(&format!("{key}{FILE}")).filter(|named| !named.value.is_empty()) else {
                continue;
            };
            let origin = named.origin;
            if let Some(other) = given.get(key).filter(|other| !other.value.is_empty()) {
                let reason = format!("and {} are both given; give one of them", other.origin);
                return Err(SettingsError::Invalid { origin, reason });
            }
            let file = SecretFile { origin: origin.clone(), path: named.value.into() };
            let value = file.read().map_err(|reason| SettingsError::Invalid { origin: origin.clone(), reason })?;
            given.insert(key.to_owned(), Given { value, origin: format!("what {origin} names") });
            files.insert(key, file);
        }
        Ok(Self { given, files })
    }

    fn get(&self, key: &str) -> (String, String) {
        match self.given.get(key) {
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

    /// A secret, which may stand in a file.
    fn secret(&self, key: &str) -> Option<Secret> {
        let value: String = self.optional(key)?;
        Some(match self.files.get(key) {
            Some(file) => Secret::of_file(value, file.clone()),
            None => value.into(),
        })
    }

    fn tls(&self) -> Result<Tls, SettingsError> {
        let path = |key| self.optional::<String>(key).map(PathBuf::from);
        let made = Tls::new(path("tls_ca_path"), path("tls_cert_path"), path("tls_key_path"));
        made.map_err(|error| SettingsError::Tls(chain(&error)))
    }

    fn stores(&self, environment: CloudVariables, tls: &Tls) -> Result<StoreAccess, SettingsError> {
        Ok(StoreAccess {
            s3_endpoint: self.check("s3_endpoint", endpoint)?,
            s3_region: self.optional("s3_region"),
            s3_access_key_id: self.secret("s3_access_key_id"),
            s3_secret_access_key: self.secret("s3_secret_access_key"),
            s3_session_token: self.secret("s3_session_token"),
            gcs_service_account_path: self.optional("gcs_service_account_path"),
            azure_account: self.optional("azure_account"),
            azure_key: self.secret("azure_key"),
            environment,
            tls: tls.clone(),
        })
    }

    fn list(&self, key: &str) -> Result<Vec<String>, SettingsError> {
        self.check(key, |text| {
            let items: Vec<String> =
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect();
            if items.is_empty() { Err("is empty".to_owned()) } else { Ok(items) }
        })
    }

    fn url(&self, key: &str, form: Form, tls: &Tls) -> Result<ServiceUrl, SettingsError> {
        self.check(key, |text| {
            let address = form.read(text)?;
            Ok(ServiceUrl { address, form, file: self.files.get(key).cloned(), tls: tls.clone() })
        })
    }
}

/// A URL that names its database.
fn database(schemes: &'static [&'static str]) -> Form {
    Form { schemes, is_of_database: true }
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
mod tests;
