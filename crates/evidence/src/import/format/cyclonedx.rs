//! CycloneDX JSON: an SBOM, or VEX (VDR) where it speaks of vulnerabilities.

use export_contract::RecordKind;

use super::Extract;
use crate::import::tape::Value;

pub(super) fn matches(doc: Value<'_>) -> bool {
    doc.get("bomFormat").text().as_deref() == Some("CycloneDX")
        || (doc.get("specVersion").exists()
            && doc.get("$schema").text().is_some_and(|schema| schema.contains("cyclonedx.org/schema")))
}

/// One format serves two kinds. The folder decides where it is called `vex` or `sboms`; else a document with
/// `vulnerabilities` and without `components` is VEX, and every other one an SBOM (which may list the flaws
/// of its components).
fn kind(doc: Value<'_>, folder_kind: Option<RecordKind>) -> RecordKind {
    let any = |name: &str| doc.get(name).each().next().is_some();
    match folder_kind {
        Some(kind @ (RecordKind::Vex | RecordKind::Sbom)) => kind,
        _ if any("vulnerabilities") && !any("components") => RecordKind::Vex,
        _ => RecordKind::Sbom,
    }
}

pub(super) fn extract(doc: Value<'_>, folder_kind: Option<RecordKind>) -> Extract {
    let mut out = Extract::new(kind(doc, folder_kind), super::CYCLONEDX);
    out.spec_version = doc.get("specVersion").text_or_number().unwrap_or_default();
    let main = doc.get("metadata").get("component");
    out.id = doc.get("serialNumber").filled().or_else(|| called(main));
    out.subject = main.get("purl").filled();
    for component in [main, doc.get("components")] {
        for purl in component.inside("purl").filter_map(Value::text) {
            out.links.purl(&purl);
        }
        for cpe in component.inside("cpe").filter_map(Value::text) {
            out.links.cpe(&cpe);
        }
    }
    for reference in doc.get("externalReferences").each().chain(main.get("externalReferences").each()) {
        if let Some(url) = reference.get("url").text() {
            out.links.reference(&url);
        }
    }
    for vulnerability in doc.get("vulnerabilities").each() {
        vulnerability_links(vulnerability, &mut out);
    }
    if out.kind == RecordKind::Vex && out.subject.is_none() {
        let affected = doc.get("vulnerabilities").each().flat_map(|found| found.get("affects").each());
        out.subject = affected.filter_map(|affects| affects.get("ref").filled()).find(|text| text.starts_with("pkg:"));
        out.subject = out.subject.or_else(|| called(main));
    }
    out.with_ecosystems_of_purls()
}

fn vulnerability_links(vulnerability: Value<'_>, out: &mut Extract) {
    let references = || vulnerability.get("references").each();
    let ids = references().filter_map(|reference| reference.get("id").text());
    for id in vulnerability.get("id").text().into_iter().chain(ids) {
        out.links.alias(&id);
    }
    let sources = references().map(|reference| reference.get("source")).chain([vulnerability.get("source")]);
    for holder in sources.chain(vulnerability.get("advisories").each()) {
        if let Some(url) = holder.get("url").text() {
            out.links.reference(&url);
        }
    }
    for affects in vulnerability.get("affects").each().filter_map(|affects| affects.get("ref").text()) {
        out.links.product(&affects);
    }
}

/// Group, name and version of a component, for documents without serial number.
fn called(component: Value<'_>) -> Option<String> {
    let name = component.get("name").filled()?;
    let name = component.get("group").filled().map_or_else(|| name.clone(), |group| format!("{group}/{name}"));
    Some(component.get("version").text_or_number().map_or_else(|| name.clone(), |version| format!("{name}@{version}")))
}
