//! Runs that go on in a new generation.

use export_blobs::Workspace;
use export_contract::audit::AuditAction;
use export_contract::event::EventType::{RunReplayed, RunSucceeded};
use export_contract::message::{Outcome, RunAdapted, RunPlanned};
use export_contract::run::{Phase, Replay, RunRef, RunStatus};
use export_contract::{ErrorCode, Generation, PartIndex};
use export_orchestrator::{Orchestrator, Recorded};
use export_runs::{Quotas, ReplayOutcome, ReplayWanted};

use super::desk::{Desk, at};
use super::stages::Work;

impl Desk {
    /// A run whose stage gave up behind all the work up to `last`.
    async fn failed(&self, orchestrator: &Orchestrator, last: Work, phase: Phase) -> RunRef {
        let run = self.submit().await;
        self.deliver(orchestrator).await;
        self.work_up_to(orchestrator, &run, last).await;
        self.log.failed(&run, phase, Outcome::Failed { code: ErrorCode::Exhausted, message: "no more".to_owned() });
        self.deliver(orchestrator).await;
        assert_eq!(self.run(&run).await.status, RunStatus::Failed);
        run
    }

    /// Replays as the gateway does, and gives the new generation.
    async fn replay(&self, run: &RunRef, from: Option<Phase>) -> RunRef {
        let replay = Replay { from, of: run.generation };
        let wanted = ReplayWanted { run: run.clone(), replay, by: "bob".to_owned(), at: at(100) };
        let replayed = self.ledger.replay_run(&wanted, &Quotas::default()).await.unwrap();
        let ReplayOutcome::Replayed(run) = replayed.outcome else { panic!("{replayed:?}") };
        run.reference()
    }

    /// The result records of a generation, by name.
    async fn records(&self, run: &RunRef) -> Vec<String> {
        let keys = self.staging.list(&run.to_string().parse().unwrap()).await.unwrap();
        let prefix = format!("{run}/");
        let names = keys.iter().filter_map(|key| key.as_str().strip_prefix(&prefix));
        let mut names: Vec<String> = names.map(|name| name.trim_end_matches(".json").to_owned()).collect();
        names.sort();
        names
    }

    fn workspace(&self, run: &RunRef) -> Workspace {
        Workspace::new(self.staging.clone(), run.clone())
    }
}

#[tokio::test]
async fn a_replay_takes_over_the_results_before_its_stage_and_no_others() {
    let all = ["plan", "resolve", "adapt.part-0", "adapt.part-1", "adapt", "manifest", "sign"];
    for (from, taken) in [
        (Some(Phase::Plan), 0),
        (Some(Phase::Resolve), 1),
        (Some(Phase::Adapt), 2),
        (Some(Phase::Manifest), 5),
        (Some(Phase::Sign), 6),
        (Some(Phase::Distribute), 7),
        (None, 7),
    ] {
        let desk = Desk::new().await;
        let orchestrator = desk.orchestrator();
        let first = desk.failed(&orchestrator, Work::Sign, Phase::Distribute).await;
        let second = desk.replay(&first, from).await;
        assert_eq!(second.generation, Generation(2));
        assert_eq!(orchestrator.admit().await.unwrap(), 1);

        let mut expected: Vec<&str> = all.iter().copied().take(taken).chain(["admission"]).collect();
        expected.sort_unstable();
        assert_eq!(desk.records(&second).await, expected, "{from:?}");
        assert_eq!(desk.log.subjects(&second), ["admitted"], "{from:?}");

        desk.work_up_to(&orchestrator, &second, Work::Distribute).await;
        let ended = desk.run(&second).await;
        assert_eq!((ended.status, ended.error_code), (RunStatus::Succeeded, None), "{from:?}");
        assert_eq!((ended.progress.parts_done, ended.progress.records_done, ended.inputs.len()), (2, 7, 2));
        let types = desk.types(&second).await;
        // Nine until the signature, the end, the replay, and then the whole of a run but for its beginning.
        assert_eq!(
            (types.len(), types.get(10), types.last()),
            (20, Some(&RunReplayed), Some(&RunSucceeded)),
            "{from:?}"
        );
    }
}

#[tokio::test]
async fn what_is_taken_over_is_of_the_new_generation() {
    let desk = Desk::new().await;
    let orchestrator = desk.orchestrator();
    let first = desk.failed(&orchestrator, Work::Assemble, Phase::Manifest).await;
    let second = desk.replay(&first, Some(Phase::Manifest)).await;
    orchestrator.admit().await.unwrap();
    for (run, phase) in [(&first, Phase::Adapt), (&second, Phase::Adapt)] {
        let workspace = desk.workspace(run);
        let result = workspace.find_result(phase, None).await.unwrap().unwrap();
        let record: RunAdapted = serde_json::from_slice(&workspace.read_result(&result).await.unwrap()).unwrap();
        assert_eq!(record.plan.run, *run);
    }
}

