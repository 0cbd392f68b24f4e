//! Signed links.

use std::process::Command;

use export_tests::{Api, Deployment, LOCAL_TENANT, light, output, programs, workspace};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

async fn get(url: &str, range: Option<&str>) -> Response {
    let mut request = Client::new().get(url);
    if let Some(range) = range {
        request = request.header("range", range);
    }
    request.send().await.unwrap()
}

async fn refused(url: &str) -> (u16, String) {
    let answer = get(url, None).await;
    let status = answer.status().as_u16();
    let problem: Value = answer.json().await.unwrap();
    (status, problem["code"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_gives_its_file_to_whoever_has_it_until_it_expires_and_nothing_else() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    deployment.import(&[workspace().join("samples").canonicalize().unwrap().as_path()]).unwrap();
    let run = deployment.run("json-raw").await.unwrap();
    let other = deployment.run("mirror-full").await.unwrap();
    let client = deployment.client().unwrap();
    let link = client.link(run.run.id.as_str(), "bundle.tar", 600).await.unwrap();

    // As a person hands it on: curl has neither token nor client id.
    let file = deployment.folder().join("linked.tar");
    output(Command::new("curl").args(["-sSf", "-o"]).arg(&file).arg(&link.url)).unwrap();
    let bundle = deployment.download(&run).await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(bundle.tar()).unwrap());

    // In parts, as a download that broke off goes on.
    let whole = std::fs::read(&file).unwrap();
    let part = get(&link.url, Some("bytes=100-")).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.bytes().await.unwrap(), whole[100..]);
    let head = Client::new().head(&link.url).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-length"], whole.len().to_string());
    assert_eq!(head.headers()["x-export-digest"], run.digest().to_string());

    // A link is for one file of one run.
    let sidecar = client.link(run.run.id.as_str(), "export.json.sig", 600).await.unwrap();
    assert_eq!(get(&sidecar.url, None).await.status(), StatusCode::OK);
    let forged = (403, "ERR_EXPORT_LINK_INVALID".to_owned());
    for (from, to) in [
        ("bundle.tar", "export.json"),
        (run.run.id.as_str(), other.run.id.as_str()),
        (LOCAL_TENANT, "elsewhere"),
        ("expires=", "expires=9"),
        ("signature=", "signature=A"),
    ] {
        let changed = link.url.replacen(from, to, 1);
        assert_ne!(changed, link.url);
        assert_eq!(refused(&changed).await, forged, "{changed}");
    }
    assert_eq!(refused(link.url.split('?').next().unwrap()).await, forged);

    let short = client.link(run.run.id.as_str(), "bundle.tar", 1).await.unwrap();
    while get(&short.url, None).await.status() == StatusCode::OK {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let answer: Value = get(&short.url, None).await.json().await.unwrap();
    assert_eq!(answer["code"], "ERR_EXPORT_LINK_INVALID");
    assert!(answer["detail"].as_str().unwrap().contains("expired at"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_made_by_whoever_may_download_for_files_that_are_there() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    deployment.import(&[workspace().join("samples").canonicalize().unwrap().as_path()]).unwrap();
    let run = deployment.run("json-raw").await.unwrap();
    let path = format!("/api/export/runs/{}/links", run.run.id);
    let ask = async |credentials: &std::path::Path, body: Value| {
        let api = Api::login(credentials).await.unwrap();
        let answer = api.request(Method::POST, &path).json(&body).send().await.unwrap();
        answer.status().as_u16()
    };
    let reader = deployment.put_client("reader", LOCAL_TENANT, &["export:read"]).unwrap();
    let stranger = deployment.put_client("stranger", "elsewhere", &[]).unwrap();
    let owner = deployment.put_client("owner", LOCAL_TENANT, &["export:download"]).unwrap();
    assert_eq!(ask(&reader, json!({})).await, 403);
    assert_eq!(ask(&stranger, json!({})).await, 404);
    for body in
        [json!({ "expiresInSeconds": 0 }), json!({ "expiresInSeconds": 604_801 }), json!({ "until": "tomorrow" })]
    {
        assert_eq!(ask(&owner, body.clone()).await, 400, "{body}");
    }
    assert_eq!(ask(&owner, json!({ "file": "../export.json" })).await, 404);
    assert_eq!(ask(&owner, json!({ "file": "export.json" })).await, 201);

    let told = output(Command::new(&programs().unwrap().exportctl).arg("--credentials").arg(&owner).args([
        "bundle",
        "link",
        run.run.id.as_str(),
        "--for",
        "2h",
        "-o",
        "json",
    ]))
    .unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(get(told["url"].as_str().unwrap(), None).await.status(), StatusCode::OK);
}
