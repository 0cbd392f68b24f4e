//! The offline verifier: proves what can be proven of a bundle, from its bytes and a public key alone.
//!
//! Every byte is taken for hostile. Nothing is unpacked, nothing but what [`decrypt`] is told to is written, no network is touched; memory is bounded whatever the
//! bundle claims. The order is: find the files ([`container`]), check the signature over `export.json` ([`signature`]) before anything of
//! it is believed, read it ([`manifest`]), stream the tar against it ([`archive`], [`content`], [`frames`], and [`sealed`] where files are
//! encrypted), then check provenance ([`attestation`]), a later confirmation ([`refresh`]) and age. [`verify`] tells what was proven and what was not; [`inspect`] only shows what a bundle says of itself.

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
mod members;
mod policy;
mod refresh;
mod report;
mod sealed;
mod signature;
mod turns;
mod unpack;

use std::io::Read;
use std::path::Path;

pub use decrypt::decrypt;
pub use error::{Problem, Quoted, VerifyError};
pub use export_sealing::{Identities, IdentityError, MAX_IDENTITY_FILE};
pub use export_signing::PublicKey;
pub use inspect::{Inspection, inspect};
pub use members::Members;
pub use policy::{Keeper, Policy};
pub use report::{AbsentSource, Base, EncryptionFacts, Report};
pub use unpack::Unpack;

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
    prove(Container::open(path)?, policy, progress, Copies::No)
}

/// [`verify_watched`], giving `copies` every file that it reads.
///
/// # Errors
/// The first fault found; what `copies` has taken until then is worth nothing.
pub fn verify_into(
    path: &Path,
    policy: &Policy,
    progress: &dyn Fn(u64),
    copies: &mut dyn Unpack,
) -> Result<Report, VerifyError> {
    prove(Container::open(path)?, policy, progress, Copies::To(copies))
}

/// Verifies a delivery that comes once: a tar, plain or zstd, of `bundle.tar` and the files that travel with it. `export.json` and its
/// signatures must come before `bundle.tar`.
///
/// # Errors
/// The first fault found; [`VerifyError::exit_code`] gives its class.
pub fn verify_stream(reader: impl Read, policy: &Policy, progress: &dyn Fn(u64)) -> Result<Report, VerifyError> {
    prove(Container::stream(reader)?, policy, progress, Copies::No)
}

/// [`verify_stream`], giving `copies` every file that it reads.
///
/// # Errors
/// The first fault found; what `copies` has taken until then is worth nothing.
pub fn verify_stream_into(
    reader: impl Read,
    policy: &Policy,
    progress: &dyn Fn(u64),
    copies: &mut dyn Unpack,
) -> Result<Report, VerifyError> {
    prove(Container::stream(reader)?, policy, progress, Copies::To(copies))
}

/// Where the files of a bundle go while it is proven.
enum Copies<'a> {
    No,
    To(&'a mut dyn Unpack),
    /// Into a folder as a bundle of plain files.
    PlainTar(&'a Path),
}

fn prove(
    mut container: Container<'_>,
    policy: &Policy,
    progress: &dyn Fn(u64),
    copies: Copies<'_>,
) -> Result<Report, VerifyError> {
    let export_json = container.export_json()?;
    let signature = signature::check(&container, &export_json, policy)?;
    let manifest = manifest::read(&export_json, policy)?;
    let unsealing = sealed::prepare(&container, &manifest.export, policy)?;
    let wanted =
        archive::Wanted { manifest: &manifest.export, export_json: &export_json, unsealing: unsealing.as_ref() };
    let mut tar;
    let mut copies: Option<&mut dyn Unpack> = match copies {
        Copies::No => None,
        Copies::To(copies) => Some(copies),
        Copies::PlainTar(folder) => {
            tar = PlainTar::new(folder, &manifest.export, &export_json)?;
            Some(&mut tar)
        }
    };
    let archive = match &mut copies {
        Some(copies) => archive::check(&mut container, &wanted, policy, progress, Some(&mut **copies)),
        None => archive::check(&mut container, &wanted, policy, progress, None),
    }?;
    container.close(&archive)?;
    let target = match &manifest.export.delta {
        Some(_) => signature::of_target(&container, &archive.target, policy)?,
        None => None,
    };
    let attestation = attestation::check(&container, &archive, &export_json, &manifest.export, policy)?;
    let refresh = refresh::check(&container, &archive, &export_json, &manifest.export, policy)?;
    let age = freshness::check(&manifest.export, refresh.as_ref(), policy)?;
    if let Some(copies) = copies {
        container.copy_beside(&export_json, copies)?;
    }
    Ok(Report::new(Evidence {
        manifest,
        export_json,
        signature,
        target,
        archive,
        attestation,
        refresh,
        others: container.others().to_vec(),
        age,
        max_age: policy.max_age_seconds,
    }))
}
