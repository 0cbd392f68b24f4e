//! `exportctl webhook` as it is written.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// List the tenant's webhooks.
    List,
    /// Create a webhook; its secret is printed this once.
    Create {
        /// Where messages are sent to.
        url: String,
        /// What it is told of; give it again for each (left out: every end of a run).
        #[arg(long, value_name = "run.succeeded|run.failed|run.aborted")]
        event: Vec<String>,
        /// Only of runs of this profile.
        #[arg(long)]
        profile: Option<String>,
        /// For people.
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
    },
    /// Let messages be sent again, after a receiver answered 410.
    Enable {
        /// Its id.
        webhook: String,
    },
    /// Let none be sent.
    Disable {
        /// Its id.
        webhook: String,
    },
    /// Give a webhook another secret; it is printed this once.
    Rotate {
        /// Its id.
        webhook: String,
        /// Seconds for which messages are signed with the former secret too; 0 if others know it.
        #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u32).range(..=604_800))]
        overlap: u32,
    },
    /// Delete a webhook.
    Delete {
        /// Its id.
        webhook: String,
    },
    /// List messages to a webhook and what became of them, newest first.
    Deliveries {
        /// Its id.
        webhook: String,
        /// At most so many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
    },
    /// Send a message again.
    Replay {
        /// The webhook.
        webhook: String,
        /// The message's id.
        delivery: String,
    },
    /// Send a message that says nothing.
    Test {
        /// Its id.
        webhook: String,
    },
}
