//! What processes tell in their logs: the closed list of outcomes, with the members of their lines (`docs/logs.md`).

use std::fmt;

macro_rules! events {
    ($($name:ident = $text:literal [$($field:literal),*] $doc:literal,)+) => {
        /// An outcome that a process tells once, in one line whose member `event` names it. Lines without one are
        /// remarks for people and nothing is to be read from them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum LogEvent { $(#[doc = $doc] $name,)+ }

        impl LogEvent {
            /// Every event, in the order of the page.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its name in logs.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The members that its line has whatever happened, beside those of every line.
            pub fn fields(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($field),*],)+ }
            }

            /// What happened.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $doc,)+ }
            }
        }
    };
}

events! {
    RunSubmitted = "run.submitted" ["run_id", "tenant", "profile_kind", "correlation_id", "trace_id"]
        "A run was written and waits for a slot.",
    RunAdmitted = "run.admitted" ["run_id", "tenant", "profile_kind", "correlation_id"]
        "A run got a slot of its tenant.",
    RunCancelAsked = "run.cancel_asked" ["run_id", "tenant", "profile_kind", "correlation_id", "trace_id"]
        "A run was cancelled by a request.",
    RunSucceeded = "run.succeeded" ["run_id", "tenant", "profile_kind", "correlation_id", "trace_id"]
        "A run ended with a bundle that is handed over.",
    RunFailed = "run.failed" ["run_id", "tenant", "profile_kind", "correlation_id", "trace_id", "error_code", "error"]
        "A run ended without a bundle.",
    RunAborted = "run.aborted" ["run_id", "tenant", "profile_kind", "correlation_id", "trace_id"]
        "A run ended because it was cancelled.",
    RunReplayed = "run.replayed" ["run_id", "tenant", "generation"]
        "A run that had failed or was cancelled begins again in its next generation.",
    RunRescued = "run.rescued" ["run_id", "tenant"]
        "The reconciler put a silent run on the log again.",
    RunPruned = "run.pruned" ["run_id", "tenant"]
        "Retention removed what a run made.",
    StepDone = "step.done" ["run_id", "tenant", "profile_kind", "phase", "attempt", "correlation_id", "trace_id"]
        "A step, or a part of adapt, was done and is on the log.",
    StepRepeated = "step.repeated" ["run_id", "tenant", "phase", "attempt"]
        "A step was found done by an earlier delivery of its command; its event is on the log.",
    StepRetried = "step.retried" ["phase", "attempt", "error"]
        "A step failed and will be tried again.",
    StepFailed = "step.failed" ["phase", "attempt", "error_code", "error"]
        "A step failed for good; its run fails.",
    StepDropped = "step.dropped" ["run_id", "tenant", "phase", "attempt"]
        "The command of a run that was cancelled was dropped.",
    StepPaused = "step.paused" ["step", "reason", "error"]
        "A store is away: the step waits for it and takes no more commands.",
    StepResumed = "step.resumed" ["step", "reason"]
        "The store is back and the step goes on.",
    StepHandedBack = "step.handed_back" ["phase", "attempt"]
        "A worker that stops gave a command back.",
    StepAbandoned = "step.abandoned" ["run_id", "tenant", "phase", "attempt", "error_code"]
        "The workers of a command died each time; its run fails.",
    FactSetAside = "fact.set_aside" ["error_code", "error"]
        "An event of the log could not be taken into the run ledger and became a dead letter.",
    ReconcilerPassed = "reconciler.passed" []
        "The reconciler looked after silent runs and did something.",
    RetentionPassed = "retention.passed" []
        "Retention looked through the runs.",
    ScheduleDue = "schedule.due" ["tenant", "schedule", "outcome"]
        "A due time of a schedule was met.",
    WebhookSent = "webhook.sent" ["tenant", "webhook", "state"]
        "A message to a webhook was tried.",
    WebhookDisabled = "webhook.disabled" ["tenant", "webhook"]
        "A webhook said that it is gone.",
    WebhookMade = "webhook.made" ["tenant", "webhook"]
        "A webhook was made.",
    WebhookSecretRotated = "webhook.secret_rotated" ["tenant", "webhook", "overlap_seconds"]
        "A webhook was given another secret; for so long the former one signs as well.",
    WebhookDeleted = "webhook.deleted" ["tenant", "webhook"]
        "A webhook was deleted.",
    ScheduleMade = "schedule.made" ["tenant", "schedule"]
        "A schedule was made.",
    ScheduleDeleted = "schedule.deleted" ["tenant", "schedule"]
        "A schedule was deleted.",
    ProfileDeleted = "profile.deleted" ["tenant", "profile"]
        "A profile was deleted.",
    LinkMade = "link.made" ["tenant", "run_id"]
        "A signed link was made.",
    VexMade = "vex.made" ["tenant", "run_id"]
        "A VEX repository was made of a bundle.",
    ApprovalUsed = "approval.used" ["tenant", "actor", "approver"]
        "An approval let a run read the evidence of other tenants.",
    ApprovalRefused = "approval.refused" ["tenant", "actor"]
        "A run over the evidence of other tenants was refused.",
    RequestRefused = "request.refused" ["error_code", "status", "trace_id"]
        "A request was answered with a problem; `trace_id` is the `traceId` of the answer.",
    PullRefused = "pull.refused" ["error_code", "status"]
        "A request to the registry was refused, in the registry's own words.",
    AuditFailed = "audit.failed" ["action", "error"]
        "The audit log could not be written.",
    EvidenceResumed = "evidence.resumed" []
        "A pull of evidence went on where the last one was interrupted, or began anew.",
    EvidencePulled = "evidence.pulled" []
        "A pull of evidence is complete.",
    BrokerStarted = "broker.started" ["port"]
        "The broker of `exportd all` runs.",
    BrokerChanged = "broker.changed" ["state"]
        "The connection to the broker was lost or slowed down.",
    CertificateRenewed = "certificate.renewed" []
        "The gateway serves a new certificate.",
    KeyReady = "key.ready" ["key_id"]
        "A signing key is at hand.",
    AdaptersReady = "adapters.ready" ["adapters"]
        "The adapters of the process are registered.",
    GatewayListens = "gateway.listens" ["address"]
        "The gateway takes requests.",
    ProcessReady = "process.ready" []
        "Every part of the process is at work.",
    ProcessStopping = "process.stopping" ["reason"]
        "The process was told to stop.",
    ProcessFailed = "process.failed" ["error"]
        "The process ended with an error.",
    ProcessPanicked = "process.panicked" ["error"]
        "A defect: a part of the process panicked.",
    WorkLeft = "work.left" ["left"]
        "A worker that stops hands back what did not end in its grace.",
    TracesLost = "traces.lost" ["error"]
        "The collector of traces stopped taking spans; told once, until it takes some again.",
    TracesBack = "traces.back" []
        "The collector of traces takes spans again.",
}

impl fmt::Display for LogEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
