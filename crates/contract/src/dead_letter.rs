//! What is kept of a command that no worker could do: on the broker, for operators and for whoever owns the run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::run::Phase;
use crate::{ErrorCode, Generation, PartIndex, RunId, Timestamp, Version};

/// A command and why it was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// A dead letter as the API shows it: with what its subject says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeptLetter {
    /// Its place among all letters; rises with time, and begins anew when the broker lost its store.
    pub id: u64,
    /// Which run the command was of.
    pub run_id: RunId,
    /// Which generation of it.
    pub generation: Generation,
    /// The stage that could not do it; absent where it was no stage, but the recorder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The part, where the command was of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<PartIndex>,
    /// The letter.
    pub letter: DeadLetter,
}
