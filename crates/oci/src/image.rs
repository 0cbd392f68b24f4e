//! The manifests of a run, from what it signed.

use std::collections::BTreeMap;

use export_canon::CanonError;
use export_canon::digesting::sha256;
use export_contract::message::{Artefact, RunSigned};
use export_contract::{Digest, refresh};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::manifest::{Descriptor, Manifest, Origin, bundle, confirmation, database, signatures};
use crate::media::{BESIDE, TrivyLayer, trivy_layer};

/// Why a run has no manifests.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The text is not the one that the run signed.
    #[error("`export.json` is not what was signed")]
    NotSigned,
    /// The text is none that this build reads.
    #[error("`export.json` cannot be read")]
    Unreadable(#[source] serde_json::Error),
    /// It does not name the file that Trivy loads.
    #[error("`export.json` does not name `{0}`")]
    NoDatabase(&'static str),
    /// A database that only its recipients may read, which Trivy cannot.
    #[error("the database is encrypted in its bundle, so Trivy could not load it")]
    Encrypted,
    /// A manifest cannot be written.
    #[error("a manifest cannot be written as canonical JSON")]
    Manifest(#[from] CanonError),
}

/// What a run ships, and what vouches for it.
#[derive(Clone, Debug)]
pub struct Image {
    /// The manifest of bundle or database.
    pub main: Manifest,
    /// The manifest of what vouches for it.
    pub signatures: Manifest,
    /// Of a run that confirms an earlier bundle: the manifest of that statement. The others are those of the earlier run.
    pub confirmation: Option<Manifest>,
    /// The one layer of `main`, in the staging of the run that made the bundle.
    pub layer: Artefact,
    /// The layers of the other manifests by name of the file, in the staging of the run itself.
    pub files: BTreeMap<&'static str, Artefact>,
}

/// The part of `export.json` that says whether a file may be shipped as it is staged.
#[derive(Deserialize)]
struct Contents {
    contents: Vec<Content>,
    /// Files are encrypted in the bundle, and staged in the clear.
    #[serde(default)]
    encryption: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Content {
    path: String,
    digest: Digest,
    bytes: u64,
}

impl Image {
    /// Whether [`Image::of`] asks for the text of `export.json`: where the layer is a file of the bundle instead of the whole.
    pub fn is_a_file_of(signed: &RunSigned) -> bool {
        trivy_layer(signed.manifest.plan.profile.kind).is_some()
    }

    /// The manifests of what `signed` says. `export_json` is the text of that file, where [`Image::is_a_file_of`] asks for it.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn of(signed: &RunSigned, export_json: Option<&[u8]>) -> Result<Self, ImageError> {
        let plan = &signed.manifest.plan;
        let origin =
            Origin { profile: plan.profile.kind.to_string(), tenant: plan.run.tenant.clone(), as_of: plan.as_of };
        let (layer, main) = match trivy_layer(plan.profile.kind) {
            None => {
                let Artefact { digest, bytes } = signed.manifest.bundle.clone();
                (signed.manifest.bundle.clone(), bundle(&origin, digest, bytes)?)
            }
            Some(layer) => {
                let archive = archive(signed, export_json.unwrap_or_default(), layer)?;
                (archive.clone(), database(&origin, layer, archive.digest, archive.bytes)?)
            }
        };
        let mut files = BTreeMap::new();
        let mut beside = Vec::new();
        for (name, media) in BESIDE {
            if let Some(artefact) = signed.sidecars.get(name) {
                beside.push(Descriptor::new(media, artefact.digest.clone(), artefact.bytes).titled(name));
                files.insert(name, artefact.clone());
            }
        }
        let signatures = signatures(&main, beside)?;
        let statement = plan.refresh.as_ref().and_then(|_| signed.sidecars.get(refresh::FILE));
        let confirmation = match statement {
            None => None,
            Some(statement) => {
                files.insert(refresh::FILE, statement.clone());
                Some(confirmation(&main, statement.digest.clone(), statement.bytes)?)
            }
        };
        Ok(Self { main, signatures, confirmation, layer, files })
    }

    /// The manifests that refer to `main`.
    pub fn referrers(&self) -> impl Iterator<Item = &Manifest> {
        [Some(&self.signatures), self.confirmation.as_ref()].into_iter().flatten()
    }
}

/// The archive of a database, which lies in staging as a file of its own: the one that the signed `export.json` names.
fn archive(signed: &RunSigned, export_json: &[u8], layer: TrivyLayer) -> Result<Artefact, ImageError> {
    if Digest::from_bytes(*sha256(export_json).as_bytes()) != signed.manifest.export_json.digest {
        return Err(ImageError::NotSigned);
    }
    let named: Contents = serde_json::from_slice(export_json).map_err(ImageError::Unreadable)?;
    if named.encryption.is_some() || signed.manifest.encryption.is_some() {
        return Err(ImageError::Encrypted);
    }
    let found = named.contents.into_iter().find(|content| content.path == layer.path);
    let Content { digest, bytes, .. } = found.ok_or(ImageError::NoDatabase(layer.path))?;
    Ok(Artefact { digest, bytes })
}

#[cfg(test)]
mod tests {
    use export_canon::digesting::sha256;
    use export_contract::message::{Artefact, RunPlanned, RunSigned};
    use export_contract::profile::ProfileKind;
    use export_contract::{Digest, refresh};

    use super::{Image, ImageError};
    use crate::TRIVY_DB;

    fn signed() -> RunSigned {
        serde_json::from_str(include_str!("../../contract/tests/wire/run_signed.v1.json")).unwrap()
    }

    fn of_trivy(export_json: &str) -> RunSigned {
        let mut signed = signed();
        signed.manifest.plan.profile.kind = ProfileKind::TrivyDb;
        signed.manifest.export_json.digest = Digest::from_bytes(*sha256(export_json.as_bytes()).as_bytes());
        signed
    }

    #[test]
    fn a_run_that_confirms_a_bundle_has_its_manifests_and_one_more() {
        let earlier = signed();
        let made = Image::of(&earlier, None).unwrap();
        assert_eq!(made.referrers().count(), 1);
        assert_eq!(made.layer, earlier.manifest.bundle);
        let mut confirming = earlier;
        let planned = include_str!("../../contract/tests/wire/run_planned.refresh.v1.json");
        let planned: RunPlanned = serde_json::from_str(planned).unwrap();
        confirming.manifest.plan.run.run = "01k9zv8m2x3y4z5a6b7c8d9e0g".parse().unwrap();
        confirming.manifest.plan.refresh = planned.refresh;
        let statement = Artefact { digest: Digest::from_bytes([9; 32]), bytes: 5 };
        confirming.sidecars.insert(refresh::FILE.to_owned(), statement.clone());
        let confirmed = Image::of(&confirming, None).unwrap();
        assert_eq!((&confirmed.main, &confirmed.signatures), (&made.main, &made.signatures));
        let text = String::from_utf8(confirmed.confirmation.unwrap().bytes).unwrap();
        assert!(text.contains(r#""artifactType":"application/vnd.export-center.refresh.v1""#), "{text}");
        assert!(text.contains(&format!(r#""subject":{{"digest":"{}""#, made.main.digest)), "{text}");
        assert!(
            text.contains(&format!(r#""digest":"{}","mediaType":"application/vnd.dev.sigstore"#, statement.digest))
        );
        assert_eq!(confirmed.files.get(refresh::FILE), Some(&statement));
    }

    #[test]
    fn a_database_is_the_one_that_the_signed_text_names() {
        let layer = Digest::from_bytes([7; 32]);
        let named =
            format!(r#"{{"contents":[{{"path":"{}","digest":"{layer}","bytes":10,"more":1}}]}}"#, TRIVY_DB.path);
        let signed = of_trivy(&named);
        assert!(Image::is_a_file_of(&signed));
        assert_eq!(Image::of(&signed, Some(named.as_bytes())).unwrap().layer, Artefact { digest: layer, bytes: 10 });
        let other = named.replace("10", "11");
        assert!(matches!(Image::of(&signed, Some(other.as_bytes())), Err(ImageError::NotSigned)));
        assert!(matches!(Image::of(&signed, None), Err(ImageError::NotSigned)));
        let none = r#"{"contents":[]}"#;
        assert!(matches!(Image::of(&of_trivy(none), Some(none.as_bytes())), Err(ImageError::NoDatabase(_))));
        let broken = "{";
        assert!(matches!(Image::of(&of_trivy(broken), Some(broken.as_bytes())), Err(ImageError::Unreadable(_))));
        let encrypted = format!(r#"{},"encryption":{{"mode":"age"}}}}"#, named.strip_suffix('}').unwrap());
        let refused = Image::of(&of_trivy(&encrypted), Some(encrypted.as_bytes()));
        assert!(matches!(refused, Err(ImageError::Encrypted)), "{refused:?}");
    }
}
