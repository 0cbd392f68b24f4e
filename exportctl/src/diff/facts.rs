//! What a line says that people follow: severities, statuses, and whether it was taken back.

use std::collections::BTreeMap;

use serde_json::Value;

/// Facts of one record; what is not there is not said.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// By what they are of.
    pub(crate) severities: BTreeMap<String, String>,
    /// By vulnerability.
    pub(crate) statuses: BTreeMap<String, String>,
    /// The publisher has taken it back.
    pub(crate) withdrawn: bool,
}

impl Facts {
    /// Reads a line; of one that is no JSON there are none.
    pub(crate) fn of(line: &[u8]) -> Self {
        let Ok(line) = serde_json::from_slice::<Value>(line) else { return Self::default() };
        let mut facts = Self::default();
        // A policy finding stands for itself, evidence stands in its envelope.
        for (name, into) in [("severity", &mut facts.severities), ("status", &mut facts.statuses)] {
            if let Some(text) = line.get(name).and_then(Value::as_str) {
                into.insert(text_at(&line, "/advisory").unwrap_or_else(|| "policy".to_owned()), text.to_owned());
            }
        }
        let Some(raw) = line.pointer("/content/raw") else { return facts };
        match line.pointer("/content/format").and_then(Value::as_str).unwrap_or_default() {
            "osv" => facts.osv(raw),
            "cve5" => facts.cve(raw),
            "openvex" => facts.openvex(raw),
            "csaf" => facts.csaf(raw),
            "cyclonedx" => facts.cyclonedx(raw),
            _ => {}
        }
        facts
    }

    fn severity(&mut self, of: &str, value: Option<String>) {
        if let Some(value) = value {
            self.severities.insert(of.to_owned(), value.to_lowercase());
        }
    }

    fn osv(&mut self, raw: &Value) {
        self.withdrawn = raw.get("withdrawn").is_some();
        self.severity("database", text_at(raw, "/database_specific/severity"));
        for rating in list(raw, "/severity") {
            let kind = text_at(rating, "/type").unwrap_or_default();
            self.severity(&kind, text_at(rating, "/score"));
        }
    }

    fn cve(&mut self, raw: &Value) {
        self.withdrawn = text_at(raw, "/cveMetadata/state").as_deref() == Some("REJECTED");
        for metric in list(raw, "/containers/cna/metrics") {
            for kind in ["cvssV4_0", "cvssV3_1", "cvssV3_0", "cvssV2_0"] {
                self.severity(kind, text_at(metric, &format!("/{kind}/baseSeverity")));
            }
        }
    }

    fn openvex(&mut self, raw: &Value) {
        for statement in list(raw, "/statements") {
            let name = text_at(statement, "/vulnerability/name").or_else(|| text_at(statement, "/vulnerability"));
            self.status(name, text_at(statement, "/status"));
        }
    }

    fn csaf(&mut self, raw: &Value) {
        self.severity("document", text_at(raw, "/document/aggregate_severity/text"));
        for vulnerability in list(raw, "/vulnerabilities") {
            let name = text_at(vulnerability, "/cve").or_else(|| text_at(vulnerability, "/title"));
            let statuses = vulnerability.get("product_status").and_then(Value::as_object);
            for status in statuses.into_iter().flat_map(serde_json::Map::keys) {
                self.status(name.clone(), Some(status.clone()));
            }
        }
    }

    fn cyclonedx(&mut self, raw: &Value) {
        for vulnerability in list(raw, "/vulnerabilities") {
            let name = text_at(vulnerability, "/id");
            self.status(name.clone(), text_at(vulnerability, "/analysis/state"));
            let rating = list(vulnerability, "/ratings").next().and_then(|rating| text_at(rating, "/severity"));
            self.severity(&name.unwrap_or_default(), rating);
        }
    }

    /// Statuses of one vulnerability, which may differ by product, each once.
    fn status(&mut self, vulnerability: Option<String>, status: Option<String>) {
        let Some((vulnerability, status)) = vulnerability.zip(status) else { return };
        let known = self.statuses.entry(vulnerability).or_default();
        let mut all: Vec<&str> = known.split(", ").filter(|known| !known.is_empty()).collect();
        if !all.contains(&status.as_str()) {
            all.push(&status);
            all.sort_unstable();
            *known = all.join(", ");
        }
    }
}

fn text_at(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::Facts;

    #[test]
    fn severities_and_statuses_are_found_where_each_format_has_them() {
        let osv = br#"{"content":{"format":"osv","raw":{"withdrawn":"2026-01-01T00:00:00Z","database_specific":{"severity":"HIGH"},"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N"}]}}}"#;
        let facts = Facts::of(osv);
        assert!(facts.withdrawn);
        assert_eq!(facts.severities["database"], "high");
        let vex = br#"{"content":{"format":"openvex","raw":{"statements":[{"vulnerability":{"name":"CVE-1"},"status":"fixed"},{"vulnerability":"CVE-1","status":"affected"}]}}}"#;
        assert_eq!(Facts::of(vex).statuses["CVE-1"], "affected, fixed");
        let finding = br#"{"advisory":"CVE-2","severity":"high","status":"blocked","subject":"pkg:npm/a"}"#;
        let facts = Facts::of(finding);
        assert_eq!((facts.severities["CVE-2"].as_str(), facts.statuses["CVE-2"].as_str()), ("high", "blocked"));
        assert!(Facts::of(b"no json").statuses.is_empty());
    }
}
