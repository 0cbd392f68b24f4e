//! The page for the person who opens a bundle.

use export_contract::message::{BundleFile, RunPlanned};
use export_contract::profile::Frames;

use crate::encrypted;

/// Deterministic text about `files`, which are sorted by path.
pub(crate) fn text(plan: &RunPlanned, files: &[BundleFile]) -> String {
    let as_of = plan.as_of.map_or_else(|| "nothing observed yet".to_owned(), |at| at.to_string());
    let rows: String = files
        .iter()
        .map(|file| {
            let (records, bytes) = (file.records.unwrap_or(0), file.plain_bytes.unwrap_or(0));
            format!("| `{}` | {records} | {bytes} | {} |\n", file.path, file.frames.unwrap_or(0))
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
    text.push_str(
        "\nEach line of a `.jsonl.zst` file is one record: the upstream document stands unchanged in `content.raw`, with keys \
         sorted and number literals as they were written. Records are sorted by subject, document id and source.\n\n\
         Read a file with `zstd -dc FILE`.",
    );
    if plan.profile.config.compression.frames == Frames::Multi {
        text.push_str(
            " It has many zstd frames and a seek table at its end. Some readers stop after the first frame \
             without an error: check that you get as many records as the table above says, or use a profile with \
             `compression.frames` set to `single`.",
        );
    }
    text.push_str(
        "\n\n`manifests/export.json` lists every file with its SHA-256 and says which sources are in here and which are not. It is \
         signed beside the bundle: `exportctl bundle verify DIR --key cosign.pub` checks all of it without a network, and\n\
         `cosign verify-blob --key cosign.pub --signature export.json.sig --insecure-ignore-tlog export.json` the signature alone.\n",
    );
    text.push_str(&encrypted::note(plan));
    text
}
