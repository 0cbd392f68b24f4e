//! How a request becomes a run, whoever makes it: the REST API and schedules go through here.

use std::collections::BTreeSet;

use export_contract::approval::RunApproval;
use export_contract::profile::ProfileKind;
use export_contract::run::{Run, RunOptions, RunProgress, RunStatus};
use export_contract::selectors::{SelectorError, SelectorRequest};
use export_contract::{ErrorCode, Generation, ProfileId, RunId, TenantId, Timestamp, Version};

use crate::base::find_base;
use crate::store::{RunStore, RunStoreError};

/// A run that somebody wants.
#[derive(Clone, Debug)]
pub struct RunWanted<'a> {
    /// Whose run it will be.
    pub tenant: &'a TenantId,
    /// Of which profile; its newest revision.
    pub profile: &'a str,
    /// What it exports.
    pub selectors: &'a SelectorRequest,
    /// Other choices.
    pub options: &'a RunOptions,
    /// Where a relative window ends.
    pub until: Timestamp,
    /// What lets it read the evidence of other tenants, and of which.
    pub approved: Option<(RunApproval, BTreeSet<TenantId>)>,
}

/// Who wants it, and how it is to be known.
#[derive(Clone, Debug)]
pub struct RunRequester {
    /// Its id.
    pub id: RunId,
    /// Who asks.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Follows the request through logs and traces.
    pub correlation_id: String,
}

/// Why no run can be made of a request.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The ledger did not do its part; the same request may be made again.
    #[error(transparent)]
    Ledger(#[from] RunStoreError),
    /// The request is not one that a run can be made of.
    #[error("{problem}")]
    Refused {
        /// For programs.
        code: ErrorCode,
        /// For people.
        problem: String,
        /// The members at fault.
        faults: Vec<SelectorError>,
    },
}

/// What a run of a request is made of: profile, absolute selectors, and options that stay true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPrepared {
    run: Run,
}

impl RunPrepared {
    /// The pending run.
    #[must_use]
    pub fn requested(self, requester: RunRequester) -> Run {
        let RunRequester { id, by, at, correlation_id } = requester;
        Run { id, requested_by: by, requested_at: at, correlation_id, ..self.run }
    }
}

/// Checks a request as a whole and prepares its run. `supported` are the kinds that the deployed adapters make.
///
/// # Errors
/// [`SubmitError::Refused`] names the members at fault.
pub async fn prepare(
    ledger: &dyn RunStore,
    supported: &BTreeSet<ProfileKind>,
    wanted: RunWanted<'_>,
) -> Result<RunPrepared, SubmitError> {
    let RunWanted { tenant, profile, selectors, options, until, approved } = wanted;
    let refuse = |code, problem| SubmitError::Refused { code, problem, faults: Vec::new() };
    let absent = || refuse(ErrorCode::ProfileNotFound, format!("no profile `{profile}` for tenant `{tenant}`"));
    let id: ProfileId = profile.parse().map_err(|_| absent())?;
    let profile = ledger.profile(tenant, &id, None).await?.ok_or_else(absent)?;
    if !supported.contains(&profile.kind) {
        let problem = format!("no adapter of this deployment makes `{}`", profile.kind);
        return Err(refuse(ErrorCode::ProfileUnsupported, problem));
    }
    let (approval, others) = approved.map_or((None, BTreeSet::new()), |(approval, others)| (Some(approval), others));
    let selectors = selectors.resolve_across(tenant, &others, until).map_err(|faults| SubmitError::Refused {
        code: ErrorCode::InvalidSelector,
        problem: "the selectors are not valid".to_owned(),
        faults,
    })?;
    if !selectors.tenants.is_empty() {
        reads_across(profile.kind, options)?;
    }
    let options = settled(ledger, tenant, profile.kind, options.clone()).await?;
    Ok(RunPrepared {
        run: Run {
            v: Version,
            id: RunId::from_parts(0, 0),
            tenant: tenant.clone(),
            profile_id: profile.id,
            profile_revision: profile.revision,
            profile_kind: profile.kind,
            selectors,
            options,
            approval: approval.map(Box::new),
            requested_by: String::new(),
            requested_at: until,
            correlation_id: String::new(),
            status: RunStatus::Pending,
            generation: Generation::FIRST,
            replay: None,
            phase: None,
            started_at: None,
            completed_at: None,
            duration_ms: None,
            error_code: None,
            error_message: None,
            policy_snapshot_id: None,
            waiting: None,
            progress: RunProgress::default(),
            base: None,
            bundle: None,
            expiry: None,
            inputs: Vec::new(),
            distributions: Vec::new(),
        },
    })
}

