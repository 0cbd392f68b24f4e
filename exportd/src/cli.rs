//! The command line as it is written; `--help` is made from the comments here.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use export_authority::Scope;
use export_contract::{RunId, TenantId, Timestamp};

use crate::config::Config;

/// Export Center: turns vulnerability evidence into reproducible, signed bundles.
///
/// `exportd all` runs every role in one process on embedded stores. To scale, run roles apart with one configuration file, as
/// many `exportd adapt` as you like. Settings: flag, environment (`EXPORT_SECTION_KEY`), file, default; see docs/configuration.md.
#[derive(Debug, Parser)]
#[command(name = "exportd", version, max_term_width = 110)]
pub(crate) struct Cli {
    /// Configuration file (TOML).
    #[arg(long, global = true, env = "EXPORT_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run every role in this process, with a broker of its own if none is configured.
    All {
        /// Folder of the embedded stores, keys and credentials.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Address of the gateway; port 0 takes a free one.
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
    },
    /// Run the HTTP gateway.
    Gateway,
    /// Run admission, recorder, join and reconciler.
    Orchestrator {
        #[command(subcommand)]
        command: Option<OrchestratorCommand>,
    },
    /// Run the plan stage.
    Plan,
    /// Run the resolve stage.
    Resolve,
    /// Run the adapt stage: the heavy one, of which to run many.
    Adapt,
    /// Run the manifest stage.
    Manifest,
    /// Run the sign stage.
    Sign,
    /// Run the distribute stage.
    Distribute,
    /// Put evidence into the ledger.
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Clients of the local authority.
    #[command(subcommand)]
    Client(ClientCommand),
    /// Make a run's bundle again from its provenance, compare every digest, and sign what came out.
    ///
    /// Works in a clean workspace on the ledger as it was, and needs the run's files in staging. Fails unless the bundle is the
    /// same, and names the first record that differs.
    Prove {
        /// Folder of the embedded stores.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Whose run.
        #[arg(long, value_name = "TENANT")]
        tenant: TenantId,
        /// Where the signed rebuild statement goes [default: RUN.rebuild.sigstore.json]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Which run.
        #[arg(value_name = "RUN")]
        run: RunId,
    },
    /// Verify an encrypted bundle and write it as a plain one, with a key that AWS KMS or a Vault keeps.
    ///
    /// For whoever receives bundles: the configuration needs no more than the access under `[encryption]` (`kms`, or `vault_address`).
    /// Nothing is asked of a keeper before the signatures hold. For age identities there is `exportctl bundle decrypt`.
    Decrypt(DecryptArguments),
    /// Let go of runs whose time is over.
    #[command(subcommand)]
    Retention(RetentionCommand),
    /// The signing key.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// What to decrypt, whose it must be, and where to.
#[derive(Debug, Args)]
pub(crate) struct DecryptArguments {
    /// The folder that `bundle download` wrote, the bundle's tar in it, a tar or tar.zst of all its files, or an OCI image layout.
    pub(crate) path: PathBuf,
    /// Folder to write; it must not exist.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Public key that may have signed the bundle; give it again for each key that is accepted.
    #[arg(long, value_name = "PEM", required = true)]
    pub(crate) key: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OrchestratorCommand {
    /// Put every run at work on the broker's log again, from the run ledger and the results in staging, and say what that took.
    ///
    /// For a broker that lost its store. Orchestrators do the same by themselves once runs are silent; this does it at once, may be
    /// repeated, and beside them.
    Rebuild {
        /// Form of what is printed.
        #[arg(short, long, value_enum, default_value_t = Output::Table, value_name = "FORM")]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Make a client, or give one a new secret, and write its credentials file.
    Put {
        /// Client id: letters, digits, hyphens.
        id: String,
        /// Tenants that it speaks for.
        #[arg(long, required = true, value_name = "TENANT")]
        tenant: Vec<TenantId>,
        /// Scopes that it has; all four, if not given.
        #[arg(long, value_name = "SCOPE")]
        scope: Vec<Scope>,
        /// Address of the gateway, for the credentials file.
        #[arg(long, value_name = "URL")]
        server: String,
        /// PEM file with the certificates that the gateway's own comes from, for the credentials file.
        #[arg(long, value_name = "FILE")]
        ca_file: Option<PathBuf>,
        /// Where to write the credentials file.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RetentionCommand {
    /// Make one pass now, beside those of the orchestrator, and say of every run why it stays or goes.
    ///
    /// A run whose time is over is no longer offered first; its bytes go in a later pass, `retention.grace_minutes` behind that.
    Run {
        /// Folder of the embedded stores.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Change nothing, and say what would be.
        #[arg(long)]
        dry_run: bool,
        /// Form of what is printed.
        #[arg(short, long, value_enum, default_value_t = Output::Table, value_name = "FORM")]
        output: Output,
    },
}

/// Form of what a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// One JSON document.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make the signing key in the data folder, unless it is there.
    Generate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Import documents: OSV, CVE 5, vendor advisories, OpenVEX, CSAF, CycloneDX, SPDX, KEV, policy snapshots, explain traces.
    ///
    /// Importing twice changes nothing; a changed document supersedes the one before. Documents that cannot be read are
    /// named in the reject file and stop nothing.
    Import {
        #[command(flatten)]
        target: ImportTarget,
        /// One name for the source of everything, instead of the names of folders and packs.
        #[arg(long, value_name = "NAME")]
        source: Option<String>,
        /// Where to name every refused document, one JSON object a line.
        #[arg(long, value_name = "FILE")]
        reject_file: Option<PathBuf>,
        /// Files and folders: .json, .jsonl, .jsonl.zst, .zip, .tar, .tar.zst.
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Take over the raw documents of a peer's MongoDB collections or Findings Ledger, as `[peer]` of the configuration names them.
    ///
    /// A pull that is interrupted goes on where it was when it is started again. Pulling twice changes nothing; a changed
    /// document supersedes the one before. Everything becomes visible at once, at the end.
    Pull {
        #[command(flatten)]
        target: ImportTarget,
        /// One name for the source of everything, instead of what the documents say.
        #[arg(long, value_name = "NAME")]
        source: Option<String>,
        /// Where to name every refused document, one JSON object a line.
        #[arg(long, value_name = "FILE")]
        reject_file: Option<PathBuf>,
    },
    /// Make synthetic evidence, the same for the same seed.
    Generate {
        #[command(flatten)]
        target: ImportTarget,
        /// Seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many documents.
        #[arg(long, default_value_t = 1_000)]
        records: u64,
    },
}

/// Where imported evidence goes.
#[derive(Debug, Args)]
pub(crate) struct ImportTarget {
    /// Folder of the embedded stores.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Whose evidence it becomes.
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: TenantId,
    /// When it was observed (RFC 3339); now, if not given.
    #[arg(long, value_name = "TIME")]
    pub(crate) observed_at: Option<Timestamp>,
    /// Print the summary as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether the configuration is valid, and every fault if not.
    Check,
    /// Print the configuration that would be used.
    Print,
}

impl Command {
    /// The name of the role, where the process is a server.
    pub(crate) fn role(&self) -> Option<&'static str> {
        match self {
            Self::All { .. } => Some("all"),
            Self::Gateway => Some("gateway"),
            Self::Orchestrator { command: None } => Some("orchestrator"),
            Self::Plan => Some("plan"),
            Self::Resolve => Some("resolve"),
            Self::Adapt => Some("adapt"),
            Self::Manifest => Some("manifest"),
            Self::Sign => Some("sign"),
            Self::Distribute => Some("distribute"),
            _ => None,
        }
    }

    /// Flags win over everything else.
    pub(crate) fn lay_over(&self, config: &mut Config) {
        let (data, listen) = match self {
            Self::All { data, listen } => (data, *listen),
            Self::Prove { data, .. } | Self::Retention(RetentionCommand::Run { data, .. }) => (data, None),
            Self::Evidence(
                EvidenceCommand::Import { target, .. }
                | EvidenceCommand::Pull { target, .. }
                | EvidenceCommand::Generate { target, .. },
            ) => (&target.data, None),
            _ => return,
        };
        if let Some(data) = data {
            config.data_dir.clone_from(data);
        }
        if let Some(listen) = listen {
            config.listen = listen;
        }
    }
}
