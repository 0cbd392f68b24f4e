//! A run of `json:raw` from request to verified bundle.

use std::path::{Path, PathBuf};
use std::process::Command;

use export_contract::event::RunEvent;
use export_contract::manifest::ExportManifest;
use export_contract::run::RunStatus;
use export_tests::{
    Api, Bundle, Deployment, Finished, LOCAL_TENANT, finish, light, output, programs, start, workspace,
};
use futures::StreamExt as _;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::evidence::own_documents;

/// What a watcher of a run over one part of each kind sees.
const TIMELINE: [&str; 11] = [
    "run.pending",
    "run.running",
    "stage.completed plan",
    "stage.completed resolve",
    "adapter.complete adapt",
    "adapter.complete adapt",
    "adapter.complete adapt",
    "stage.completed adapt",
    "stage.completed manifest",
    "run.signed sign",
    "run.succeeded distribute",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_request_becomes_a_bundle_that_other_programs_can_read_and_verify() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    check(&mut deployment).await;
    deployment.stop_all().await.unwrap();
}

/// Everything that a deployment of any shape must show.
pub(crate) async fn check(deployment: &mut Deployment) {
    deployment.generate(LOCAL_TENANT, 1, 3_000).unwrap();
    let mut originals = vec![own_documents(deployment.folder())];
    let samples = workspace().join("samples");
    if samples.is_dir() {
        originals.push(samples.canonicalize().unwrap());
    }
    let summary = deployment.import(&originals.iter().map(PathBuf::as_path).collect::<Vec<_>>()).unwrap();
    assert_eq!(summary["total"]["refused"], 0, "{summary:#}");
    let client = deployment.client().unwrap();
    let submitted = start(&client, "json:raw").await.unwrap();
    assert_eq!(submitted.profile_id.as_str(), "json-raw");
    let finished = finish(&client, submitted.id.as_str()).await.unwrap();
    check_timeline(&finished);
    let api = deployment.api().await.unwrap();
    check_streams(&api, &finished).await;
    check_resume_in_the_middle(&api, deployment).await;
    let bundle = deployment.download(&finished).await.unwrap();
    check_download(&api, &finished, &bundle).await;
    check_trailer(&api, &finished).await;
    check_contents(&finished, &bundle, &originals);
    check_signature(deployment, &api, &finished, &bundle).await;
    check_exportctl(deployment, &bundle);
    check_one_download_at_a_time(deployment, &finished);
}

fn check_timeline(finished: &Finished) {
    finished.assert_once();
    assert_eq!(finished.run.status, RunStatus::Succeeded);
    let timeline: Vec<String> = finished
        .events
        .iter()
        .map(|event| {
            let name = event.event_type.as_str();
            event.phase.map_or_else(|| name.to_owned(), |phase| format!("{name} {phase}"))
        })
        .collect();
    assert_eq!(timeline, TIMELINE);
    assert_eq!(finished.events[0].actor.as_deref(), Some("local"));
    let last = finished.events.last().unwrap();
    assert_eq!(last.metrics["records"], finished.bundle().records);
    assert_eq!(last.metrics["bytes"], finished.bundle().bytes);
    let parts: u64 = finished
        .events
        .iter()
        .filter(|event| event.event_type.as_str() == "adapter.complete")
        .map(|e| e.metrics["records"])
        .sum();
    assert_eq!(parts, finished.bundle().records);
}

/// The events of an SSE text: id and data.
fn server_sent(text: &str) -> Vec<(u64, RunEvent)> {
    text.split("\n\n")
        .filter_map(|block| {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
            let id = field("id:")?.parse().unwrap();
            let event: RunEvent = serde_json::from_str(field("data:").unwrap()).unwrap();
            assert_eq!(field("event:"), Some(event.event_type.as_str()));
            Some((id, event))
        })
        .collect()
}

