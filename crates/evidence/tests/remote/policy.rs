//! The Policy Engine is a policy source, and is not believed.

use std::error::Error;
use std::sync::Arc;

use export_contract::TenantId;
use export_evidence::policy::suite::{self, finding, snapshot};
use export_evidence::policy::{
    Findings, HttpPolicyEngine, PolicyError, PolicyFinding, PolicySnapshot, PolicySource as _,
};
use export_evidence::remote::{BearerSource, RemoteSettings};

use crate::server::{Fault, Server};

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

fn engine(server: &Server) -> HttpPolicyEngine {
    HttpPolicyEngine::new(&server.settings()).unwrap()
}

fn text(raw: &[u8]) -> String {
    String::from_utf8(raw.to_vec()).unwrap()
}

/// Puts snapshots and findings behind the server, the latter in key order, as the engine promises.
fn fill(server: &Server, tenant: &TenantId, snapshots: Vec<PolicySnapshot>, mut findings: Vec<PolicyFinding>) {
    findings.sort_by(|a, b| a.key.cmp(&b.key));
    for snapshot in snapshots {
        let (id, micros) = (snapshot.snapshot_id.as_str(), snapshot.generated_at.as_micros());
        server.put_snapshot(tenant.as_str(), id, micros, &text(&snapshot.raw));
        let own = findings.iter().filter(|finding| finding.snapshot_id == id);
        let rows = own.map(|finding| text(&finding.raw)).collect();
        server.put_rows(tenant.as_str(), &format!("policy/snapshots/{id}/findings"), rows);
    }
}

/// A server with a snapshot of ten findings, three a page.
async fn filled() -> Server {
    let server = Server::start().await;
    let findings = (0..10).map(|n| finding("s", &format!("pkg:npm/{n}"), "CVE-1", "blocked")).collect();
    fill(&server, &tenant(), vec![snapshot("s", 5, "x")], findings);
    server.pages_of(3);
    server
}

async fn read(engine: &HttpPolicyEngine) -> Result<Findings, PolicyError> {
    Findings::read(engine, &tenant(), "s", |_, _| {}).await
}

/// An error and its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.extend([": ", &error.to_string()]);
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn the_policy_engine_is_a_policy_source() {
    let server = Server::start().await;
    let engine = engine(&server);
    let put = async |tenant: &TenantId, snapshots, findings| fill(&server, tenant, snapshots, findings);
    suite::is_a_source(&engine, put).await;
}

#[tokio::test]
async fn every_request_names_the_tenant_and_has_the_token_of_now() {
    let server = filled().await;
    let engine = engine(&server);
    let whole = read(&engine).await.unwrap();
    assert_eq!(whole.reference.count, 10);
    let requests = server.requests();
    assert_eq!(requests.len(), 4, "ten findings, three a page");
    for request in &requests {
        assert_eq!(request.headers["x-stella-tenant"], "acme");
        assert_eq!(request.headers["authorization"], "Bearer a token");
        assert!(request.target.contains("tenant_id=acme"), "{}", request.target);
    }
    assert!(requests[3].target.contains("after_cursor=9"), "{}", requests[3].target);

    server.expect_token("another");
    let refused = read(&engine).await.unwrap_err();
    assert!(!refused.is_transient() && chain(&refused).contains("status 401: who are you"), "{}", chain(&refused));
    std::fs::write(server.token_file(), "another\n").unwrap();
    assert_eq!(read(&engine).await.unwrap(), whole);
    std::fs::remove_file(server.token_file()).unwrap();
    assert!(read(&engine).await.unwrap_err().is_transient(), "an agent may be about to write it");
}

