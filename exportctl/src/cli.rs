//! The command line as it is written; `--help` is made from the comments here.

mod approval;
mod audit;
mod dead_letter;
mod schedule;
mod webhook;

use std::io;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use self::approval::{ApprovalCommand, SignArguments};
pub(crate) use self::audit::AuditCommand;
pub(crate) use self::dead_letter::DeadLetterCommand;
pub(crate) use self::schedule::ScheduleCommand;
pub(crate) use self::webhook::WebhookCommand;
use crate::selectors::SelectorArguments;

/// Export vulnerability evidence as reproducible, signed bundles.
///
/// Data goes to standard output, everything else to standard error. Exit codes: 0 ok, 1 unexpected, 2 usage,
/// 3 authentication or permission, 4 not found, 5 network needed but forbidden, 6 busy (retry), 10 signature invalid,
/// 11 signature missing, 12 wrong signer, 13 digest mismatch, 14 malformed or hostile bundle, 15 too old,
/// 16 rollback or wrong base, 17 incomplete, 20 differences found, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "exportctl", version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Credentials file, as `exportd all` writes and `exportctl login` keeps it.
    #[arg(long, global = true, env = "EXPORT_CREDENTIALS", value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,
    /// Tenant, where the credentials speak for several.
    #[arg(long, global = true, env = "EXPORT_TENANT", value_name = "TENANT")]
    pub(crate) tenant: Option<String>,
    /// Form of the output.
    #[arg(short, long, global = true, value_enum, default_value_t = Form::Table)]
    pub(crate) output: Form,
    /// Say nothing on standard error but errors.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Ndjson,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check credentials and keep them for later calls.
    Login(LoginArguments),
    /// Profiles: what kinds of bundle there are.
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Runs: ask for a bundle and follow its making.
    #[command(subcommand)]
    Run(RunCommand),
    /// Dead letters: commands that no stage could do.
    #[command(subcommand)]
    DeadLetter(DeadLetterCommand),
    /// Who did what.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Schedules: runs that recur.
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Webhooks: who is told of the ends of runs.
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// Approvals: what lets a run read the evidence of other tenants.
    #[command(subcommand)]
    Approval(ApprovalCommand),
    /// Bundles: download, verify and look into them.
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// Send any request to the API, with token and proof, and write the answer's body to standard output.
    Api(ApiArguments),
    /// Print the completion script of a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// Where to log in, and as whom.
#[derive(Debug, Args)]
pub(crate) struct LoginArguments {
    /// Address of the gateway.
    #[arg(long, value_name = "URL")]
    pub(crate) server: String,
    /// Client id.
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: String,
    /// File with the client secret; `-` reads it from standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) client_secret_file: PathBuf,
    /// PEM file with the certificates that the server's own must come from, if the system does not trust it.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Address of the authority's token endpoint, where the gateway issues no tokens itself.
    #[arg(long, value_name = "URL")]
    pub(crate) token_endpoint: Option<String>,
}

/// A request.
#[derive(Debug, Args)]
pub(crate) struct ApiArguments {
    /// Method, such as GET.
    pub(crate) method: export_client::Method,
    /// Path with its query, such as /api/export/runs?limit=5.
    #[arg(value_parser = path)]
    pub(crate) path: String,
    /// The body, JSON unless a header says otherwise; `@FILE` reads a file, `@-` standard input.
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) data: Option<String>,
    /// A header, as `name: value`; may be given several times.
    #[arg(short = 'H', long, value_name = "HEADER")]
    pub(crate) header: Vec<String>,
    /// Send nothing: print the headers with which curl may send this one request within a minute (`curl -H @<(exportctl api …)`).
    #[arg(long, conflicts_with_all = ["data", "header"])]
    pub(crate) print_headers: bool,
}

