//! Where blocks are stored: a local directory or an S3-compatible bucket, configured as Thanos configures it.
//!
//! Source of the keys: Thanos `docs/storage.md`. What this program does not do is refused by name, so that a file taken
//! over from a Thanos fleet either works as written or says why not.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::BlockError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest a single request may take, the upload of a large block included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
/// The longest silence while a body is read.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Retries of one request within the S3 client, and the time they may take together.
const REQUEST_RETRIES_MAX: usize = 3;
const REQUEST_RETRY_TIME_MAX: Duration = Duration::from_secs(30);

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectStoreConfig {
    /// A directory; it is made when it does not exist.
    Local {
        /// Its path.
        dir: PathBuf,
    },
    /// An S3-compatible bucket.
    S3(S3Config),
}

/// An S3-compatible bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Config {
    /// The bucket's name.
    pub bucket: String,
    /// `host` or `host:port`, without scheme.
    pub endpoint: String,
    /// The region; `us-east-1` when none is given.
    pub region: Option<String>,
    /// Plain HTTP instead of HTTPS.
    pub insecure: bool,
    /// `bucket.host` instead of `host/bucket`.
    pub virtual_hosted: bool,
    /// Before all keys; may be empty.
    pub prefix: String,
    /// Who asks.
    pub credentials: Credentials,
}

/// Where the credentials of a bucket come from.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// From the configuration.
    Static {
        /// The access key's id.
        access_key: String,
        /// The secret key.
        secret_key: String,
        /// Given with temporary credentials.
        session_token: Option<String>,
    },
    /// From where AWS's own programs look: environment variables, the web identity of a pod, the machine's role.
    Environment,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Static { access_key, .. } => write!(f, "Static {{ access_key: {access_key:?}, .. }}"),
            Self::Environment => f.write_str("Environment"),
        }
    }
}

#[derive(Deserialize)]
struct RawType {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw<T> {
    #[serde(rename = "type")]
    _kind: String,
    config: T,
    #[serde(default)]
    prefix: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFilesystem {
    directory: String,
}

/// Thanos's keys. Those that only tune Thanos's client are read and have no effect.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawS3 {
    bucket: String,
    endpoint: String,
    #[serde(default)]
    region: String,
    #[serde(default)]
    access_key: String,
    #[serde(default)]
    secret_key: String,
    #[serde(default)]
    session_token: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    bucket_lookup_type: String,
    #[serde(default)]
    signature_version2: bool,
    #[serde(default, rename = "aws_sdk_auth")]
    _aws_sdk_auth: Option<IgnoredAny>,
    #[serde(default, rename = "part_size")]
    _part_size: Option<IgnoredAny>,
    #[serde(default, rename = "list_objects_version")]
    _list_objects_version: Option<IgnoredAny>,
    #[serde(default, rename = "send_content_md5")]
    _send_content_md5: Option<IgnoredAny>,
    #[serde(default, rename = "disable_multipart")]
    _disable_multipart: Option<IgnoredAny>,
    #[serde(default, rename = "disable_dualstack")]
    _disable_dualstack: Option<IgnoredAny>,
    #[serde(default, rename = "max_retries")]
    _max_retries: Option<IgnoredAny>,
    #[serde(default, rename = "trace")]
    _trace: Option<IgnoredAny>,
    http_config: Option<IgnoredAny>,
    sse_config: Option<IgnoredAny>,
    sts_endpoint: Option<IgnoredAny>,
    put_user_metadata: Option<IgnoredAny>,
}

fn fault(reason: impl Into<String>) -> BlockError {
    BlockError::Config { reason: reason.into() }
}

fn read_yaml<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, BlockError> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|e| fault(e.to_string()))
}

