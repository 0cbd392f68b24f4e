//! Strings that one tenant plants everywhere it can, and secrets of everybody: looked for in all that others are shown and that is written.

use std::path::{Path, PathBuf};
use std::process::Command;

use export_client::{Client, Credentials, NewRun};
use export_contract::selectors::SelectorRequest;
use export_tests::{Api, Deployment, LOCAL_TENANT, OBSERVED_AT, Setup, finish, heavy, light, output};
use reqwest::Method;
use serde_json::{Value, json};

use crate::evidence::own_documents;

/// In no file, answer or line of anybody but the tenant that planted it.
const CANARY: &str = "kanarek7q9x";

/// Evidence in which every text that can be chosen is the canary.
fn planted(folder: &Path) -> PathBuf {
    let planted = folder.join("planted");
    std::fs::create_dir_all(&planted).unwrap();
    let advisory = json!({
        "schema_version": "1.6.0", "id": format!("{CANARY}-1"), "modified": "2026-01-01T00:00:00Z", "summary": CANARY,
        "aliases": [format!("CVE-2026-{CANARY}")],
        "affected": [{ "package": { "ecosystem": "npm", "name": CANARY, "purl": format!("pkg:npm/{CANARY}") },
            "ranges": [{ "type": "SEMVER", "events": [{ "introduced": "0" }, { "fixed": "2.0.0" }] }] }]
    });
    let vex = json!({
        "@context": "https://openvex.dev/ns/v0.2.0", "@id": format!("https://example.com/{CANARY}"), "author": CANARY,
        "timestamp": "2026-01-01T00:00:00Z", "version": 1,
        "statements": [{ "vulnerability": { "name": "CVE-2026-0002" }, "status": "not_affected",
            "justification": "component_not_present", "products": [{ "@id": format!("pkg:npm/{CANARY}@1.0.0") }] }]
    });
    let sbom = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": { "component": { "type": "application", "name": CANARY, "purl": format!("pkg:generic/{CANARY}@1") } },
        "components": []
    });
    for (name, document) in [("advisory", advisory), ("vex", vex), ("sbom.cdx", sbom)] {
        std::fs::write(planted.join(format!("{CANARY}-{name}.json")), document.to_string()).unwrap();
    }
    planted
}

