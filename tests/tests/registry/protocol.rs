//! The distribution specification, request by request.

use std::process::Command;

use export_tests::{Deployment, LOCAL_TENANT, light, output, programs};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::caller::{Caller, identity};

const REPOSITORY: &str = "/v2/demo/json-raw";

async fn caller(deployment: &Deployment) -> Caller {
    let identity = identity(deployment, "scanner", LOCAL_TENANT, &["export:download"]);
    Caller::new(deployment).login(Some(&identity), None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn digests_are_those_of_the_layout_and_stay_over_a_restart() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    deployment.generate(LOCAL_TENANT, 3, 200).unwrap();
    let first = deployment.run("json-raw").await.unwrap();
    let second = deployment.run("json-raw").await.unwrap();
    assert_eq!(first.digest(), second.digest());
    let registry = caller(&deployment).await;

    let answer = registry.get(&format!("{REPOSITORY}/manifests/latest")).await;
    assert_eq!(answer.headers()["content-type"], "application/vnd.oci.image.manifest.v1+json");
    let digest = answer.headers()["docker-content-digest"].to_str().unwrap().to_owned();
    let bytes = answer.bytes().await.unwrap();
    for name in [first.run.id.as_str(), second.run.id.as_str(), &digest] {
        let answer = registry.get(&format!("{REPOSITORY}/manifests/{name}")).await;
        assert_eq!(answer.bytes().await.unwrap(), bytes, "{name}");
    }
    let head = registry.send(Method::HEAD, &format!("{REPOSITORY}/manifests/{digest}"), &[]).await;
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-length"].to_str().unwrap(), bytes.len().to_string());
    assert!(head.bytes().await.unwrap().is_empty());

    // What `exportctl bundle pack --oci` writes has the same digests: bundle and signatures.
    let bundle = deployment.download(&second).await.unwrap();
    let layout = deployment.folder().join("layout");
    let mut pack = Command::new(&programs().unwrap().exportctl);
    output(pack.args(["bundle", "pack", "--oci"]).arg(bundle.folder()).arg("--out").arg(&layout)).unwrap();
    let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"][0]["digest"], digest.as_str());
    let referrers = registry.json(&format!("{REPOSITORY}/referrers/{digest}")).await;
    let listed = referrers["manifests"].as_array().unwrap();
    // Two runs made the same bytes, and each signed on its own.
    assert_eq!(listed.len(), 2, "{referrers:#}");
    assert_eq!(listed[0]["digest"], index["manifests"][1]["digest"]);

    let before = registry.json(&format!("{REPOSITORY}/tags/list")).await;
    deployment.stop_all().await.unwrap();
    deployment.restart().await.unwrap();
    let registry = caller(&deployment).await;
    let after = registry.get(&format!("{REPOSITORY}/manifests/{digest}")).await;
    assert_eq!(after.bytes().await.unwrap(), bytes);
    assert_eq!(registry.json(&format!("{REPOSITORY}/referrers/{digest}")).await, referrers);
    assert_eq!(registry.json(&format!("{REPOSITORY}/tags/list")).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_tags_and_referrers_are_given_in_parts_as_asked() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    deployment.generate(LOCAL_TENANT, 4, 200).unwrap();
    let run = deployment.run("json-raw").await.unwrap();
    let bundle = deployment.download(&run).await.unwrap();
    let tar = std::fs::read(bundle.tar()).unwrap();
    let registry = caller(&deployment).await;

    let blob = format!("{REPOSITORY}/blobs/{}", run.digest());
    let head = registry.send(Method::HEAD, &blob, &[]).await;
    assert_eq!(head.headers()["content-length"].to_str().unwrap(), tar.len().to_string());
    assert_eq!(head.headers()["accept-ranges"], "bytes");
    assert_eq!(registry.get(&blob).await.bytes().await.unwrap(), tar);
    let part = registry.send(Method::GET, &blob, &[("range", "bytes=100-299")]).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"].to_str().unwrap(), format!("bytes 100-299/{}", tar.len()));
    assert_eq!(part.bytes().await.unwrap(), &tar[100..300]);
    let rest = registry.send(Method::GET, &blob, &[("range", "bytes=300-")]).await;
    assert_eq!(rest.bytes().await.unwrap(), &tar[300..]);
    let beyond = registry.send(Method::GET, &blob, &[("range", "bytes=999999999-")]).await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    assert_eq!(registry.get(&format!("{REPOSITORY}/blobs/{empty}")).await.text().await.unwrap(), "{}");

    let id = run.run.id.as_str();
    let tags = registry.json(&format!("{REPOSITORY}/tags/list")).await;
    assert_eq!(tags, json!({ "name": "demo/json-raw", "tags": [id, "latest"] }));
    let page = registry.get(&format!("{REPOSITORY}/tags/list?n=1")).await;
    let next = format!("<{REPOSITORY}/tags/list?n=1&last={id}>; rel=\"next\"");
    assert_eq!(page.headers()["link"].to_str().unwrap(), next);
    let last = registry.json(&format!("{REPOSITORY}/tags/list?n=1&last={id}")).await;
    assert_eq!(last["tags"], json!(["latest"]));

    let manifest = registry.get(&format!("{REPOSITORY}/manifests/latest")).await;
    let digest = manifest.headers()["docker-content-digest"].to_str().unwrap().to_owned();
    let kind = "application/vnd.export-center.signatures.v1+json";
    let filtered = registry.get(&format!("{REPOSITORY}/referrers/{digest}?artifactType={kind}")).await;
    assert_eq!(filtered.headers()["oci-filters-applied"], "artifactType");
    assert_eq!(filtered.headers()["content-type"], "application/vnd.oci.image.index.v1+json");
    assert_eq!(filtered.json::<Value>().await.unwrap()["manifests"], json!([]));
    let kind = kind.trim_end_matches("+json");
    let filtered = registry.json(&format!("{REPOSITORY}/referrers/{digest}?artifactType={kind}")).await;
    let referrer = filtered["manifests"][0].clone();
    assert_eq!(referrer["artifactType"], kind);
    let signatures = registry.json(&format!("{REPOSITORY}/manifests/{}", referrer["digest"].as_str().unwrap())).await;
    assert_eq!(signatures["subject"]["digest"], digest.as_str());
    for layer in signatures["layers"].as_array().unwrap() {
        let name = layer["annotations"]["org.opencontainers.image.title"].as_str().unwrap();
        let file = registry.get(&format!("{REPOSITORY}/blobs/{}", layer["digest"].as_str().unwrap())).await;
        assert_eq!(file.bytes().await.unwrap(), std::fs::read(bundle.folder().join(name)).unwrap(), "{name}");
    }
    assert!(signatures["layers"].as_array().unwrap().len() >= 6, "{signatures:#}");
    // Nobody knows this one: nothing refers to it, which is no error.
    let unknown = registry.json(&format!("{REPOSITORY}/referrers/{empty}")).await;
    assert_eq!(unknown["manifests"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_odd_names_and_odd_digests_are_refused_as_the_specification_says() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 20).unwrap();
    deployment.run("json-raw").await.unwrap();
    let registry = caller(&deployment).await;
    let unknown = format!("sha256:{}", "ab".repeat(32));
    for (method, path) in [
        (Method::POST, format!("{REPOSITORY}/blobs/uploads/")),
        (Method::PATCH, format!("{REPOSITORY}/blobs/uploads/1")),
        (Method::PUT, format!("{REPOSITORY}/manifests/latest")),
        (Method::DELETE, format!("{REPOSITORY}/manifests/{unknown}")),
        (Method::DELETE, format!("{REPOSITORY}/blobs/{unknown}")),
    ] {
        assert_eq!(registry.refused(method, &path).await, (405, "UNSUPPORTED".to_owned()), "{path}");
    }
    let long = "a".repeat(3_000);
    for (path, status, code) in [
        (format!("{REPOSITORY}/manifests/{unknown}"), 404, "MANIFEST_UNKNOWN"),
        (format!("{REPOSITORY}/manifests/nightly"), 404, "MANIFEST_UNKNOWN"),
        (format!("{REPOSITORY}/manifests/2"), 404, "MANIFEST_UNKNOWN"),
        (format!("{REPOSITORY}/manifests/01m8bvmxz9ypf6yp155x7xtd7z"), 404, "MANIFEST_UNKNOWN"),
        (format!("{REPOSITORY}/manifests/sha512:abc"), 400, "DIGEST_INVALID"),
        (format!("{REPOSITORY}/blobs/{unknown}"), 404, "BLOB_UNKNOWN"),
        (format!("{REPOSITORY}/blobs/sha256:abc"), 400, "DIGEST_INVALID"),
        (format!("{REPOSITORY}/blobs/{}", unknown.to_uppercase()), 400, "DIGEST_INVALID"),
        (format!("{REPOSITORY}/referrers/latest"), 400, "DIGEST_INVALID"),
        (format!("{REPOSITORY}/tags/list?n=many"), 400, "PAGINATION_NUMBER_INVALID"),
        (format!("/v2/demo/..%2f..%2fdemo/blobs/{unknown}"), 400, "NAME_INVALID"),
        (format!("/v2/{long}/json-raw/tags/list"), 400, "NAME_INVALID"),
        ("/v2/demo/no-such-profile/tags/list".to_owned(), 404, "NAME_UNKNOWN"),
        // A profile that was never run.
        ("/v2/demo/trivy-db/tags/list".to_owned(), 404, "NAME_UNKNOWN"),
        ("/v2/_catalog".to_owned(), 404, "NAME_UNKNOWN"),
    ] {
        assert_eq!(registry.refused(Method::GET, &path).await, (status, code.to_owned()), "{path:.80}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_only_confirms_serves_what_it_confirmed() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    deployment.generate(LOCAL_TENANT, 6, 50).unwrap();
    let profile = json!({
        "id": "nightly", "name": "nightly", "kind": "json:raw",
        "config": { "refreshWhenUnchanged": true, "freshForHours": 1 },
    });
    deployment.client().unwrap().create_profile(&profile).await.unwrap();
    let made = deployment.run("nightly").await.unwrap();
    let registry = caller(&deployment).await;
    let manifest = registry.json("/v2/demo/nightly/manifests/latest").await;
    let confirmed = deployment.run("nightly").await.unwrap();
    assert_eq!(confirmed.bundle().refreshes, Some(made.run.id.clone()));
    for tag in ["latest", made.run.id.as_str(), confirmed.run.id.as_str()] {
        assert_eq!(registry.json(&format!("/v2/demo/nightly/manifests/{tag}")).await, manifest, "{tag}");
    }
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    assert_eq!(registry.get(&format!("/v2/demo/nightly/blobs/{layer}")).await.status(), StatusCode::OK);
    // One run signed it.
    let digest = registry.get("/v2/demo/nightly/manifests/latest").await.headers()["docker-content-digest"].clone();
    let referrers = registry.json(&format!("/v2/demo/nightly/referrers/{}", digest.to_str().unwrap())).await;
    assert_eq!(referrers["manifests"].as_array().unwrap().len(), 1, "{referrers:#}");
}