impl ObjectStoreConfig {
    /// Reads Thanos's `type` / `config` / `prefix` file; types `S3` and `FILESYSTEM`.
    ///
    /// Without `access_key` and `secret_key` the credentials are [`Credentials::Environment`].
    ///
    /// # Errors
    /// [`BlockError::Config`] that names the key, for unknown keys, missing keys and what is not supported.
    pub fn from_thanos_yaml(text: &str) -> Result<Self, BlockError> {
        let RawType { kind } = read_yaml(text)?;
        match kind.to_ascii_uppercase().as_str() {
            "FILESYSTEM" => {
                let raw: Raw<RawFilesystem> = read_yaml(text)?;
                if raw.config.directory.is_empty() {
                    return Err(fault("config.directory is empty"));
                }
                Ok(Self::Local {
                    dir: PathBuf::from(raw.config.directory).join(raw.prefix.trim_matches('/')),
                })
            }
            "S3" => {
                let raw: Raw<RawS3> = read_yaml(text)?;
                raw.config.into_config(raw.prefix).map(Self::S3)
            }
            _ => Err(fault(format!("type {kind:?} is not supported, expected S3 or FILESYSTEM"))),
        }
    }
}

impl RawS3 {
    fn into_config(self, prefix: String) -> Result<S3Config, BlockError> {
        let unsupported = [
            ("signature_version2", self.signature_version2),
            ("http_config", self.http_config.is_some()),
            ("sse_config", self.sse_config.is_some()),
            ("sts_endpoint", self.sts_endpoint.is_some()),
            ("put_user_metadata", self.put_user_metadata.is_some()),
        ];
        if let Some((key, _)) = unsupported.iter().find(|(_, is_set)| *is_set) {
            return Err(fault(format!("config.{key} is not supported")));
        }
        for (key, value) in [("bucket", &self.bucket), ("endpoint", &self.endpoint)] {
            if value.is_empty() {
                return Err(fault(format!("config.{key} is empty")));
            }
        }
        if self.endpoint.contains("://") {
            return Err(fault(format!(
                "config.endpoint {:?} has a scheme, expected host or host:port",
                self.endpoint
            )));
        }
        let virtual_hosted = match self.bucket_lookup_type.as_str() {
            "" | "auto" | "path" => false,
            "virtual-hosted" => true,
            other => {
                let expected = "expected auto, path or virtual-hosted";
                return Err(fault(format!("config.bucket_lookup_type is {other:?}, {expected}")));
            }
        };
        let credentials = match (self.access_key.is_empty(), self.secret_key.is_empty()) {
            (true, true) => Credentials::Environment,
            (false, false) => Credentials::Static {
                access_key: self.access_key,
                secret_key: self.secret_key,
                session_token: Some(self.session_token).filter(|token| !token.is_empty()),
            },
            _ => return Err(fault("config.access_key and config.secret_key must be given together")),
        };
        Ok(S3Config {
            bucket: self.bucket,
            endpoint: self.endpoint,
            region: Some(self.region).filter(|region| !region.is_empty()),
            insecure: self.insecure,
            virtual_hosted,
            prefix: prefix.trim_matches('/').to_owned(),
            credentials,
        })
    }
}

/// Opens a store. A local directory is made when it does not exist; a bucket is not contacted.
///
/// With [`Credentials::Environment`] this reads the environment variables that AWS's programs read.
///
/// # Errors
/// [`BlockError::Config`] when the directory cannot be made or the client cannot be set up.
pub fn open_store(config: &ObjectStoreConfig) -> Result<Arc<dyn ObjectStore>, BlockError> {
    match config {
        ObjectStoreConfig::Local { dir } => {
            let failed = |e: &dyn std::fmt::Display| fault(format!("directory {}: {e}", dir.display()));
            std::fs::create_dir_all(dir).map_err(|e| failed(&e))?;
            let store = LocalFileSystem::new_with_prefix(dir).map_err(|e| failed(&e))?;
            // Once a block is published its head forgets the samples: they must be on the disk by then.
            Ok(Arc::new(store.with_fsync(true)))
        }
        ObjectStoreConfig::S3(s3) => {
            let store = s3_builder(s3).build().map_err(|e| fault(format!("bucket {:?}: {e}", s3.bucket)))?;
            if s3.prefix.is_empty() {
                Ok(Arc::new(store))
            } else {
                Ok(Arc::new(PrefixStore::new(store, s3.prefix.as_str())))
            }
        }
    }
}

