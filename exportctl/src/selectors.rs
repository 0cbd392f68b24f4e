//! Selectors on the command line.

use clap::Args;
use export_contract::selectors::{SelectorRequest, WindowRequest};

/// What to export. Every option narrows; lists may be given several times or with commas.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Selectors")]
pub(crate) struct SelectorArguments {
    /// Tenant whose evidence is read, where that is another one; needs --approval.
    #[arg(long, value_name = "TENANT")]
    of_tenant: Vec<String>,
    /// Record kind: advisory, vex or sbom.
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Source: a publisher or pack.
    #[arg(long, value_name = "SOURCE")]
    source: Vec<String>,
    /// Ecosystem, such as npm or PyPI.
    #[arg(long, value_name = "ECOSYSTEM")]
    ecosystem: Vec<String>,
    /// Package URL prefix, such as pkg:npm/lodash.
    #[arg(long, value_name = "PURL")]
    product: Vec<String>,
    /// SBOM subject; other kinds are not touched by it.
    #[arg(long, value_name = "SUBJECT")]
    sbom_subject: Vec<String>,
    /// Severity of policy findings.
    #[arg(long, value_name = "SEVERITY")]
    severity: Vec<String>,
    /// Subject or document id to keep; a trailing * makes a prefix.
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Subject or document id to leave out; wins over --include.
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Only what was observed in this long before now, such as 36h or 7d.
    #[arg(long, value_name = "AGE", conflicts_with_all = ["from", "until"])]
    last: Option<String>,
    /// Only what was observed at or after this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only what was observed before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl From<SelectorArguments> for SelectorRequest {
    fn from(arguments: SelectorArguments) -> Self {
        let SelectorArguments { from, until, last, .. } = &arguments;
        let window = WindowRequest { from: from.clone(), until: until.clone(), last: last.clone() };
        Self {
            tenants: arguments.of_tenant,
            window: Some(window).filter(|window| *window != WindowRequest::default()),
            kinds: arguments.kind,
            sources: arguments.source,
            ecosystems: arguments.ecosystem,
            products: arguments.product,
            sbom_subjects: arguments.sbom_subject,
            severities: arguments.severity,
            include: arguments.include,
            exclude: arguments.exclude,
        }
    }
}
