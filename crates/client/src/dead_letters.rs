//! The commands that nobody could do.

use export_contract::dead_letter::KeptLetter;
use export_contract::run::Run;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::{Client, ClientError};

/// One page of dead letters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LetterPage {
    /// The letters, oldest first.
    pub letters: Vec<KeptLetter>,
    /// Hand this to the next call; absent at the end.
    pub next_cursor: Option<String>,
}

impl Client {
    /// Dead letters of the tenant, oldest first: pairs of `run`, `cursor` and `limit`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn dead_letters(&self, query: &[(&str, String)]) -> Result<LetterPage, ClientError> {
        let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let path = format!("/api/export/dead-letters?{}", pairs.join("&"));
        self.call("list dead letters", Method::GET, &path, None::<&()>).await
    }

    /// One dead letter.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn dead_letter(&self, id: u64) -> Result<KeptLetter, ClientError> {
        self.call("show a dead letter", Method::GET, &format!("/api/export/dead-letters/{id}"), None::<&()>).await
    }

    /// Replays the run of a dead letter with all results that there are.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn replay_dead_letter(&self, id: u64) -> Result<Run, ClientError> {
        let path = format!("/api/export/dead-letters/{id}/replay");
        self.call("replay a dead letter", Method::POST, &path, None::<&()>).await
    }
}
