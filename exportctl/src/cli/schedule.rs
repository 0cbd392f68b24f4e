//! `exportctl schedule` as it is written.

use std::path::PathBuf;

use clap::Subcommand;

use crate::selectors::SelectorArguments;

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// List the tenant's schedules.
    List,
    /// Show one schedule, and what came of its last due time.
    Show {
        /// Its id.
        schedule: String,
    },
    /// Create a schedule.
    Create {
        /// Its id, such as nightly.
        schedule: String,
        /// The profile, such as json-raw or json:raw.
        #[arg(long)]
        profile: String,
        /// When: five fields such as "30 2 * * *", or a nickname such as @daily.
        #[arg(long, value_name = "EXPRESSION")]
        cron: String,
        /// IANA time zone that the expression is read in.
        #[arg(long, value_name = "ZONE", default_value = "UTC")]
        time_zone: String,
        /// What becomes of due times that nobody met: one run for the newest of them (once), or none (skip).
        #[arg(long, value_name = "once|skip", default_value = "once")]
        missed: String,
        /// Minutes after a due time in which a missed one is still made up for.
        #[arg(long, value_name = "MINUTES")]
        grace_minutes: Option<u32>,
        /// What becomes of a due time while the run before is at work: none (skip), or one more run (allow).
        #[arg(long, value_name = "skip|allow", default_value = "skip")]
        overlap: String,
        #[command(flatten)]
        selectors: Box<SelectorArguments>,
        /// Policy snapshot to use, where the profile takes one.
        #[arg(long, value_name = "ID")]
        policy_snapshot: Option<String>,
        /// Base of a delta: the run that made a mirror, or the digest of that mirror's export.json.
        #[arg(long, value_name = "RUN|DIGEST")]
        base: Option<String>,
        /// Check, and show when it would be due, but write nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Change a schedule by a JSON document with the members to change.
    Update {
        /// Its id.
        schedule: String,
        /// The document; `-` reads standard input.
        #[arg(long, value_name = "FILE", required_unless_present_any = ["enable", "disable", "cron"])]
        file: Option<PathBuf>,
        /// Let due times make runs.
        #[arg(long, conflicts_with = "disable")]
        enable: bool,
        /// Let them make none.
        #[arg(long)]
        disable: bool,
        /// Another expression.
        #[arg(long, value_name = "EXPRESSION")]
        cron: Option<String>,
        /// Check, and show when it would be due, but write nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete a schedule; its runs stay.
    Delete {
        /// Its id.
        schedule: String,
    },
    /// Show the next five due times.
    Next {
        /// Its id.
        schedule: String,
    },
}
