//! An S3 bucket that keeps what it is given.
//!
//! Objects of a run: `<prefix>/<tenant>/<run>/<file>`, of a replay `<run>-g<generation>`. `export.json` comes last: where it is, the rest
//! is. Nothing is written over: an object that is there already is compared with what it should be, and left.

mod error;
mod removal;
mod upload;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, ProvideCredentials, Region, SharedCredentialsProvider};
use aws_smithy_http_client::HttpClientError;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use export_blobs::AccessKeySource;
use export_contract::Timestamp;
use export_contract::message::{Artefact, Distribution};
use export_contract::profile::{DistributionKind, ObjectLock};
use export_contract::run::RunRef;
use export_pipeline::Cancelled;

use self::upload::Upload;
use crate::delivery::{BUNDLE, Delivery};
use crate::error::TargetError;
use crate::port::{Removal, Target};

/// The file whose arrival makes a hand-over whole.
const LAST: &str = "export.json";
/// A server that sends nothing for so long is given up.
const SILENCE: Duration = Duration::from_mins(1);
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Where the access key comes from. Printed nowhere.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds a secret")]
pub enum ObjectCredentials {
    /// An access key id and its secret.
    Key {
        /// Id.
        id: String,
        /// Secret.
        secret: String,
    },
    /// What somebody else keeps, and changes.
    Source(Arc<dyn AccessKeySource>),
    /// What the machine has: environment, web identity, role.
    Machine(SharedCredentialsProvider),
}

/// The keys of a source as the client asks for them: again when they end.
#[derive(Debug)]
struct Kept(Arc<dyn AccessKeySource>);

impl ProvideCredentials for Kept {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let key = self.0.access_key().await.map_err(CredentialsError::provider_error)?;
            Ok(Credentials::new(key.id, key.secret, key.session_token, key.expires_at, "authority"))
        })
    }
}

/// How the storage encrypts, on its side, what it is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ServerSideEncryption {
    /// As the bucket says.
    #[default]
    Bucket,
    /// With keys of the storage's own (`AES256`).
    Aes256,
    /// With a key at KMS, or the storage's default one there.
    Kms(Option<String>),
}

/// Where the bucket is.
#[derive(Clone)]
pub struct ObjectSettings {
    /// Address of the server; empty means Amazon's.
    pub endpoint: String,
    /// Bucket.
    pub bucket: String,
    /// Region; empty means `us-east-1`.
    pub region: String,
    /// Prefix of every key; empty means none.
    pub prefix: String,
    /// Access key.
    pub credentials: ObjectCredentials,
    /// Certificates (PEM) that the server's own must come from; `None` means those that the system trusts.
    pub ca_pem: Option<Vec<u8>>,
    /// Encryption at the storage.
    pub encryption: ServerSideEncryption,
}

impl fmt::Debug for ObjectSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectSettings")
            .field("endpoint", &self.endpoint)
            .field("bucket", &self.bucket)
            .field("region", &self.region)
            .field("prefix", &self.prefix)
            .field("encryption", &self.encryption)
            .finish_non_exhaustive()
    }
}

/// Hands over to a bucket.
#[derive(Clone, Debug)]
pub struct ObjectTarget {
    client: Client,
    bucket: String,
    prefix: String,
    encryption: ServerSideEncryption,
}

