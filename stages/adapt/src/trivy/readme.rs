//! The page for the person who opens a bundle.

use export_contract::message::RunPlanned;

use super::Database;
use crate::encrypted;

/// Deterministic text.
pub(crate) fn text(plan: &RunPlanned, database: Database) -> String {
    let as_of = plan.as_of.map_or_else(|| "nothing observed yet".to_owned(), |at| at.to_string());
    let (archive, folder, what, missing) = match database {
        Database::Vulnerabilities => (
            "db.tar.gz",
            "db",
            "the vulnerability database that Trivy loads, schema 2",
            "advisories that Trivy has no way to express",
        ),
        Database::Archives => (
            "javadb.tar.gz",
            "java-db",
            "the index of Java archives that Trivy loads, schema 1",
            "components that name no archive",
        ),
    };
    format!(
        "# Database of tenant `{tenant}`\n\n\
         Profile `{profile}` ({kind}), revision r{revision}. As of {as_of}.\n\n\
         `trivy/{archive}` is {what}. To use it without a network:\n\n\
         ```sh\n\
         mkdir -p CACHE/{folder}\n\
         tar -xzf trivy/{archive} -C CACHE/{folder}\n\
         trivy --cache-dir CACHE fs --skip-db-update --skip-java-db-update --offline-scan PROJECT\n\
         ```\n\n\
         `trivy/metadata.json` is the copy of what lies in the archive. `trivy/report.json` counts, by reason, {missing}, with examples: \
         what is not in the database is not found by a scan.\n\n\
         `manifests/export.json` lists every file with its SHA-256 and says which sources are in here and which are not. It is signed \
         beside the bundle: `exportctl bundle verify DIR --key cosign.pub` checks all of it without a network.\n",
        tenant = plan.run.tenant,
        profile = plan.profile.id,
        kind = plan.profile.kind,
        revision = plan.profile.revision,
    ) + &encrypted::note(&plan.profile)
}
