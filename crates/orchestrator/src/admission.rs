//! Admission: a pending run waits in the run ledger until its tenant has a free slot (design D20).

use std::collections::BTreeMap;

use export_contract::event::EventType;
use export_contract::message::{BaseRun, RunAdmitted, RunRequest};
use export_contract::profile::ProfileKind;
use export_contract::run::{Run, RunStatus};
use export_contract::{ErrorCode, TenantId, Version};
use export_runs::{Admission, NewEvent, SlotCaps, StepOutcome, find_base};

use crate::error::OrchestratorError;
use crate::ports::Ports;
use crate::{previous, replay};

/// How many runs of a tenant run at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Of a tenant that is not named below.
    pub default: u32,
    /// Of these tenants.
    pub tenants: BTreeMap<TenantId, u32>,
    /// Of each tenant's runs of these kinds.
    pub kinds: BTreeMap<ProfileKind, u32>,
}

impl Default for Caps {
    /// Four, as the specification says.
    fn default() -> Self {
        Self { default: 4, tenants: BTreeMap::new(), kinds: BTreeMap::new() }
    }
}

impl Caps {
    /// The caps of a tenant.
    pub fn of(&self, tenant: &TenantId) -> SlotCaps {
        let active = self.tenants.get(tenant).copied().unwrap_or(self.default);
        SlotCaps { active, by_kind: self.kinds.clone() }
    }
}

/// Gives free slots to pending runs and commands their plan.
#[derive(Clone, Debug)]
pub struct Admitter {
    ports: Ports,
    caps: Caps,
}

impl Admitter {
    /// An admitter; any number of them may be at work.
    pub fn new(ports: Ports, caps: Caps) -> Self {
        Self { ports, caps }
    }

    /// Admits what the tenant's free slots allow, oldest first; gives the number of runs admitted.
    ///
    /// A run is `running` in the ledger before plan is commanded. Should this stop in between, the reconciler finds the
    /// run silent and commands plan again.
    ///
    /// # Errors
    /// The first thing that failed; the other admitted runs were commanded all the same.
    pub async fn admit(&self, tenant: &TenantId) -> Result<u32, OrchestratorError> {
        let admission = self.ports.ledger.admit_within(tenant, &self.caps.of(tenant), self.ports.now()).await?;
        let Admission::Admitted(runs) = admission else { return Ok(0) };
        let mut outcome = Ok(());
        let mut admitted = 0;
        for run in &runs {
            tracing::info!(tenant = %run.tenant, run = %run.id, "run admitted");
            let commanded = self.command(run).await;
            self.ports.queue.recorded(&run.tenant, &run.id).await;
            admitted += 1;
            outcome = outcome.and(commanded);
        }
        outcome.map(|()| admitted)
    }

    /// Admits for every tenant with pending runs; gives the number of runs admitted.
    ///
    /// # Errors
    /// The first thing that failed; the other tenants were served all the same.
    pub async fn admit_waiting(&self) -> Result<u32, OrchestratorError> {
        let mut outcome = Ok(());
        let mut admitted = 0;
        for tenant in self.ports.ledger.tenants_waiting().await? {
            match self.admit(&tenant).await {
                Ok(count) => admitted += count,
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome.map(|()| admitted)
    }

    /// Writes the admission record of a running run, and the results that it takes over where it was replayed, and commands plan. May be
    /// repeated: the record is made of what the
    /// ledger says and nothing else, the first one stays (also where the ledger knows of more earlier runs by now), and the
    /// command is on the log once.
    ///
    /// # Errors
    /// What failed; the call may be made again.
    pub async fn command(&self, run: &Run) -> Result<(), OrchestratorError> {
        let profile = self.ports.ledger.profile(&run.tenant, &run.profile_id, Some(run.profile_revision)).await?;
        let Some(profile) = profile else { return self.fail_without_profile(run).await };
        let reference = run.reference();
        let base = self.base(run).await?;
        let previous = previous::find(&self.ports, run, &profile).await?;
        let record = RunAdmitted {
            v: Version,
            run: reference.clone(),
            profile,
            selectors: run.selectors.clone(),
            options: run.options.clone(),
            request: RunRequest {
                by: run.requested_by.clone(),
                at: run.requested_at,
                admitted_at: run.started_at.unwrap_or(run.requested_at),
                correlation_id: run.correlation_id.clone(),
            },
            base,
            previous,
        };
        replay::take_over(&self.ports, run).await?;
        let workspace = self.ports.workspace(&reference);
        let result = workspace.put_record(&workspace.admission_key(), &record).await?;
        Ok(self.ports.queue.admitted(&reference, &result).await?)
    }

    /// The mirror that the run builds upon. Of one that is not there plan says so, for the run to fail with its code. One that expired after
    /// the run was submitted still counts: retention sees the run, and spares its base.
    async fn base(&self, run: &Run) -> Result<Option<BaseRun>, OrchestratorError> {
        let Some(name) = &run.options.base_export_id else { return Ok(None) };
        let found = find_base(&*self.ports.ledger, &run.tenant, name).await?;
        let found = found.filter(|base| base.expiry.is_none_or(|expiry| !expiry.is_final()));
        Ok(found.and_then(|base| {
            let reference = base.reference();
            base.bundle
                .and_then(|bundle| bundle.state_digest)
                .map(|state_digest| BaseRun { run: reference, state_digest })
        }))
    }

    /// Revisions are never removed, so this takes a ledger that lost rows; a run must not hold its slot for ever then.
    async fn fail_without_profile(&self, run: &Run) -> Result<(), OrchestratorError> {
        let message = format!("profile {} has no revision {}", run.profile_id, run.profile_revision);
        let event = NewEvent {
            key: format!("{}.admission.failed", run.generation),
            event_type: EventType::RunFailed,
            phase: run.phase,
            message: message.clone(),
            at: self.ports.now(),
            metrics: BTreeMap::new(),
            actor: None,
        };
        let outcome = StepOutcome {
            terminal: Some(RunStatus::Failed),
            error: Some((ErrorCode::ProfileNotFound, message)),
            ..StepOutcome::default()
        };
        self.ports.ledger.record(&run.reference(), &event, &outcome).await?;
        Ok(())
    }
}