#[tokio::test]
async fn a_replay_without_a_stage_goes_on_where_the_run_had_ended_part_by_part() {
    let desk = Desk::new().await;
    let orchestrator = desk.orchestrator();
    let first = desk.failed(&orchestrator, Work::Part(1), Phase::Adapt).await;
    let second = desk.replay(&first, None).await;
    orchestrator.admit().await.unwrap();
    assert_eq!(desk.records(&second).await, ["adapt.part-1", "admission", "plan", "resolve"]);
    // And another one, of a generation that was cancelled before it did anything.
    let third = {
        desk.ledger.cancel(&second.tenant, &second.run, "bob", at(200)).await.unwrap();
        desk.replay(&second, None).await
    };
    orchestrator.admit().await.unwrap();
    assert_eq!(desk.records(&third).await, ["adapt.part-1", "admission", "plan", "resolve"]);
    desk.work_up_to(&orchestrator, &third, Work::Distribute).await;
    assert_eq!(desk.run(&third).await.status, RunStatus::Succeeded);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_made_anew_and_so_is_what_was_built_on_it() {
    let desk = Desk::new().await;
    let orchestrator = desk.orchestrator();
    let first = desk.failed(&orchestrator, Work::Manifest, Phase::Sign).await;
    let broken = desk.workspace(&first).result_key(Phase::Adapt, None);
    desk.staging.put(&broken, b"not a record".as_slice().into()).await.unwrap();
    let second = desk.replay(&first, None).await;
    orchestrator.admit().await.unwrap();
    assert_eq!(desk.records(&second).await, ["adapt.part-0", "adapt.part-1", "admission", "plan", "resolve"]);
    desk.work_up_to(&orchestrator, &second, Work::Distribute).await;
    assert_eq!(desk.run(&second).await.status, RunStatus::Succeeded);
}

#[tokio::test]
async fn a_replay_that_an_orchestrator_left_half_way_is_taken_up_by_the_next() {
    let desk = Desk::new().await;
    let orchestrator = desk.orchestrator();
    let first = desk.failed(&orchestrator, Work::Sign, Phase::Distribute).await;
    let second = desk.replay(&first, Some(Phase::Sign)).await;
    desk.log.set_broken(true);
    assert!(orchestrator.admit().await.is_err());
    desk.log.set_broken(false);
    // It stopped among the records, too: what it had not written is not there.
    for phase in [Phase::Adapt, Phase::Manifest] {
        desk.staging.delete(&desk.workspace(&second).result_key(phase, None)).await.unwrap();
    }
    desk.staging.delete(&desk.workspace(&second).result_key(Phase::Adapt, Some(PartIndex(0)))).await.unwrap();
    assert!(desk.log.subjects(&second).is_empty());
    desk.pass(200);
    let report = desk.orchestrator().reconcile().await;
    assert_eq!((report.errors, report.ended, report.given_up), (0, 0, 0));
    assert_eq!(desk.records(&second).await.len(), 7);
    desk.work_up_to(&orchestrator, &second, Work::Distribute).await;
    assert_eq!(desk.run(&second).await.status, RunStatus::Succeeded);
    assert_eq!(desk.types(&second).await.len(), 20);
}

#[tokio::test]
async fn workers_of_an_earlier_generation_are_not_heard() {
    let desk = Desk::new().await;
    let orchestrator = desk.orchestrator();
    let first = desk.failed(&orchestrator, Work::Part(1), Phase::Adapt).await;
    let second = desk.replay(&first, Some(Phase::Plan)).await;
    orchestrator.admit().await.unwrap();
    let before = desk.run(&second).await;
    for work in [Work::Part(0), Work::Assemble, Work::Manifest, Work::Sign, Work::Distribute] {
        desk.work(&first, work, true).await;
    }
    for entry in desk.log.all().iter().filter(|entry| entry.event.run == first) {
        let recorded = orchestrator.on_event(&entry.event, entry.phase).await.unwrap();
        assert!(matches!(recorded, Recorded::Known | Recorded::Nothing), "{}: {recorded:?}", entry.subject);
    }
    assert_eq!(desk.run(&second).await, before);
    // Their records are not those of the new generation, which plans anew.
    let planned = desk.workspace(&second).find_result(Phase::Plan, None).await.unwrap();
    assert_eq!(planned, None);
    desk.work(&second, Work::Plan, true).await;
    let result = desk.workspace(&second).find_result(Phase::Plan, None).await.unwrap().unwrap();
    let bytes = desk.workspace(&second).read_result(&result).await.unwrap();
    assert_eq!(serde_json::from_slice::<RunPlanned>(&bytes).unwrap().run, second);
}

#[tokio::test]
async fn the_use_of_a_key_is_told_for_the_generation_that_used_it() {
    for (from, uses) in [(Some(Phase::Distribute), 1), (None, 1), (Some(Phase::Sign), 2)] {
        let desk = Desk::new().await;
        let orchestrator = desk.orchestrator();
        let first = desk.failed(&orchestrator, Work::Sign, Phase::Distribute).await;
        let second = desk.replay(&first, from).await;
        orchestrator.admit().await.unwrap();
        desk.work_up_to(&orchestrator, &second, Work::Distribute).await;
        let used = desk.audit().await.iter().filter(|entry| entry.action == AuditAction::KeyUsed).count();
        assert_eq!(used, uses, "{from:?}");
    }
}
