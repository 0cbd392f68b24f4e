//! `exportctl dead-letter` as it is written.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetterCommand {
    /// List them, oldest first.
    List {
        /// Only those of this run.
        #[arg(long)]
        run: Option<String>,
        /// Only those behind this one: the last of an earlier list.
        #[arg(long, value_name = "ID")]
        after: Option<u64>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
    },
    /// Show one, with every cause and the command itself.
    Show {
        /// Its id.
        id: u64,
    },
    /// Replay its run, which keeps the results that there are: the command is what is done again.
    Replay {
        /// Its id.
        id: u64,
        /// Follow the run to its end; the exit code tells how it ended.
        #[arg(short, long)]
        watch: bool,
    },
}
