//! How object stores are reached: endpoints and credentials, from settings and nowhere else.

use std::{fmt, sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    client::{HttpClient, HttpConnector, ReqwestConnector},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
};

use super::{
    credentials::{AzureKey, S3Key},
    object_url::{Kind, ObjectUrl},
};
use crate::{secret::Secret, tls::Tls};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a store may say nothing: a transfer that goes on, however slowly, has no other limit.
const STALLED: Duration = Duration::from_secs(15);
/// How often, and until when, one request is tried again within an attempt.
const RETRIES: usize = 3;
const RETRY_TIMEOUT: Duration = Duration::from_secs(5);
/// The clouds' own variables, by their beginnings.
const CLOUDS: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// Endpoints and credentials. What is none here is taken from the clouds' own variables.
#[derive(Debug, Clone, Default)]
pub struct StoreAccess {
    /// The address of an S3-compatible server; none for Amazon's own.
    pub s3_endpoint: Option<Secret>,
    /// The region of the buckets.
    pub s3_region: Option<String>,
    /// The access key's name.
    pub s3_access_key_id: Option<Secret>,
    /// The access key.
    pub s3_secret_access_key: Option<Secret>,
    /// What a temporary access key comes with.
    pub s3_session_token: Option<Secret>,
    /// The file of a Google service account.
    pub gcs_service_account_path: Option<String>,
    /// The Azure storage account.
    pub azure_account: Option<String>,
    /// Its access key.
    pub azure_key: Option<Secret>,
    /// The clouds' own variables, as the environment has them.
    pub environment: CloudVariables,
    /// The certificates that are trusted and shown.
    pub tls: Tls,
}

/// Variables such as `AWS_REGION`, whose values may be secret.
#[derive(Clone, Default)]
pub struct CloudVariables(Vec<(String, String)>);

impl CloudVariables {
    /// Those of an environment.
    pub fn of(environment: &[(String, String)]) -> Self {
        let of_a_cloud = |name: &str| CLOUDS.iter().any(|prefix| name.starts_with(prefix));
        Self(environment.iter().filter(|(name, _)| of_a_cloud(name)).cloned().collect())
    }

    /// Those of one cloud, with the names that its library reads.
    fn named(&self, prefix: &'static str) -> impl Iterator<Item = (String, &str)> {
        let own = self.0.iter().filter(move |(name, _)| name.starts_with(prefix));
        own.map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
    }
}

impl fmt::Debug for CloudVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl StoreAccess {
    /// A client for a bucket.
    ///
    /// # Errors
    /// If what the settings hold does not suffice or fit.
    pub(super) fn client(&self, url: &ObjectUrl) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
        Ok(match url.kind() {
            Kind::S3 => Arc::new(self.s3(url.bucket()).build()?),
            Kind::Gcs => Arc::new(self.gcs(url.bucket()).build()?),
            Kind::Azure => Arc::new(self.azure(url.bucket()).build()?),
        })
    }

    fn s3(&self, bucket: &str) -> AmazonS3Builder {
        // Amazon itself serves a bucket under a name of its own, which a dot in it would hide from TLS.
        let mut builder = AmazonS3Builder::new()
            .with_client_options(options())
            .with_http_connector(WithCertificates(self.tls.clone()))
            .with_retry(retries())
            .with_virtual_hosted_style_request(!bucket.contains('.'));
        let is_ours = self.s3_access_key_id.is_some() || self.s3_secret_access_key.is_some();
        for (name, value) in self.environment.named("AWS_") {
            let Ok(key) = name.parse() else { continue };
            // A key of one's own does not go with somebody else's token.
            let of_a_key =
                [AmazonS3ConfigKey::AccessKeyId, AmazonS3ConfigKey::SecretAccessKey, AmazonS3ConfigKey::Token];
            if !(is_ours && of_a_key.contains(&key)) {
                builder = builder.with_config(key, value);
            }
        }
        let given = [
            (AmazonS3ConfigKey::Endpoint, self.s3_endpoint.as_ref().map(Secret::expose)),
            (AmazonS3ConfigKey::Region, self.s3_region.as_deref()),
            (AmazonS3ConfigKey::AccessKeyId, self.s3_access_key_id.as_ref().map(Secret::expose)),
            (AmazonS3ConfigKey::SecretAccessKey, self.s3_secret_access_key.as_ref().map(Secret::expose)),
            (AmazonS3ConfigKey::Token, self.s3_session_token.as_ref().map(Secret::expose)),
        ];
        for (key, value) in given {
            if let Some(value) = value {
                builder = builder.with_config(key, value);
            }
        }
        if let Some(endpoint) = builder.get_config_value(&AmazonS3ConfigKey::Endpoint) {
            builder = builder.with_virtual_hosted_style_request(false);
            if endpoint.starts_with("http://") {
                builder = builder.with_allow_http(true);
            }
        }
        let keys = [&self.s3_access_key_id, &self.s3_secret_access_key, &self.s3_session_token];
        if let (Some(id), Some(key)) = (&self.s3_access_key_id, &self.s3_secret_access_key)
            && keys.iter().any(|key| key.as_ref().is_some_and(Secret::is_in_file))
        {
            let token = self.s3_session_token.clone();
            builder = builder.with_credentials(Arc::new(S3Key { id: id.clone(), key: key.clone(), token }));
        }
        builder.with_bucket_name(bucket)
    }

    fn gcs(&self, bucket: &str) -> GoogleCloudStorageBuilder {
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_client_options(options())
            .with_http_connector(WithCertificates(self.tls.clone()))
            .with_retry(retries());
        for (name, value) in self.environment.named("GOOGLE_") {
            let Ok(key) = name.parse::<GoogleConfigKey>() else { continue };
            let of_an_account = matches!(
                key,
                GoogleConfigKey::ServiceAccount
                    | GoogleConfigKey::ServiceAccountKey
                    | GoogleConfigKey::ApplicationCredentials
            );
            if !(self.gcs_service_account_path.is_some() && of_an_account) {
                builder = builder.with_config(key, value);
            }
        }
        if let Some(path) = &self.gcs_service_account_path {
            builder = builder.with_service_account_path(path);
        }
        builder.with_bucket_name(bucket)
    }

    fn azure(&self, container: &str) -> MicrosoftAzureBuilder {
        let mut builder = MicrosoftAzureBuilder::new()
            .with_client_options(options())
            .with_http_connector(WithCertificates(self.tls.clone()))
            .with_retry(retries());
        for (name, value) in self.environment.named("AZURE_") {
            if let Ok(key) = name.parse::<AzureConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        if let Some(account) = &self.azure_account {
            builder = builder.with_account(account);
        }
        if let Some(key) = &self.azure_key {
            builder = builder.with_access_key(key.expose());
            if key.is_in_file() {
                builder = builder.with_credentials(Arc::new(AzureKey(key.clone())));
            }
        }
        builder.with_container_name(container)
    }
}