impl ObjectTarget {
    /// The target that `settings` name. Connects at the first call.
    ///
    /// # Errors
    /// When the certificates cannot be used.
    pub fn new(settings: &ObjectSettings) -> Result<Self, HttpClientError> {
        let region = if settings.region.is_empty() { "us-east-1" } else { &settings.region };
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).read_timeout(SILENCE).build();
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .retry_config(RetryConfig::standard())
            .timeout_config(timeouts);
        config = match &settings.credentials {
            ObjectCredentials::Key { id, secret } => {
                config.credentials_provider(Credentials::new(id, secret, None, None, "configuration"))
            }
            ObjectCredentials::Source(source) => config.credentials_provider(Kept(Arc::clone(source))),
            ObjectCredentials::Machine(provider) => config.credentials_provider(provider.clone()),
        };
        if let Some(pem) = &settings.ca_pem {
            let context =
                TlsContext::builder().with_trust_store(TrustStore::empty().with_pem_certificate(pem.as_slice()));
            config = config.http_client(
                aws_smithy_http_client::Builder::new()
                    .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
                    .tls_context(context.build()?)
                    .build_https(),
            );
        }
        if !settings.endpoint.is_empty() {
            config = config.endpoint_url(&settings.endpoint).force_path_style(true);
        }
        Ok(Self {
            client: Client::from_conf(config.build()),
            bucket: settings.bucket.clone(),
            prefix: settings.prefix.trim_matches('/').to_owned(),
            encryption: settings.encryption.clone(),
        })
    }

    /// What the keys of a run begin with, up to what tells its generations apart.
    fn stem(&self, run: &RunRef) -> String {
        let stem = format!("{}/{}", run.tenant, run.run);
        if self.prefix.is_empty() { stem } else { format!("{}/{stem}", self.prefix) }
    }

    fn key(&self, run: &RunRef, name: &str) -> String {
        let generation = if run.generation.0 > 1 { format!("-{}", run.generation) } else { String::new() };
        format!("{}{generation}/{name}", self.stem(run))
    }

    async fn put(&self, delivery: &Delivery<'_>) -> Result<Distribution, TargetError> {
        let upload = Upload { target: self, lock: lock(delivery) };
        let run = delivery.run();
        // A run that only confirms a bundle hands it over anew: what lies under a run's name is whole, and goes with that run alone.
        let tar = self.key(run, BUNDLE);
        upload.put(&tar, delivery.tar(), || delivery.read_tar()).await?;
        let mut files: Vec<(&str, &Artefact)> = delivery.sidecars().collect();
        files.sort_by_key(|(name, _)| *name == LAST);
        for (name, artefact) in files {
            upload.put(&self.key(run, name), artefact, || delivery.read_file(name, artefact)).await?;
        }
        Ok(self.distribution(delivery))
    }

    fn distribution(&self, delivery: &Delivery<'_>) -> Distribution {
        let location = self.location(&self.key(delivery.run(), BUNDLE));
        let mut distribution = Distribution::new(self.kind(), location, delivery.tar(), delivery.expires_at);
        distribution.locked_until = lock(delivery).map(|(_, until)| until);
        distribution
    }

    fn location(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }
}

#[async_trait]
impl Target for ObjectTarget {
    fn kind(&self) -> DistributionKind {
        DistributionKind::Object
    }

    async fn place(&self, delivery: &Delivery<'_>) -> Result<Option<Distribution>, TargetError> {
        Ok(Some(self.distribution(delivery)))
    }

    async fn distribute(&self, delivery: &Delivery<'_>) -> Result<Distribution, TargetError> {
        // Also while a server takes nothing and says nothing; what is half sent goes when the run is taken back.
        tokio::select! {
            biased;
            () = delivery.cx.cancellation().cancelled() => Err(TargetError::Cancelled(Cancelled)),
            put = self.put(delivery) => put,
        }
    }

    async fn remove(&self, run: &RunRef, _distribution: &Distribution) -> Result<Removal, TargetError> {
        removal::remove(self, run).await
    }
}

/// Against whom, and until when, the objects are kept.
fn lock(delivery: &Delivery<'_>) -> Option<(ObjectLock, Timestamp)> {
    delivery.signed.manifest.plan.profile.config.object_lock.zip(delivery.expires_at)
}

fn lock_mode(lock: ObjectLock) -> aws_sdk_s3::types::ObjectLockMode {
    match lock {
        ObjectLock::Governance => aws_sdk_s3::types::ObjectLockMode::Governance,
        ObjectLock::Compliance => aws_sdk_s3::types::ObjectLockMode::Compliance,
    }
}
