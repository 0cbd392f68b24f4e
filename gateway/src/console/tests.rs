use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use warp::Filter as _;

use super::{Console, FILES, show};
use crate::problem::Problem;
use crate::request::incoming;
use crate::routes::{answer, hardened};

/// What is answered to a request for a file, with the headers that every answer gets.
async fn ask(console: Option<Console>, name: &'static str, tag: Option<&str>) -> (StatusCode, HeaderMap, String) {
    let filter = incoming().map(move |request| hardened(answer(show(console.as_ref(), &request, name)), false));
    let mut request = http::Request::get("/");
    if let Some(tag) = tag {
        request = request.header("if-none-match", tag);
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let response = TowerToHyperService::new(warp::service(filter)).call(request).await.unwrap();
    let (head, body) = response.into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    (head.status, head.headers, text)
}

fn console() -> Console {
    Console::new(&BTreeSet::new()).unwrap()
}

#[tokio::test]
async fn pages_may_run_their_own_scripts_and_ask_their_own_gateway_and_nothing_else() {
    let (status, headers, text) = ask(Some(console()), "index.html", None).await;
    assert_eq!(status, 200);
    assert!(text.starts_with("<!doctype html>"));
    let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    let parts: BTreeMap<&str, &str> =
        policy.split("; ").map(|part| part.split_once(' ').unwrap_or((part, ""))).collect();
    let expected = [
        ("default-src", "'none'"),
        ("script-src", "'self'"),
        ("style-src", "'self'"),
        ("img-src", "'self' data:"),
        ("connect-src", "'self'"),
        ("base-uri", "'none'"),
        ("form-action", "'none'"),
        ("frame-ancestors", "'none'"),
        ("require-trusted-types-for", "'script'"),
    ];
    assert_eq!(parts, BTreeMap::from(expected));
    assert_eq!(headers[header::CACHE_CONTROL], "no-cache");
    assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
}

#[test]
fn token_endpoints_elsewhere_are_asked_where_they_are_named() {
    let console = Console::new(&BTreeSet::from(["https://id.example".to_owned()])).unwrap();
    assert!(console.policy.to_str().unwrap().contains("connect-src 'self' https://id.example; "));
    for wrong in ["https://id.example; script-src *", "https://id.example\r\n", "https://a.example https://b.example"] {
        assert!(Console::new(&BTreeSet::from([wrong.to_owned()])).is_none(), "{wrong}");
    }
}

#[tokio::test]
async fn a_page_that_is_known_is_not_sent_again() {
    for (name, _) in FILES {
        let (status, headers, text) = ask(Some(console()), name, None).await;
        assert_eq!((status, text.is_empty()), (StatusCode::OK, false), "{name}");
        let tag = headers[header::ETAG].to_str().unwrap();
        assert!(tag.starts_with('"'), "{tag} is no strong tag");
        let (status, headers, text) = ask(Some(console()), name, Some(tag)).await;
        assert_eq!((status, text.is_empty()), (StatusCode::NOT_MODIFIED, true), "{name}");
        assert_eq!(headers[header::ETAG], tag);
        assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY));
        let (status, ..) = ask(Some(console()), name, Some("\"another\"")).await;
        assert_eq!(status, 200);
    }
}

#[tokio::test]
async fn what_is_no_file_of_the_console_is_not_there_and_loads_nothing() {
    for (console, name) in [(Some(console()), "nothing.js"), (Some(console()), "../src/lib.rs"), (None, "index.html")] {
        let (status, headers, text) = ask(console, name, None).await;
        assert_eq!(status, 404, "{name}");
        assert!(text.contains("ERR_EXPORT_NOT_FOUND"), "{text}");
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("self"), "{policy}");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    }
    let answer = hardened(Problem::new(export_contract::ErrorCode::NotFound, "no").into_response(), false);
    assert_eq!(
        answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().split(';').next(),
        Some("default-src 'none'")
    );
}

/// What lies in the folder is served, and what the files name is there.
#[test]
fn every_file_of_the_folder_is_served_and_nothing_is_loaded_that_is_not() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("console");
    let there: BTreeSet<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let served: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(there, served);
    for (name, text) in FILES {
        for import in text.lines().filter(|line| line.starts_with("import ")) {
            let from = import.rsplit('"').nth(1).unwrap();
            let from = from.strip_prefix("./").unwrap_or_else(|| panic!("{name} imports {from}"));
            assert!(served.contains(from), "{name} imports {from}, which is not there");
        }
        for wrong in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=", "localStorage"]
        {
            assert!(!text.contains(wrong), "{name} has {wrong}");
        }
        assert!(!text.contains("https://") && !text.contains("http://") || *name == "icon.svg", "{name} names a host");
        let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= 400, "{name} has {lines} lines");
    }
}
