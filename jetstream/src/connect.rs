//! The connection to the broker.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::{self};
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use export_contract::LogEvent;
use export_pipeline::QueueError;
use tokio::sync::watch;

/// How long a `JetStream` call waits for its answer. Publishes that a killed server never answered are not failed by
/// the client on disconnect, so this is what sets them free (pipeline.md, client traps).
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How we say who we are. Never printed.
#[derive(Clone, Default)]
pub enum Credentials {
    /// The server asks for nothing.
    #[default]
    None,
    /// User and password.
    Password {
        /// User.
        user: String,
        /// Password.
        password: String,
    },
    /// A token.
    Token(String),
    /// A NATS `.creds` file with a user JWT and its key.
    File(PathBuf),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "Credentials(none)",
            Self::Password { .. } => "Credentials(password)",
            Self::Token(_) => "Credentials(token)",
            Self::File(_) => "Credentials(file)",
        })
    }
}

/// How the connection is secured beyond what the address says (`tls://`).
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// PEM file with the certificates that the servers' own must come from. Where it is given, servers that do not speak TLS are refused.
    pub ca_file: Option<PathBuf>,
    /// PEM files with our certificate and its key, for servers that ask for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is none.
    #[error("`{0}` is not a list of NATS addresses such as nats://127.0.0.1:4222")]
    Address(String, #[source] std::io::Error),
    /// The credentials file cannot be read.
    #[error("cannot read the NATS credentials file `{}`", .0.display())]
    Credentials(PathBuf, #[source] std::io::Error),
    /// No server answers, or it refuses us.
    #[error("cannot connect to NATS")]
    Refused(#[source] async_nats::ConnectError),
}

/// A connection that mends itself. Cheap to clone.
#[derive(Clone)]
pub struct Nats {
    client: Client,
    jetstream: jetstream::Context,
    connects: watch::Receiver<u64>,
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats").field("connects", &*self.connects.borrow()).finish_non_exhaustive()
    }
}

/// Connects to `url`, which may name several servers of one cluster, separated by commas. Once connected, the
/// connection is re-made for ever.
///
/// # Errors
/// When an address or the credentials file cannot be read, or no server takes us now.
pub async fn connect(url: &str, credentials: Credentials) -> Result<Nats, ConnectError> {
    connect_securely(url, credentials, Security::default()).await
}

/// As [`connect`], with certificates.
///
/// # Errors
/// As there; also when a certificate cannot be read or the server's is not one of the given authority.
pub async fn connect_securely(url: &str, credentials: Credentials, security: Security) -> Result<Nats, ConnectError> {
    let addresses = url
        .split(',')
        .map(|one| one.trim().parse::<ServerAddr>().map_err(|cause| ConnectError::Address(one.to_owned(), cause)))
        .collect::<Result<Vec<_>, _>>()?;
    let (connected, connects) = watch::channel(0_u64);
    let connected = Arc::new(connected);
    let options = ConnectOptions::new()
        .name("export-center")
        .connection_timeout(Duration::from_secs(5))
        .request_timeout(Some(ANSWER_WITHIN))
        .ping_interval(Duration::from_secs(10))
        .max_reconnects(None)
        .reconnect_delay_callback(|attempt| {
            let attempt = u64::try_from(attempt).unwrap_or(u64::MAX);
            Duration::from_millis(attempt.saturating_mul(100).min(2_000))
        })
        .event_callback(move |event| {
            if matches!(event, Event::Connected) {
                connected.send_modify(|count| *count += 1);
                tracing::debug!("connected to NATS");
            } else {
                tracing::warn!(event = %LogEvent::BrokerChanged, state = %event, "NATS connection");
            }
            std::future::ready(())
        });
    let options = match credentials {
        Credentials::None => options,
        Credentials::Password { user, password } => options.user_and_password(user, password),
        Credentials::Token(token) => options.token(token),
        Credentials::File(path) => {
            options.credentials_file(&path).await.map_err(|cause| ConnectError::Credentials(path, cause))?
        }
    };
    let options = match security.ca_file {
        None => options,
        Some(file) => options.add_root_certificates(file).require_tls(true),
    };
    let options = match security.client {
        None => options,
        Some((certificate, key)) => options.add_client_certificate(certificate, key),
    };
    let client = options.connect(addresses).await.map_err(ConnectError::Refused)?;
    let jetstream = ContextBuilder::new()
        .timeout(ANSWER_WITHIN)
        .ack_timeout(ANSWER_WITHIN)
        .max_ack_inflight(4_096)
        .build(client.clone());
    Ok(Nats { client, jetstream, connects })
}

impl Nats {
    /// The core connection.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The same with `JetStream` on it.
    pub fn jetstream(&self) -> &jetstream::Context {
        &self.jetstream
    }

    /// Changes each time the connection was made again: whatever was asked of the server before is forgotten there.
    pub(crate) fn connects(&self) -> watch::Receiver<u64> {
        let mut connects = self.connects.clone();
        connects.mark_unchanged();
        connects
    }

    /// Whether the server answers, and has read all we sent so far: its answers come in the order of our messages.
    ///
    /// # Errors
    /// When it does not answer within two seconds.
    pub async fn round_trip(&self) -> Result<(), QueueError> {
        let act = || "get an echo from NATS";
        let inbox = self.client.new_inbox();
        let mut echoes = self.client.subscribe(inbox.clone()).await.map_err(cannot(act()))?;
        self.client.publish(inbox, bytes::Bytes::new()).await.map_err(cannot(act()))?;
        let echo =
            tokio::time::timeout(ANSWER_WITHIN, futures::StreamExt::next(&mut echoes)).await.map_err(cannot(act()))?;
        echo.map(drop).ok_or_else(|| cannot(act())(std::io::Error::from(std::io::ErrorKind::ConnectionAborted)))
    }

    /// Sends what is still unsent and closes the connection.
    pub async fn close(&self) {
        if let Err(error) = self.client.drain().await {
            tracing::debug!(%error, "the NATS connection was closed already");
        }
    }
}

/// A [`QueueError`] for what was tried.
pub(crate) fn cannot<E>(act: impl Into<String>) -> impl FnOnce(E) -> QueueError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let act = act.into();
    move |cause| QueueError { act, cause: cause.into() }
}
