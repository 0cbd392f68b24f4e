//! Who may pull what.

use export_tests::{Deployment, LOCAL_TENANT, Setup, light};
use reqwest::{Method, StatusCode};

use crate::caller::{Caller, identity, refusal};

#[tokio::test(flavor = "multi_thread")]
async fn no_tenant_sees_what_is_anothers_and_anybody_sees_only_what_is_granted() {
    let _turn = light().await;
    let setup = Setup { anonymous: &["open"], ..Setup::together() };
    let deployment = Deployment::start(setup).await.unwrap();
    deployment.generate(LOCAL_TENANT, 1, 20).unwrap();
    let own = identity(&deployment, "scanner", LOCAL_TENANT, &["export:download"]);
    let rival = identity(&deployment, "rival", "rival", &[]);
    let reader = identity(&deployment, "reader", LOCAL_TENANT, &["export:read"]);
    let made = deployment.run("json-raw").await.unwrap();
    let caller = Caller::new(&deployment);
    let scope = Some("repository:demo/json-raw:pull");
    let latest = "/v2/demo/json-raw/manifests/latest";

    // Whoever comes without a token is told where to fetch one, whatever there is.
    for path in ["/v2/", latest, "/v2/demo/nothing/tags/list", "/v2/nobody/json-raw/tags/list"] {
        let answer = caller.get(path).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        let challenge = answer.headers()["www-authenticate"].to_str().unwrap().to_owned();
        let expected = format!("Bearer realm=\"{}/v2/token\",service=\"export-center\"", deployment.server());
        assert!(challenge.starts_with(&expected), "{challenge}");
        if path == latest {
            assert!(challenge.ends_with(",scope=\"repository:demo/json-raw:pull\""), "{challenge}");
        }
    }

    let mine = caller.login(Some(&own), scope).await;
    let manifest = mine.json(latest).await;
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    assert_eq!(layer, made.digest().as_str());
    // A login has no scope; a token of the API does as well; one for pulling does nothing else.
    mine.bearing(None).login(Some(&own), None).await.json("/v2/").await;
    let api = deployment.api().await.unwrap();
    assert_eq!(api.get(latest).await.unwrap().status(), StatusCode::OK);
    assert_eq!(mine.get("/api/export/runs").await.status(), StatusCode::UNAUTHORIZED);

    // The rival asks for ours, and for what is nobody's: the same answer, never 403.
    let theirs = caller.login(Some(&rival), scope).await;
    let unknown = (404, "NAME_UNKNOWN".to_owned());
    for path in [
        latest.to_owned(),
        format!("/v2/demo/json-raw/manifests/{}", made.run.id),
        format!("/v2/demo/json-raw/blobs/{layer}"),
        format!("/v2/demo/json-raw/referrers/{layer}"),
        "/v2/demo/json-raw/tags/list".to_owned(),
        "/v2/nobody/json-raw/tags/list".to_owned(),
        // Theirs, but there is nothing in it.
        "/v2/rival/json-raw/tags/list".to_owned(),
    ] {
        assert_eq!(theirs.refused(Method::GET, &path).await, unknown, "{path}");
    }
    // A blob of ours is none of theirs, by whatever path.
    assert_eq!(theirs.refused(Method::GET, &format!("/v2/rival/json-raw/blobs/{layer}")).await, unknown);

    // Anybody: only for the tenant that is granted.
    assert_eq!(refusal(caller.ask_token(None, scope).await).await, (401, "UNAUTHORIZED".to_owned()));
    let anybody = caller.login(None, Some("repository:open/json-raw:pull")).await;
    assert_eq!(anybody.refused(Method::GET, latest).await, unknown);
    assert_eq!(anybody.refused(Method::GET, "/v2/open/json-raw/tags/list").await, unknown);

    // Bad secrets, missing scopes, tokens of nobody.
    let guess = crate::caller::Identity { secret: "guess".to_owned(), ..own.clone() };
    assert_eq!(refusal(caller.ask_token(Some(&guess), scope).await).await, (401, "UNAUTHORIZED".to_owned()));
    assert_eq!(refusal(caller.ask_token(Some(&reader), scope).await).await, (403, "DENIED".to_owned()));
    let forged = caller.bearing(Some("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.e30.".to_owned()));
    let answer = forged.get(latest).await;
    assert!(answer.headers()["www-authenticate"].to_str().unwrap().ends_with("error=\"invalid_token\""));
    assert_eq!(refusal(answer).await, (401, "UNAUTHORIZED".to_owned()));
}
