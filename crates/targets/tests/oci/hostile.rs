//! Registries that lie.

use std::time::Duration;

use export_contract::profile::DistributionKind;
use export_pipeline::{Judged as _, Verdict};
use export_targets::liar::{Liar, Lie};
use export_targets::oci::{OciRegistry, OciTarget};
use export_targets::registries::{PASSWORD, Program, USER};
use export_targets::suite::Bench;
use export_targets::{Target as _, TargetError};

use crate::peer::Pushed;

fn told(status: u16, headers: &[(&str, String)], body: &str) -> Lie {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Lie::Answer { status, headers, body: body.as_bytes().to_vec() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_reports_other_digests_is_not_believed() {
    let bench = Bench::new(DistributionKind::Oci).await;
    let other = format!("sha256:{}", "ab".repeat(32));
    let digest = |value: &str| Lie::Header { name: "docker-content-digest", value: Some(value.to_owned()) };
    for program in Program::ALL {
        let Some(pushed) = Pushed::start(program).await else { continue };
        for (method, path, lie) in [
            ("HEAD", "/blobs/", told(200, &[("docker-content-digest", other.clone())], "")),
            ("HEAD", "/blobs/", told(200, &[], "longer than any of them")),
            ("PUT", "/blobs/uploads/", digest(&other)),
            ("PUT", "/manifests/", digest(&other)),
            ("GET", "/manifests/sha256:", told(200, &[], "{}")),
        ] {
            pushed.liar.lie(method, path, 1, lie.clone());
            let error = bench.run().await.over(&pushed.target()).await.unwrap_err();
            assert!(matches!(error, TargetError::Differs { .. }), "{method} {path} {lie:?}: {error:?}");
            assert!(pushed.tags().await.is_empty(), "{method} {path} {lie:?}");
            pushed.liar.be_honest();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tired_registry_is_left_alone_for_as_long_as_it_asks() {
    let Some(pushed) = Pushed::start(Program::OciRegistry).await else { return };
    let bench = Bench::new(DistributionKind::Oci).await;
    for (method, path) in [("HEAD", "/blobs/"), ("POST", "/blobs/"), ("PATCH", "/blobs/"), ("PUT", "/manifests/")] {
        pushed.liar.lie(method, path, 1, Lie::busy(70));
        let error = bench.run_of(10).await.over(&pushed.target()).await.unwrap_err();
        let after = Some(Duration::from_secs(70));
        assert_eq!(error.verdict(), Verdict::Redeliver { after }, "{method} {path}: {error:?}");
        pushed.liar.lie(method, path, 1, Lie::status(502));
        pushed.liar.lie("PATCH", "/blobs/", usize::from(method == "PATCH") * 9, Lie::status(502));
        pushed.liar.lie("GET", "/blobs/uploads/", usize::from(method == "PATCH") * 9, Lie::status(502));
        let error = bench.run_of(10).await.over(&pushed.target()).await.unwrap_err();
        assert_eq!(error.verdict(), Verdict::Redeliver { after: None }, "{method} {path}: {error:?}");
        pushed.liar.be_honest();
    }
    // Nobody waits for ever because a registry says so.
    pushed.liar.lie("HEAD", "/blobs/", 1, Lie::busy(u32::MAX));
    let error = bench.run_of(10).await.over(&pushed.target()).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Redeliver { after: Some(Duration::from_hours(1)) });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_fails_the_run_and_says_what_the_registry_said() {
    let Some(pushed) = Pushed::start(Program::OciRegistry).await else { return };
    let bench = Bench::new(DistributionKind::Oci).await;
    for (status, code) in [(403, "DENIED"), (404, "NAME_UNKNOWN"), (413, "SIZE_INVALID")] {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"not\n\u001b[31m here"}}]}}"#);
        pushed.liar.lie("POST", "/blobs/uploads/", 1, told(status, &[], &body));
        let error = bench.run_of(10).await.over(&pushed.target()).await.unwrap_err();
        let TargetError::Refused { cause, .. } = &error else { panic!("{error:?}") };
        let cause = cause.to_string();
        assert!(cause.contains(&status.to_string()) && cause.contains(code), "{cause}");
        assert!(!cause.contains(char::is_control), "{cause:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_another_host_least_of_all_credentials() {
    let Some(pushed) = Pushed::start(Program::OciRegistry).await else { return };
    let elsewhere = Liar::alone().await;
    // Another host by name; it listens on this machine like everything here.
    let other = format!("http://localhost:{}", elsewhere.address().rsplit(':').next().unwrap());
    let known = OciRegistry { user: USER.to_owned(), password: PASSWORD.to_owned(), ..pushed.settings() };
    let target = OciTarget::new(vec![known]).unwrap();
    let bench = Bench::new(DistributionKind::Oci).await;
    let accepted = |place: String| told(202, &[("location", place)], "");
    let realm = format!(r#"Bearer realm="{other}/token",service="s""#);
    let next = format!("<{other}/v2/tags>; rel=\"next\"");
    for (method, path, lie) in [
        ("POST", "/blobs/uploads/", Lie::redirect(307, format!("{other}/upload"))),
        ("POST", "/blobs/uploads/", accepted(format!("{other}/upload"))),
        ("PATCH", "/blobs/uploads/", accepted(format!("{other}/upload"))),
        ("PATCH", "/blobs/uploads/", Lie::redirect(308, format!("{other}/upload"))),
        ("PUT", "/blobs/uploads/", Lie::redirect(307, format!("{other}/upload"))),
        ("GET", "/manifests/", Lie::redirect(302, format!("{other}/manifest"))),
        ("PUT", "/manifests/", Lie::redirect(307, format!("{other}/manifest"))),
        ("GET", "/tags/list", told(200, &[("link", next)], "{\"tags\":[]}")),
        ("HEAD", "/blobs/", told(401, &[("www-authenticate", realm)], "")),
    ] {
        pushed.liar.lie(method, path, 1, lie.clone());
        let error = bench.run_of(10).await.over(&target).await.unwrap_err();
        assert!(matches!(error, TargetError::Refused { .. }), "{method} {path} {lie:?}: {error:?}");
        pushed.liar.be_honest();
    }
    assert_eq!(elsewhere.heard(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_fetched_once_with_the_password_and_is_all_that_the_registry_sees() {
    let Some(pushed) = Pushed::start(Program::OciRegistry).await else { return };
    let known = OciRegistry { user: USER.to_owned(), password: PASSWORD.to_owned(), ..pushed.settings() };
    let target = OciTarget::new(vec![known]).unwrap();
    let realm = format!(r#"Bearer realm="http://{}/token",service="a registry""#, pushed.liar.address());
    pushed.liar.lie("HEAD", "/blobs/", 1, told(401, &[("www-authenticate", realm)], ""));
    pushed.liar.lie("GET", "/token", 1, told(200, &[], r#"{"token":"secret-token"}"#));
    let handed = Bench::new(DistributionKind::Oci).await.run_of(10).await;
    handed.over(&target).await.unwrap();
    let heard = pushed.liar.heard();
    assert!(!heard[0].credentials && heard[1].path.starts_with("/token?"), "{:?}", &heard[..2]);
    assert!(heard[1].path.contains("scope=repository%3Aexports%2Facme%2Fjson-raw%3Apull%2Cpush"), "{}", heard[1].path);
    assert!(heard[1].path.contains("service=a+registry"), "{}", heard[1].path);
    assert!(heard[1..].iter().all(|heard| heard.credentials));
    assert_eq!(heard.iter().filter(|heard| heard.path.starts_with("/token")).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ran_out_on_the_way_is_fetched_again() {
    let Some(pushed) = Pushed::start(Program::OciRegistry).await else { return };
    let known = OciRegistry { user: USER.to_owned(), password: PASSWORD.to_owned(), ..pushed.settings() };
    let target = OciTarget::new(vec![known]).unwrap();
    let realm = format!(r#"Bearer realm="http://{}/token""#, pushed.liar.address());
    let asks = told(401, &[("www-authenticate", realm)], "");
    for (method, path) in [("HEAD", "/blobs/"), ("PATCH", "/blobs/"), ("PUT", "/manifests/")] {
        pushed.liar.lie(method, path, 1, asks.clone());
    }
    pushed.liar.lie("GET", "/token", 3, told(200, &[], r#"{"access_token":"secret-token"}"#));
    Bench::new(DistributionKind::Oci).await.run_of(10).await.over(&target).await.unwrap();
    assert_eq!(pushed.liar.heard().iter().filter(|heard| heard.path.starts_with("/token")).count(), 3);
    // A registry that asks for ever is refused.
    pushed.liar.lie("HEAD", "/blobs/", 2, asks);
    pushed.liar.lie("GET", "/token", 1, told(200, &[], r#"{"token":"secret-token"}"#));
    let error = Bench::new(DistributionKind::Oci).await.run_of(10).await.over(&target).await.unwrap_err();
    assert!(matches!(error, TargetError::Refused { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_an_end_are_not_read_to_it() {
    let Some(pushed) = Pushed::start(Program::OciRegistry).await else { return };
    let bench = Bench::new(DistributionKind::Oci).await;
    let endless = |status| Lie::Endless { status, headers: Vec::new() };
    let realm = format!(r#"Bearer realm="http://{}/token""#, pushed.liar.address());
    for (method, path, lie) in [
        ("GET", "/manifests/", endless(200)),
        ("GET", "/tags/list", endless(200)),
        ("POST", "/blobs/uploads/", endless(400)),
        ("HEAD", "/blobs/", told(401, &[("www-authenticate", realm)], "")),
    ] {
        pushed.liar.lie(method, path, 1, lie.clone());
        pushed.liar.lie("GET", "/token", 1, endless(200));
        let error = bench.run_of(10).await.over(&pushed.target()).await.unwrap_err();
        assert!(matches!(error, TargetError::Refused { .. }), "{method} {path} {lie:?}: {error:?}");
        pushed.liar.be_honest();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_does_not_wait_for_a_registry_that_says_nothing() {
    let Some(pushed) = Pushed::start(Program::OciRegistry).await else { return };
    let handed = Bench::new(DistributionKind::Oci).await.run_of(10).await;
    pushed.liar.lie("POST", "/blobs/uploads/", 1, Lie::Silence);
    let target = pushed.target();
    let cancelled = async {
        pushed.liar.is_silent().await;
        handed.cancel();
    };
    let (outcome, ()) = tokio::join!(handed.over(&target), cancelled);
    assert!(matches!(outcome, Err(TargetError::Cancelled(_))), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_is_as_careful_as_a_push() {
    let Some(pushed) = Pushed::start(Program::OciRegistry).await else { return };
    let target = pushed.target();
    let handed = Bench::new(DistributionKind::Oci).await.run_of(10).await;
    let place = handed.over(&target).await.unwrap();
    pushed.liar.lie("DELETE", "/manifests/", 1, Lie::busy(9));
    let error = target.remove(handed.run(), &place).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Redeliver { after: Some(Duration::from_secs(9)) });
    pushed.liar.lie("DELETE", "/manifests/", 1, Lie::status(403));
    let error = target.remove(handed.run(), &place).await.unwrap_err();
    assert!(matches!(error, TargetError::Refused { .. }), "{error:?}");
    target.remove(handed.run(), &place).await.unwrap();
    assert!(pushed.tags().await.is_empty());
}
