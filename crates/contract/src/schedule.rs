//! A schedule: runs of a profile that recur.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::run::RunOptions;
use crate::selectors::SelectorRequest;
use crate::{ErrorCode, ProfileId, RunId, ScheduleId, TenantId, Timestamp, Version};

/// What becomes of due times that nobody met, since no orchestrator was at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MissedRule {
    /// Nothing: the next run is that of the next due time.
    Skip,
    /// One run for the newest of them, where that is not older than the schedule's grace.
    #[default]
    Once,
}

/// What becomes of a due time at which the run before has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OverlapRule {
    /// No run is made, and the schedule says so.
    #[default]
    Skip,
    /// A run is made all the same.
    Allow,
}

/// What came of a due time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DueOutcome {
    /// A run was submitted.
    Started,
    /// None was: the run before had not ended.
    Skipped,
    /// None was: nobody came in time.
    Missed,
    /// None could be.
    Failed,
}

impl DueOutcome {
    /// The lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Failed => "failed",
        }
    }
}

/// The last due time of a schedule that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DueRecord {
    /// The due time.
    pub due: Timestamp,
    /// When an orchestrator came to it.
    pub at: Timestamp,
    /// What it came to.
    pub outcome: DueOutcome,
    /// The run that was submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Why none was, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<ErrorCode>,
}

/// A schedule as the ledger keeps it and the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Schema version of this document.
    pub v: Version<1>,
    /// Id, unique within the tenant.
    pub id: ScheduleId,
    /// Whose schedule.
    pub tenant: TenantId,
    /// The profile whose newest revision each run takes.
    pub profile_id: ProfileId,
    /// When: five fields (minute, hour, day of month, month, day of week) or a nickname such as `@daily`.
    pub cron: String,
    /// The IANA time zone that `cron` is read in, such as `Europe/Berlin`.
    pub time_zone: String,
    /// What each run exports; a relative window ends at the due time.
    pub selectors: SelectorRequest,
    /// Other choices of each run.
    pub options: RunOptions,
    /// Whether due times make runs.
    pub enabled: bool,
    /// What becomes of due times that nobody met.
    pub missed: MissedRule,
    /// Minutes after a due time in which [`MissedRule::Once`] still makes its run.
    pub grace_minutes: u32,
    /// What becomes of a due time at which the run before has not ended.
    pub overlap: OverlapRule,
    /// Who made it; its runs are made on their behalf.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// Who changed it last.
    pub updated_by: String,
    /// When.
    pub updated_at: Timestamp,
    /// Rises with every write, also with those of the orchestrator.
    pub revision: u32,
    /// The next due time; none while it is not enabled, or where `cron` names no time to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_due: Option<Timestamp>,
    /// The due time whose run is being made: whoever finds it makes that run before it looks for another due time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<Timestamp>,
    /// What came of the last due time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<DueRecord>,
    /// The newest run that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<RunId>,
}
