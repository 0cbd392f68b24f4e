//! The removal of a run that there is no way back for: targets, staging, and then the ledger's word that nothing is left.

use export_contract::message::Distribution;
use export_contract::run::Run;
use export_contract::{LogEvent, Timestamp};
use export_runs::RetentionStep;
use export_targets::Removal;

use super::facts::Facts;
use super::report::{Deed, Pass};
use super::{Retention, Round, corner};

/// What a target had to say.
pub(super) enum Answer {
    Removed,
    Locked(Option<Timestamp>),
    Failed(String),
}

impl Retention {
    /// Goes on with the removal wherever an earlier pass left it.
    pub(super) async fn remove(&self, round: &Round<'_>, facts: &Facts, pass: &mut Pass) {
        if round.dry_run {
            pass.pruned += 1;
            round.tell(facts, Deed::Pruned, "its retention is over".to_owned());
            return;
        }
        // Before its corner goes, which holds the records of where it was handed over to.
        let run = match self.with_every_place(round, &facts.run).await {
            Ok(Some(run)) => run,
            Ok(None) => return,
            Err(error) => {
                pass.failed(error.kind(), &error, "cannot read a run that is removed");
                return round.tell(facts, Deed::Failed, error.to_string());
            }
        };
        let mut open = None;
        for distribution in run.distributions.iter().filter(|distribution| distribution.pruned_at.is_none()) {
            match self.take_back(round, facts, &run, distribution, pass).await {
                Answer::Removed => {}
                Answer::Locked(until) => {
                    let until = until.map_or_else(|| "an unknown time".to_owned(), |until| until.to_string());
                    let what = format!("{} keeps {} until {until}", distribution.kind.as_str(), distribution.location);
                    pass.locked += 1;
                    open.get_or_insert((Deed::Locked, what));
                }
                Answer::Failed(why) => _ = open.replace((Deed::Failed, why)),
            }
        }
        match corner::empty(&*self.staging, round.tenant, facts.id()).await {
            Ok(freed) => pass.freed += freed,
            Err(error) => {
                pass.failed("staging", &error, "cannot empty the corner of a run");
                open = Some((Deed::Failed, error.to_string()));
            }
        }
        match open {
            Some((deed, why)) => round.tell(facts, deed, why),
            None if self.take(round, facts, &RetentionStep::Prune, pass).await => {
                tracing::info!(event = %LogEvent::RunPruned, tenant = %round.tenant, run_id = %facts.id(), "run pruned");
                pass.pruned += 1;
                self.swept.lock().await.remove(&facts.run);
                self.withdrawn.lock().await.remove(&facts.run);
                round.tell(facts, Deed::Pruned, "its retention is over".to_owned());
            }
            // Another process said so first.
            None => {}
        }
    }

    pub(super) async fn take_back(
        &self,
        round: &Round<'_>,
        facts: &Facts,
        run: &Run,
        distribution: &Distribution,
        pass: &mut Pass,
    ) -> Answer {
        let kind = distribution.kind;
        if let Some(until) = distribution.locked_until.filter(|until| round.now < *until) {
            return Answer::Locked(Some(until));
        }
        let Some(target) = self.targets.iter().find(|target| target.kind() == kind) else {
            let why = format!("`{}` is not set up here any more, so nothing can be taken back from it", kind.as_str());
            pass.count(kind.as_str());
            tracing::warn!(tenant = %round.tenant, run_id = %facts.id(), reason = why, "a distribution cannot be pruned");
            return Answer::Failed(why);
        };
        let location = distribution.location.clone();
        match target.remove(&run.reference(), distribution).await {
            Ok(Removal::Removed) => {
                self.take(round, facts, &RetentionStep::Removed { kind, location }, pass).await;
                Answer::Removed
            }
            Ok(Removal::Locked { until }) => {
                if until.is_none() || until != distribution.locked_until {
                    self.take(round, facts, &RetentionStep::Locked { kind, location, until }, pass).await;
                }
                Answer::Locked(until)
            }
            Err(error) => {
                pass.failed(kind.as_str(), &error, "cannot take a bundle back from a target");
                Answer::Failed(error.to_string())
            }
        }
    }
}
