//! Schedules.

use export_contract::Timestamp;
use export_contract::schedule::Schedule;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Client, ClientError};

/// A schedule with its next due times.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScheduleView {
    /// The schedule.
    #[serde(flatten)]
    pub schedule: Schedule,
    /// The next due times, at most five.
    pub upcoming: Vec<Timestamp>,
}

#[derive(Deserialize)]
struct ScheduleList {
    schedules: Vec<ScheduleView>,
}

const ALL: &str = "/api/export/schedules";

impl Client {
    /// Schedules of the tenant.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn schedules(&self) -> Result<Vec<ScheduleView>, ClientError> {
        let list: ScheduleList = self.call("list schedules", Method::GET, ALL, None::<&()>).await?;
        Ok(list.schedules)
    }

    /// One schedule.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn schedule(&self, id: &str) -> Result<ScheduleView, ClientError> {
        self.call("show a schedule", Method::GET, &format!("{ALL}/{id}"), None::<&()>).await
    }

    /// Creates a schedule from its document; with `dry` it is only checked.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_schedule(&self, document: &Value, dry: bool) -> Result<ScheduleView, ClientError> {
        self.call("create a schedule", Method::POST, &format!("{ALL}?dryRun={dry}"), Some(document)).await
    }

    /// Changes a schedule by the members to change; with `dry` the change is only checked.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn update_schedule(&self, id: &str, change: &Value, dry: bool) -> Result<ScheduleView, ClientError> {
        self.call("change a schedule", Method::PATCH, &format!("{ALL}/{id}?dryRun={dry}"), Some(change)).await
    }

    /// Deletes a schedule.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete_schedule(&self, id: &str) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &format!("{ALL}/{id}"));
        self.send(request).await.map(|_| ())
    }
}
