//! `exportctl webhook`.

use export_client::MadeWebhook;
use export_contract::webhook::{Delivery, Webhook};
use serde_json::json;

use crate::cli::{Global, WebhookCommand};
use crate::exit::{Exit, Failure};
use crate::login::client;
use crate::output;

/// Runs one of the webhook commands.
pub(crate) async fn webhook(global: &Global, command: WebhookCommand) -> Result<Exit, Failure> {
    let client = client(global)?;
    match command {
        WebhookCommand::List => {
            let webhooks = client.webhooks().await.map_err(Failure::Client)?;
            output::list(global, &webhooks, &["WEBHOOK", "URL", "EVENTS", "PROFILE", "ENABLED"], row);
        }
        WebhookCommand::Create { url, event, profile, description } => {
            let mut wanted = json!({ "url": url, "description": description });
            if let Some(members) = wanted.as_object_mut() {
                if !event.is_empty() {
                    members.insert("events".to_owned(), event.into());
                }
                members.extend(profile.map(|profile| ("profileId".to_owned(), profile.into())));
            }
            let made = client.create_webhook(&wanted).await.map_err(Failure::Client)?;
            show_secret(global, &made);
        }
        WebhookCommand::Enable { webhook } => {
            let shown = client.update_webhook(&webhook, &json!({ "enabled": true })).await.map_err(Failure::Client)?;
            output::document(global, &shown, facts);
        }
        WebhookCommand::Disable { webhook } => {
            let shown = client.update_webhook(&webhook, &json!({ "enabled": false })).await.map_err(Failure::Client)?;
            output::document(global, &shown, facts);
        }
        WebhookCommand::Rotate { webhook, overlap } => {
            show_secret(global, &client.rotate_webhook_secret(&webhook, overlap).await.map_err(Failure::Client)?);
        }
        WebhookCommand::Delete { webhook } => {
            client.delete_webhook(&webhook).await.map_err(Failure::Client)?;
            output::note(global, &format!("webhook {webhook} deleted"));
        }
        WebhookCommand::Deliveries { webhook, limit } => {
            let page = client.deliveries(&webhook, limit).await.map_err(Failure::Client)?;
            let header = ["DELIVERY", "EVENT", "STATE", "TRIES", "LAST", "NEXT"];
            output::list(global, &page.deliveries, &header, delivery_row);
        }
        WebhookCommand::Replay { webhook, delivery } => {
            let shown = client.replay_delivery(&webhook, &delivery).await.map_err(Failure::Client)?;
            output::document(global, &shown, delivery_facts);
        }
        WebhookCommand::Test { webhook } => {
            let shown = client.test_webhook(&webhook).await.map_err(Failure::Client)?;
            output::document(global, &shown, delivery_facts);
        }
    }
    Ok(Exit::Ok)
}

fn show_secret(global: &Global, made: &MadeWebhook) {
    output::note(global, "keep the secret now: it is not shown again");
    output::document(global, made, |made| format!("{}\nsecret    {}", facts(&made.webhook), made.secret));
}

fn events(webhook: &Webhook) -> String {
    webhook.events.iter().map(|event| event.as_str()).collect::<Vec<_>>().join(",")
}

fn row(webhook: &Webhook) -> Vec<String> {
    vec![
        webhook.id.to_string(),
        webhook.url.clone(),
        events(webhook),
        webhook.profile_id.as_ref().map_or_else(|| "any".to_owned(), ToString::to_string),
        if webhook.enabled { "yes" } else { "no" }.to_owned(),
    ]
}

fn facts(webhook: &Webhook) -> String {
    let mut facts = vec![
        ("webhook", webhook.id.to_string()),
        ("url", webhook.url.clone()),
        ("events", events(webhook)),
        ("enabled", webhook.enabled.to_string()),
        ("created", format!("{} by {}", webhook.created_at, webhook.created_by)),
    ];
    facts.extend(webhook.former_secret_until.map(|until| ("former", format!("secret signs as well until {until}"))));
    facts.extend(webhook.disabled_because.clone().map(|reason| ("because", reason)));
    output::facts(&facts)
}

/// The last attempt in a few words.
fn last(delivery: &Delivery) -> String {
    delivery.attempts.last().map_or_else(String::new, |last| match (&last.status, &last.error) {
        (Some(status), _) => status.to_string(),
        (None, error) => error.clone().unwrap_or_default(),
    })
}

fn delivery_row(delivery: &Delivery) -> Vec<String> {
    vec![
        delivery.id.clone(),
        delivery.event.to_string(),
        delivery.state.as_str().to_owned(),
        delivery.tries.to_string(),
        last(delivery),
        delivery.next_attempt_at.map_or_else(String::new, |next| next.to_string()),
    ]
}

fn delivery_facts(delivery: &Delivery) -> String {
    output::facts(&[
        ("delivery", delivery.id.clone()),
        ("event", delivery.event.to_string()),
        ("state", delivery.state.as_str().to_owned()),
        ("tries", delivery.tries.to_string()),
        ("replays", delivery.replays.to_string()),
        ("body", delivery.body.clone()),
    ])
}
