//! Taking a bundle in.

use std::fs;
use std::io::Read;
use std::path::Path;

use export_contract::manifest::{ExportManifest, ManifestDelta, TARGET_PATH};
use export_contract::{Digest, Sequence, Timestamp};
use export_verify::{Policy, Report};
use serde::Serialize;

use crate::error::{SiteError, Tried as _};
use crate::incoming::Incoming;
use crate::materialise::Materialise;
use crate::site::{CAME_FROM, Site, State, watermark};

/// What the caller asks of a bundle.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Keys, age and the rest, as for `bundle verify`.
    pub policy: Policy,
    /// Takes a full mirror that is older than the one in use.
    pub allow_rollback: bool,
    /// Says what would happen and changes nothing.
    pub dry_run: bool,
}

/// What a call did to the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// A whole mirror was taken in.
    Full,
    /// A delta was put into the mirror that was here.
    Delta,
    /// The very mirror was here before.
    Nothing,
    /// The state before is in use again.
    RolledBack,
}

/// The outcome of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// What was done.
    pub change: Change,
    /// Digest of `export.json` of the mirror that is in use now.
    pub mirror: Digest,
    /// Of the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
    /// Digest of `export.json` of the bundle that was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Digest>,
    /// Newest observation in the mirror.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// Ledger position of the mirror.
    pub watermark: Sequence,
}

/// A bundle that is verified and lies in `.incoming/given`.
struct Given {
    export: ExportManifest,
    digest: Digest,
}

impl Site {
    /// Takes in the bundle at `source`, of which nothing is changed: a folder, an archive, an OCI image layout.
    ///
    /// # Errors
    /// Why it was refused; the site is then as it was, and `quarantine/` says why. A call that is killed leaves the old mirror or the new one.
    pub fn apply(&self, source: &Path, terms: &Terms, progress: &dyn Fn(u64)) -> Result<Applied, SiteError> {
        self.take(terms, |copies| export_verify::verify_into(source, &terms.policy, progress, copies))
    }

