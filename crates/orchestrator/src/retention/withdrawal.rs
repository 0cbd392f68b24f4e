//! What runs showed that did not succeed in the end: known from the records that distribute writes before it shows anything, and taken
//! back as soon as the run has ended.

use export_blobs::{ResultError, Workspace};
use export_contract::Generation;
use export_contract::message::Distribution;
use export_contract::run::{Run, RunRef, RunStatus};
use export_runs::{RetentionStep, RunStoreError};

use super::facts::Facts;
use super::removal::Answer;
use super::report::{Deed, Pass};
use super::{Retention, Round, is_over};

/// Why it is not known where a run may be seen.
#[derive(Debug, thiserror::Error)]
pub(super) enum FindError {
    #[error("cannot tell where a run was handed over to")]
    Record(#[from] ResultError),
    #[error(transparent)]
    Ledger(#[from] RunStoreError),
}

impl FindError {
    /// Which store failed.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Record(_) => "staging",
            Self::Ledger(_) => "ledger",
        }
    }
}

impl Retention {
    /// Takes back what a run handed over that failed or was cancelled: at its end, and once more when its last worker is gone, who may
    /// have been held up and have shown it behind the first look.
    pub(super) async fn withdraw(&self, round: &Round<'_>, facts: &Facts, pass: &mut Pass) {
        let failed = matches!(facts.status, RunStatus::Failed | RunStatus::Aborted);
        if !failed || facts.is_going() || self.withdrawn.lock().await.contains(&facts.run) {
            return;
        }
        let for_good = facts.ended_at.is_some_and(|at| is_over(at, self.rules.grace, round.now));
        let run = match self.with_every_place(round, &facts.run).await {
            Ok(Some(run)) if run.reference() == facts.run && run.status == facts.status => run,
            // It was replayed meanwhile: what it shows is its next generation's to say.
            Ok(_) => return,
            Err(error) => {
                pass.failed(error.kind(), &error, "cannot find what a run showed that did not succeed");
                return round.tell(facts, Deed::Failed, error.to_string());
            }
        };
        let mut left = false;
        for place in run.distributions.iter().filter(|place| place.pruned_at.is_none() || for_good) {
            let what = format!("{} at {}", place.kind.as_str(), place.location);
            if round.dry_run {
                if place.pruned_at.is_none() {
                    pass.withdrawn += 1;
                    round.tell(facts, Deed::Withdrawn, what);
                }
                continue;
            }
            match self.take_back(round, facts, &run, place, pass).await {
                Answer::Removed if place.pruned_at.is_none() => {
                    pass.withdrawn += 1;
                    round.tell(facts, Deed::Withdrawn, what);
                }
                Answer::Removed => {}
                Answer::Locked(until) => {
                    left = true;
                    pass.locked += 1;
                    let until = until.map_or_else(|| "an unknown time".to_owned(), |until| until.to_string());
                    round.tell(facts, Deed::Locked, format!("kept until {until}: {what}"));
                }
                Answer::Failed(why) => {
                    left = true;
                    round.tell(facts, Deed::Failed, why);
                }
            }
        }
        if for_good && !left && !round.dry_run {
            self.withdrawn.lock().await.insert(facts.run.clone());
        }
    }

    /// The run with a row for each place at which it may be seen; in a dry run they are not written.
    pub(super) async fn with_every_place(
        &self,
        round: &Round<'_>,
        reference: &RunRef,
    ) -> Result<Option<Run>, FindError> {
        let mut places: Vec<Distribution> = Vec::new();
        for generation in (1..=reference.generation.0).map(Generation) {
            let generation = RunRef { generation, ..reference.clone() };
            places.extend(Workspace::new(self.staging.clone(), generation).hand_overs().await?);
        }
        let Some(mut run) = self.ledger.run(round.tenant, &reference.run).await? else { return Ok(None) };
        let is_known = |run: &Run, place: &Distribution| {
            run.distributions.iter().any(|row| row.kind == place.kind && row.location == place.location)
        };
        let mut wrote = false;
        for place in places {
            if is_known(&run, &place) {
                continue;
            }
            // What keeps it locked the target says, if it came that far.
            let distribution = Distribution { expires_at: run.completed_at, locked_until: None, ..place };
            if round.dry_run {
                run.distributions.push(distribution);
                continue;
            }
            let step = RetentionStep::Found { distribution };
            wrote |= self.ledger.retain(round.tenant, &reference.run, &step, (self.clock)()).await?;
        }
        // Rows of an earlier pass that wrote half of them are there as well.
        if wrote { Ok(self.ledger.run(round.tenant, &reference.run).await?) } else { Ok(Some(run)) }
    }
}
