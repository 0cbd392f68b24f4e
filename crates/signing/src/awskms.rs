//! A key at AWS KMS.
//!
//! <https://docs.aws.amazon.com/kms/latest/APIReference/>, `GetPublicKey` and `Sign`. The private key never leaves KMS. What comes back
//! is verified here before anyone sees it. A message of 1 to 4096 bytes is sent whole, as KMS allows; of any other its digest.

mod envelope;
mod error;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_kms::Client;
use aws_sdk_kms::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeySpec, KeyUsageType, MessageType, SigningAlgorithmSpec};
use export_canon::digesting::sha256;

pub use self::envelope::KmsEnvelope;
pub use self::error::KmsError;
use crate::key::PublicKey;
use crate::signer::{SignError, Signer};

/// Longest message that `Sign` takes as `RAW`.
const MAX_RAW: usize = 4096;

/// Where the key is. The secret is printed nowhere.
#[derive(Clone)]
pub struct KmsSettings {
    /// Key id, ARN, or alias (`alias/export`): to sign of a key of spec `ECC_NIST_P256` and usage `SIGN_VERIFY`, to encrypt of one of
    /// spec `SYMMETRIC_DEFAULT`.
    pub key: String,
    /// Region; empty leaves it to the machine (`AWS_REGION`, its profile or role).
    pub region: String,
    /// Address of another server than Amazon's; else empty.
    pub endpoint: String,
    /// Access key id; empty takes what the machine has (environment, web identity, role).
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: String,
    /// How long a request may take, from the first byte sent to the last one read.
    pub timeout: Duration,
}

impl fmt::Debug for KmsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KmsSettings")
            .field("key", &self.key)
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// Signs with a key at AWS KMS.
pub struct KmsSigner {
    client: Client,
    key: String,
    public: PublicKey,
}

impl fmt::Debug for KmsSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KmsSigner")
            .field("key", &self.key)
            .field("key_id", &self.public.key_id())
            .finish_non_exhaustive()
    }
}

impl KmsSigner {
    /// Asks KMS for the public half of the key.
    ///
    /// # Errors
    /// See [`KmsError`]; [`KmsError::is_transient`] tells which are worth another try.
    pub async fn open(settings: &KmsSettings) -> Result<Self, KmsError> {
        let client = client(settings).await;
        let answer = client.get_public_key().key_id(&settings.key).send().await;
        let answer = answer.map_err(|cause| KmsError::of("give the public key", cause))?;
        if let Some(spec) = answer.key_spec().filter(|spec| **spec != KeySpec::EccNistP256) {
            return Err(KmsError::Spec { what: "spec", found: spec.as_str().to_owned(), use_this: "ECC_NIST_P256" });
        }
        if let Some(usage) = answer.key_usage().filter(|usage| **usage != KeyUsageType::SignVerify) {
            return Err(KmsError::Spec { what: "usage", found: usage.as_str().to_owned(), use_this: "SIGN_VERIFY" });
        }
        let der = answer.public_key().map(Blob::as_ref).unwrap_or_default();
        let public = PublicKey::from_der(der).map_err(KmsError::Key)?;
        // An alias may come to name another key; the signatures stay those of the key whose public half was shown.
        let key = answer.key_id().unwrap_or(&settings.key).to_owned();
        Ok(Self { client, key, public })
    }

    async fn signature(&self, message: &[u8]) -> Result<Vec<u8>, KmsError> {
        let (kind, sent) = if (1..=MAX_RAW).contains(&message.len()) {
            (MessageType::Raw, message.to_vec())
        } else {
            (MessageType::Digest, sha256(message).as_bytes().to_vec())
        };
        let request = self.client.sign().key_id(&self.key).signing_algorithm(SigningAlgorithmSpec::EcdsaSha256);
        let answer = request.message_type(kind).message(Blob::new(sent)).send().await;
        let answer = answer.map_err(|cause| KmsError::of("sign", cause))?;
        answer.signature.map(Blob::into_inner).ok_or(KmsError::Nothing)
    }
}

#[async_trait]
impl Signer for KmsSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = self.signature(message).await.map_err(KmsError::judged)?;
        self.public.verify(message, &signature).map_err(SignError::Invalid)?;
        Ok(signature)
    }
}

/// The credentials that the machine has (environment, web identity, role), for other services of the same cloud; none where it has none.
pub async fn machine_credentials() -> Option<SharedCredentialsProvider> {
    aws_config::defaults(BehaviorVersion::latest()).load().await.credentials_provider()
}

/// A client that tries once: whoever asks for a signature tries again by its own rules.
async fn client(settings: &KmsSettings) -> Client {
    let timeouts = TimeoutConfig::builder()
        .operation_timeout(settings.timeout)
        .connect_timeout(settings.timeout)
        .read_timeout(settings.timeout)
        .build();
    let mut loader =
        aws_config::defaults(BehaviorVersion::latest()).retry_config(RetryConfig::disabled()).timeout_config(timeouts);
    if !settings.region.is_empty() {
        loader = loader.region(Region::new(settings.region.clone()));
    }
    if !settings.endpoint.is_empty() {
        loader = loader.endpoint_url(&settings.endpoint);
    }
    if !settings.access_key_id.is_empty() {
        let (id, secret) = (settings.access_key_id.clone(), settings.secret_access_key.clone());
        loader = loader.credentials_provider(Credentials::new(id, secret, None, None, "configuration"));
    }
    Client::new(&loader.load().await)
}
