//! The credentials file.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where the server is and as whom to speak to it. The secret is printed nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Credentials {
    /// Address of the gateway, such as `http://127.0.0.1:8080`.
    pub server: String,
    /// The tenant, where the client speaks for several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Client id; letters, digits, `-` and `_`.
    pub client_id: String,
    client_secret: String,
    /// Where tokens come from; absent means the gateway itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_endpoint: Option<String>,
    /// PEM file with the certificates that the server's own must come from; absent means those that the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_file: Option<PathBuf>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("server", &self.server)
            .field("tenant", &self.tenant)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// Why a credentials file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It cannot be read or written.
    #[error("cannot {act} the credentials file `{}`", path.display())]
    File {
        /// What was tried.
        act: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The certificates that it names cannot be read.
    #[error("cannot read the certificates in `{}` (caFile)", path.display())]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// It is not what it should be.
    #[error("the credentials file `{}` is not valid", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
}

impl Credentials {
    /// Credentials of a client of a gateway that issues its own tokens.
    pub fn new(server: String, tenant: Option<String>, client_id: String, client_secret: String) -> Self {
        Self { server, tenant, client_id, client_secret, token_endpoint: None, ca_file: None }
    }

    /// The same for a server whose certificate comes from those of this PEM file.
    #[must_use]
    pub fn with_ca_file(self, ca_file: Option<PathBuf>) -> Self {
        Self { ca_file, ..self }
    }

    /// The certificates that the server's own must come from, where it is not for the system to say.
    pub(crate) fn ca_pem(&self) -> Result<Option<Vec<u8>>, CredentialsError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|cause| CredentialsError::CaFile { path: path.clone(), cause })
        };
        self.ca_file.as_ref().map(read).transpose()
    }

    /// The same with tokens from this endpoint; `None`: from the gateway itself.
    #[must_use]
    pub fn with_tokens_from(self, token_endpoint: Option<String>) -> Self {
        Self { token_endpoint, ..self }
    }

    /// Reads a credentials file.
    ///
    /// # Errors
    /// When it is not there or not valid.
    pub fn read(path: &Path) -> Result<Self, CredentialsError> {
        let text = std::fs::read(path).map_err(|cause| CredentialsError::File {
            act: "read",
            path: path.to_owned(),
            cause,
        })?;
        serde_json::from_slice(&text).map_err(|cause| CredentialsError::Content { path: path.to_owned(), cause })
    }

    /// Writes a credentials file for the owner's eyes, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), CredentialsError> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let failed = |act, cause| CredentialsError::File { act, path: path.to_owned(), cause };
        let text = serde_json::to_vec_pretty(self)
            .map_err(|cause| CredentialsError::Content { path: path.to_owned(), cause })?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|cause| failed("create the folder of", cause))?;
        }
        let temporary = path.with_extension("new");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(|cause| failed("write", cause))?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(|cause| failed("write", cause))?;
        std::fs::rename(&temporary, path).map_err(|cause| failed("replace", cause))
    }

    pub(crate) fn token_endpoint(&self) -> String {
        self.token_endpoint.clone().unwrap_or_else(|| format!("{}/authority/token", self.server.trim_end_matches('/')))
    }

    pub(crate) fn client_secret(&self) -> &str {
        &self.client_secret
    }
}
