//! Pushes a file as a bundle to a registry, as the distribute stage does: our side of `benches/push.sh`.
//!
//! `push HOST FILE` speaks plain HTTP to `HOST` without credentials, and prints the seconds that the hand-over took.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figure")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use export_blobs::Workspace;
use export_blobs::folder::FolderBlobs;
use export_canon::digesting::Digester;
use export_contract::Digest;
use export_contract::message::{Artefact, RunSigned};
use export_contract::profile::DistributionKind;
use export_contract::run::Phase;
use export_pipeline::StageContext;
use export_pipeline::contract_check::NoProgress;
use export_targets::oci::{OciRegistry, OciTarget};
use export_targets::{Delivery, Target as _};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

const SAMPLE: &str = include_str!("../../contract/tests/wire/run_signed.v1.json");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, file] = arguments.as_slice() else { return Err("usage: push HOST FILE".into()) };
    let folder = tempfile::tempdir_in(Path::new(file).parent().unwrap_or(Path::new(".")))?;
    let workspace = {
        let signed: RunSigned = serde_json::from_str(SAMPLE)?;
        Workspace::new(Arc::new(FolderBlobs::open(folder.path()).await?), signed.manifest.plan.run)
    };
    let mut signed: RunSigned = serde_json::from_str(SAMPLE)?;
    signed.manifest.plan.profile.config.distribution = [DistributionKind::Oci].into();
    for (name, artefact) in &mut signed.sidecars {
        *artefact = workspace.put_artefact(name.clone().into_bytes().into()).await?;
    }
    signed.manifest.bundle = digested(Path::new(file)).await?;
    let run = workspace.run();
    let key = Workspace::artefact_key(&run.tenant, &run.run, &signed.manifest.bundle.digest);
    std::fs::hard_link(file, folder.path().join(key.as_str()))?;
    let target = OciTarget::new(vec![OciRegistry { host: host.clone(), plain_http: true, ..OciRegistry::default() }])?;
    let cx = StageContext::new(
        workspace.clone(),
        Phase::Distribute,
        None,
        1,
        CancellationToken::new(),
        Arc::new(NoProgress),
    );
    let started = tokio::time::Instant::now();
    target.distribute(&Delivery { signed: &signed, cx: &cx, expires_at: None }).await?;
    println!("{}", started.elapsed().as_secs_f64());
    Ok(())
}

async fn digested(path: &Path) -> Result<Artefact, std::io::Error> {
    let mut file = tokio::fs::File::open(path).await?;
    let mut digester = Digester::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut piece).await?;
        if length == 0 {
            let done = digester.finish();
            return Ok(Artefact { digest: Digest::from_bytes(*done.sha256.as_bytes()), bytes: done.bytes });
        }
        digester.update(piece.get(..length).unwrap_or_default());
    }
}