fn s3_builder(s3: &S3Config) -> AmazonS3Builder {
    let scheme = if s3.insecure { "http" } else { "https" };
    let host = if s3.virtual_hosted { format!("{}.{}", s3.bucket, s3.endpoint) } else { s3.endpoint.clone() };
    let client = ClientOptions::new()
        .with_allow_http(s3.insecure)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(READ_TIMEOUT)
        .with_timeout(REQUEST_TIMEOUT);
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: REQUEST_RETRIES_MAX,
        retry_timeout: REQUEST_RETRY_TIME_MAX,
    };
    let builder = match &s3.credentials {
        Credentials::Environment => AmazonS3Builder::from_env(),
        Credentials::Static { access_key, secret_key, session_token } => {
            let builder =
                AmazonS3Builder::new().with_access_key_id(access_key).with_secret_access_key(secret_key);
            match session_token {
                Some(token) => builder.with_token(token),
                None => builder,
            }
        }
    };
    let builder = match &s3.region {
        Some(region) => builder.with_region(region),
        None => builder,
    };
    builder
        .with_bucket_name(&s3.bucket)
        .with_endpoint(format!("{scheme}://{host}"))
        .with_virtual_hosted_style_request(s3.virtual_hosted)
        .with_client_options(client)
        .with_retry(retry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_thanos_file() {
        let text = "type: S3\nconfig:\n  bucket: blocks\n  endpoint: minio:9000\n  insecure: true\n  access_key: a\n  \
                    secret_key: b\n  part_size: 0\nprefix: /norn/\n";
        let expected = S3Config {
            bucket: "blocks".into(),
            endpoint: "minio:9000".into(),
            region: None,
            insecure: true,
            virtual_hosted: false,
            prefix: "norn".into(),
            credentials: Credentials::Static {
                access_key: "a".into(),
                secret_key: "b".into(),
                session_token: None,
            },
        };
        assert_eq!(
            ObjectStoreConfig::from_thanos_yaml(text).expect("valid"),
            ObjectStoreConfig::S3(expected)
        );
        let text = "type: FILESYSTEM\nconfig:\n  directory: /data\n";
        let expected = ObjectStoreConfig::Local { dir: "/data".into() };
        assert_eq!(ObjectStoreConfig::from_thanos_yaml(text).expect("valid"), expected);
    }

    #[test]
    fn credentials_come_from_the_environment_when_the_file_has_none() {
        let text = "type: S3\nconfig: {bucket: b, endpoint: s3.eu-west-1.amazonaws.com, region: eu-west-1}\n";
        let ObjectStoreConfig::S3(s3) = ObjectStoreConfig::from_thanos_yaml(text).expect("valid") else {
            panic!("type S3");
        };
        assert_eq!(s3.credentials, Credentials::Environment);
        assert_eq!(s3.region.as_deref(), Some("eu-west-1"));
    }

    #[test]
    fn faults_name_the_key() {
        let s3 = |keys: &str| format!("type: S3\nconfig: {{bucket: b, endpoint: e, {keys}}}\n");
        for (text, word) in [
            ("type: GCS\nconfig: {}\n".to_owned(), "GCS"),
            ("config: {}\n".to_owned(), "type"),
            ("type: S3\nconfig: {bucket: b}\n".to_owned(), "endpoint"),
            ("type: S3\nconfig: {bucket: '', endpoint: e}\n".to_owned(), "bucket"),
            (s3("bukket: x"), "bukket"),
            (s3("access_key: x"), "secret_key"),
            (s3("sse_config: {type: SSE-S3}"), "sse_config"),
            (s3("bucket_lookup_type: dns"), "bucket_lookup_type"),
            ("type: S3\nconfig: {bucket: b, endpoint: 'http://e'}\n".to_owned(), "endpoint"),
            ("type: FILESYSTEM\nconfig: {directory: /x}\nprefx: y\n".to_owned(), "prefx"),
            ("type: [\n".to_owned(), "line"),
        ] {
            let error = ObjectStoreConfig::from_thanos_yaml(&text).expect_err(&text);
            assert!(matches!(error, BlockError::Config { .. }), "{error:?}");
            assert!(error.to_string().contains(word), "{error} should name {word}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let credentials =
            Credentials::Static { access_key: "id".into(), secret_key: "hidden".into(), session_token: None };
        assert!(!format!("{credentials:?}").contains("hidden"));
    }
}