fn options() -> ClientOptions {
    ClientOptions::new().with_timeout_disabled().with_connect_timeout(CONNECT_TIMEOUT).with_read_timeout(STALLED)
}

/// Makes the library's HTTP client, which knows no certificate to show, with those of the settings.
#[derive(Debug)]
struct WithCertificates(Tls);

impl HttpConnector for WithCertificates {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient, object_store::Error> {
        if !self.0.is_given() {
            return ReqwestConnector::default().connect(options);
        }
        let generic = |source| object_store::Error::Generic { store: "HTTP client", source };
        let tls = self.0.for_store().map_err(|error| generic(Box::new(error)))?;
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(STALLED)
            .https_only(options.get_config_value(&ClientConfigKey::AllowHttp).as_deref() != Some("true"))
            .tls_backend_preconfigured(tls)
            .build();
        Ok(HttpClient::new(client.map_err(|error| generic(Box::new(error)))?))
    }
}

fn retries() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(1),
        ..BackoffConfig::default()
    };
    RetryConfig { backoff, max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> CloudVariables {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        CloudVariables::of(&pairs)
    }

    fn secret(text: &str) -> Option<Secret> {
        Some(text.to_owned().into())
    }

    #[test]
    fn own_settings_win_over_the_clouds_variables() {
        let environment = variables(&[
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "theirs"),
            ("AWS_SECRET_ACCESS_KEY", "theirs"),
            ("AWS_SESSION_TOKEN", "theirs"),
            ("PATH", "/bin"),
        ]);
        let access = StoreAccess { environment: environment.clone(), ..StoreAccess::default() };
        let value = |access: &StoreAccess, key| access.s3("b").get_config_value(&key);
        assert_eq!(value(&access, AmazonS3ConfigKey::Region).as_deref(), Some("eu-central-1"));
        assert_eq!(value(&access, AmazonS3ConfigKey::Token).as_deref(), Some("theirs"));
        let access = StoreAccess {
            s3_access_key_id: secret("ours"),
            s3_secret_access_key: secret("ours"),
            environment,
            ..StoreAccess::default()
        };
        assert_eq!(value(&access, AmazonS3ConfigKey::AccessKeyId).as_deref(), Some("ours"));
        assert_eq!(value(&access, AmazonS3ConfigKey::Token), None, "a token goes with its own key only");
        assert_eq!(value(&access, AmazonS3ConfigKey::Region).as_deref(), Some("eu-central-1"));
    }

    #[test]
    fn a_server_of_ones_own_is_asked_by_path_and_amazon_by_name() {
        let styled = |access: &StoreAccess, bucket: &str| {
            access.s3(bucket).get_config_value(&AmazonS3ConfigKey::VirtualHostedStyleRequest).unwrap()
        };
        let amazon = StoreAccess::default();
        assert_eq!((styled(&amazon, "b"), styled(&amazon, "b.c")), ("true".to_owned(), "false".to_owned()));
        let own = StoreAccess { s3_endpoint: secret("http://127.0.0.1:9000"), ..StoreAccess::default() };
        assert_eq!(styled(&own, "b"), "false");
        let environment = variables(&[("AWS_ENDPOINT_URL", "https://s3.example.org")]);
        assert_eq!(styled(&StoreAccess { environment, ..StoreAccess::default() }, "b"), "false");
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        let access = StoreAccess {
            s3_secret_access_key: secret("hidden"),
            s3_session_token: secret("hidden"),
            azure_key: secret("hidden"),
            environment: variables(&[("AWS_SECRET_ACCESS_KEY", "hidden")]),
            ..StoreAccess::default()
        };
        assert!(!format!("{access:?}").contains("hidden"));
    }
}
