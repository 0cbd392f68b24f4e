//! The authenticated caller of a request.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use export_contract::TenantId;

/// A permission that a token carries; the four scopes of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Create and change profiles.
    ProfileManage,
    /// Submit and cancel runs.
    Run,
    /// List and inspect profiles and runs.
    Read,
    /// Download bundles, manifests and what lies beside them.
    Download,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::ProfileManage, Self::Run, Self::Read, Self::Download];

    /// The name in tokens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProfileManage => "export:profile:manage",
            Self::Run => "export:run",
            Self::Read => "export:read",
            Self::Download => "export:download",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no [`Scope`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a scope of Export Center")]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// How whoever sends a token must prove that it is the one that the token was given to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// By nothing: whoever has the token may use it.
    None,
    /// By a proof with the key of this thumbprint (`cnf.jkt`, RFC 9449 section 6).
    Key(String),
    /// By something that nobody here can check, such as a client certificate (RFC 8705).
    Other,
}

/// Who calls, for which tenants, with which permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's subject: a client or person.
    pub subject: String,
    /// The tenants the token speaks for; the first is the one meant when the request names none.
    pub tenants: Vec<TenantId>,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// The token's own id, for audit.
    pub token_id: String,
    /// What must come with the token.
    pub binding: Binding,
}
