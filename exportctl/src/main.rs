//! `exportctl`: profiles, runs and bundles from the command line.

mod api;
mod approval;
mod audit;
mod bundle;
mod cli;
mod dead_letter;
mod diff;
mod exit;
mod extract;
mod kit;
mod layout;
mod login;
mod output;
mod pack;
mod profile;
mod run;
mod schedule;
mod selectors;
mod site;
mod verify;
mod watch;
mod webhook;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::exit::{Exit, Failure};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::say(&format!("exportctl: {failure}"));
            let mut cause = std::error::Error::source(&failure);
            while let Some(next) = cause {
                output::say(&format!("  because: {next}"));
                cause = next.source();
            }
            failure.exit().into()
        }
    }
}

fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    let Cli { global, command } = cli;
    match command {
        // What needs no server starts no async machinery either.
        Command::Bundle(command) if command.is_offline() => bundle::offline(&global, command),
        Command::Completions { shell } => {
            cli::completions(shell);
            Ok(Exit::Ok)
        }
        command => {
            // Several TLS providers are in the tree; rustls wants to be told which one. It is told once.
            let _already_chosen = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Start)?;
            runtime.block_on(async {
                tokio::select! {
                    outcome = online(&global, command) => outcome,
                    _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
                }
            })
        }
    }
}

async fn online(global: &cli::Global, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Login(arguments) => login::login(global, arguments).await,
        Command::Profile(command) => profile::profile(global, command).await,
        Command::Run(command) => run::run(global, command).await,
        Command::Schedule(command) => schedule::schedule(global, command).await,
        Command::Webhook(command) => webhook::webhook(global, command).await,
        Command::Approval(command) => approval::approval(command).await,
        Command::DeadLetter(command) => dead_letter::dead_letter(global, command).await,
        Command::Audit(command) => audit::audit(global, command).await,
        Command::Bundle(command) => bundle::online(global, command).await,
        Command::Api(arguments) => api::api(global, arguments).await,
        Command::Completions { .. } => Ok(Exit::Ok),
    }
}
