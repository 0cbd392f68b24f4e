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

#[cfg(test)]
mod tests {
    use super::DeadLetter;

    /// Dead letters are kept for months: a newer build must read what an older one wrote.
    #[test]
    fn a_dead_letter_of_version_1_is_read_and_written_as_ever() {
        let text = include_str!("../tests/wire/dead_letter.v1.json");
        let letter: DeadLetter = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string_pretty(&letter).unwrap() + "\n", text);
    }
}
