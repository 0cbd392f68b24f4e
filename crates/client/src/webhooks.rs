//! Webhooks.

use std::fmt;

use export_contract::webhook::{Delivery, Webhook};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Client, ClientError};

/// A new webhook with its secret, which no other answer has.
#[derive(Clone, Serialize, Deserialize)]
pub struct MadeWebhook {
    /// The webhook.
    #[serde(flatten)]
    pub webhook: Webhook,
    /// `whsec_` and base64.
    pub secret: String,
}

impl fmt::Debug for MadeWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeWebhook").field("webhook", &self.webhook).finish_non_exhaustive()
    }
}

/// One page of deliveries.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryPage {
    /// The deliveries, newest first.
    pub deliveries: Vec<Delivery>,
    /// Hand this to the next call; absent at the end.
    pub next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct WebhookList {
    webhooks: Vec<Webhook>,
}

const ALL: &str = "/api/export/webhooks";

impl Client {
    /// Webhooks of the tenant.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn webhooks(&self) -> Result<Vec<Webhook>, ClientError> {
        let list: WebhookList = self.call("list webhooks", Method::GET, ALL, None::<&()>).await?;
        Ok(list.webhooks)
    }

    /// One webhook.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn webhook(&self, id: &str) -> Result<Webhook, ClientError> {
        self.call("show a webhook", Method::GET, &format!("{ALL}/{id}"), None::<&()>).await
    }

    /// Creates a webhook from its document.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_webhook(&self, document: &Value) -> Result<MadeWebhook, ClientError> {
        self.call("create a webhook", Method::POST, ALL, Some(document)).await
    }

    /// Changes a webhook by the members to change.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn update_webhook(&self, id: &str, change: &Value) -> Result<Webhook, ClientError> {
        self.call("change a webhook", Method::PATCH, &format!("{ALL}/{id}"), Some(change)).await
    }

    /// Gives a webhook another secret; the former one signs as well for `overlap_seconds`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rotate_webhook_secret(&self, id: &str, overlap_seconds: u32) -> Result<MadeWebhook, ClientError> {
        let change = serde_json::json!({ "overlapSeconds": overlap_seconds });
        self.call("rotate a webhook's secret", Method::POST, &format!("{ALL}/{id}/secret"), Some(&change)).await
    }

    /// Deletes a webhook.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete_webhook(&self, id: &str) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &format!("{ALL}/{id}"));
        self.send(request).await.map(|_| ())
    }

    /// Has a message sent that says nothing.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn test_webhook(&self, id: &str) -> Result<Delivery, ClientError> {
        self.call("test a webhook", Method::POST, &format!("{ALL}/{id}/test"), None::<&()>).await
    }

    /// Messages to a webhook, newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn deliveries(&self, id: &str, limit: u32) -> Result<DeliveryPage, ClientError> {
        let path = format!("{ALL}/{id}/deliveries?limit={limit}");
        self.call("list deliveries", Method::GET, &path, None::<&()>).await
    }

    /// Has a message sent again.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn replay_delivery(&self, id: &str, delivery: &str) -> Result<Delivery, ClientError> {
        let path = format!("{ALL}/{id}/deliveries/{delivery}/replay");
        self.call("replay a delivery", Method::POST, &path, None::<&()>).await
    }
}
