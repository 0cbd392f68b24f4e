//! Attacks as rows of a table.

use reqwest::RequestBuilder;
use serde_json::Value;

/// An attack and what it must come to.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) request: RequestBuilder,
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    /// What the answer must say.
    pub(crate) says: &'static str,
}

impl Row {
    pub(crate) fn new(
        name: impl Into<String>,
        request: RequestBuilder,
        (status, code): (u16, &'static str),
        says: &'static str,
    ) -> Self {
        Self { name: name.into(), request, status, code, says }
    }
}

pub(crate) const UNAUTHENTICATED: (u16, &str) = (401, "ERR_EXPORT_UNAUTHENTICATED");
pub(crate) const NO_RUN: (u16, &str) = (404, "ERR_EXPORT_RUN_NOT_FOUND");

/// Sends every row and tells all that went wrong at once.
pub(crate) async fn assert_refused(rows: Vec<Row>) {
    let mut faults = Vec::new();
    for Row { name, request, status, code, says } in rows {
        let answer = request.send().await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let found = answer.status().as_u16();
        let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
        let text = answer.text().await.unwrap();
        let document: Value = serde_json::from_str(&text).unwrap_or_default();
        // Problem documents, and the errors of a registry.
        let told = [&document["code"], &document["errors"][0]["code"]].into_iter().find_map(Value::as_str);
        if found != status || told != Some(code) || !text.contains(says) {
            faults.push(format!("{name}: expected {status} {code} `{says}`, got {found} {text}"));
        }
        let is_challenged = challenge.as_ref().is_some_and(|value| value.starts_with("DPoP "));
        if status == 401 && !is_challenged {
            faults.push(format!("{name}: challenge {challenge:?}"));
        }
        // An error must not tell how the inside looks.
        for inside in ["panicked", "src/", "sqlite", "mongodb", "syntax error", "no such table"] {
            if text.contains(inside) {
                faults.push(format!("{name}: tells `{inside}`: {text}"));
            }
        }
    }
    assert!(faults.is_empty(), "{} attacks:\n{}", faults.len(), faults.join("\n"));
}
