//! The VEX repository, read by real Trivys.

use std::path::Path;
use std::process::Command;

use export_tests::{Deployment, LOCAL_TENANT, Trivy, light, output, tool, workspace};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

/// An advisory about a package, and two documents that speak of it beside others: the later one says that it is not affected.
fn evidence(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let advisory = json!({
        "schema_version": "1.6.0", "id": "GHSA-aaaa-bbbb-cccc", "aliases": ["CVE-2026-10001"],
        "published": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z", "summary": "a hole",
        "affected": [
            { "package": { "ecosystem": "npm", "name": "left" }, "ranges": [{ "type": "SEMVER", "events": [{ "introduced": "0" }, { "fixed": "2.0.0" }] }] },
            { "package": { "ecosystem": "npm", "name": "right" }, "ranges": [{ "type": "SEMVER", "events": [{ "introduced": "0" }, { "fixed": "2.0.0" }] }] },
        ],
    });
    std::fs::write(folder.join("advisory.json"), advisory.to_string()).unwrap();
    let document = |id: &str, at: &str, status: &str, products: Value| {
        json!({
            "@context": "https://openvex.dev/ns/v0.2.0", "@id": id, "author": "the maintainers", "timestamp": at, "version": 1,
            "statements": [{ "vulnerability": { "name": "CVE-2026-10001" }, "products": products, "status": status,
                             "justification": if status == "not_affected" { json!("vulnerable_code_not_present") } else { Value::Null } }],
        })
    };
    let early = document(
        "https://vex.example/1",
        "2026-01-02T00:00:00Z",
        "affected",
        json!([{ "@id": "pkg:npm/left@1.0.0" }, { "@id": "pkg:npm/right@1.0.0" }]),
    );
    let late =
        document("https://vex.example/2", "2026-01-03T00:00:00Z", "not_affected", json!([{ "@id": "pkg:npm/left" }]));
    for (name, mut text) in [("early.json", early), ("late.json", late)] {
        let statement = text["statements"][0].as_object_mut().unwrap();
        statement.retain(|_, value| !value.is_null());
        std::fs::write(folder.join(name), text.to_string()).unwrap();
    }
}

/// A project that uses both packages.
fn project(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let lock = json!({
        "name": "app", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
        "packages": {
            "": { "name": "app", "version": "1.0.0", "dependencies": { "left": "1.0.0", "right": "1.0.0" } },
            "node_modules/left": { "version": "1.0.0" },
            "node_modules/right": { "version": "1.0.0" },
        },
    });
    std::fs::write(folder.join("package-lock.json"), lock.to_string()).unwrap();
}

/// Packages that Trivy reports, with the VEX repository and without.
fn found(trivy: Trivy, home: &Path, database: &Path, project: &Path, vex: bool) -> Vec<String> {
    let cache = home.join("cache");
    let mut command = Command::new(tool(trivy.program()));
    command.arg("--cache-dir").arg(&cache).args(["fs", "--scanners", "vuln", "--offline-scan", "--format", "json"]);
    command.args(["--skip-db-update", "--skip-java-db-update"]);
    command.args(if vex { &["--vex", "repo"][..] } else { &["--skip-vex-repo-update"][..] });
    command.arg(project).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home).current_dir(home);
    let folder = cache.join("db");
    std::fs::create_dir_all(&folder).unwrap();
    output(Command::new("tar").arg("-xzf").arg(database.join("trivy/db.tar.gz")).arg("-C").arg(folder)).unwrap();
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let none = Vec::new();
    let results = report["Results"].as_array().unwrap_or(&none);
    let findings = results.iter().flat_map(|result| result["Vulnerabilities"].as_array().unwrap_or(&none));
    let mut packages: Vec<String> = findings.map(|finding| finding["PkgName"].as_str().unwrap().to_owned()).collect();
    packages.sort();
    packages
}