/// The timeline of an ended run in both forms, whole and from the middle.
async fn check_streams(api: &Api, finished: &Finished) {
    let path = format!("/api/export/runs/{}/events", finished.run.id);
    let answer = api.get(&path).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let whole = server_sent(&answer.text().await.unwrap());
    assert_eq!(whole.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>(), finished.events);
    assert!(whole.iter().all(|(id, event)| *id == event.ordinal));
    let after = |id: &'static str| api.request(Method::GET, &path).header("last-event-id", id).send();
    let rest = server_sent(&after("4").await.unwrap().text().await.unwrap());
    assert_eq!(rest, whole[4..]);
    assert_eq!(after("11").await.unwrap().status(), StatusCode::NO_CONTENT);
    let answer =
        api.request(Method::GET, &format!("{path}?after=7")).header("accept", "application/x-ndjson").send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    let lines: Vec<RunEvent> =
        answer.text().await.unwrap().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(lines, finished.events[7..]);
}

/// A watcher that loses its connection while the run goes on misses nothing and hears nothing twice.
async fn check_resume_in_the_middle(api: &Api, deployment: &Deployment) {
    let run = start(&deployment.client().unwrap(), "json-raw").await.unwrap();
    let path = format!("/api/export/runs/{}/events", run.id);
    let mut text = String::new();
    let mut body = api.get(&path).await.unwrap().bytes_stream();
    while !text.contains("id: 3\n") || !text.ends_with("\n\n") {
        let piece = body.next().await.expect("the stream ended early").unwrap();
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }
    drop(body);
    let mut heard = server_sent(&text);
    let last = heard.last().unwrap().0.to_string();
    let rest = api.request(Method::GET, &path).header("last-event-id", &last).send().await.unwrap();
    heard.extend(server_sent(&rest.text().await.unwrap()));
    let ids: Vec<u64> = heard.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, (1..=TIMELINE.len() as u64).collect::<Vec<_>>());
}

/// Ranges, validators and digests of the download.
async fn check_download(api: &Api, finished: &Finished, bundle: &Bundle) {
    let whole = std::fs::read(bundle.tar()).unwrap();
    assert_eq!(whole.len() as u64, finished.bundle().bytes);
    let digest = finished.digest().as_str();
    assert_eq!(Bundle::digest(&bundle.tar()).unwrap(), digest);
    let path = format!("/api/export/runs/{}/download", finished.run.id);
    let etag = format!("\"{digest}\"");
    let get = async |headers: &[(&'static str, &str)]| {
        let request = headers
            .iter()
            .fold(api.request(Method::GET, &path), |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        (status, headers, answer.bytes().await.unwrap())
    };
    let (status, headers, body) = get(&[]).await;
    assert_eq!((status, &body[..]), (StatusCode::OK, &whole[..]));
    assert_eq!(headers["etag"], etag.as_str());
    assert_eq!(headers["accept-ranges"], "bytes");
    assert_eq!(headers["content-type"], "application/x-tar");
    assert_eq!(headers["content-length"], whole.len().to_string().as_str());
    assert_eq!(headers["repr-digest"], repr_digest(&bundle.tar()).as_str());
    let end = whole.len();
    for (range, part) in [
        ("bytes=0-99".to_owned(), 0..100),
        (format!("bytes={}-", end - 7), end - 7..end),
        ("bytes=-512".to_owned(), end - 512..end),
        (format!("bytes=1000-{}", end * 2), 1_000..end),
    ] {
        let (status, headers, body) = get(&[("range", &range), ("if-range", &etag)]).await;
        assert_eq!((status, &body[..]), (StatusCode::PARTIAL_CONTENT, &whole[part.clone()]), "{range}");
        let expected = format!("bytes {}-{}/{end}", part.start, part.end - 1);
        assert_eq!(headers["content-range"], expected.as_str());
        assert_eq!(headers["etag"], etag.as_str());
    }
    let (status, _, body) = get(&[("range", "bytes=0-99"), ("if-range", "\"sha256:00\"")]).await;
    assert_eq!((status, body.len()), (StatusCode::OK, end), "another bundle's validator must give the whole bundle");
    let (status, headers, body) = get(&[("if-none-match", &format!("\"other\", {etag}"))]).await;
    assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(headers["etag"], etag.as_str());
    let (status, headers, body) = get(&[("range", &format!("bytes={end}-"))]).await;
    assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(headers["content-range"], format!("bytes */{end}").as_str());
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["code"], "ERR_EXPORT_RANGE");
}

fn repr_digest(path: &Path) -> String {
    let script = format!("openssl dgst -sha256 -binary '{}' | base64 -w0", path.display());
    format!("sha-256=:{}:", output(Command::new("sh").args(["-c", &script])).unwrap())
}

/// The digest after the body, for who says that it reads trailers; reqwest hides them, so this speaks HTTP by hand.
async fn check_trailer(api: &Api, finished: &Finished) {
    let request = api.request(Method::GET, &format!("/api/export/runs/{}/download", finished.run.id)).build().unwrap();
    let header = |name: &str| request.headers()[name].to_str().unwrap();
    let address = format!("{}:{}", request.url().host_str().unwrap(), request.url().port().unwrap());
    let mut connection = TcpStream::connect(&address).await.unwrap();
    let text = format!(
        "GET {} HTTP/1.1\r\nhost: {address}\r\nte: trailers\r\nconnection: close, te\r\nauthorization: {}\r\ndpop: {}\r\n\r\n",
        request.url().path(),
        header("authorization"),
        header("dpop"),
    );
    connection.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.unwrap();
    let head_end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..head_end]).to_lowercase();
    assert!(head.contains("transfer-encoding: chunked") && head.contains("trailer: repr-digest"), "{head}");
    let end = String::from_utf8_lossy(&answer[answer.len() - 128..]).into_owned();
    let announced = head.lines().find_map(|line| line.strip_prefix("repr-digest: ")).unwrap().to_owned();
    let trailer = end.lines().find_map(|line| line.to_lowercase().strip_prefix("repr-digest: ").map(str::to_owned));
    assert_eq!(trailer, Some(announced), "{end}");
}