/// Somebody who fetches tokens, or cannot.
#[derive(Debug)]
struct Agent(std::sync::Mutex<Option<&'static str>>);

#[async_trait::async_trait]
impl BearerSource for Agent {
    async fn bearer(&self) -> Result<zeroize::Zeroizing<String>, Box<dyn Error + Send + Sync>> {
        let token = *self.0.lock().unwrap();
        Ok(token.ok_or("the authority is out")?.to_owned().into())
    }
}

#[tokio::test]
async fn a_token_may_come_from_an_agent_who_is_asked_for_each_request() {
    let server = filled().await;
    let agent = Arc::new(Agent(Some("a token").into()));
    let settings = RemoteSettings { token_file: None, bearer: Some(agent.clone()), ..server.settings() };
    let engine = HttpPolicyEngine::new(&settings).unwrap();
    let whole = read(&engine).await.unwrap();
    server.expect_token("another");
    *agent.0.lock().unwrap() = Some("another");
    assert_eq!(read(&engine).await.unwrap(), whole);
    *agent.0.lock().unwrap() = None;
    let error = read(&engine).await.unwrap_err();
    assert!(error.is_transient() && chain(&error).contains("the authority is out"), "{}", chain(&error));
}

#[tokio::test]
async fn what_passes_by_itself_is_asked_again_at_the_same_place() {
    let server = filled().await;
    let engine = engine(&server);
    let whole = read(&engine).await.unwrap();
    server.requests();
    for fault in [Fault::Answers(503, None), Fault::Answers(429, Some(1)), Fault::StopsHalfway, Fault::ChangesTheBody] {
        // All before the first page comes.
        server.next([Fault::Answers(502, Some(0)), fault.clone(), fault.clone()]);
        assert_eq!(read(&engine).await.unwrap(), whole, "{fault:?}");
        assert_eq!(server.requests().len(), 7, "{fault:?}: no page is read anew that was read");
    }
}

#[tokio::test]
async fn a_server_that_stays_away_is_worth_another_run_and_one_that_asks_for_an_hour_is_not_waited_for() {
    let server = filled().await;
    let engine = engine(&server);
    server.always(Some(Fault::Answers(503, Some(0))));
    assert!(read(&engine).await.unwrap_err().is_transient());
    assert_eq!(server.requests().len(), 5);
    server.always(Some(Fault::Answers(429, Some(3_600))));
    assert!(engine.newest(&tenant()).await.unwrap_err().is_transient());
    assert_eq!(server.requests().len(), 1);

    let nobody = RemoteSettings { base_url: "http://127.0.0.1:9/".to_owned(), ..server.settings() };
    assert!(read(&HttpPolicyEngine::new(&nobody).unwrap()).await.unwrap_err().is_transient());
}

#[tokio::test]
async fn a_server_that_lies_is_refused_and_the_lie_is_named() {
    let server = filled().await;
    let engine = engine(&server);
    for (fault, said) in [
        (Fault::ChangesTheBody, "has not the digest"),
        (Fault::Endless, "longer than"),
        (Fault::Redirects, "status 307"),
        (Fault::Html, "`text/html`, expected `application/x-ndjson`"),
        (Fault::GoesRoundInCircles, "out of order"),
        (Fault::SendsNothingForEver, "without a line"),
        (Fault::MixesTenantsUp, "tenant `globex`"),
        (Fault::LosesARow, "it counts 10"),
        (Fault::TurnsRowsAround, "out of order"),
    ] {
        server.always(Some(fault.clone()));
        let error = read(&engine).await.unwrap_err();
        assert!(!error.is_transient(), "{fault:?}: {}", chain(&error));
        assert!(chain(&error).contains(said), "{fault:?}: {}", chain(&error));
    }
    let requests = server.requests();
    assert!(requests.iter().all(|request| !request.target.contains("elsewhere")), "the token followed a redirect");
}

#[tokio::test]
async fn another_snapshot_than_the_one_that_was_asked_for_is_refused() {
    let server = filled().await;
    let engine = engine(&server);
    let foreign = text(&snapshot("s", 5, "x").raw).replacen('{', r#"{"tenant_id":"globex","#, 1);
    for (given, said) in [
        (text(&snapshot("t", 5, "x").raw), "not that snapshot"),
        (text(&finding("s", "pkg:npm/a", "CVE-1", "blocked").raw), "not that snapshot"),
        (foreign, "tenant `globex`"),
        ("{]".to_owned(), "not understood"),
    ] {
        server.put_snapshot("acme", "s", 5, &given);
        let error = engine.snapshot(&tenant(), "s").await.unwrap_err();
        assert!(!error.is_transient() && chain(&error).contains(said), "{}", chain(&error));
    }
    for id in ["", "..", "."] {
        assert!(engine.snapshot(&tenant(), id).await.is_err(), "`{id}` must not become a path");
    }
}

#[tokio::test]
async fn findings_that_cannot_be_had_are_not_no_findings() {
    let server = Server::start().await;
    let engine = engine(&server);
    assert_eq!(read(&engine).await.unwrap().reference.count, 0, "of no snapshot there are none");
    server.put_snapshot("acme", "s", 5, &text(&snapshot("s", 5, "x").raw));
    let error = read(&engine).await.unwrap_err();
    assert!(chain(&error).contains("status 404"), "{}", chain(&error));
}

#[test]
fn an_address_is_plain_http_without_credentials_or_parameters() {
    let settings = |base_url: &str| RemoteSettings {
        base_url: base_url.to_owned(),
        token_file: None,
        bearer: None,
        ca_file: None,
        timeout: std::time::Duration::from_secs(1),
    };
    assert!(HttpPolicyEngine::new(&settings("https://policy.example/api/")).is_ok());
    for bad in ["", "policy.example", "ftp://x", "https://u:p@x", "https://x?a=b", "https://x#f"] {
        let error = HttpPolicyEngine::new(&settings(bad)).unwrap_err();
        assert_eq!(error.to_string(), "the server's address is not usable", "{bad}");
    }
}
