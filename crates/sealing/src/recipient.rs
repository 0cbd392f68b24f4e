//! Who can decrypt.

use std::fmt;
use std::str::FromStr;

use export_contract::encryption::recipient_fault;

/// A recipient of a run: `age1…`, `awskms:KEY` or `vault:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// The public half of an age X25519 identity.
    Age(age::x25519::Recipient),
    /// A symmetric key at AWS KMS: id, ARN or alias.
    AwsKms(String),
    /// A key of a Vault's transit engine.
    Vault(String),
}

/// A text that names no recipient.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no recipient: {problem}")]
pub struct RecipientError {
    text: String,
    problem: &'static str,
}

impl FromStr for Recipient {
    type Err = RecipientError;

    fn from_str(text: &str) -> Result<Self, RecipientError> {
        let fault = |problem| RecipientError { text: text.chars().take(200).collect(), problem };
        if let Some(problem) = recipient_fault(text) {
            return Err(fault(problem));
        }
        match text.split_once(':') {
            Some(("awskms", key)) => Ok(Self::AwsKms(key.to_owned())),
            Some((_, name)) => Ok(Self::Vault(name.to_owned())),
            None => text.parse().map(Self::Age).map_err(fault),
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Age(key) => key.fmt(f),
            Self::AwsKms(key) => write!(f, "awskms:{key}"),
            Self::Vault(name) => write!(f, "vault:{name}"),
        }
    }
}
