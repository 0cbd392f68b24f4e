//! `exportd prove`: makes a bundle again from what its provenance says, in a clean workspace, and tells whether it is the same.
//!
//! The [`original`] is believed only as far as a known key signed it. The [`mod@rebuild`] runs the very stages that made it, on the ledger as
//! it was at the watermark. Where a file differs, [`compare`] names the first record that does. The outcome is signed.

mod compare;
mod original;
mod rebuild;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context as _, ensure};
use export_canon::jcs;
use export_contract::manifest::ExportManifest;
use export_contract::{Digest, RunId, TenantId, Timestamp};
use export_signing::bundle::Bundle;
use export_signing::dsse::{Envelope, IN_TOTO, pre_authentication};
use export_signing::statement::{STATEMENT_TYPE, Subject};
use serde_json::{Value, json};

use self::compare::{Difference, differences};
use self::original::Original;
use self::rebuild::{Rebuilt, rebuild};
use crate::config::Config;
use crate::stores;

/// Names what a rebuild statement says.
const REBUILD_TYPE: &str = "urn:export-center:rebuild:v1";

/// What to prove.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Whose run.
    pub(crate) tenant: TenantId,
    /// Which run.
    pub(crate) run: RunId,
    /// Where the signed statement goes; not set: `RUN.rebuild.sigstore.json` here.
    pub(crate) out: Option<PathBuf>,
}

/// Rebuilds, compares, signs what came out, and fails unless every digest is the same.
pub(crate) async fn prove(config: &Config, wanted: Wanted) -> anyhow::Result<()> {
    let signers = stores::signers(config).await?;
    let original = Original::read(config, &signers, &wanted).await?;
    let rebuilt = Box::pin(rebuild(config, &original)).await?;
    // An encrypted tar is another one each time (design D7); its plain files have their digests in export.json.
    let same_tar = original.manifest.encryption.is_some() || rebuilt.bundle == original.bundle;
    let found = if same_tar && rebuilt.export_json == original.export_json {
        Vec::new()
    } else {
        differences(&original, &rebuilt).await?
    };
    let statement = statement(&original, &rebuilt, &found, same_tar);
    let payload = jcs::to_vec(&statement).context("cannot write the statement")?;
    let signer = signers.of(original.run.tenant.as_str(), original.profile_id.as_str());
    let signature = signer.sign(&pre_authentication(IN_TOTO, &payload)).await.context("cannot sign the statement")?;
    let bundle = Bundle::of_envelope(signer.public_key(), Envelope::new(IN_TOTO, &payload, &signature));
    let out = wanted.out.unwrap_or_else(|| PathBuf::from(format!("{}.rebuild.sigstore.json", wanted.run)));
    let text = serde_json::to_vec(&bundle).context("cannot write the statement")?;
    std::fs::write(&out, text).with_context(|| format!("cannot write `{}`", out.display()))?;

    let mut told = std::io::stdout().lock();
    writeln!(told, "bundle     {} was made, {} is made again", original.bundle, rebuilt.bundle)?;
    if original.manifest.encryption.is_some() {
        writeln!(
            told,
            "encrypted  the second tar is the plain one: what is compared is export.json and the files that it lists"
        )?;
    }
    writeln!(told, "statement  {}", out.display())?;
    for difference in &found {
        writeln!(told, "differs    {difference}")?;
    }
    told.flush()?;
    ensure!(found.is_empty() && same_tar, "run {} cannot be reproduced", wanted.run);
    Ok(())
}

/// What was found, about the files of the original.
fn statement(original: &Original, rebuilt: &Rebuilt, found: &[Difference], same_tar: bool) -> Value {
    let now: Timestamp = SystemTime::now().into();
    let digest = |digest: &Digest| json!({ "sha256": digest.hex() });
    json!({
        "_type": STATEMENT_TYPE,
        "subject": [
            Subject::sha256("bundle.tar", original.bundle.hex()),
            Subject::sha256("export.json", original.export_json.hex()),
        ],
        "predicateType": REBUILD_TYPE,
        "predicate": {
            "run": original.run.run,
            "reproduced": found.is_empty() && same_tar,
            "rebuiltAt": now,
            "rebuiltBy": { "exporter": env!("CARGO_PKG_VERSION"), "adapter": rebuilt.manifest.adapter },
            "rebuilt": { "bundle.tar": digest(&rebuilt.bundle), "export.json": digest(&rebuilt.export_json) },
            "differences": found,
        },
    })
}

/// A manifest from its text.
fn manifest(text: &[u8]) -> anyhow::Result<ExportManifest> {
    serde_json::from_slice(text).context("export.json cannot be read")
}
