//! A registry as its users see it.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use export_contract::message::Distribution;
use export_contract::run::RunRef;
use export_targets::liar::Liar;
use export_targets::oci::{OciRegistry, OciTarget};
use export_targets::registries::{LocalRegistry, Program, Rules};
use export_targets::suite::Peer;
use serde_json::Value;

pub(crate) const REPOSITORY: &str = "exports/acme/json-raw";
const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";

/// A registry with a proxy before it that counts, and lies when it is told to.
pub(crate) struct Pushed {
    registry: LocalRegistry,
    pub(crate) liar: Liar,
}

impl Pushed {
    pub(crate) async fn start(program: Program) -> Option<Self> {
        Self::with(program, Rules::default()).await
    }

    pub(crate) async fn with(program: Program, rules: Rules) -> Option<Self> {
        let registry = LocalRegistry::start(program, rules).await.unwrap()?;
        let liar = Liar::before(registry.address()).await;
        Some(Self { registry, liar })
    }

    pub(crate) fn settings(&self) -> OciRegistry {
        let host = self.liar.address().to_owned();
        OciRegistry { host, plain_http: true, prefix: "exports".to_owned(), ..OciRegistry::default() }
    }

    pub(crate) fn target(&self) -> OciTarget {
        OciTarget::new(vec![self.settings()]).unwrap()
    }

    /// What the registry itself says, past the proxy.
    pub(crate) async fn get(&self, tail: &str) -> Option<Bytes> {
        let url = format!("http://{}/v2/{REPOSITORY}/{tail}", self.registry.address());
        let answer = reqwest::Client::new().get(url).header("accept", ACCEPT).send().await.unwrap();
        if answer.status() == 404 {
            return None;
        }
        assert!(answer.status().is_success(), "{tail}: {}", answer.status());
        Some(answer.bytes().await.unwrap())
    }

    pub(crate) async fn put(&self, tail: &str, media: &str, bytes: Bytes) {
        let url = format!("http://{}/v2/{REPOSITORY}/{tail}", self.registry.address());
        let answer = reqwest::Client::new().put(url).header("content-type", media).body(bytes).send().await.unwrap();
        assert!(answer.status().is_success(), "{tail}: {}", answer.status());
    }

    pub(crate) async fn json(&self, tail: &str) -> Option<Value> {
        self.get(tail).await.map(|text| serde_json::from_slice(&text).unwrap())
    }

    pub(crate) async fn tags(&self) -> BTreeSet<String> {
        let list = self.json("tags/list").await.unwrap_or_default();
        let tags = list["tags"].as_array().cloned().unwrap_or_default();
        tags.iter().map(|tag| tag.as_str().unwrap().to_owned()).collect()
    }

    /// Digests of the manifests that refer to one, and what they are.
    pub(crate) async fn referrers(&self, digest: &str) -> Vec<(String, String)> {
        let index = match self.json(&format!("referrers/{digest}")).await {
            Some(index) => index,
            None => self.json(&format!("manifests/{}", digest.replace(':', "-"))).await.unwrap_or_default(),
        };
        let lines = index["manifests"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        lines.iter().map(|line| (text(&line["digest"]), text(&line["artifactType"]))).collect()
    }

    async fn layers(&self, digest: &str) -> Option<Vec<(String, Bytes)>> {
        let manifest = self.json(&format!("manifests/{digest}")).await?;
        let mut files = Vec::new();
        for layer in manifest["layers"].as_array().unwrap() {
            let title = layer["annotations"]["org.opencontainers.image.title"].as_str().unwrap();
            let blob = self.get(&format!("blobs/{}", layer["digest"].as_str().unwrap())).await.unwrap();
            files.push((title.to_owned(), blob));
        }
        Some(files)
    }
}

#[async_trait]
impl Peer for Pushed {
    async fn files(&self, _run: &RunRef, distribution: &Distribution) -> Vec<(String, Bytes)> {
        let (name, digest) = distribution.location.split_once('@').unwrap();
        assert_eq!(name, format!("{}/{REPOSITORY}", self.liar.address()));
        let mut files = self.layers(digest).await.unwrap_or_default();
        for (referrer, _) in self.referrers(digest).await {
            files.extend(self.layers(&referrer).await.unwrap());
        }
        files
    }

    async fn shown(&self) -> BTreeSet<String> {
        self.tags().await
    }

    fn taken(&self) -> Option<u64> {
        Some(self.liar.taken())
    }
}
