//! A real Prometheus that scrapes a deployment under the rules that we ship.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::process::{Process, tail};
use crate::programs::{tool, workspace};

const READY_WITHIN: Duration = Duration::from_mins(1);

/// A Prometheus at work. Dropping it ends it.
#[derive(Debug)]
pub struct Prometheus {
    address: String,
    targets: PathBuf,
    _process: Process,
    _folder: TempDir,
}

/// The rules of `compose/` as they are, but for time: whatever is waited for or looked back at is twenty seconds, and rules are
/// looked at each second. What a rule asks for, and its other thresholds, stay.
#[must_use]
pub fn hurried(rules: &str) -> String {
    let mut text = String::new();
    for line in rules.lines() {
        let indent = line.strip_suffix(line.trim_start()).unwrap_or_default();
        match line.trim_start() {
            told if told.starts_with("interval: ") => text.extend([indent, "interval: 1s"]),
            told if told.starts_with("for: ") => text.extend([indent, "for: 1s"]),
            _ => {
                let mut line = line.to_owned();
                for span in ["5m", "15m", "1h", "3h", "7d"] {
                    line = line.replace(&format!("[{span}]"), "[20s]").replace(&format!("offset {span}"), "offset 20s");
                }
                // A quarter of an hour that a command waits.
                text.push_str(&line.replace("exporter_queue_age_seconds) > 900", "exporter_queue_age_seconds) > 5"));
            }
        }
        text.push('\n');
    }
    text
}

impl Prometheus {
    /// Starts one that scrapes nothing yet.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("export-prometheus-").tempdir().context("cannot make a folder")?;
        let path = |name: &str| folder.path().join(name);
        let rules = std::fs::read_to_string(workspace().join("compose/prometheus/rules.yml")).context("no rules")?;
        std::fs::write(path("rules.yml"), hurried(&rules)).context("cannot write the rules")?;
        let targets = path("targets.json");
        std::fs::write(&targets, "[]").context("cannot write the targets")?;
        let config = json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
            "rule_files": [path("rules.yml")],
            "scrape_configs": [{ "job_name": "export-center", "file_sd_configs": [{ "files": [targets], "refresh_interval": "1s" }] }],
        });
        // YAML takes JSON.
        std::fs::write(path("prometheus.yml"), config.to_string()).context("cannot write the configuration")?;
        let mut command = Command::new(tool("prometheus"));
        command
            .arg(format!("--config.file={}", path("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", path("data").display()))
            .arg("--web.listen-address=127.0.0.1:0");
        let log = path("log");
        let mut process = Process::start(command, &log, Stdio::null())?;
        let address = listening(&mut process, &log).await?;
        Ok(Self { address, targets, _process: process, _folder: folder })
    }

    /// Scrapes these from now on: role and address (`http://HOST:PORT`).
    ///
    /// # Errors
    /// When they cannot be told.
    pub fn scrape(&self, roles: &[(String, String)]) -> anyhow::Result<()> {
        let targets: Vec<Value> = roles
            .iter()
            .map(|(role, address)| json!({ "targets": [address.trim_start_matches("http://")], "labels": { "role": role } }))
            .collect();
        let new = self.targets.with_extension("new");
        std::fs::write(&new, Value::from(targets).to_string()).context("cannot write the targets")?;
        std::fs::rename(new, &self.targets).context("cannot replace the targets")
    }

    /// The alerts that fire, as it says: name and labels.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn firing(&self) -> anyhow::Result<Vec<Value>> {
        let answer: Value = reqwest::get(format!("{}/api/v1/alerts", self.address)).await?.json().await?;
        let alerts = answer.pointer("/data/alerts").and_then(Value::as_array).context("no alerts in the answer")?;
        Ok(alerts.iter().filter(|alert| alert["state"] == "firing").map(|alert| alert["labels"].clone()).collect())
    }

    /// The value of a query that gives one; `None` where it gives none.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn value(&self, query: &str) -> anyhow::Result<Option<f64>> {
        let address = reqwest::Url::parse_with_params(&format!("{}/api/v1/query", self.address), [("query", query)])?;
        let answer: Value = reqwest::get(address).await?.json().await?;
        let value = answer.pointer("/data/result/0/value/1").and_then(Value::as_str);
        Ok(value.and_then(|text| text.parse().ok()))
    }
}

/// Waits until the log says where it listens.
async fn listening(process: &mut Process, log: &Path) -> anyhow::Result<String> {
    let until = Instant::now() + READY_WITHIN;
    while Instant::now() < until && !process.has_ended() {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let mut said = text.lines().filter_map(|line| line.split_once("Listening on").map(|(_, rest)| rest));
        let address = said.find_map(|rest| rest.split("address=").nth(1));
        if let Some(address) = address {
            let address = format!("http://{}", address.split_whitespace().next().unwrap_or_default());
            if reqwest::get(format!("{address}/-/ready")).await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(address);
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    bail!("prometheus does not come up:\n{}", tail(log))
}
