//! Due times become runs: each at most one, whatever is killed in between and however many schedulers look.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use export_contract::audit::AuditOutcome;
use export_contract::profile::ProfileKind;
use export_contract::run::{Run, RunStatus};
use export_contract::schedule::{DueOutcome, MissedRule, OverlapRule, Schedule};
use export_contract::selectors::{SelectorRequest, WindowRequest};
use export_contract::{ErrorCode, ScheduleId, TenantId, Timestamp, Version};
use export_orchestrator::{Scheduled, Scheduler};
use export_runs::schedule::Times;
use export_runs::store::RunStoreError;
use export_runs::{QuotaRules, Quotas, RunFilter, ScheduleStore, SqliteRuns};
use proptest::prelude::*;

use super::desk::{Desk, acme, at};

/// Every ten minutes from the suite's beginning on, which is 12:00.
fn every_ten_minutes() -> Schedule {
    Schedule {
        v: Version,
        id: "often".parse().unwrap(),
        tenant: acme(),
        profile_id: "json-raw".parse().unwrap(),
        cron: "*/10 * * * *".to_owned(),
        time_zone: "UTC".to_owned(),
        selectors: SelectorRequest {
            window: Some(WindowRequest { last: Some("7d".to_owned()), ..WindowRequest::default() }),
            ..SelectorRequest::default()
        },
        options: export_contract::run::RunOptions::default(),
        enabled: true,
        missed: MissedRule::Once,
        grace_minutes: 60,
        overlap: OverlapRule::Allow,
        created_by: "alice".to_owned(),
        created_at: at(0),
        updated_by: "alice".to_owned(),
        updated_at: at(0),
        revision: 1,
        next_due: Some(at(600)),
        claimed: None,
        last: None,
        last_run: None,
    }
}

/// The schedules of a process that is killed before one of its writes.
#[derive(Debug)]
struct Dying {
    store: SqliteRuns,
    /// Writes that it still makes.
    left: AtomicU32,
}

#[async_trait]
impl ScheduleStore for Dying {
    async fn schedules(&self, tenant: &TenantId) -> Result<Vec<Schedule>, RunStoreError> {
        self.store.schedules(tenant).await
    }
    async fn schedule(&self, tenant: &TenantId, id: &ScheduleId) -> Result<Option<Schedule>, RunStoreError> {
        self.store.schedule(tenant, id).await
    }
    async fn create_schedule(&self, schedule: &Schedule) -> Result<Option<Schedule>, RunStoreError> {
        self.store.create_schedule(schedule).await
    }
    async fn update_schedule(&self, schedule: &Schedule) -> Result<bool, RunStoreError> {
        let dead = || RunStoreError::Unavailable { act: "write after its death".to_owned(), cause: "killed".into() };
        let alive = |left: u32| left.checked_sub(1);
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, alive).map_err(|_| dead())?;
        self.store.update_schedule(schedule).await
    }
    async fn delete_schedule(&self, tenant: &TenantId, id: &ScheduleId) -> Result<bool, RunStoreError> {
        self.store.delete_schedule(tenant, id).await
    }
    async fn due_schedules(&self, now: Timestamp, limit: u32) -> Result<Vec<Schedule>, RunStoreError> {
        self.store.due_schedules(now, limit).await
    }
}

impl Desk {
    fn schedules(&self) -> SqliteRuns {
        SqliteRuns::open(&self.folder.path().join("runs.db")).unwrap()
    }

    fn scheduler(&self) -> Scheduler {
        self.scheduler_that_writes(u32::MAX)
    }

    /// One that is killed after so many writes to schedules.
    fn scheduler_that_writes(&self, writes: u32) -> Scheduler {
        let store = Arc::new(Dying { store: self.schedules(), left: AtomicU32::new(writes) });
        Scheduler::new(self.ports(), store, [ProfileKind::JsonRaw].into())
    }

    async fn put(&self, schedule: &Schedule) {
        self.schedules().create_schedule(schedule).await.unwrap().unwrap();
    }

    async fn schedule(&self, id: &str) -> Schedule {
        self.schedules().schedule(&acme(), &id.parse().unwrap()).await.unwrap().unwrap()
    }

    /// The runs, oldest first.
    async fn runs(&self) -> Vec<Run> {
        let filter = RunFilter { limit: 200, ..RunFilter::default() };
        let mut runs = self.ledger.runs(&acme(), &filter).await.unwrap().runs;
        runs.reverse();
        runs
    }

