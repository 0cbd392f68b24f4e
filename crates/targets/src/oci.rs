//! OCI registries: bundles and databases as artefacts that `oras pull` restores, with what vouches for them as referrers.
//!
//! The manifests are those that the gateway's registry view shows, so a bundle has one digest wherever it is pulled from. Blobs go first,
//! then the manifests by their digests, then what refers to them, and the tags last: whoever finds a tag finds all that it should lead to.

mod blob;
mod manifest;
mod referrers;
mod removal;
mod session;
mod settings;
mod token;
mod turns;
mod upload;

use async_trait::async_trait;
use export_contract::message::{Artefact, Distribution};
use export_contract::profile::DistributionKind;
use export_contract::run::RunRef;
use export_contract::{Digest, RunId};
use export_oci::{Image, ImageError, empty_config, trivy_layer};
use export_pipeline::Cancelled;
use futures::TryStreamExt as _;

use self::blob::{Blob, From};
use self::session::{Registry, Session, refused};
pub use self::settings::{Login, LoginSource, OciRegistry, OciSettingsError};
use self::turns::Turns;
use crate::delivery::Delivery;
use crate::error::TargetError;
use crate::generations::{name_of, run_named};
use crate::port::{Removal, Target};

/// Longest `export.json` that is read for the database that it names.
const MAX_EXPORT_JSON: u64 = 64 << 20;
/// The tag of the newest run.
const LATEST: &str = "latest";

/// Pushes to registries.
#[derive(Debug)]
pub struct OciTarget {
    registries: Vec<Registry>,
    /// What two deliveries push, one pushes and the other finds; a list of referrers is changed by one.
    turns: Turns,
}

impl OciTarget {
    /// A target with these registries; a profile that names none pushes to the first.
    ///
    /// # Errors
    /// When the settings of one cannot be used.
    pub fn new(registries: Vec<OciRegistry>) -> Result<Self, OciSettingsError> {
        let registries = registries.into_iter().map(Registry::new).collect::<Result<Vec<_>, _>>()?;
        for (at, registry) in registries.iter().enumerate() {
            let host = &registry.settings.host;
            if registries.iter().take(at).any(|other| other.settings.host == *host) {
                return Err(OciSettingsError::Twice(host.clone()));
            }
        }
        Ok(Self { registries, turns: Turns::default() })
    }

    fn registry(&self, host: Option<&str>) -> Result<&Registry, TargetError> {
        let found = match host {
            Some(host) => self.registries.iter().find(|registry| registry.settings.host == host),
            None => self.registries.first(),
        };
        found.ok_or_else(|| {
            let named = host.unwrap_or("any registry");
            refused("find the registry", format!("`{named}` is not set up here; name it in `[[oci.registries]]`"))
        })
    }

    async fn push(&self, delivery: &Delivery<'_>) -> Result<Distribution, TargetError> {
        let (registry, repository) = self.repository(delivery)?;
        let image = image(delivery).await?;
        let distribution = self.distribution(delivery, &image)?;
        let session = Session::new(registry, repository, "pull,push").of(delivery.cx);
        for blob in blobs(delivery, &image) {
            let _turn = session.patiently(self.turns.at(&blob.artefact.digest)).await;
            upload::push(&session, delivery, &blob).await?;
        }
        let turn = session.patiently(self.turns.at(&image.main.digest)).await;
        manifest::put(&session, &image.main).await?;
        for referrer in image.referrers() {
            referrers::attach(&session, &image.main, referrer).await?;
        }
        manifest::tag(&session, &name_of(delivery.run()), &image.main).await?;
        if is_newest(&session, &delivery.run().run).await? {
            for tag in &moving_tags(delivery) {
                manifest::tag(&session, tag, &image.main).await?;
            }
        }
        drop(turn);
        Ok(distribution)
    }

    /// Where the run belongs.
    fn repository(&self, delivery: &Delivery<'_>) -> Result<(&Registry, String), TargetError> {
        let plan = &delivery.signed.manifest.plan;
        let registry = self.registry(plan.profile.config.oci_registry.as_deref())?;
        let names = [registry.settings.prefix.as_str(), plan.run.tenant.as_str(), plan.profile.id.as_str()];
        Ok((registry, names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join("/")))
    }

