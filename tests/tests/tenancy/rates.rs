//! Request rates by the API.

use export_tests::{Api, Deployment, Setup, light};
use reqwest::{Method, StatusCode};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_has_its_burst_and_is_told_to_slow_down_and_nobody_else_is() {
    let _turn = light().await;
    let limits = "[limits]\nrequests_per_second = 1\nrequest_burst = 20\n";
    let deployment = Deployment::start_with(Setup::together(), "", limits).await.unwrap();
    let api = deployment.api().await.unwrap();
    let other = Api::login(&deployment.put_client("other", "demo", &[]).unwrap()).await.unwrap();
    let first = api.get("/api/export/profiles").await.unwrap();
    assert_eq!(first.headers()["ratelimit-policy"], "\"requests\";q=20;w=20");
    assert_eq!(first.headers()["ratelimit"], "\"requests\";r=19;t=1");
    let answers = futures::future::join_all((0..100).map(|_| api.get("/api/export/profiles"))).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let good = answers.iter().filter(|answer| answer.status() == StatusCode::OK).count();
    assert!(good >= 19, "{good} of the burst");
    let refused = answers.into_iter().find(|answer| answer.status() == StatusCode::TOO_MANY_REQUESTS);
    let refused = refused.expect("a hundred requests at once are too many");
    assert_eq!(refused.headers()["retry-after"], "1");
    assert!(refused.headers()["ratelimit"].to_str().unwrap().starts_with("\"requests\";r=0;t="));
    assert_eq!(refused.headers()["x-content-type-options"], "nosniff");
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "ERR_EXPORT_QUOTA");
    // Another client of the same tenant, and what nobody logs in for.
    assert_eq!(other.get("/api/export/profiles").await.unwrap().status(), StatusCode::OK);
    let health = api.anonymous(Method::GET, "/health/live").send().await.unwrap();
    assert_eq!(health.status(), StatusCode::OK);
    assert!(!health.headers().contains_key("ratelimit"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_is_not_listened_to_for_a_while() {
    let _turn = light().await;
    let limits = "[limits]\nfailures_per_second = 1\nfailure_burst = 5\n";
    let deployment = Deployment::start_with(Setup::together(), "", limits).await.unwrap();
    let api = deployment.api().await.unwrap();
    // Without credentials nothing is guessed.
    for _ in 0..20 {
        let answer = api.anonymous(Method::GET, "/api/export/runs").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    let guess = || async {
        let request = api.anonymous(Method::GET, "/api/export/runs").bearer_auth("not.a.token");
        request.send().await.unwrap()
    };
    let answers = futures::future::join_all((0..100).map(|_| guess())).await;
    let wrong = answers.iter().filter(|answer| answer.status() == StatusCode::UNAUTHORIZED).count();
    assert!(wrong >= 5, "{wrong}");
    let refused = answers.into_iter().find(|answer| answer.status() == StatusCode::TOO_MANY_REQUESTS);
    let refused = refused.expect("a hundred guesses at once are too many");
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "ERR_EXPORT_QUOTA");
}
