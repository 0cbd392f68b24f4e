//! `provenance.json`: an in-toto statement with SLSA v1 provenance.

use std::collections::BTreeMap;

use export_contract::Timestamp;
use export_contract::message::{ManifestWritten, SourceRead};
use export_signing::statement::{
    BuildDefinition, Builder, Dependency, Metadata, PROVENANCE_TYPE, Provenance, RunDetails, STATEMENT_TYPE, Statement,
    Subject,
};
use serde_json::{Value, json};

/// Names what kind of build a run is.
const BUILD_TYPE: &str = "urn:export-center:build:export-run:v1";
/// Names the platform that built. A site that wants its own puts it into its trust policy by key, not by this name.
const BUILDER: &str = "urn:export-center:exportd";

/// The statement of a run. Run identity stands here and nowhere else (design D2).
pub(crate) fn statement(manifest: &ManifestWritten, finished: Timestamp) -> Statement {
    let plan = &manifest.plan;
    let external = json!({
        "tenant": plan.run.tenant,
        "profile": {
            "id": plan.profile.id,
            "kind": plan.profile.kind,
            "revision": plan.profile.revision,
            "configDigest": plan.config_digest,
        },
        "selectors": plan.selectors,
        "watermark": plan.watermark,
    });
    let internal = json!({
        "requestedBy": plan.request.by,
        "requestedAt": plan.request.at,
        "correlationId": plan.request.correlation_id,
        "generation": plan.run.generation,
    });
    Statement {
        kind: STATEMENT_TYPE.to_owned(),
        subject: vec![
            Subject::sha256("bundle.tar", manifest.bundle.digest.hex()),
            Subject::sha256("export.json", manifest.export_json.digest.hex()),
        ],
        predicate_type: PROVENANCE_TYPE.to_owned(),
        predicate: Provenance {
            build_definition: BuildDefinition {
                build_type: BUILD_TYPE.to_owned(),
                external_parameters: external,
                internal_parameters: internal,
                resolved_dependencies: inputs(manifest),
            },
            run_details: RunDetails {
                builder: Builder {
                    id: BUILDER.to_owned(),
                    version: BTreeMap::from([
                        ("exporter".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
                        (format!("adapter {}", plan.adapter.name), plan.adapter.version.clone()),
                    ]),
                },
                metadata: Metadata {
                    invocation_id: plan.run.run.to_string(),
                    started_on: plan.request.admitted_at.to_string(),
                    finished_on: finished.to_string(),
                },
            },
        },
    }
}

/// Everything that went in, by digest.
fn inputs(manifest: &ManifestWritten) -> Vec<Dependency> {
    let snapshot = manifest.plan.policy_snapshot.iter().map(|snapshot| Dependency {
        uri: format!("urn:export-center:policy-snapshot:{}", snapshot.id),
        digest: BTreeMap::from([("sha256".to_owned(), snapshot.digest.hex().to_owned())]),
        annotations: BTreeMap::new(),
    });
    manifest.sources.iter().map(|source| dependency(manifest, source)).chain(snapshot).collect()
}

/// A source of the ledger: what was read of it, by digest.
fn dependency(manifest: &ManifestWritten, source: &SourceRead) -> Dependency {
    let number = |value: u64| Value::from(value);
    Dependency {
        uri: format!("urn:export-center:ledger:{}:{}", source.kind, source.name),
        digest: BTreeMap::from([("sha256".to_owned(), source.hash.hex().to_owned())]),
        annotations: BTreeMap::from([
            ("records".to_owned(), number(source.records)),
            ("watermark".to_owned(), number(manifest.plan.watermark.0)),
        ]),
    }
}