/// Everything under a folder, archives and compressed files unpacked, as one text.
fn all_bytes(folder: &Path) -> Vec<u8> {
    // `zcat` and `tar` say nothing of what they do not take; the raw bytes are looked at in any case.
    let shell = "find . -type f -print -exec cat {} + ; find . -name '*.zst' -exec zstd -dcq {} + ; \
                 find . -name '*.tar.gz' -exec tar -xzOf {} \\;";
    let done = Command::new("sh").args(["-c", shell]).current_dir(folder).output().unwrap();
    assert!(done.stdout.len() > 1_000, "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

fn holds(bytes: &[u8], wanted: &str) -> bool {
    bytes.to_ascii_lowercase().windows(wanted.len()).any(|window| window == wanted.as_bytes())
}

async fn run(client: &Client, wanted: &NewRun, key: Option<&str>) -> export_tests::Finished {
    let run = client.start_run(wanted, key).await.unwrap();
    finish(client, run.id.as_str()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_tenant_plants_is_in_no_byte_that_another_one_sees() {
    let _turn = heavy().await;
    let mut deployment = Deployment::start(Setup::together()).await.unwrap();
    let (ours, theirs) = (own_documents(deployment.folder()), planted(deployment.folder()));
    let import = |tenant: &str, folder: &Path| {
        let arguments = ["evidence", "import", "--json", "--tenant", tenant, "--observed-at", OBSERVED_AT];
        let summary = deployment.exportd(&[&arguments[..], &[folder.to_str().unwrap()]].concat()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&summary).unwrap()["total"]["refused"], 0, "{summary}");
    };
    import("globex", &theirs);
    import(LOCAL_TENANT, &ours);

    // The other tenant plants what it can beside its evidence, too.
    let credentials = deployment.put_client(&format!("{CANARY}-client"), "globex", &[]).unwrap();
    let other = Client::new(Credentials::read(&credentials).unwrap()).unwrap();
    let other_api = Api::login(&credentials).await.unwrap();
    let profile = json!({ "id": CANARY, "name": CANARY, "kind": "mirror:full", "description": CANARY, "labels": { CANARY: CANARY } });
    other.create_profile(&profile).await.unwrap();
    let schedule = json!({ "id": CANARY, "profileId": CANARY, "cron": "0 3 1 1 *" });
    let hook = json!({ "url": format!("http://127.0.0.1:9/{CANARY}"), "description": CANARY });
    for (path, body) in [("schedules", schedule), ("webhooks", hook)] {
        let request = other_api.request(Method::POST, &format!("/api/export/{path}")).json(&body);
        assert_eq!(request.send().await.unwrap().status(), 201, "{path}");
    }
    let mut foreign = Vec::new();
    let selectors = SelectorRequest { include: vec![format!("{CANARY}*"), format!("pkg:*")], ..Default::default() };
    for (number, name) in [CANARY, "json-raw", "trivy-db"].into_iter().enumerate() {
        let wanted = NewRun { profile_id: name.to_owned(), selectors: selectors.clone(), ..NewRun::default() };
        foreign.push(run(&other, &wanted, Some(&format!("{CANARY}-{number}"))).await);
    }
    let folder = deployment.folder().join("foreign");
    let foreign_bundle = export_tests::Bundle::download(&other, &foreign[0].run, folder).await.unwrap();
    foreign_bundle.unpack().unwrap();
    assert!(holds(&all_bytes(foreign_bundle.folder()), CANARY), "the canary is where it was planted");

    // What the local tenant gets.
    let client = deployment.client().unwrap();
    let api = deployment.api().await.unwrap();
    let mut paths: Vec<String> = ["profiles", "runs", "schedules", "webhooks", "keys"]
        .iter()
        .map(|name| format!("/api/export/{name}"))
        .chain(["/v2/demo/trivy-db/tags/list".to_owned(), format!("/vex/{LOCAL_TENANT}/json-raw/repository.tar.zst")])
        .collect();
    for name in ["json-raw", "trivy-db", "mirror-full"] {
        let wanted = NewRun { profile_id: name.to_owned(), ..NewRun::default() };
        let finished = run(&client, &wanted, None).await;
        let bundle = deployment.download(&finished).await.unwrap();
        bundle.unpack().unwrap();
        assert!(!holds(&all_bytes(bundle.folder()), CANARY), "a bundle of {name}");
        assert!(!holds(&serde_json::to_vec(&finished.events).unwrap(), CANARY), "events of {name}");
        for tail in ["", "/events", "/manifest", "/provenance"] {
            paths.push(format!("/api/export/runs/{}{tail}", finished.run.id));
        }
    }
    // Nor by asking for what is the other's.
    for finished in &foreign {
        for tail in ["", "/events", "/download", "/manifest", "/files/provenance.json"] {
            let path = format!("/api/export/runs/{}{tail}", finished.run.id);
            assert_eq!(api.get(&path).await.unwrap().status(), 404, "{path}");
            paths.push(path);
        }
    }
    for path in paths {
        let answer = api.get(&path).await.unwrap();
        let head = format!("{:?}", answer.headers());
        let body = answer.bytes().await.unwrap();
        assert!(!holds(head.as_bytes(), CANARY) && !holds(&body, CANARY), "{path}");
    }

    // Counters are everybody's: no word of a tenant but its id is in them.
    let metrics = reqwest::get(format!("{}/metrics", deployment.admin("all").unwrap())).await.unwrap();
    let metrics = metrics.bytes().await.unwrap();
    assert!(metrics.len() > 500 && !holds(&metrics, CANARY), "metrics");
    // Lines of the log about the local tenant.
    let log = std::fs::read_to_string(deployment.folder().join("logs/all")).unwrap();
    let local = format!("\"{LOCAL_TENANT}\"");
    let about = log.lines().filter(|line| line.contains(&local)).collect::<Vec<_>>();
    assert!(about.len() > 3, "{log}");
    assert!(about.iter().all(|line| !holds(line.as_bytes(), CANARY)), "the log");
    deployment.stop_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_a_log_an_answer_or_an_error() {
    let _turn = light().await;
    let mut deployment = Deployment::start(Setup::served(1)).await.unwrap();
    deployment.generate(LOCAL_TENANT, 1, 100).unwrap();
    let api = deployment.api().await.unwrap();
    let hook = json!({ "url": "http://127.0.0.1:9/hook" });
    let made = api.request(Method::POST, "/api/export/webhooks").json(&hook).send().await.unwrap();
    let made: Value = made.json().await.unwrap();
    let finished = deployment.run("json-raw").await.unwrap();
    let link = deployment.client().unwrap().link(finished.run.id.as_str(), "bundle.tar", 600).await.unwrap();
    let followed = reqwest::get(&link.url).await.unwrap();
    assert_eq!(followed.status(), 200);
    // Refusals are written to the log, too.
    let wrong = Api::login(&deployment.put_client("twice", LOCAL_TENANT, &[]).unwrap()).await.unwrap();
    deployment.put_client("twice", LOCAL_TENANT, &["export:read"]).unwrap();
    assert!(wrong.get("/api/export/runs/nonsense").await.unwrap().status().is_client_error());

    let read = |path: PathBuf| std::fs::read_to_string(&path).unwrap().trim().to_owned();
    let member =
        |text: &str, name: &str| serde_json::from_str::<Value>(text).unwrap()[name].as_str().unwrap().to_owned();
    let mut secrets = vec![
        ("the webhook's", made["secret"].as_str().unwrap().trim_start_matches("whsec_").to_owned()),
        ("the link's signature", link.url.split("signature=").nth(1).unwrap_or(&link.url).to_owned()),
        ("of a token", "eyJ".to_owned()),
        ("the bucket's", read(deployment.folder().join("s3.secret"))),
        ("the signing key's password", read(deployment.data().join("keys/cosign.password"))),
        ("the links' key", read(deployment.data().join("keys/links.key"))),
        ("the webhooks' key", read(deployment.data().join("keys/webhooks.key"))),
    ];
    for name in ["local", "twice"] {
        let credentials = read(deployment.folder().join(format!("{name}.credentials.json")));
        secrets.push(("a client's", member(&credentials, "clientSecret")));
    }

    let mut written: Vec<(String, String)> = Vec::new();
    for entry in std::fs::read_dir(deployment.folder().join("logs")).unwrap() {
        let path = entry.unwrap().path();
        written
            .push((path.display().to_string(), String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()));
    }
    written.push(("config print".to_owned(), deployment.exportd(&["config", "print"]).unwrap()));
    for path in ["/api/export/webhooks", "/api/export/runs", "/api/export/profiles", "/api/export/keys"] {
        written.push((path.to_owned(), api.json(path).await.unwrap().to_string()));
    }
    let metrics = reqwest::get(format!("{}/metrics", deployment.admin("gateway").unwrap())).await.unwrap();
    written.push(("metrics".to_owned(), metrics.text().await.unwrap()));
    // What does not start says why, and not with what.
    let broken = deployment.folder().join("broken.toml");
    let settings = read(deployment.folder().join("export.toml")).replace("cosign.password", "nothing");
    std::fs::write(&broken, settings.replace("127.0.0.1:", "127.0.0.1:1")).unwrap();
    let refused =
        Command::new(&export_tests::programs().unwrap().exportd).args(["sign", "--config"]).arg(&broken).output();
    written.push(("a failed start".to_owned(), String::from_utf8_lossy(&refused.unwrap().stderr).into_owned()));

    assert!(written.iter().filter(|(_, text)| text.len() > 300).count() > 8, "there is something to look at");
    for (what, secret) in &secrets {
        assert!(what == &"of a token" || secret.len() >= 8, "{what}");
        for (place, text) in &written {
            assert!(!text.contains(secret.as_str()), "a secret ({what}) is in {place}");
        }
    }
    let environment = output(
        Command::new("sh").args(["-c", &format!("tr '\\0' ' ' </proc/{}/cmdline", deployment.pid("gateway").unwrap())]),
    );
    assert!(
        secrets.iter().all(|(_, secret)| !environment.as_ref().unwrap().contains(secret.as_str())),
        "the command line"
    );
    deployment.stop_all().await.unwrap();
}
