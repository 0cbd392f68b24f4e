//! The commands of approvals.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use export_contract::{ProfileId, TenantId};

use crate::selectors::SelectorArguments;

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalCommand {
    /// Sign an approval, as somebody whose key the deployment lists as an approver's. Needs no network.
    Sign(Box<SignArguments>),
}

/// What to approve.
#[derive(Debug, Args)]
pub(crate) struct SignArguments {
    /// The tenant that gets the bundle.
    #[arg(long, value_name = "TENANT")]
    pub(crate) to: TenantId,
    /// The profile, which makes `mirror:full`.
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: ProfileId,
    /// Why, for auditors.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// How long runs may be submitted with it: up to 90d.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = super::seconds)]
    pub(crate) valid: u32,
    /// The approver's private key, a cosign key in a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// File with the key's password.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Where to write the approval; standard output, if not given.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) selectors: SelectorArguments,
}