    /// Takes in a bundle that comes once, such as from a pipe.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn apply_stream(&self, source: impl Read, terms: &Terms, progress: &dyn Fn(u64)) -> Result<Applied, SiteError> {
        self.take(terms, |copies| export_verify::verify_stream_into(source, &terms.policy, progress, copies))
    }

    fn take(
        &self,
        terms: &Terms,
        verify: impl FnOnce(&mut Incoming) -> Result<Report, export_verify::VerifyError>,
    ) -> Result<Applied, SiteError> {
        let incoming = self.incoming();
        let given = incoming.join("given");
        self.disk.make_folder(&given).tried("make", &given)?;
        let outcome = verify(&mut Incoming::new(&self.disk, &given))
            .map_err(SiteError::Verify)
            .and_then(|report| self.judge(report, terms));
        match &outcome {
            Err(error) if error.is_refusal() => self.quarantine(&given, error)?,
            _ => {}
        }
        self.disk.remove_folder(&incoming).tried("remove", &incoming)?;
        outcome
    }

    fn judge(&self, report: Report, terms: &Terms) -> Result<Applied, SiteError> {
        let folder = self.incoming().join("given");
        let path = folder.join("export.json");
        let text = fs::read(&path).tried("read", &path)?;
        let export = serde_json::from_slice(&text).map_err(|cause| SiteError::Document { path, cause })?;
        let given = Given { export, digest: report.manifest_digest };
        let profile = &given.export.profile;
        if profile.kind != "mirror" {
            return Err(SiteError::NotAMirror(format!("{}:{}", profile.kind, profile.variant)));
        }
        let current = self.current()?;
        match given.export.delta.clone() {
            None => self.full(&given, current.as_ref(), terms),
            Some(chain) => self.delta(&given, &chain, current.as_ref(), terms),
        }
    }

    fn full(&self, given: &Given, current: Option<&State>, terms: &Terms) -> Result<Applied, SiteError> {
        if let Some(here) = current {
            if here.digest == given.digest {
                return Ok(nothing(here, given));
            }
            same_mirror(here, &given.export)?;
            not_older(here, &given.export, terms)?;
        }
        self.put_in_use(
            &self.incoming().join("given"),
            Change::Full,
            given,
            &given.export,
            &given.digest,
            current,
            terms,
        )
    }

    fn delta(
        &self,
        given: &Given,
        chain: &ManifestDelta,
        current: Option<&State>,
        terms: &Terms,
    ) -> Result<Applied, SiteError> {
        let folder = self.incoming().join("given");
        let tree = folder.join("tree");
        let path = tree.join(TARGET_PATH);
        let text = fs::read(&path).tried("read", &path)?;
        let target: ExportManifest =
            serde_json::from_slice(&text).map_err(|cause| SiteError::Document { path, cause })?;
        if !folder.join("target.json.sig").is_file() {
            return Err(SiteError::TargetUnsigned);
        }
        if let Some(here) = current {
            if here.digest == chain.target_manifest_digest {
                return Ok(nothing(here, given));
            }
            same_mirror(here, &target)?;
            not_older(here, &target, terms)?;
        }
        let base = match (&chain.base_manifest_digest, current) {
            (None, _) => None,
            (Some(wanted), None) => return Err(SiteError::NoBase(wanted.clone())),
            (Some(wanted), Some(here)) if here.digest != *wanted => {
                return Err(SiteError::WrongBase { wanted: wanted.clone(), found: here.digest.clone() });
            }
            (Some(_), Some(here)) => Some(here.folder.join("tree")),
        };
        let state = self.incoming().join("state");
        let work = Materialise {
            disk: &self.disk,
            base: base.as_deref(),
            delta: &tree,
            export: &given.export,
            out: &state.join("tree"),
        };
        work.run(chain, &target)?;
        let vouching = [
            ("target.json.sig", "export.json.sig"),
            ("target.json.sigstore.json", "export.json.sigstore.json"),
            ("cosign.pub", "cosign.pub"),
        ];
        for (from, to) in vouching.map(|(from, to)| (folder.join(from), state.join(to))) {
            if from.is_file() {
                self.disk.link(&from, &to).tried("write", &to)?;
            }
        }
        let digest = &chain.target_manifest_digest;
        self.put_in_use(&state, Change::Delta, given, &target, digest, current, terms)
    }

    /// Verifies the mirror in `folder` as a whole, makes sure that all of it is on the disk, and switches to it.
    #[expect(clippy::too_many_arguments, reason = "each is one thing, and they meet here only")]
    fn put_in_use(
        &self,
        folder: &Path,
        change: Change,
        given: &Given,
        manifest: &ExportManifest,
        digest: &Digest,
        current: Option<&State>,
        terms: &Terms,
    ) -> Result<Applied, SiteError> {
        if change == Change::Delta {
            // Of a state only its signature vouches: provenance is about the bundles that led to it.
            let policy = Policy { require_provenance: false, ..terms.policy.clone() };
            let report = export_verify::verify(folder, &policy).map_err(SiteError::Result)?;
            if report.manifest_digest != *digest {
                return Err(SiteError::Result(export_verify::VerifyError::DigestMismatch {
                    what: "export.json".to_owned(),
                    expected: digest.to_string(),
                    found: report.manifest_digest.to_string(),
                }));
            }
        }
        let applied = Applied {
            change,
            mirror: digest.clone(),
            before: current.map(|here| here.digest.clone()),
            bundle: Some(given.digest.clone()),
            as_of: manifest.as_of,
            watermark: watermark(manifest),
        };
        if terms.dry_run {
            return Ok(applied);
        }
        if let Some(here) = current {
            let path = folder.join(CAME_FROM);
            self.disk.write(&path, here.digest.hex().as_bytes()).tried("write", &path)?;
        }
        self.disk.sync_all(folder).tried("sync", folder)?;
        let state = self.state_folder(digest.hex());
        // A call that was killed before it switched may have left the very state.
        self.disk.remove_folder(&state).tried("remove", &state)?;
        self.disk.rename(folder, &state).tried("rename", folder)?;
        let states = self.folder.join("states");
        self.disk.sync(&states).tried("sync", &states)?;
        self.switch_to(digest.hex())?;
        self.sweep()?;
        Ok(applied)
    }

    /// Takes the state before into use again; a second call goes forward again as far as it is still there.
    ///
    /// # Errors
    /// [`SiteError::NoEarlierState`], and when the folder cannot be used.
    pub fn roll_back(&self) -> Result<Applied, SiteError> {
        let here = self.current()?.ok_or(SiteError::NoEarlierState)?;
        let hex = here.came_from().ok_or(SiteError::NoEarlierState)?;
        let folder = self.state_folder(&hex);
        if !folder.is_dir() {
            return Err(SiteError::NoEarlierState);
        }
        let before = State::read(&folder)?;
        self.switch_to(&hex)?;
        Ok(Applied {
            change: Change::RolledBack,
            mirror: before.digest.clone(),
            before: Some(here.digest),
            bundle: None,
            as_of: before.manifest.as_of,
            watermark: before.watermark(),
        })
    }
}

fn nothing(here: &State, given: &Given) -> Applied {
    Applied {
        change: Change::Nothing,
        mirror: here.digest.clone(),
        before: Some(here.digest.clone()),
        bundle: Some(given.digest.clone()),
        as_of: here.manifest.as_of,
        watermark: here.watermark(),
    }
}

/// A site holds one mirror: one tenant, one profile.
fn same_mirror(here: &State, offered: &ExportManifest) -> Result<(), SiteError> {
    let name = |manifest: &ExportManifest| format!("{}/{}", manifest.tenant, manifest.profile.name);
    let (here, offered) = (name(&here.manifest), name(offered));
    if here == offered { Ok(()) } else { Err(SiteError::AnotherMirror { here, offered }) }
}

fn not_older(here: &State, offered: &ExportManifest, terms: &Terms) -> Result<(), SiteError> {
    let (here, offered) = (here.watermark(), watermark(offered));
    if offered >= here || terms.allow_rollback { Ok(()) } else { Err(SiteError::Rollback { offered, here }) }
}