    /// The due times that have runs, and how many.
    async fn met(&self) -> BTreeMap<Timestamp, usize> {
        let mut met = BTreeMap::new();
        for run in self.runs().await {
            let due = run.correlation_id.splitn(3, ':').nth(2).unwrap().parse().unwrap();
            *met.entry(due).or_insert(0) += 1;
        }
        met
    }
}

fn once(times: &[i64]) -> BTreeMap<Timestamp, usize> {
    times.iter().map(|seconds| (at(*seconds), 1)).collect()
}

#[tokio::test]
async fn a_due_time_makes_a_run_as_a_request_would_with_a_window_that_ends_there() {
    let desk = Desk::new().await;
    desk.put(&every_ten_minutes()).await;
    let scheduler = desk.scheduler();
    desk.pass(599);
    assert_eq!(scheduler.pass().await, Scheduled::default());
    desk.pass(4);
    assert_eq!(scheduler.pass().await, Scheduled { started: 1, ..Scheduled::default() });
    assert_eq!(scheduler.pass().await, Scheduled::default());
    let [run] = desk.runs().await.try_into().unwrap();
    assert_eq!((run.status, run.profile_revision), (RunStatus::Pending, 1));
    assert_eq!(run.requested_by, "schedule:often for alice");
    assert_eq!(run.requested_at, at(603));
    let window = run.selectors.window.unwrap();
    assert_eq!((window.from, window.until), (Some(at(600 - 7 * 86_400)), Some(at(600))));
    assert_eq!(desk.log.subjects(&run.reference()), ["requested"]);
    let schedule = desk.schedule("often").await;
    assert_eq!((schedule.next_due, schedule.last_run, schedule.claimed), (Some(at(1_200)), Some(run.id.clone()), None));
    let last = schedule.last.unwrap();
    assert_eq!((last.due, last.outcome, last.run, last.reason), (at(600), DueOutcome::Started, Some(run.id), None));
}

#[tokio::test]
async fn a_due_time_beyond_the_quota_has_no_run_says_so_and_is_not_tried_again() {
    let desk = Desk::new().await;
    desk.put(&every_ten_minutes()).await;
    let default = Quotas { runs_per_day: Some(1), ..Quotas::default() };
    let rules = QuotaRules { default, ..QuotaRules::default() };
    let scheduler = || desk.scheduler().within(rules.clone());
    desk.pass(601);
    assert_eq!(scheduler().pass().await, Scheduled { started: 1, ..Scheduled::default() });
    desk.pass(600);
    assert_eq!(scheduler().pass().await, Scheduled { failed: 1, ..Scheduled::default() });
    let last = desk.schedule("often").await.last.unwrap();
    assert_eq!((last.due, last.outcome, last.error_code), (at(1_200), DueOutcome::Failed, Some(ErrorCode::Quota)));
    assert!(last.reason.unwrap().contains("`runsPerDay` is used up: 1 of 1"));
    assert_eq!(scheduler().pass().await, Scheduled::default(), "the due time is over");
    // The next day has room.
    desk.pass(86_400);
    assert_eq!(scheduler().pass().await, Scheduled { started: 1, ..Scheduled::default() });
    let runs = desk.runs().await;
    let told: Vec<_> = desk.audit().await.into_iter().map(|entry| (entry.outcome, entry.object)).collect();
    let expected = [
        (AuditOutcome::Allowed, format!("runs/{}", runs[0].id)),
        (AuditOutcome::Refused, "schedules/often".to_owned()),
        (AuditOutcome::Allowed, format!("runs/{}", runs[1].id)),
    ];
    assert_eq!((told.as_slice(), runs.len()), (expected.as_slice(), 2));
}

