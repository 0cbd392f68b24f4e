//! A run that ends otherwise than well when one target of several shows its bundle: nothing of it is left anywhere.

use std::collections::BTreeMap;

use export_blobs::BlobStore as _;
use export_blobs::s3::{S3Blobs, S3Settings};
use export_blobs::seaweed::SeaweedFs;
use export_contract::ErrorCode;
use export_contract::run::{Run, RunStatus};
use export_targets::liar::{Liar, Lie};
use export_targets::registries::{LocalRegistry, Program, Rules};
use export_tests::{Deployment, LOCAL_TENANT, Setup, Store, finish, light, start};
use serde_json::{Value, json};

use crate::corner;

/// A registry, a bucket behind a proxy that may lie, and a profile that hands over to both, in this order.
struct World {
    deployment: Deployment,
    liar: Liar,
    bucket: S3Settings,
    registry: LocalRegistry,
    _server: SeaweedFs,
    _secret: tempfile::TempPath,
}

impl World {
    /// `None` where a server is left out.
    async fn new() -> Option<Self> {
        let registry = LocalRegistry::start(Program::DockerRegistry, Rules::default()).await.unwrap()?;
        let server = SeaweedFs::start().await.unwrap()?;
        let bucket = server.bucket("exports").await.unwrap();
        let liar = Liar::before(bucket.endpoint.trim_start_matches("http://").to_owned()).await;
        let secret = tempfile::NamedTempFile::new().unwrap();
        let secret = secret.into_temp_path();
        std::fs::write(&secret, &bucket.secret_access_key).unwrap();
        let sections = format!(
            "[allow]\ndistribution = [\"http\", \"oci\", \"object\"]\n\
             [[oci.registries]]\nhost = \"{}\"\nplain_http = true\nprefix = \"exports\"\n\
             [object]\nendpoint = \"http://{}\"\nbucket = \"exports\"\naccess_key_id = \"{}\"\n\
             secret_access_key_file = \"{}\"\n",
            registry.address(),
            liar.address(),
            bucket.access_key_id,
            secret.display(),
        );
        let deployment = Deployment::start_with(Setup::apart(Store::Sqlite, 1), "", &sections).await.unwrap();
        deployment.generate(LOCAL_TENANT, 9, 2_000).unwrap();
        let profile = json!({
            "id": "twice", "name": "twice", "kind": "json:raw", "config": { "distribution": ["http", "oci", "object"] }
        });
        deployment.client().unwrap().create_profile(&profile).await.unwrap();
        Some(Self { deployment, liar, bucket, registry, _server: server, _secret: secret })
    }

    /// The tags of the registry, and what they name.
    async fn tags(&self) -> BTreeMap<String, String> {
        let repository = format!("http://{}/v2/exports/{LOCAL_TENANT}/twice", self.registry.address());
        let list: Value = serde_json::from_slice(
            &reqwest::get(format!("{repository}/tags/list")).await.unwrap().bytes().await.unwrap(),
        )
        .unwrap();
        let mut tags = BTreeMap::new();
        for tag in list["tags"].as_array().into_iter().flatten() {
            let tag = tag.as_str().unwrap();
            let manifest = reqwest::Client::new()
                .head(format!("{repository}/manifests/{tag}"))
                .header("accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json")
                .send()
                .await
                .unwrap();
            let digest = manifest.headers().get("docker-content-digest").unwrap().to_str().unwrap();
            tags.insert(tag.to_owned(), digest.to_owned());
        }
        tags
    }

    /// What the bucket has of a run, past the proxy.
    async fn objects(&self, run: &Run) -> Vec<String> {
        let blobs = S3Blobs::open(&self.bucket).unwrap();
        let mut keys: Vec<String> = Vec::new();
        for folder in [run.id.to_string(), format!("{}-g2", run.id)] {
            let found = blobs.list(&format!("{LOCAL_TENANT}/{folder}").parse().unwrap()).await.unwrap();
            keys.extend(found.iter().map(ToString::to_string));
        }
        keys
    }

    /// The run as its ledger has it: where it is and was, each with whether it was taken back.
    async fn places(&self, run: &Run) -> Vec<(&'static str, bool)> {
        let run = self.deployment.client().unwrap().run(run.id.as_str()).await.unwrap();
        run.distributions.iter().map(|place| (place.kind.as_str(), place.pruned_at.is_some())).collect()
    }

    /// A pass of retention, and what it told of a run.
    fn pass(&self, run: &Run) -> Vec<String> {
        let told = self.deployment.exportd(&["retention", "run", "-o", "json"]).unwrap();
        let told: Value = serde_json::from_str(&told).unwrap();
        let of_run = told["runs"].as_array().unwrap().iter().filter(|line| line["run"] == run.id.as_str());
        of_run.map(|line| line["deed"].as_str().unwrap().to_owned()).collect()
    }

