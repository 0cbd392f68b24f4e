//! `provenance.json`: an in-toto statement with SLSA v1 provenance.

use std::collections::BTreeMap;

use export_contract::manifest::ExportManifest;
use export_contract::message::{ManifestWritten, PolicySnapshotRef, SourceRead};
use export_contract::{Digest, Timestamp};
use export_signing::statement::{
    BuildDefinition, Builder, Dependency, Metadata, PROVENANCE_TYPE, Provenance, RunDetails, STATEMENT_TYPE, Statement,
    Subject,
};
use serde_json::{Value, json};

/// Names what kind of build a run is.
const BUILD_TYPE: &str = "urn:export-center:build:export-run:v1";
/// Names the platform that built. A site that wants its own puts it into its trust policy by key, not by this name.
const BUILDER: &str = "urn:export-center:exportd";

/// Files of a bundle that are handed over by themselves, too.
const LAYERS: [&str; 2] = ["trivy/db.tar.gz", "trivy/javadb.tar.gz"];

/// Who builds here, for profiles that ask for full provenance. Only what this process knows for sure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuilderIdentity {
    /// URI that names this platform to those who trust it (SLSA `builder.id`).
    pub id: String,
    /// SHA-256 of the program that runs.
    pub program: Digest,
}

/// The statement of a run. Run identity stands here and nowhere else (design D2).
pub(crate) fn statement(
    manifest: &ManifestWritten,
    export: &ExportManifest,
    builder: Option<&BuilderIdentity>,
    finished: Timestamp,
) -> Statement {
    let plan = &manifest.plan;
    let mut external = json!({
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
    // What only some runs have stands there for them alone: the statements of all others stay as they were.
    if let (Some(base), Some(external)) = (&plan.base, external.as_object_mut()) {
        external.insert("base".to_owned(), json!({ "run": base.run.run, "manifestDigest": base.manifest_digest }));
    }
    let mut internal = json!({
        "requestedBy": plan.request.by,
        "requestedAt": plan.request.at,
        "correlationId": plan.request.correlation_id,
        "generation": plan.run.generation,
    });
    if let Some(encrypted) = &manifest.encryption {
        // Below a member of theirs, because strict readers of SLSA refuse members that they do not know (design D26).
        internal["environment"] = json!({ "encryption": encrypted });
    }
    Statement {
        kind: STATEMENT_TYPE.to_owned(),
        subject: subjects(manifest, export),
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
                    id: builder.map_or(BUILDER, |builder| &builder.id).to_owned(),
                    version: BTreeMap::from([
                        ("exporter".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
                        (format!("adapter {}", plan.adapter.name), plan.adapter.version.clone()),
                    ]),
                    builder_dependencies: builder.map(program).into_iter().collect(),
                },
                metadata: Metadata {
                    invocation_id: plan.run.run.to_string(),
                    started_on: plan.request.admitted_at.to_string(),
                    finished_on: finished.to_string(),
                },
                byproducts: builder
                    .map(|_| Subject::sha256("rerunHash", manifest.rerun_hash.hex()))
                    .into_iter()
                    .collect(),
            },
        },
    }
}

/// The tar and its manifest, and what is pulled without them: the layers that Trivy loads.
fn subjects(manifest: &ManifestWritten, export: &ExportManifest) -> Vec<Subject> {
    let layers = export.contents.iter().filter(|file| LAYERS.contains(&file.path.as_str()));
    [
        Subject::sha256("bundle.tar", manifest.bundle.digest.hex()),
        Subject::sha256("export.json", manifest.export_json.digest.hex()),
    ]
    .into_iter()
    .chain(layers.map(|file| Subject::sha256(&file.path, file.digest.hex())))
    .collect()
}

/// The program that built, as one of the builder's dependencies.
fn program(builder: &BuilderIdentity) -> Dependency {
    Dependency {
        uri: "urn:export-center:program:exportd".to_owned(),
        digest: BTreeMap::from([("sha256".to_owned(), builder.program.hex().to_owned())]),
        annotations: BTreeMap::from([("version".to_owned(), Value::from(env!("CARGO_PKG_VERSION")))]),
    }
}

/// Everything that went in, by digest.
fn inputs(manifest: &ManifestWritten) -> Vec<Dependency> {
    let snapshot = manifest.plan.policy_snapshot.iter().map(|snapshot| Dependency {
        uri: format!("urn:export-center:policy-snapshot:{}", snapshot.id),
        digest: BTreeMap::from([("sha256".to_owned(), snapshot.digest.hex().to_owned())]),
        annotations: policy(snapshot),
    });
    let base = manifest.plan.base.iter().map(|base| Dependency {
        uri: "urn:export-center:mirror".to_owned(),
        digest: BTreeMap::from([("sha256".to_owned(), base.manifest_digest.hex().to_owned())]),
        annotations: BTreeMap::new(),
    });
    manifest.sources.iter().map(|source| dependency(manifest, source)).chain(snapshot).chain(base).collect()
}

/// What the engine says of a snapshot, and the findings that were read.
fn policy(snapshot: &PolicySnapshotRef) -> BTreeMap<String, Value> {
    let PolicySnapshotRef { id: _, digest: _, policy_version, inputs_hash, decision_trace, findings } = snapshot;
    let texts = [
        ("policyVersion", Some(policy_version)),
        ("inputsHash", Some(inputs_hash)),
        ("decisionTrace", decision_trace.as_ref()),
    ];
    let texts = texts.into_iter().filter_map(|(name, text)| {
        let text = text.filter(|text| !text.is_empty())?;
        Some((name.to_owned(), Value::from(text.as_str())))
    });
    let findings = findings.iter().flat_map(|findings| {
        [
            ("findings".to_owned(), Value::from(findings.count)),
            ("findingsDigest".to_owned(), Value::from(findings.digest.as_str())),
        ]
    });
    texts.chain(findings).collect()
}

/// A source of the ledger: what was read of it, by digest.
fn dependency(manifest: &ManifestWritten, source: &SourceRead) -> Dependency {
    let number = |value: u64| Value::from(value);
    let whose = source.tenant.as_ref().map(|tenant| ("tenant".to_owned(), Value::from(tenant.as_str())));
    Dependency {
        uri: format!("urn:export-center:ledger:{}:{}", source.kind, source.name),
        digest: BTreeMap::from([("sha256".to_owned(), source.hash.hex().to_owned())]),
        annotations: [
            ("records".to_owned(), number(source.records)),
            ("watermark".to_owned(), number(manifest.plan.ledger(source.tenant.as_ref()).1.0)),
        ]
        .into_iter()
        .chain(whose)
        .collect(),
    }
}