#[tokio::test]
async fn a_kill_at_any_write_leaves_the_due_time_to_the_next_and_makes_one_run() {
    // Before the choice is written; after the run; and after all.
    for writes in 0..=2 {
        let desk = Desk::new().await;
        desk.put(&every_ten_minutes()).await;
        desk.pass(601);
        let killed = desk.scheduler_that_writes(writes).pass().await;
        assert_eq!(killed.errors, u32::from(writes < 2), "{writes}");
        assert_eq!(desk.runs().await.len(), usize::from(writes > 0), "{writes}");
        // The next one comes after the due time that follows: the one that was begun is brought to its end first.
        desk.pass(600);
        let next = desk.scheduler();
        next.pass().await;
        next.pass().await;
        let expected = if writes == 0 { once(&[1_200]) } else { once(&[600, 1_200]) };
        assert_eq!(desk.met().await, expected, "{writes}");
        assert_eq!(desk.audit().await.len(), expected.len(), "each run is in the audit log once: {writes}");
        let schedule = desk.schedule("often").await;
        assert_eq!((schedule.next_due, schedule.claimed), (Some(at(1_800)), None), "{writes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_schedulers_that_look_at_once_one_meets_a_due_time() {
    let desk = Desk::new().await;
    desk.put(&every_ten_minutes()).await;
    for _ in 0..5 {
        desk.pass(600);
        let looks = (0..4).map(|_| {
            let scheduler = desk.scheduler();
            tokio::spawn(async move { scheduler.pass().await })
        });
        let mut started = 0;
        for look in looks.collect::<Vec<_>>() {
            let look = look.await.unwrap();
            assert_eq!(look.errors, 0);
            started += look.started;
        }
        assert_eq!(started, 1);
    }
    assert_eq!(desk.met().await, once(&[600, 1_200, 1_800, 2_400, 3_000]));
}

#[tokio::test]
async fn after_an_outage_one_run_is_made_for_the_newest_due_time_within_grace_and_none_beyond_or_by_the_rule() {
    let hour = 3_600;
    let daily = |missed| Schedule {
        id: format!("{missed:?}").to_lowercase().parse().unwrap(),
        cron: "0 13 * * *".to_owned(),
        next_due: Some(at(hour)),
        missed,
        ..every_ten_minutes()
    };
    // Nobody was there for more than two days; the newest due time is 30 minutes old.
    let desk = Desk::new().await;
    for missed in [MissedRule::Once, MissedRule::Skip] {
        desk.put(&daily(missed)).await;
    }
    desk.pass(2 * 86_400 + hour + 1_800);
    let report = desk.scheduler().pass().await;
    assert_eq!(report, Scheduled { started: 1, missed: 1, ..Scheduled::default() });
    assert_eq!(desk.met().await, once(&[2 * 86_400 + hour]));
    let made = desk.schedule("once").await;
    assert!(made.last.unwrap().reason.unwrap().contains("nobody met the due times from 2026-05-01T13:00:00Z on"));
    let passed = desk.schedule("skip").await;
    assert_eq!(passed.last.unwrap().outcome, DueOutcome::Missed);
    assert_eq!((made.next_due, passed.next_due), (Some(at(3 * 86_400 + hour)), Some(at(3 * 86_400 + hour))));
    // A little late is not missed.
    desk.pass(86_400 - 1_800 + 240);
    assert_eq!(desk.scheduler().pass().await, Scheduled { started: 2, ..Scheduled::default() });
    // Two hours are more than the grace.
    desk.pass(86_400 + 2 * hour);
    assert_eq!(desk.scheduler().pass().await, Scheduled { missed: 2, ..Scheduled::default() });
    assert_eq!(desk.runs().await.len(), 3);
}

#[tokio::test]
async fn a_due_time_passes_over_while_the_run_before_is_at_work_and_the_schedule_says_so() {
    let desk = Desk::new().await;
    desk.put(&Schedule { overlap: OverlapRule::Skip, ..every_ten_minutes() }).await;
    let scheduler = desk.scheduler();
    desk.pass(600);
    assert_eq!(scheduler.pass().await.started, 1);
    let [first] = desk.runs().await.try_into().unwrap();
    desk.pass(600);
    assert_eq!(scheduler.pass().await, Scheduled { skipped: 1, ..Scheduled::default() });
    let schedule = desk.schedule("often").await;
    assert_eq!((schedule.next_due, schedule.last_run.as_ref()), (Some(at(1_800)), Some(&first.id)));
    let last = schedule.last.unwrap();
    assert_eq!((last.due, last.outcome), (at(1_200), DueOutcome::Skipped));
    assert_eq!(last.reason.unwrap(), format!("run {} has not ended, it is pending", first.id));
    desk.ledger.cancel(&acme(), &first.id, "bob", at(1_300)).await.unwrap();
    desk.pass(600);
    assert_eq!(scheduler.pass().await.started, 1);
    assert_eq!(desk.met().await, once(&[600, 1_800]));
}

#[tokio::test]
async fn a_run_that_cannot_be_is_told_at_the_schedule_and_tried_at_the_next_due_time_only() {
    let desk = Desk::new().await;
    let gone = Schedule { id: "gone".parse().unwrap(), profile_id: "none".parse().unwrap(), ..every_ten_minutes() };
    let mut unreadable = Schedule { id: "unreadable".parse().unwrap(), ..every_ten_minutes() };
    unreadable.selectors.kinds = vec!["rumour".to_owned()];
    let unmade =
        Schedule { id: "unmade".parse().unwrap(), profile_id: "trivy-db".parse().unwrap(), ..every_ten_minutes() };
    for schedule in [&gone, &unreadable, &unmade] {
        desk.put(schedule).await;
    }
    let scheduler = desk.scheduler();
    desk.pass(601);
    assert_eq!(scheduler.pass().await, Scheduled { failed: 3, ..Scheduled::default() });
    assert_eq!(scheduler.pass().await, Scheduled::default(), "they are not tried again at once");
    for (id, code, reason) in [
        ("gone", ErrorCode::ProfileNotFound, "no profile `none` for tenant `acme`"),
        ("unreadable", ErrorCode::InvalidSelector, "selectors.kinds"),
        ("unmade", ErrorCode::ProfileUnsupported, "trivy:db"),
    ] {
        let schedule = desk.schedule(id).await;
        let last = schedule.last.unwrap();
        assert_eq!(
            (last.outcome, last.error_code, schedule.next_due),
            (DueOutcome::Failed, Some(code), Some(at(1_200)))
        );
        assert!(last.reason.as_ref().unwrap().contains(reason), "{last:?}");
    }
    assert_eq!(desk.runs().await, []);
}

#[tokio::test]
async fn a_change_of_the_times_while_a_run_is_made_is_kept() {
    let desk = Desk::new().await;
    desk.put(&every_ten_minutes()).await;
    desk.pass(601);
    // Killed after the run was written; then somebody changes the times.
    desk.scheduler_that_writes(1).pass().await;
    let known = desk.schedule("often").await;
    let changed = Schedule {
        cron: "30 15 * * *".to_owned(),
        next_due: Some(at(12_600)),
        claimed: None,
        revision: known.revision + 1,
        ..known
    };
    assert!(desk.schedules().update_schedule(&changed).await.unwrap());
    assert_eq!(desk.scheduler().pass().await, Scheduled::default());
    assert_eq!(desk.schedule("often").await, changed);
    desk.pass(12_000);
    assert_eq!(desk.scheduler().pass().await.started, 1);
    assert_eq!(desk.met().await, once(&[600, 12_600]));
}

/// What happens between two looks at the clock.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Time passes, seconds, and a scheduler looks.
    Look(i64),
    /// A scheduler looks that is killed after so many writes.
    Killed(i64, u32),
    /// Two schedulers look at once.
    Both(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_i64..400).prop_map(Step::Look),
        (0_i64..400, 0_u32..3).prop_map(|(seconds, writes)| Step::Killed(seconds, writes)),
        (0_i64..400).prop_map(Step::Both),
        // An outage.
        (3_600_i64..40_000).prop_map(Step::Look),
    ];
    proptest::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever the clock does: no due time has two runs, no run is of a time that was not due, and none is lost that the
    /// rule promises.
    #[test]
    fn on_any_clock_a_due_time_has_at_most_one_run_and_the_newest_in_grace_has_one(
        steps in steps(),
        missed in prop_oneof![Just(MissedRule::Once), Just(MissedRule::Skip)],
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let desk = Desk::new().await;
            let schedule = Schedule { missed, ..every_ten_minutes() };
            desk.put(&schedule).await;
            let mut now = 0;
            for step in &steps {
                let (Step::Look(seconds) | Step::Killed(seconds, _) | Step::Both(seconds)) = *step;
                desk.pass(seconds);
                now += seconds;
                match step {
                    Step::Look(_) => _ = desk.scheduler().pass().await,
                    Step::Killed(_, writes) => _ = desk.scheduler_that_writes(*writes).pass().await,
                    Step::Both(_) => {
                        let (one, other) = (desk.scheduler(), desk.scheduler());
                        let (one, other) = tokio::join!(tokio::spawn(async move { one.pass().await }), other.pass());
                        assert_eq!(one.unwrap().errors + other.errors, 0);
                    }
                }
                // One who is not killed looks twice, as any orchestrator does: now nothing is half done.
                if !matches!(step, Step::Killed(..)) {
                    desk.scheduler().pass().await;
                    let known = desk.schedule("often").await;
                    assert_eq!(known.claimed, None);
                    assert!(known.next_due.unwrap() > at(now), "{step:?}");
                }
            }
            let met = desk.met().await;
            assert!(met.values().all(|runs| *runs == 1), "{met:?}");
            let times = Times::new(&schedule.cron, &schedule.time_zone).unwrap();
            let due: Vec<Timestamp> = times.after(at(0)).take_while(|due| *due <= at(now)).collect();
            assert!(met.keys().all(|met| due.contains(met)), "{met:?}");
            if let (MissedRule::Once, Some(newest)) = (missed, due.last()) {
                let left = !matches!(steps.last(), Some(Step::Killed(..)));
                assert!(!left || met.contains_key(newest), "the newest due time {newest} has no run: {met:?}");
            }
        });
    }
}
