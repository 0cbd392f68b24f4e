//! The table of operations and the routes are the same.

use export_tests::{Api, Deployment, light};
use reqwest::Method;
use serde_json::{Value, json};

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// A path with something in place of its names.
fn filled(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>().join("/")
}

async fn anonymous(api: &Api, method: &str, path: &str) -> (u16, Option<String>, String) {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let answer = api.anonymous(method, path).send().await.unwrap();
    let allow = answer.headers().get("allow").map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), allow, answer.text().await.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_is_a_route_that_asks_who_calls_and_every_other_method_is_refused() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    let api = deployment.api().await.unwrap();
    let served = api.anonymous(Method::GET, "/openapi.json").send().await.unwrap();
    let tag = served.headers()["etag"].clone();
    let document: Value = served.json().await.unwrap();
    let committed = std::fs::read(export_tests::workspace().join("docs/openapi.json")).unwrap();
    assert_eq!(document, serde_json::from_slice::<Value>(&committed).unwrap(), "what is served is what is committed");
    let again = api.anonymous(Method::GET, "/openapi.json").header("if-none-match", tag).send().await.unwrap();
    assert_eq!(again.status(), 304);

    let mut rows = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let address = filled(path);
        for method in METHODS {
            let (status, allow, text) = anonymous(&api, method, &address).await;
            let Some(operation) = item.get(method.to_lowercase()) else {
                if !path.starts_with("/v2/") {
                    assert_eq!(status, 405, "{method} {path}: {text}");
                    assert!(allow.is_some_and(|allow| !allow.contains(method)), "{method} {path} has no Allow");
                }
                continue;
            };
            rows += 1;
            let documented = operation["responses"].get(status.to_string());
            assert!(documented.is_some(), "{method} {path} answers {status}, which is not documented: {text}");
            // Whoever needs a token is asked for it before anything else is looked at.
            let asks = operation["security"]
                .as_array()
                .is_some_and(|ways| ways.iter().any(|way| way.get("accessToken").is_some()));
            let is_open = operation["security"] == json!([]) || path.starts_with("/v2/");
            match status {
                401 => {
                    assert!(asks || !is_open || path == "/v2/token" || path == "/authority/token", "{method} {path}");
                }
                _ => assert!(!asks || path.starts_with("/vex/"), "{method} {path} answers {status} to anybody"),
            }
            if status == 404 {
                assert!(!text.contains("no such path"), "{method} {path} is in the table and not served");
            }
        }
        if !path.starts_with("/v2/") {
            let (status, allow, _) = anonymous(&api, "OPTIONS", &address).await;
            assert_eq!((status, allow.is_some()), (204, true), "OPTIONS {path}");
        }
    }
    assert!(rows > 35, "{rows} rows");
    for nowhere in ["/api", "/console", "/api/export", "/api/export/nothing", "/api/export/runs/x/y", "/openapi.yaml"] {
        let (status, _, text) = anonymous(&api, "GET", nowhere).await;
        assert_eq!(status, 404, "{nowhere}");
        assert!(text.contains("ERR_EXPORT_NOT_FOUND"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_say_what_may_be_done_with_them_and_pages_of_others_may_read_none() {
    let _turn = light().await;
    let sections = "[cors]\norigins = [\"https://console.example\"]\n";
    let deployment = Deployment::start_with(export_tests::Setup::together(), "", sections).await.unwrap();
    let api = deployment.api().await.unwrap();
    let answer = api.get("/api/export/profiles").await.unwrap();
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"));
    assert!(header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert!(header("strict-transport-security").is_none(), "it is not reached over TLS");
    assert_eq!(header("access-control-allow-origin"), None);
    for (origin, allowed) in [("https://console.example", true), ("https://evil.example", false)] {
        let answer = api.request(Method::GET, "/api/export/profiles").header("origin", origin).send().await.unwrap();
        let told = answer.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(told.as_deref(), allowed.then_some(origin));
        let asked = api.anonymous(Method::OPTIONS, "/api/export/runs").header("origin", origin);
        let asked = asked.header("access-control-request-method", "POST").send().await.unwrap();
        assert_eq!(asked.status(), 204);
        assert_eq!(asked.headers().contains_key("access-control-allow-methods"), allowed, "{origin}");
    }
    let html = api.request(Method::GET, "/api/export/profiles").header("accept", "text/html").send().await.unwrap();
    assert_eq!(html.status(), 406);
    let text = api.request(Method::POST, "/api/export/profiles").header("content-type", "text/plain").body("{}");
    assert_eq!(text.send().await.unwrap().status(), 415);
    let head = api.request(Method::HEAD, "/api/export/profiles").send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert!(head.bytes().await.unwrap().is_empty());
}
