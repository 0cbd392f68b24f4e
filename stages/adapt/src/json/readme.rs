//! The page for the person who opens a bundle.

use export_contract::message::{BundleFile, RunPlanned};
use export_contract::profile::Frames;

use super::policy::{self, Exported};
use crate::encrypted;

/// Deterministic text about `files`, which are sorted by path, and about the policy snapshot where the profile can take one.
pub(crate) fn text(plan: &RunPlanned, files: &[BundleFile], exported: Option<&Exported>) -> String {
    let as_of = plan.as_of.map_or_else(|| "nothing observed yet".to_owned(), |at| at.to_string());
    let rows: String = files
        .iter()
        .map(|file| {
            // A document is no file of records, which is something else than a file of none.
            let cell = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
            let (records, bytes, frames) = (cell(file.records), cell(file.plain_bytes), cell(file.frames));
            format!("| `{}` | {records} | {bytes} | {frames} |\n", file.path)
        })
        .collect();
    let mut text = format!(
        "# Evidence of tenant `{tenant}`\n\n\
         Profile `{profile}` ({kind}), revision r{revision}. As of {as_of}.\n\n\
         | file | records | plain bytes | zstd frames |\n|---|---:|---:|---:|\n{rows}",
        tenant = plan.run.tenant,
        profile = plan.profile.id,
        kind = plan.profile.kind,
        revision = plan.profile.revision,
    );
    let lines = if plan.profile.kind.takes_policy_snapshot() { "`data/raw/*.jsonl.zst`" } else { "`.jsonl.zst`" };
    text.extend([
        "\nEach line of a ",
        lines,
        " file is one record: the upstream document stands unchanged in `content.raw`, with keys \
         sorted and number literals as they were written. Records are sorted by subject, document id and source.\n\n\
         Read a file with `zstd -dc FILE`.",
    ]);
    if plan.profile.config.compression.frames == Frames::Multi {
        text.push_str(
            " It has many zstd frames and a seek table at its end. Some readers stop after the first frame \
             without an error: check that you get as many records as the table above says, or use a profile with \
             `compression.frames` set to `single`.",
        );
    }
    if plan.profile.kind.takes_policy_snapshot() {
        text.push('\n');
        text.push_str(policy::readme(plan, exported).trim_end());
    }
    text.push_str(
        "\n\n`manifests/export.json` lists every file with its SHA-256 and says which sources are in here and which are not. It is \
         signed beside the bundle: `exportctl bundle verify DIR --key cosign.pub` checks all of it without a network, and\n\
         `cosign verify-blob --key cosign.pub --signature export.json.sig --insecure-ignore-tlog export.json` the signature alone.\n",
    );
    text.push_str(&encrypted::note(&plan.profile));
    text
}
