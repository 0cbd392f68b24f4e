//! A line of a Findings Ledger's export, as the document that a peer would keep in MongoDB.
//!
//! The upstream document stays the text that it is, so that every number literal is kept; the members around it are small, and are what
//! [`super::fields`] looks at.

use std::collections::BTreeMap;

use bytes::Bytes;
use export_canon::digesting::sha256;
use export_contract::TenantId;
use export_mongo::bson::{Bson, Document, RawDocumentBuf};
use serde_json::Value;
use serde_json::value::RawValue;

use super::fields;
use super::text::NoText;
use crate::import::RefusalCode;
use crate::remote::RemoteError;

/// What a document is called by, the first that is there; else by the digest of its line.
const ID: [&str; 4] = ["_id", "observationId", "observation_id", "digest"];

/// A line, read.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) document: Result<RawDocumentBuf, NoText>,
}

/// Reads a line.
///
/// # Errors
/// When it says that it is another tenant's: then nothing of the server is to be believed.
pub(super) fn read(line: &Bytes, tenant: &TenantId) -> Result<Line, RemoteError> {
    let mut document = match parse(line) {
        Ok(document) => document,
        Err(refused) => return Ok(Line { name: sha256(line).to_string(), document: Err(refused) }),
    };
    let owners: Vec<&str> = fields::TENANT.iter().filter_map(|name| document.get_str(name).ok()).collect();
    if let Some(other) = owners.first().filter(|_| !owners.contains(&tenant.as_str())) {
        return Err(RemoteError::OtherTenant { found: other.chars().take(64).collect() });
    }
    let id = ID.iter().find_map(|name| document.get(name).filter(|id| **id != Bson::Null).cloned());
    let id = id.unwrap_or_else(|| Bson::String(sha256(line).to_string()));
    document.insert("_id", id);
    let raw = RawDocumentBuf::from_document(&document)
        .map_err(|cause| NoText { code: RefusalCode::Malformed, reason: cause.to_string() });
    let name = raw.as_ref().ok().and_then(|raw| raw.get("_id").ok().flatten()).map(fields::name);
    Ok(Line { name: name.unwrap_or_default(), document: raw })
}

fn parse(line: &[u8]) -> Result<Document, NoText> {
    let malformed = |cause: String| NoText { code: RefusalCode::Malformed, reason: cause };
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_slice(line).map_err(|cause| malformed(cause.to_string()))?;
    let mut document = Document::new();
    for (name, text) in members {
        let value = if name == fields::RAW[0] { content(text.get()) } else { value(text.get()) };
        document.insert(name, value.map_err(malformed)?);
    }
    Ok(document)
}

/// `content`, with the upstream document as a text.
fn content(text: &str) -> Result<Bson, String> {
    let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) else { return value(text) };
    let mut content = Document::new();
    for (name, text) in members {
        let is_document = name == fields::RAW[1] && text.get().starts_with('{');
        content.insert(name, if is_document { Bson::String(text.get().to_owned()) } else { value(text.get())? });
    }
    Ok(Bson::Document(content))
}

/// Plain JSON; `{"$oid": …}` and the like are read as what they stand for (MongoDB Extended JSON).
fn value(text: &str) -> Result<Bson, String> {
    let value: Value = serde_json::from_str(text).map_err(|cause| cause.to_string())?;
    Bson::try_from(value).map_err(|cause| cause.to_string())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use export_contract::TenantId;

    use super::{Line, read};
    use crate::pull::fields;
    use crate::remote::RemoteError;

    fn line(text: &'static str) -> Result<Line, RemoteError> {
        let tenant: TenantId = "acme".parse().unwrap();
        read(&Bytes::from_static(text.as_bytes()), &tenant)
    }

    #[test]
    fn the_upstream_document_stays_the_text_that_it_is() {
        let Line { name, document } = line(
            r#"{"_id":"a","tenant":"acme","content":{"format":"OSV","raw":{"n":1.0,"big":12345678901234567890}}}"#,
        )
        .unwrap();
        let document = document.unwrap();
        let raw = fields::at(&document, &fields::RAW).unwrap().as_str().unwrap();
        assert_eq!((name.as_str(), raw), ("a", r#"{"n":1.0,"big":12345678901234567890}"#));
    }

    #[test]
    fn a_document_is_called_by_its_id_or_by_its_digest_and_never_is_anothers() {
        assert_eq!(line(r#"{"_id":{"$oid":"0123456789abcdef01234567"}}"#).unwrap().name, "0123456789abcdef01234567");
        assert_eq!(line(r#"{"observationId":"acme:osv:1","content":{}}"#).unwrap().name, "acme:osv:1");
        assert!(line("{}").unwrap().name.starts_with("sha256:"));
        assert!(line("{]").unwrap().document.is_err());
        assert!(matches!(line(r#"{"tenantId":"globex"}"#), Err(RemoteError::OtherTenant { .. })));
    }
}
