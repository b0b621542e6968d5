//! The one list of settings: names, defaults and meanings.

/// One setting: its key in `aura.toml`, its default and what it means.
pub struct Definition {
    /// The key; the variable is `AURA_` and the key in capitals, the flag has dashes.
    pub key: &'static str,
    /// The value if nobody gives one.
    pub default: &'static str,
    /// What it means, in one line.
    pub meaning: &'static str,
}

impl Definition {
    /// The name of its variable.
    pub fn variable(&self) -> String {
        format!("AURA_{}", self.key.to_uppercase())
    }
}

const fn define(key: &'static str, default: &'static str, meaning: &'static str) -> Definition {
    Definition { key, default, meaning }
}

/// Every setting there is.
pub const DEFINITIONS: &[Definition] = &[
    define("amqp_url", "amqp://guest:guest@127.0.0.1:5672/%2f", "RabbitMQ, with user, host, port and virtual host"),
    define("amqp_url_file", "", "file that AURA_AMQP_URL stands in, read again for each use"),
    define("postgres_url", "postgres://127.0.0.1:5432/aura", "PostgreSQL 15 or newer; sslmode=require for TLS"),
    define("postgres_url_file", "", "file that AURA_POSTGRES_URL stands in, read again for each use"),
    define("postgres_max_life_seconds", "1800", "age past which a connection to PostgreSQL is closed between two uses"),
    define("postgres_idle_seconds", "300", "seconds after which an unused connection to PostgreSQL is closed"),
    define("mongodb_url", "mongodb://127.0.0.1:27017/aura", "MongoDB 6 or newer, with the database"),
    define("mongodb_url_file", "", "file that AURA_MONGODB_URL stands in, read again for each use"),
    define(
        "tls_ca_path",
        "",
        "file of the CA, in PEM, that alone is trusted by RabbitMQ's, PostgreSQL's and MongoDB's clients",
    ),
    define("tls_cert_path", "", "file of the certificate, in PEM, that is shown to servers that ask for one"),
    define("tls_key_path", "", "file of its private key, in PEM, without a password"),
    define(
        "input_roots",
        "data/input",
        "comma-separated folders, and prefixes such as s3://bucket/in, from which files may be read",
    ),
    define("cache_url", "data/processed", "folder of the Parquet cache, or a prefix such as s3://bucket/cache"),
    define("s3_endpoint", "", "address of an S3-compatible server, such as https://minio:9000; otherwise Amazon's own"),
    define("s3_region", "", "region of the s3:// buckets; otherwise AWS_REGION"),
    define("s3_access_key_id", "", "name of the access key for s3://; otherwise what the AWS_ variables say"),
    define("s3_access_key_id_file", "", "file that AURA_S3_ACCESS_KEY_ID stands in, read again for each use"),
    define("s3_secret_access_key", "", "the access key for s3://; secret, so better not given as a flag"),
    define("s3_secret_access_key_file", "", "file that AURA_S3_SECRET_ACCESS_KEY stands in, read again for each use"),
    define("s3_session_token", "", "what a temporary access key for s3:// comes with; secret"),
    define("s3_session_token_file", "", "file that AURA_S3_SESSION_TOKEN stands in, read again for each use"),
    define(
        "gcs_service_account_path",
        "",
        "file of the service account for gs://; otherwise what GOOGLE_ variables say",
    ),
    define("azure_account", "", "storage account for az://; otherwise what the AZURE_ variables say"),
    define("azure_key", "", "access key of the storage account for az://; secret"),
    define("azure_key_file", "", "file that AURA_AZURE_KEY stands in, read again for each use"),
    define("sources_dir", "deploy/sources", "folder of the mapping profiles"),
    define(
        "publishers_path",
        "",
        "file that says which RabbitMQ user may have what loaded; without it, whoever may publish may have everything loaded",
    ),
    define("log_dir", "logs", "folder of aura.log, rotated daily; - for no file, where stdout is enough"),
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
    define(
        "openlineage_url",
        "",
        "address that OpenLineage events are posted to; otherwise what OPENLINEAGE_ variables say",
    ),
    define("openlineage_api_key", "", "sent with them as a bearer token; otherwise OPENLINEAGE_API_KEY; secret"),
    define("openlineage_api_key_file", "", "file that AURA_OPENLINEAGE_API_KEY stands in, read again for each use"),
    define("openlineage_path", "", "file that OpenLineage events are appended to, one a line"),
    define("console_addr", "127.0.0.1:9465", "address of the console; port 0 takes a free one"),
    define("console_users_path", "", "file that says who may do what in the console; without it, it only reads"),
    define(
        "console_user_header",
        "",
        "header in which a reverse proxy says who asks; without it, people sign in with tokens",
    ),
    define("console_proxy_secret", "", "what that proxy sends as X-Aura-Proxy-Secret; secret"),
    define("console_proxy_secret_file", "", "file that AURA_CONSOLE_PROXY_SECRET stands in, read again for each use"),
    define(
        "console_session_seconds",
        "1800",
        "seconds after which somebody who does nothing in the console is signed out",
    ),
    define("console_assets", ".local/assets", "folder of the console's scripts, which deploy/assets fetches"),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// A default as README writes it: a literal, a size, or in words what stands in for one.
    fn is_default(text: &str, default: &str) -> bool {
        let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
        let size = match (number.parse::<u64>(), unit) {
            (Ok(number), "MiB") => Some(number << 20),
            (Ok(number), "GiB") => Some(number << 30),
            _ => None,
        };
        default.is_empty() || text == format!("`{default}`") || size.is_some_and(|size| default == size.to_string())
    }

    #[test]
    fn the_readme_has_every_setting_once_with_its_default() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let (mut names, mut wrong) = (Vec::new(), Vec::new());
        for row in readme.lines().filter(|line| line.starts_with("| `AURA_")) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let variables: Vec<&str> = cells[1].split(", ").map(|name| name.trim_matches('`')).collect();
            let one_each = cells[2].split(", ").count() == variables.len();
            let defaults = cells[2].split(", ").filter(|_| one_each).chain(std::iter::repeat(cells[2]));
            for (variable, text) in variables.iter().zip(defaults) {
                let setting = DEFINITIONS.iter().find(|setting| setting.variable() == *variable);
                if !setting.is_some_and(|setting| is_default(text, setting.default)) {
                    wrong.push(format!("{variable}: {text}"));
                }
            }
            names.extend(variables.into_iter().map(str::to_owned));
        }
        let expected: Vec<String> = DEFINITIONS.iter().map(Definition::variable).collect();
        assert_eq!(names, expected);
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
