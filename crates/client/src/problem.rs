//! Problem documents as they arrive.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the server says about a refusal (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProblemDocument {
    /// HTTP status.
    pub status: u16,
    /// Stable code, `ERR_EXPORT_*`.
    #[serde(default)]
    pub code: String,
    /// For people.
    #[serde(default)]
    pub detail: String,
    /// Find it in the server's log by this.
    #[serde(default)]
    pub trace_id: String,
    /// The members at fault.
    #[serde(default)]
    pub errors: Vec<FieldProblem>,
}

/// One member at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldProblem {
    /// Where.
    pub path: String,
    /// What.
    pub problem: String,
}

impl ProblemDocument {
    /// Reads a body; one that is no problem document (of a proxy, say) is kept as text.
    pub(crate) fn read(status: u16, body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_else(|_| Self {
            status,
            code: String::new(),
            detail: format!("status {status}: {}", String::from_utf8_lossy(body).chars().take(200).collect::<String>()),
            trace_id: String::new(),
            errors: Vec::new(),
        })
    }
}

impl fmt::Display for ProblemDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.detail)?;
        for error in &self.errors {
            write!(f, "\n  {}: {}", error.path, error.problem)?;
        }
        if !self.code.is_empty() {
            write!(f, "\n  ({}, trace {})", self.code, self.trace_id)?;
        }
        Ok(())
    }
}