#[tokio::test(flavor = "multi_thread")]
async fn trivy_leaves_out_what_the_newest_statement_of_the_repository_says_is_not_affected() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    let (given, used) = (deployment.folder().join("given"), deployment.folder().join("project"));
    evidence(&given);
    project(&used);
    deployment.import(&[given.as_path()]).unwrap();
    let database = deployment.run("trivy-db").await.unwrap();
    let database = deployment.download(&database).await.unwrap().unpack().unwrap();
    deployment.run("json-raw").await.unwrap();
    let credentials = deployment.put_client("scanner", LOCAL_TENANT, &["export:download"]).unwrap();
    let credentials: Value = serde_json::from_slice(&std::fs::read(credentials).unwrap()).unwrap();
    for trivy in Trivy::installed() {
        let home = deployment.folder().join(trivy.program());
        std::fs::create_dir_all(home.join(".trivy/vex")).unwrap();
        let settings = format!(
            "repositories:\n  - name: exports\n    url: {}/vex/{LOCAL_TENANT}/json-raw\n    enabled: true\n    username: {}\n    password: {}\n",
            deployment.server(),
            credentials["clientId"].as_str().unwrap(),
            credentials["clientSecret"].as_str().unwrap(),
        );
        std::fs::write(home.join(".trivy/vex/repository.yaml"), settings).unwrap();
        let both = ["left", "right"].map(str::to_owned).to_vec();
        assert_eq!(found(trivy, &home, &database, &used, false), both, "{}", trivy.program());
        assert_eq!(found(trivy, &home, &database, &used, true), ["right"], "{}", trivy.program());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_repository_is_shown_to_its_tenant_and_to_nobody_else_and_stays_the_same() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    deployment.import(&[workspace().join("samples").canonicalize().unwrap().as_path()]).unwrap();
    deployment.run("json-raw").await.unwrap();
    let client = |id: &str, tenant: &str, scopes: &[&str]| -> (String, String) {
        let file = deployment.put_client(id, tenant, scopes).unwrap();
        let file: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        (file["clientId"].as_str().unwrap().to_owned(), file["clientSecret"].as_str().unwrap().to_owned())
    };
    let owner = client("scanner", LOCAL_TENANT, &["export:download"]);
    let get = async |path: &str, client: Option<&(String, String)>, known: Option<&str>| {
        let mut request = Client::new().get(format!("{}{path}", deployment.server()));
        if let Some((id, secret)) = client {
            request = request.basic_auth(id, Some(secret));
        }
        if let Some(etag) = known {
            request = request.header("if-none-match", etag);
        }
        request.send().await.unwrap()
    };
    let manifest = "/vex/demo/json-raw/.well-known/vex-repository.json";
    let described: Value = get(manifest, Some(&owner), None).await.json().await.unwrap();
    let archive = "/vex/demo/json-raw/repository.tar.zst";
    assert_eq!(described["versions"][0]["spec_version"], "0.1");
    assert_eq!(described["versions"][0]["locations"][0]["url"], format!("{}{archive}", deployment.server()));

    let first = get(archive, Some(&owner), None).await;
    assert_eq!(first.status(), StatusCode::OK);
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    let bytes = first.bytes().await.unwrap();
    assert_eq!(get(archive, Some(&owner), Some(&etag)).await.status(), StatusCode::NOT_MODIFIED);
    deployment.run("json-raw").await.unwrap();
    assert_eq!(
        get(archive, Some(&owner), None).await.bytes().await.unwrap(),
        bytes,
        "the same evidence, the same bytes"
    );

    // Every package of the index has its document.
    let folder = deployment.folder().join("repository");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("r.tar.zst"), &bytes).unwrap();
    output(Command::new("tar").args(["--zstd", "-xf"]).arg(folder.join("r.tar.zst")).arg("-C").arg(&folder)).unwrap();
    let index: Value = serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
    let packages = index["packages"].as_array().unwrap();
    assert!(!packages.is_empty());
    for package in packages {
        let document = std::fs::read(folder.join(package["location"].as_str().unwrap())).unwrap();
        let document: Value = serde_json::from_slice(&document).unwrap();
        assert!(!document["statements"].as_array().unwrap().is_empty(), "{package}");
    }

    let stranger = client("stranger", "elsewhere", &["export:download"]);
    let reader = client("reader", LOCAL_TENANT, &["export:read"]);
    let wrong = (owner.0.clone(), "wrong".to_owned());
    for path in [manifest, archive] {
        assert_eq!(get(path, None, None).await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(get(path, Some(&wrong), None).await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(get(path, Some(&reader), None).await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(get(path, Some(&stranger), None).await.status(), StatusCode::NOT_FOUND);
    }
    let absent = "/vex/demo/trivy-db/.well-known/vex-repository.json";
    assert_eq!(get(absent, Some(&owner), None).await.status(), StatusCode::NOT_FOUND);
}
