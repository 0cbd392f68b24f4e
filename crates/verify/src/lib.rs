//! The offline verifier: proves what can be proven of a bundle, from its bytes and a public key alone.
//!
//! Every byte is taken for hostile. Nothing is unpacked, nothing but what [`decrypt`] is told to is written, no network is touched; memory is bounded whatever the
//! bundle claims. The order is: find the files ([`container`]), check the signature over `export.json` ([`signature`]) before anything of
//! it is believed, read it ([`manifest`]), stream the tar against it ([`archive`], [`content`], [`frames`], and [`sealed`] where files are
//! encrypted), then check provenance ([`attestation`]) and age. [`verify`] tells what was proven and what was not; [`inspect`] only shows what a bundle says of itself.

mod archive;
mod attestation;
mod canonical;
mod container;
mod content;
mod decrypt;
mod error;
mod frames;
mod freshness;
#[cfg(feature = "testing")]
pub mod fuzzing;
mod inspect;
mod manifest;
mod policy;
mod report;
mod sealed;
mod signature;
mod turns;

use std::io::Read;
use std::path::Path;

pub use decrypt::decrypt;
pub use error::{Problem, Quoted, VerifyError};
pub use export_sealing::{Identities, IdentityError, MAX_IDENTITY_FILE};
pub use export_signing::PublicKey;
pub use inspect::{Inspection, inspect};
pub use policy::Policy;
pub use report::{AbsentSource, Base, EncryptionFacts, Report};

use container::Container;
use decrypt::PlainTar;
use report::Evidence;

/// Verifies the bundle in `path`: a folder with `bundle.tar` (or `bundle.tar.zst`) and the files that travel with it, such a tar itself
/// with the others beside it, a tar or tar.zst of all of them, or an OCI image layout.
///
/// # Errors
/// The first fault found; [`VerifyError::exit_code`] gives its class.
pub fn verify(path: &Path, policy: &Policy) -> Result<Report, VerifyError> {
    verify_watched(path, policy, &|_| ())
}

/// [`verify`], telling `progress` how many bytes of the tar were read so far.
///
/// # Errors
/// The first fault found; [`VerifyError::exit_code`] gives its class.
pub fn verify_watched(path: &Path, policy: &Policy, progress: &dyn Fn(u64)) -> Result<Report, VerifyError> {
    prove(Container::open(path)?, policy, progress, None)
}

/// Verifies a delivery that comes once: a tar, plain or zstd, of `bundle.tar` and the files that travel with it. `export.json` and its
/// signatures must come before `bundle.tar`.
///
/// # Errors
/// The first fault found; [`VerifyError::exit_code`] gives its class.
pub fn verify_stream(reader: impl Read, policy: &Policy, progress: &dyn Fn(u64)) -> Result<Report, VerifyError> {
    prove(Container::stream(reader)?, policy, progress, None)
}

/// Proves what can be proven, and writes the plain bundle to a folder, where one is given.
fn prove(
    mut container: Container<'_>,
    policy: &Policy,
    progress: &dyn Fn(u64),
    out: Option<&Path>,
) -> Result<Report, VerifyError> {
    let export_json = container.export_json()?;
    let signature = signature::check(&container, &export_json, policy)?;
    let manifest = manifest::read(&export_json, policy)?;
    let unsealing = sealed::prepare(&container, &manifest.export, policy)?;
    let mut tar = out.map(|folder| PlainTar::new(folder, &manifest.export, &export_json)).transpose()?;
    let expected =
        archive::Wanted { manifest: &manifest.export, export_json: &export_json, unsealing: unsealing.as_ref() };
    let archive = archive::check(&mut container, &expected, policy, progress, tar.as_mut())?;
    container.close(&archive)?;
    let attestation = attestation::check(&container, &archive, &export_json, &manifest.export, policy)?;
    let age = freshness::check(&manifest.export, policy)?;
    if let (Some(tar), Some(folder)) = (tar, out) {
        decrypt::write_beside(folder, &container, &export_json)?;
        tar.finish()?;
    }
    Ok(Report::new(Evidence {
        manifest,
        export_json,
        signature,
        archive,
        attestation,
        others: container.others().to_vec(),
        age,
        max_age: policy.max_age_seconds,
    }))
}
