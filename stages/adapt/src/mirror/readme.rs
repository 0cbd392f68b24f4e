//! The pages for the person who opens a mirror or a delta.

use export_contract::message::{BundleFile, Difference, RunPlanned};
use export_contract::profile::Frames;

use crate::encrypted;

/// Deterministic text about `files`, which are sorted by path.
pub(super) fn of_tree(plan: &RunPlanned, files: &[BundleFile]) -> String {
    let config = &plan.profile.config;
    let as_of = plan.as_of.map_or_else(|| "nothing observed yet".to_owned(), |at| at.to_string());
    let lines = files.iter().filter(|file| file.plain_bytes.is_some());
    let rows: String = lines
        .map(|file| {
            let (records, bytes) = (file.records.unwrap_or(0), file.plain_bytes.unwrap_or(0));
            format!("| `{}` | {records} | {bytes} | {} |\n", file.path, file.frames.unwrap_or(0))
        })
        .collect();
    let documents = files.iter().filter(|file| file.path.starts_with("data/raw/sboms/")).count();
    let mut text = format!(
        "# Mirror of the evidence of tenant `{}`\n\nAs of {as_of}. The tree is complete in itself: no file of it points elsewhere.\n\n\
         | file | records | plain bytes | zstd frames |\n|---|---:|---:|---:|\n{rows}",
        plan.run.tenant
    );
    if documents > 0 {
        text.push_str(&format!(
            "\nThe {documents} SBOMs lie in `data/raw/sboms/SUBJECT/`, each a whole document; `indexes/sboms.index.json` says which is which.\n"
        ));
    }
    text.push_str(
        "\nEach line of a `.jsonl.zst` file is one record: the upstream document stands unchanged in `content.raw`. Lines are sorted by subject, \
         document id and source. Read a file with `zstd -dc FILE`; read one record with\n`exportctl bundle extract --record SUBJECT FOLDER`: \
         `indexes/*.index.json` say which zstd frame holds which subjects, so that no more than one frame is read.\n",
    );
    if config.compression.frames == Frames::Multi {
        text.push_str(
            "\nSome zstd readers stop after the first frame without an error: compare with the numbers of records above.\n",
        );
    }
    text.push_str(
        "\n`manifests/export.json` lists every file with its SHA-256 and says which sources are in here and which are not. It is signed beside the \
         tree: `exportctl bundle verify` checks all of it without a network.\n\
         What changes later comes as deltas: `exportctl bundle apply DELTA --into FOLDER`.\n",
    );
    // Of a delta, too, this is the page of the mirror that it leads to.
    text.push_str(&encrypted::note(&plan.mirror_profile().0));
    text
}

/// Deterministic text about a delta.
pub(super) fn of_delta(plan: &RunPlanned, difference: &Difference) -> String {
    let base = match &plan.base {
        Some(base) => format!(
            "It builds upon the mirror whose `manifests/export.json` has the digest\n`{}`.",
            base.manifest_digest
        ),
        None => "It holds the new mirror whole and builds upon nothing.".to_owned(),
    };
    let as_of = plan.as_of.map_or_else(|| "nothing observed yet".to_owned(), |at| at.to_string());
    format!(
        "# What changed in the mirror of tenant `{}`\n\nAs of {as_of}. {base}\n\n\
         {} records are new or other ones, {} are gone; {} files are added, {} changed, {} removed.\n\n\
         `exportctl bundle apply DELTA --into FOLDER` verifies this delta, checks that FOLDER holds its base, and puts the new mirror in place of it \
         all at once. `manifests/manifest.diff.json` says what it does file by file, `data/tombstones.jsonl.zst` what is gone, \
         `manifests/target/export.json` is the manifest of the mirror that comes out of it.\n",
        plan.run.tenant,
        difference.records_put,
        difference.tombstones,
        difference.added.len(),
        difference.changed.len(),
        difference.removed.len(),
    ) + &encrypted::note(&plan.profile)
}
