//! The courier that sends over HTTP.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, redirect};
use tokio::time::Instant;

use crate::address::{AddressRefused, AddressRules};
use crate::courier::{Courier, Parcel, Sent};
use crate::secret::{SealedSecretError, SecretKeeper};
use crate::signature::signature;

/// Looks names up.
#[async_trait]
pub trait Lookup: Send + Sync + fmt::Debug + 'static {
    /// The addresses of a host; ports do not count.
    ///
    /// # Errors
    /// When the name cannot be looked up.
    async fn addresses(&self, host: &str) -> io::Result<Vec<SocketAddr>>;
}

/// The lookup of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn addresses(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.collect())
    }
}

/// Looks names up for the client and lets through what may be connected to: what was judged is what is connected to, since
/// nothing is looked up in between.
#[derive(Clone, Debug)]
struct Guarded {
    rules: Arc<AddressRules>,
    lookup: Arc<dyn Lookup>,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = this.lookup.addresses(&host).await?;
            // One that is refused refuses all: a name that has both kinds of address is not to be trusted.
            for address in &found {
                if let Err(refused) = this.rules.allows(&host, address.ip()) {
                    tracing::warn!(host, address = %address.ip(), "a webhook is not sent there");
                    return Err(refused.into());
                }
            }
            if found.is_empty() {
                return Err(AddressRefused::Unknown(host).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Sends messages over HTTP: no redirects, no proxy, no connection that outlives its message, and no byte of an answer's
/// body is read.
#[derive(Clone, Debug)]
pub struct HttpCourier {
    client: Client,
    rules: Arc<AddressRules>,
    secrets: Arc<SecretKeeper>,
    timeout: Duration,
}

impl HttpCourier {
    /// A courier; an attempt may take `timeout`.
    ///
    /// # Errors
    /// When the HTTP machinery cannot start.
    pub fn new(
        rules: AddressRules,
        secrets: Arc<SecretKeeper>,
        lookup: Arc<dyn Lookup>,
        timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        let rules = Arc::new(rules);
        let client = Client::builder()
            .dns_resolver(Arc::new(Guarded { rules: Arc::clone(&rules), lookup }))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .timeout(timeout)
            .user_agent(concat!("export-center/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, rules, secrets, timeout })
    }

    async fn attempt(&self, parcel: Parcel<'_>) -> Result<Sent, String> {
        let Parcel { tenant, webhook, url, sealed_secrets, id, at, body } = parcel;
        let url = self.rules.judged(url).map_err(|error| error.to_string())?;
        let seconds = at.as_seconds();
        let signed = |sealed: &&str| {
            let secret = self.secrets.open(sealed, tenant.as_str(), webhook.as_str())?;
            Ok(signature(&secret, id, seconds, body))
        };
        let signatures: Result<Vec<String>, SealedSecretError> = sealed_secrets.iter().map(signed).collect();
        let signatures = signatures.map_err(|error| error.to_string())?.join(" ");
        let answer = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", signatures)
            .body(body.to_owned())
            .send()
            .await
            .map_err(|error| self.told(&error.without_url()))?;
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let status = answer.status().as_u16();
        let error = (!answer.status().is_success()).then(|| match status {
            300..400 => format!("the receiver answered {status}; redirects are not followed"),
            _ => format!("the receiver answered {status}"),
        });
        Ok(Sent { status: Some(status), error, retry_after: retry_after.map(Duration::from_secs), duration_ms: 0 })
    }

    /// What went wrong, with its causes: those are what says that an address was refused.
    fn told(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() {
            return format!("no answer within {} s", self.timeout.as_secs_f64());
        }
        let mut told = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(next) = cause {
            told = format!("{told}: {next}");
            cause = next.source();
        }
        told.chars().take(500).collect()
    }
}

#[async_trait]
impl Courier for HttpCourier {
    async fn send(&self, parcel: Parcel<'_>) -> Sent {
        let began = Instant::now();
        let sent = self.attempt(parcel).await.unwrap_or_else(|error| Sent { error: Some(error), ..Sent::default() });
        Sent { duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX), ..sent }
    }
}