    /// A run whose bundle the registry shows while the bucket takes the tar and says nothing.
    async fn half_way(&self) -> Run {
        self.liar.lie("PUT", "/bundle.tar", 1, Lie::Stall(1 << 10));
        let run = start(&self.deployment.client().unwrap(), "twice").await.unwrap();
        self.liar.is_silent().await;
        let tags = self.tags().await;
        assert_eq!(tags.get("latest"), Some(&tags[run.id.as_str()]), "the first target shows it: {tags:?}");
        let records = corner(&self.deployment, &run.id).join("g1/handover");
        assert_eq!(std::fs::read_dir(records).unwrap().count(), 2, "both are on record");
        run
    }

    /// Asserts that nothing of a run is to be seen, and that it is told where it was.
    async fn is_gone_from_everywhere(&self, run: &Run, before: &BTreeMap<String, String>) {
        assert_eq!(&self.tags().await, before, "the tags are those of before, and `latest` is what it was");
        assert_eq!(self.objects(run).await, Vec::<String>::new());
        assert_eq!(self.places(run).await, [("oci", true), ("object", true)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_between_two_targets_takes_back_what_the_first_one_shows() {
    let _turn = light().await;
    let Some(world) = World::new().await else { return };
    let client = world.deployment.client().unwrap();
    let earlier = world.deployment.run("twice").await.unwrap();
    earlier.bundle();
    world.deployment.generate(LOCAL_TENANT, 10, 300).unwrap();
    let run = world.half_way().await;
    client.cancel_run(run.id.as_str()).await.unwrap();
    let ended = finish(&client, run.id.as_str()).await.unwrap();
    assert_eq!((ended.run.status, ended.run.distributions.len()), (RunStatus::Aborted, 0));
    // The worker is free for the next one, although the bucket never answered.
    let next = world.deployment.run("twice").await.unwrap();
    next.bundle();
    assert_eq!(world.pass(&run).iter().filter(|deed| *deed == "withdrawn").count(), 2);
    // The next one made the same bundle of the same evidence: that stays, with the tags that lead to it.
    let left = world.tags().await;
    assert!(!left.contains_key(run.id.as_str()) && left.contains_key(earlier.run.id.as_str()), "{left:?}");
    assert_eq!(left.get("latest"), left.get(next.run.id.as_str()));
    world.is_gone_from_everywhere(&run, &left).await;
    // It may be replayed for all that, under names of its own, which stay when its first life is looked at once more.
    client.replay_run(run.id.as_str(), None).await.unwrap();
    let again = finish(&client, run.id.as_str()).await.unwrap();
    again.bundle();
    assert_eq!(world.pass(&run), ["kept"]);
    let tags = world.tags().await;
    assert!(tags.contains_key(&format!("{}-g2", run.id)) && !tags.contains_key(run.id.as_str()), "{tags:?}");
    assert!(world.objects(&run).await.iter().all(|key| key.contains("-g2/")));
    assert_eq!(world.places(&run).await, [("http", false), ("oci", false), ("object", false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_target_that_refuses_fails_the_run_and_the_first_one_shows_nothing() {
    let _turn = light().await;
    let Some(world) = World::new().await else { return };
    let client = world.deployment.client().unwrap();
    let earlier = world.deployment.run("twice").await.unwrap();
    earlier.bundle();
    let before = world.tags().await;
    world.deployment.generate(LOCAL_TENANT, 10, 300).unwrap();
    world.liar.lie("PUT", "/provenance.json", 100, Lie::status(403));
    let run = start(&client, "twice").await.unwrap();
    let ended = finish(&client, run.id.as_str()).await.unwrap();
    assert_eq!((ended.run.status, ended.run.error_code), (RunStatus::Failed, Some(ErrorCode::DistributionFailed)));
    assert!(world.tags().await.contains_key(run.id.as_str()) && !world.objects(&run).await.is_empty());
    assert_eq!(world.pass(&run).iter().filter(|deed| *deed == "withdrawn").count(), 2);
    world.is_gone_from_everywhere(&run, &before).await;
    assert_eq!(world.pass(&run), ["kept"], "and stays for replays");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_had_shown_before_it_could_say_so_is_taken_back() {
    let _turn = light().await;
    let Some(mut world) = World::new().await else { return };
    let client = world.deployment.client().unwrap();
    let earlier = world.deployment.run("twice").await.unwrap();
    earlier.bundle();
    let before = world.tags().await;
    world.deployment.generate(LOCAL_TENANT, 10, 300).unwrap();
    let run = world.half_way().await;
    world.deployment.kill("distribute").await.unwrap();
    client.cancel_run(run.id.as_str()).await.unwrap();
    assert_eq!(world.places(&run).await, [], "nobody has said so yet");
    assert_eq!(world.pass(&run).iter().filter(|deed| *deed == "withdrawn").count(), 2);
    world.is_gone_from_everywhere(&run, &before).await;
    // Whoever takes over its command knows that the run is over.
    world.deployment.start_all().await.unwrap();
    world.deployment.run("twice").await.unwrap().bundle();
    assert!(!world.tags().await.contains_key(run.id.as_str()));
    assert_eq!(world.objects(&run).await, Vec::<String>::new());
}