    fn distribution(&self, delivery: &Delivery<'_>, image: &Image) -> Result<Distribution, TargetError> {
        let (registry, repository) = self.repository(delivery)?;
        let location = format!("{}/{repository}@{}", registry.settings.host, image.main.digest);
        let mut distribution = Distribution::new(self.kind(), location, delivery.tar(), delivery.expires_at);
        distribution.tags = [name_of(delivery.run())].into_iter().chain(moving_tags(delivery)).collect();
        Ok(distribution)
    }
}

#[async_trait]
impl Target for OciTarget {
    fn kind(&self) -> DistributionKind {
        DistributionKind::Oci
    }

    async fn place(&self, delivery: &Delivery<'_>) -> Result<Option<Distribution>, TargetError> {
        let image = image(delivery).await?;
        self.distribution(delivery, &image).map(Some)
    }

    async fn distribute(&self, delivery: &Delivery<'_>) -> Result<Distribution, TargetError> {
        tokio::select! {
            biased;
            () = delivery.cx.cancellation().cancelled() => Err(TargetError::Cancelled(Cancelled)),
            pushed = self.push(delivery) => pushed,
        }
    }

    async fn remove(&self, run: &RunRef, distribution: &Distribution) -> Result<Removal, TargetError> {
        let told = || {
            refused(
                "find what was handed over",
                format!("`{}` is no place of a run of `{}`", distribution.location, run.tenant),
            )
        };
        let (name, digest) = distribution.location.split_once('@').ok_or_else(told)?;
        let (host, repository) = name.split_once('/').ok_or_else(told)?;
        let digest: Digest = digest.parse().map_err(|_| told())?;
        let registry = self.registry(Some(host))?;
        let names: Vec<&str> = repository.rsplitn(3, '/').collect();
        let [_, tenant, before @ ..] = names.as_slice() else { return Err(told()) };
        if *tenant != run.tenant.as_str() || before.concat() != registry.settings.prefix {
            return Err(told());
        }
        let session = Session::new(registry, repository.to_owned(), "pull,push,delete");
        let _turn = self.turns.at(&digest).await;
        removal::remove(&session, run, &digest, &distribution.tags).await?;
        Ok(Removal::Removed)
    }
}

/// The manifests of the run.
async fn image(delivery: &Delivery<'_>) -> Result<Image, TargetError> {
    let signed = delivery.signed;
    let export_json = if Image::is_a_file_of(signed) {
        let artefact = &signed.manifest.export_json;
        if artefact.bytes > MAX_EXPORT_JSON {
            return Err(TargetError::Damaged { what: "export.json".to_owned() });
        }
        let pieces = delivery.read_file("export.json", artefact).await?;
        let text: Vec<_> = pieces.try_collect().await?;
        Some(text.concat())
    } else {
        None
    };
    Image::of(signed, export_json.as_deref()).map_err(|cause| match cause {
        ImageError::Encrypted | ImageError::Manifest(_) => refused("make an artefact of the run", cause),
        ImageError::NotSigned | ImageError::Unreadable(_) | ImageError::NoDatabase(_) => {
            TargetError::Damaged { what: "export.json".to_owned() }
        }
    })
}

/// Every blob of the run, the small ones first: what is wrong with staging is then found before the bundle is sent.
fn blobs(delivery: &Delivery<'_>, image: &Image) -> Vec<Blob> {
    let (config, bytes) = empty_config();
    let config = Artefact { digest: config.digest, bytes: config.size };
    let beside = image.files.iter().map(|(name, artefact)| (*name, artefact.clone(), From::Beside));
    let small = [("{}", config, From::Here(bytes))].into_iter().chain(beside);
    let small = small.map(|(name, artefact, from)| Blob { name, artefact, from });
    let layer = image.layer.clone();
    let large = match trivy_layer(delivery.signed.manifest.plan.profile.kind) {
        None => Blob::tar(layer),
        Some(database) => Blob { name: database.title, artefact: layer, from: From::Made },
    };
    small.chain([large]).collect()
}

/// The tags that the newest run has.
fn moving_tags(delivery: &Delivery<'_>) -> Vec<String> {
    let schema = delivery.signed.manifest.plan.profile.kind.schema_version();
    [LATEST.to_owned()].into_iter().chain(schema.map(|schema| schema.to_string())).collect()
}

/// Whether no run is tagged that came after this one, as when this one was delivered again much later.
async fn is_newest(session: &Session<'_>, run: &RunId) -> Result<bool, TargetError> {
    let tags = manifest::tags(session).await?;
    Ok(tags.iter().filter_map(|tag| run_named(tag)).all(|other| other <= *run))
}
