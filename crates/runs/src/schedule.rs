//! Schedules as stored state, and the rule of their times.

mod times;

use std::fmt;

use async_trait::async_trait;
use export_contract::schedule::Schedule;
use export_contract::{ScheduleId, TenantId, Timestamp};

pub use self::times::{Times, TimesError};
use crate::entries::Entries;
use crate::store::RunStoreError;

/// How the idempotency keys of scheduled runs begin; nobody else's may.
pub const KEY_PREFIX: &str = "schedule/";
/// Schedules of one tenant. Counted before each is written, so requests that meet may exceed it by one each.
pub const MAX_SCHEDULES: usize = 100;
/// Longest grace, minutes: a week.
pub const MAX_GRACE_MINUTES: u32 = 7 * 24 * 60;
/// Grace of a schedule that names none, minutes: half a day.
pub const DEFAULT_GRACE_MINUTES: u32 = 12 * 60;

/// The schedules of all tenants. Every promise here is kept by the conformance suite, which each driver runs.
///
/// Each call is atomic. A schedule of another tenant is never found.
#[async_trait]
pub trait ScheduleStore: Send + Sync + fmt::Debug {
    /// Schedules of a tenant by id.
    async fn schedules(&self, tenant: &TenantId) -> Result<Vec<Schedule>, RunStoreError>;

    /// One schedule.
    async fn schedule(&self, tenant: &TenantId, id: &ScheduleId) -> Result<Option<Schedule>, RunStoreError>;

    /// Writes a new schedule and gives it with its revision; `None` where there is one of that id.
    async fn create_schedule(&self, schedule: &Schedule) -> Result<Option<Schedule>, RunStoreError>;

    /// Writes a schedule that is built on the stored one, whose revision is one less; `false` where another writer was
    /// first, or there is none.
    async fn update_schedule(&self, schedule: &Schedule) -> Result<bool, RunStoreError>;

    /// Removes a schedule; `false` where there is none. Its runs stay.
    async fn delete_schedule(&self, tenant: &TenantId, id: &ScheduleId) -> Result<bool, RunStoreError>;

    /// Enabled schedules of all tenants whose next due time is `now` or before, the longest due first.
    async fn due_schedules(&self, now: Timestamp, limit: u32) -> Result<Vec<Schedule>, RunStoreError>;
}

#[async_trait]
impl<S: Entries + fmt::Debug> ScheduleStore for S {
    async fn schedules(&self, tenant: &TenantId) -> Result<Vec<Schedule>, RunStoreError> {
        self.entries(tenant, None).await
    }

    async fn schedule(&self, tenant: &TenantId, id: &ScheduleId) -> Result<Option<Schedule>, RunStoreError> {
        self.entry(tenant, id.as_str()).await
    }

    async fn create_schedule(&self, schedule: &Schedule) -> Result<Option<Schedule>, RunStoreError> {
        self.add(schedule.clone()).await
    }

    async fn update_schedule(&self, schedule: &Schedule) -> Result<bool, RunStoreError> {
        self.replace(schedule.clone()).await
    }

    async fn delete_schedule(&self, tenant: &TenantId, id: &ScheduleId) -> Result<bool, RunStoreError> {
        self.remove::<Schedule>(tenant, id.as_str()).await
    }

    async fn due_schedules(&self, now: Timestamp, limit: u32) -> Result<Vec<Schedule>, RunStoreError> {
        self.due(now, limit).await
    }
}