/// What a run that reads the evidence of other tenants may be.
fn reads_across(kind: ProfileKind, options: &RunOptions) -> Result<(), SubmitError> {
    let at = |path: &str, problem: String| {
        let faults = vec![SelectorError { path: path.to_owned(), problem: problem.clone() }];
        Err(SubmitError::Refused { code: ErrorCode::InvalidSelector, problem, faults })
    };
    if kind != ProfileKind::MirrorFull {
        let problem = format!("evidence of other tenants is exported as `mirror:full` only, the profile is `{kind}`");
        return at("selectors.tenants", problem);
    }
    if options.watermark.is_some() {
        let problem = "each tenant's ledger has positions of its own: leave out the watermark".to_owned();
        return at("options.watermark", problem);
    }
    Ok(())
}

/// Judges the base of a delta and names it by its run: a digest may later be that of another run as well (design D25).
async fn settled(
    ledger: &dyn RunStore,
    tenant: &TenantId,
    kind: ProfileKind,
    mut options: RunOptions,
) -> Result<RunOptions, SubmitError> {
    let at_base = |code, problem: String| {
        let faults = vec![SelectorError { path: "options.baseExportId".to_owned(), problem: problem.clone() }];
        SubmitError::Refused { code, problem, faults }
    };
    if kind != ProfileKind::MirrorDelta {
        if options.base_export_id.is_some() || options.reset_baseline {
            let problem = format!("only `mirror:delta` builds upon a base, the profile is `{kind}`");
            return Err(at_base(ErrorCode::InvalidRequest, problem));
        }
        return Ok(options);
    }
    let Some(name) = options.base_export_id.take() else {
        let problem = "a delta needs a base: the id of a run that made a mirror, or the digest of its export.json; \
                       or set options.resetBaseline";
        return if options.reset_baseline {
            Ok(options)
        } else {
            Err(at_base(ErrorCode::BaseMissing, problem.to_owned()))
        };
    };
    if options.reset_baseline {
        let problem = "a delta that resets the baseline builds upon nothing: leave out one of the two".to_owned();
        return Err(at_base(ErrorCode::InvalidRequest, problem));
    }
    let Some(base) = find_base(ledger, tenant, &name).await? else {
        let problem = format!("tenant `{tenant}` has no finished mirror `{name}`");
        return Err(at_base(ErrorCode::BaseMissing, problem));
    };
    if let Some(expiry) = base.expiry {
        let problem = format!(
            "run `{}`, which made this mirror, is no longer kept: its retention ended at {}; name a later one, or set \
             options.resetBaseline",
            base.id, expiry.since
        );
        return Err(at_base(ErrorCode::BaseMissing, problem));
    }
    if base.bundle.as_ref().is_none_or(|bundle| bundle.state_digest.is_none()) {
        let problem = format!("run `{}` made `{}`, a delta builds upon a mirror", base.id, base.profile_kind);
        return Err(at_base(ErrorCode::BaseMismatch, problem));
    }
    if !base.selectors.tenants.is_empty() {
        let problem = format!(
            "run `{}` holds evidence of several tenants, and no delta builds upon that: make a full mirror again",
            base.id
        );
        return Err(at_base(ErrorCode::BaseMismatch, problem));
    }
    options.base_export_id = Some(base.id.to_string());
    Ok(options)
}
