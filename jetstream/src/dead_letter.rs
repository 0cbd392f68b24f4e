//! What is kept of a command that no worker could do: on stream `EXPORT_DEAD`, for operators.

use export_contract::{ErrorCode, Timestamp, Version};
use serde::{Deserialize, Serialize};

/// A command and why it was given up. Replay: fix the cause, then publish the command under its `retry` subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Schema version.
    pub v: Version<1>,
    /// Name of the consumer that could not take it.
    pub consumer: String,
    /// Subject of the command.
    pub subject: String,
    /// Its sequence in the log, 0 if unknown.
    pub sequence: u64,
    /// How often it was delivered.
    pub deliveries: u32,
    /// Why it was given up.
    pub code: ErrorCode,
    /// The same for operators: every cause.
    pub reason: String,
    /// The command's bytes, as far as they are text.
    pub payload: String,
    /// When.
    pub at: Timestamp,
}