/// What `tar`, `zstd`, `sha256sum` and Python find in the bundle is what its manifest says and what was imported.
fn check_contents(finished: &Finished, bundle: &Bundle, originals: &[PathBuf]) {
    let paths = bundle.paths().unwrap();
    let expected = [
        "README.md",
        "data/raw/advisories.jsonl.zst",
        "data/raw/sboms.jsonl.zst",
        "data/raw/vex.jsonl.zst",
        "manifests/export.json",
    ];
    assert_eq!(paths, expected);
    let unpacked = bundle.unpack().unwrap();
    let manifest_text = std::fs::read(unpacked.join("manifests/export.json")).unwrap();
    assert_eq!(manifest_text, std::fs::read(bundle.folder().join("export.json")).unwrap());
    let manifest: ExportManifest = serde_json::from_slice(&manifest_text).unwrap();
    assert_eq!(
        Bundle::digest(&bundle.folder().join("export.json")).unwrap(),
        finished.bundle().manifest_digest.as_str()
    );
    let listed: Vec<&str> = manifest.contents.iter().map(|content| content.path.as_str()).collect();
    assert_eq!(listed, expected[..4], "the manifest lists every other file");
    let report = Bundle::read_with_python(&unpacked, originals).unwrap();
    for content in &manifest.contents {
        let file = unpacked.join(&content.path);
        assert_eq!(Bundle::digest(&file).unwrap(), content.digest.as_str(), "{}", content.path);
        assert_eq!(file.metadata().unwrap().len(), content.bytes);
        if let Some(read) = report["files"].get(&content.path) {
            assert_eq!(read["records"].as_u64(), content.records, "{}", content.path);
            assert_eq!(read["plainBytes"].as_u64(), content.plain_bytes, "{}", content.path);
            assert_eq!(read["sorted"], true, "{}", content.path);
            assert_eq!(read["tenants"], serde_json::json!([LOCAL_TENANT]));
        } else {
            assert_eq!(content.path, "README.md");
        }
    }
    let records: u64 = manifest.contents.iter().filter_map(|content| content.records).sum();
    assert_eq!(records, finished.bundle().records);
    assert_eq!(records, finished.run.inputs.iter().map(|input| input.count).sum::<u64>());
    for fault in ["missing", "different", "unexpected"] {
        assert_eq!(report[fault]["count"], 0, "{fault}: {:#}", report[fault]);
    }
    assert_eq!(report["compared"], report["originals"]);
    assert!(report["compared"].as_u64().unwrap() >= 4);
}