fn path(text: &str) -> Result<String, &'static str> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("a path begins with `/`") }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// List the tenant's profiles.
    List,
    /// Show one profile.
    Show {
        /// Its id, such as json-raw or json:raw.
        profile: String,
    },
    /// Create a profile from a JSON document.
    Create {
        /// The document; `-` reads standard input.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Change a profile by a JSON merge patch; a change of `config` makes a new revision.
    Update {
        /// Its id.
        profile: String,
        /// The patch; `-` reads standard input.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Delete a profile that no schedule makes runs of; the runs that were made of it stay.
    Delete {
        /// Its id.
        profile: String,
    },
    /// List the revisions of a profile, newest first.
    Revisions {
        /// Its id.
        profile: String,
        /// At most so many, 1 to 200.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
    },
    /// Print the JSON Schema of the configuration of a kind of profile.
    Schema {
        /// The kind, such as json:raw.
        kind: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// Ask for a bundle.
    Start {
        /// The profile, such as json-raw or json:raw.
        profile: String,
        #[command(flatten)]
        selectors: Box<SelectorArguments>,
        /// A key that makes repeating this call safe: the same key gives the same run.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
        /// Policy snapshot to use, where the profile takes one.
        #[arg(long, value_name = "ID")]
        policy_snapshot: Option<String>,
        /// Base of a delta: the run that made a mirror, or the digest of that mirror's export.json.
        #[arg(long, value_name = "RUN|DIGEST")]
        base: Option<String>,
        /// Make a delta that holds the new mirror whole and builds upon nothing.
        #[arg(long)]
        reset_baseline: bool,
        /// The approval that lets it read the evidence of other tenants, as `approval sign` wrote it.
        #[arg(long, value_name = "FILE")]
        approval: Option<PathBuf>,
        /// Follow the run to its end; the exit code tells how it ended.
        #[arg(short, long)]
        watch: bool,
    },
    /// List runs, newest first.
    List {
        /// Only runs in this state.
        #[arg(long)]
        status: Option<String>,
        /// Only runs of this profile.
        #[arg(long)]
        profile: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
    },
    /// Show one run.
    Show {
        /// Its id.
        run: String,
    },
    /// Follow a run to its end.
    Watch {
        /// Its id.
        run: String,
    },
    /// Cancel a run.
    Cancel {
        /// Its id.
        run: String,
    },
    /// Replay a run that failed or was cancelled: it goes on in a new generation, with the results that there are.
    Replay {
        /// Its id.
        run: String,
        /// Do this stage and all that follow again: plan, resolve, adapt, manifest, sign or distribute.
        #[arg(long, value_name = "STAGE")]
        from: Option<export_contract::run::Phase>,
        /// Follow the run to its end; the exit code tells how it ended.
        #[arg(short, long)]
        watch: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BundleCommand {
    /// Download a bundle and what lies beside it; goes on where an earlier attempt broke off.
    Download {
        /// The run that made it.
        run: String,
        /// Folder to write to.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Make a link to a bundle for whoever has no account here: it works until it expires, and whoever has it may use it.
    Link {
        /// The run that made it.
        run: String,
        /// How long it works: such as 30m, 12h or 7d, at most 7d.
        #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = seconds)]
        valid: u32,
        /// A file beside the bundle instead, such as export.json.
        #[arg(long, value_name = "NAME", default_value = "bundle.tar")]
        file: String,
    },
    /// Pack a downloaded bundle and its signatures into one tar, which `verify` takes as a file or from a pipe.
    Pack {
        /// The folder that `bundle download` wrote.
        dir: PathBuf,
        /// File to write, or `-` for standard output.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Write an OCI image layout, a folder, instead of a tar.
        #[arg(long)]
        oci: bool,
    },
    /// Verify a bundle with no network; says what was proven, what was not, and how old it is.
    Verify(VerifyArguments),
    /// Verify an encrypted bundle with no network, and write it as a plain one.
    Decrypt(DecryptArguments),
    /// Take a mirror or a delta into a site: verified, put together, and switched to all at once.
    Apply(ApplyArguments),
    /// Use the state of a site before the present one again.
    Rollback {
        /// The site's folder.
        #[arg(long, value_name = "SITE")]
        into: PathBuf,
    },
    /// Tell what differs between two bundles; exit code 20 where something does. Proves nothing: verify them first.
    Diff {
        /// The older bundle, in any form that `verify` takes.
        old: PathBuf,
        /// The newer one.
        new: PathBuf,
        /// Write Markdown instead of a table.
        #[arg(long)]
        markdown: bool,
    },
    /// Print the records of a subject, a line each; of a mirror no more is decompressed than the frames that may hold them.
    Extract {
        /// Subject or document id of the record.
        #[arg(long, value_name = "ID")]
        record: String,
        /// Print the upstream document alone.
        #[arg(long)]
        raw: bool,
        /// The bundle, in any form that `verify` takes.
        path: PathBuf,
    },
    /// Lay a verified bundle out as a kit for a place without a network: with this program, the keys and a script that verifies it.
    Kit(KitArguments),
    /// Show what a downloaded bundle says of itself; proves nothing.
    Inspect {
        /// The folder that `bundle download` wrote, a tar or tar.zst, or an OCI image layout.
        path: PathBuf,
    },
}

/// What to take in, and where.
#[derive(Debug, Args)]
pub(crate) struct ApplyArguments {
    #[command(flatten)]
    pub(crate) verify: VerifyArguments,
    /// The site's folder; made where there is none.
    #[arg(long, value_name = "SITE")]
    pub(crate) into: PathBuf,
    /// Take a full mirror that is older than the one in use.
    #[arg(long)]
    pub(crate) allow_rollback: bool,
    /// Do everything but the switch.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What a kit is made of.
#[derive(Debug, Args)]
pub(crate) struct KitArguments {
    #[command(flatten)]
    pub(crate) verify: VerifyArguments,
    /// The kit's folder; must not be there yet.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// The verifier to put in, where it is not this program, for another kind of machine.
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
}

/// What to verify, and what must hold.
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The folder that `bundle download` wrote, the bundle's tar in it, a tar or tar.zst of all its files, an OCI image layout, a state
    /// of a site, or `-` for such a tar on standard input.
    pub(crate) path: PathBuf,
    /// Public key that may have signed it; give it again for each key that is accepted.
    #[arg(long, value_name = "PEM")]
    pub(crate) key: Vec<PathBuf>,
    /// Refuse a bundle without signed provenance.
    #[arg(long)]
    pub(crate) require_attestation: bool,
    /// Accept a bundle whose maker says that a source could not be read to its end; the source is named.
    #[arg(long)]
    pub(crate) allow_failed_sources: bool,
    /// Refuse a file that decompresses to more than this, whatever the signer says.
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_plain_bytes: Option<u64>,
    /// Refuse a bundle whose evidence is older than this, such as 36h or 7d.
    #[arg(long, value_name = "AGE")]
    pub(crate) max_age: Option<String>,
    /// File with age identities (as `age-keygen` makes them), to prove what is in encrypted files, too.
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
}

/// What to decrypt, for whom, and where to.
#[derive(Debug, Args)]
pub(crate) struct DecryptArguments {
    /// The folder that `bundle download` wrote, the bundle's tar in it, a tar or tar.zst of all its files, or an OCI image layout.
    pub(crate) path: PathBuf,
    /// File with age identities, as `age-keygen` makes them.
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: PathBuf,
    /// Folder to write; it must not exist.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Public key that may have signed the bundle; give it again for each key that is accepted.
    #[arg(long, value_name = "PEM")]
    pub(crate) key: Vec<PathBuf>,
}

impl BundleCommand {
    /// Whether the command may not touch the network.
    pub(crate) fn is_offline(&self) -> bool {
        !matches!(self, Self::Download { .. } | Self::Link { .. })
    }
}

/// Prints the completion script of a shell.
pub(crate) fn completions(shell: Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "exportctl", &mut io::stdout());
}

/// Reads a duration: digits with `s`, `m`, `h` or `d`.
fn seconds(text: &str) -> Result<u32, String> {
    let fault = || format!("`{text}` is no time; use digits with s, m, h or d, such as 12h");
    let unit = text.chars().last().ok_or_else(fault)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(fault()),
    };
    let count: u32 = text.trim_end_matches(unit).parse().map_err(|_| fault())?;
    count.checked_mul(factor).ok_or_else(fault)
}
