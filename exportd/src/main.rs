//! `exportd`: the server. One program, one role a process, or all of them in one.

mod cli;
mod clients;
mod config;
mod decrypt;
mod evidence;
mod log_handler;
mod memory;
mod probes;
mod prove;
mod rebuild;
mod reconciler_metrics;
mod retention;
mod retention_metrics;
mod roles;
mod run_log;
mod run_metrics;
mod secrets;
mod stores;
mod target_metrics;
mod telemetry;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use export_contract::LogEvent;

use crate::cli::{Cli, Command, ConfigCommand, KeyCommand, OrchestratorCommand};
use crate::config::{Config, SigningDriver};
use crate::telemetry::Telemetry;

fn main() -> ExitCode {
    memory::settle();
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            // The log may not be set up yet, and an operator at a terminal wants the reason, not a record.
            let _closed = writeln!(std::io::stderr(), "exportd: {error:#}");
            decrypt::exit_code(&error).map_or(ExitCode::FAILURE, ExitCode::from)
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    #[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let mut config = Config::load(cli.config.as_deref(), &environment)?;
    cli.command.lay_over(&mut config);
    if let Command::Config(command) = &cli.command {
        return show(&config, command).map(|()| ExitCode::SUCCESS);
    }
    if let Command::Client(command) = &cli.command {
        return clients::client(&config, command).map(|()| ExitCode::SUCCESS);
    }
    if let Command::Key(KeyCommand::Generate) = &cli.command {
        let signing = &config.signing;
        anyhow::ensure!(
            signing.driver == SigningDriver::File && signing.key_file.as_os_str().is_empty(),
            "there is no key to make: `signing.{}` says that it is elsewhere",
            if signing.driver == SigningDriver::File { "key_file" } else { "driver" }
        );
        return stores::make_key(&config).map(|()| ExitCode::SUCCESS);
    }
    // Two TLS providers are in the tree; rustls wants to be told which one. It is told once.
    let _already_chosen = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        let role = cli.command.role();
        let told = telemetry::start(&config, role.unwrap_or("command"))?;
        let outcome = Box::pin(act(cli.command, config, &told)).await;
        let outcome = match outcome {
            // Whoever reads the log of a server reads records.
            Err(error) if told.is_json() && role.is_some() => {
                tracing::error!(event = %LogEvent::ProcessFailed, error = format!("{error:#}"), "the process failed");
                Ok(ExitCode::FAILURE)
            }
            outcome => outcome.map(|()| ExitCode::SUCCESS),
        };
        told.stop().await;
        outcome
    })
}

async fn act(command: Command, config: Config, told: &Telemetry) -> anyhow::Result<()> {
    let one = |config, role| Box::pin(roles::one(config, role, told));
    match command {
        Command::Evidence(command) => evidence::evidence(&config, command).await,
        Command::Prove { tenant, out, run, .. } => {
            Box::pin(prove::prove(&config, prove::Wanted { tenant, run, out })).await
        }
        Command::Decrypt(arguments) => decrypt::decrypt(&config, arguments).await,
        Command::Retention(command) => retention::retention(&config, command).await,
        Command::All { .. } => Box::pin(roles::all(config, told)).await,
        Command::Gateway => one(config, roles::Role::Gateway).await,
        Command::Orchestrator { command: Some(OrchestratorCommand::Rebuild { output }) } => {
            Box::pin(rebuild::rebuild(&config, output)).await
        }
        Command::Orchestrator { command: None } => one(config, roles::Role::Orchestrator).await,
        Command::Plan => one(config, roles::Role::Plan).await,
        Command::Resolve => one(config, roles::Role::Resolve).await,
        Command::Adapt => one(config, roles::Role::Adapt).await,
        Command::Manifest => one(config, roles::Role::Manifest).await,
        Command::Sign => one(config, roles::Role::Sign).await,
        Command::Distribute => one(config, roles::Role::Distribute).await,
        Command::Config(_) | Command::Client(_) | Command::Key(_) => Ok(()),
    }
}

fn show(config: &Config, command: &ConfigCommand) -> anyhow::Result<()> {
    let text = match command {
        ConfigCommand::Check => "the configuration is valid\n".to_owned(),
        // No secret can be in it: settings name the files that hold secrets.
        ConfigCommand::Print => toml::to_string_pretty(config).context("cannot write the configuration")?,
    };
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}