/// `openssl` agrees with the signature, under the key that the server shows.
async fn check_signature(deployment: &Deployment, api: &Api, finished: &Finished, bundle: &Bundle) {
    let own = std::fs::read_to_string(deployment.data().join("keys/cosign.pub")).unwrap();
    assert_eq!(std::fs::read_to_string(bundle.folder().join("cosign.pub")).unwrap(), own);
    let keys = api.json("/api/export/keys").await.unwrap();
    assert_eq!(keys["keys"][0]["pem"], own.as_str());
    assert_eq!(keys["keys"][0]["keyId"], finished.bundle().key_id.as_str());
    assert!(bundle.openssl_verifies("export.json").unwrap());
    let manifest = api.get(&format!("/api/export/runs/{}/manifest", finished.run.id)).await.unwrap();
    let text = std::fs::read(bundle.folder().join("export.json")).unwrap();
    assert_eq!(manifest.bytes().await.unwrap(), text);
    std::fs::write(bundle.folder().join("export.json"), [&text[..], b" "].concat()).unwrap();
    assert!(!bundle.openssl_verifies("export.json").unwrap(), "a changed manifest must not verify");
    std::fs::write(bundle.folder().join("export.json"), text).unwrap();
    let provenance = api.json(&format!("/api/export/runs/{}/provenance", finished.run.id)).await.unwrap();
    assert_eq!(provenance["_type"], "https://in-toto.io/Statement/v1");
}

/// A folder that another download writes into is left alone, and is free once that one has ended, however it did.
fn check_one_download_at_a_time(deployment: &Deployment, finished: &Finished) {
    let folder = deployment.folder().join("shared");
    std::fs::create_dir(&folder).unwrap();
    let download = || {
        let mut command = Command::new(&programs().unwrap().exportctl);
        command.arg("--credentials").arg(deployment.credentials("local"));
        command.args(["bundle", "download", finished.run.id.as_str(), "--dir"]).arg(&folder).output().unwrap()
    };
    let other = std::fs::File::open(&folder).unwrap();
    other.lock().unwrap();
    let refused = download();
    assert_eq!(refused.status.code(), Some(6), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--dir"), "{refused:?}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing was written");
    drop(other);
    assert_eq!(download().status.code(), Some(0));
}

/// `exportctl bundle verify` takes the bundle and refuses changed ones with the code for what was changed.
fn check_exportctl(deployment: &Deployment, bundle: &Bundle) {
    let key = deployment.data().join("keys/cosign.pub");
    let verify = |folder: &Path| {
        let done = Command::new(&programs().unwrap().exportctl)
            .args(["bundle", "verify", "--key"])
            .arg(&key)
            .arg(folder)
            .output()
            .unwrap();
        (done.status.code(), format!("{done:?}"))
    };
    let (code, said) = verify(bundle.folder());
    assert_eq!(code, Some(0), "{said}");
    let spoil = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let folder = deployment.folder().join(format!("spoiled-{name}"));
        std::fs::create_dir_all(&folder).unwrap();
        for entry in std::fs::read_dir(bundle.folder()).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
            }
        }
        let file = folder.join(name);
        let mut bytes = std::fs::read(&file).unwrap();
        change(&mut bytes);
        std::fs::write(&file, bytes).unwrap();
        verify(&folder)
    };
    let (code, said) = spoil("bundle.tar", &|bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    assert_eq!(code, Some(13), "changed contents: {said}");
    let (code, said) = spoil("export.json", &|bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap().replace("json:raw", "json:row");
        *bytes = text.into_bytes();
    });
    assert_eq!(code, Some(10), "changed manifest: {said}");
    let (code, said) = spoil("bundle.tar", &|bytes| bytes[..512].fill(b'A'));
    assert_eq!(code, Some(14), "broken tar: {said}");
}
