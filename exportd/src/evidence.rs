//! `exportd evidence`.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use export_contract::Timestamp;
use export_evidence::generate::generate;
use export_evidence::import::{ImportOptions, ImportProgress, ImportSummary, import};
use export_evidence::pull::{pull, pull_http};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::{EvidenceCommand, ImportTarget};
use crate::config::Config;
use crate::stores;

/// Imports, pulls or generates evidence.
pub(crate) async fn evidence(config: &Config, command: EvidenceCommand) -> anyhow::Result<()> {
    let ledger = stores::evidence(config).await?;
    let policy = stores::policy(config).await?;
    let bar = Arc::new(Bar::new());
    let (target, summary) = match command {
        EvidenceCommand::Import { target, source, reject_file, paths } => {
            let options = ImportOptions { source_name: source, reject_file, ..options(&target) };
            let summary = import(&*ledger, &*policy, &paths, options, bar.clone()).await?;
            (target, summary)
        }
        EvidenceCommand::Pull { target, source, reject_file } => {
            let options = ImportOptions { source_name: source, reject_file, ..options(&target) };
            let spool = stores::spool_folder(config);
            let summary = if config.peer.is_http() {
                pull_http(&*ledger, &stores::http_peer(config)?, &spool, options, bar.clone()).await?
            } else {
                pull(&*ledger, &stores::peer(config).await?, &spool, options, bar.clone()).await?
            };
            (target, summary)
        }
        EvidenceCommand::Generate { target, seed, records } => {
            let options = options(&target);
            let summary = generate(&*ledger, &*policy, seed, records, options, bar.clone()).await?;
            (target, summary)
        }
    };
    bar.0.finish_and_clear();
    print(&summary, target.json)
}

fn options(target: &ImportTarget) -> ImportOptions {
    let now = Timestamp::from(SystemTime::now());
    ImportOptions::new(target.tenant.clone(), target.observed_at.unwrap_or(now))
}

fn print(summary: &ImportSummary, json: bool) -> anyhow::Result<()> {
    let text =
        if json { serde_json::to_string(summary).context("cannot write the summary")? } else { summary.to_string() };
    writeln!(std::io::stdout(), "{text}").context("cannot write to standard output")
}

/// A progress bar of bytes read, on a terminal only.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let target =
            if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) = ProgressStyle::with_template("importing [{bar:32}] {bytes}/{total_bytes}  {msg}  {elapsed}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }
}

impl ImportProgress for Bar {
    fn started(&self, _files: u64, bytes: u64) {
        self.0.set_length(bytes);
    }

    fn bytes_read(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    fn documents(&self, documents: u64) {
        let before: u64 = self.0.message().split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
        self.0.set_message(format!("{} documents", before + documents));
    }
}
