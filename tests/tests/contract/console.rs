//! The console in a real browser, as a person uses it: what may not be reached, what is shown of it, and that all of it works.

use export_tests::{
    Deployment, LOCAL_TENANT, Setup, free_port, heavy, is_left_out, light, output, programs, python, tool, workspace,
};
use reqwest::{Method, StatusCode};
use serde_json::json;

fn is_absent() -> bool {
    let mut command = python();
    let without = ["chromium", "playwright"].into_iter().any(is_left_out);
    let module = output(command.args(["-c", "import playwright"]));
    let browser = output(std::process::Command::new(tool("chromium")).arg("--version"));
    let absent = without || module.is_err() || browser.is_err();
    assert!(!absent || without, "playwright or chromium is not installed; `make tools` installs them");
    absent
}

/// Slow enough for a person to see it at work, and one at a time, so that a second run waits for its turn.
const RECORDS: u64 = 12_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_console_does_in_a_browser_what_people_do_and_asks_nobody_but_its_gateway() {
    if is_absent() {
        return;
    }
    let _turn = heavy().await;
    // With nonces every request is one that is asked to come again at first.
    let elsewhere = format!("http://127.0.0.1:{}", free_port().unwrap());
    let sections = format!(
        "[authority]\nrequire_nonce = true\n\n[limits]\nactive_runs = 1\n\n[console]\nauthorities = [{elsewhere:?}]\n"
    );
    let deployment = Deployment::start_with(Setup::together(), "", &sections).await.unwrap();
    deployment.import(&[&workspace().join("samples").canonicalize().unwrap()]).unwrap();
    deployment.generate(LOCAL_TENANT, 3, RECORDS).unwrap();
    let reader = deployment.put_client("reader", LOCAL_TENANT, &["export:read"]).unwrap();
    let both = deployment.folder().join("both.credentials.json");
    let arguments = ["client", "put", "both", "--tenant", LOCAL_TENANT, "--tenant", "other", "--server"];
    let out = ["--out", both.to_str().unwrap()];
    deployment.exportd(&[&arguments[..], &[deployment.server()], &out].concat()).unwrap();
    let settings = json!({
        "server": deployment.server(),
        "credentials": deployment.data().join("credentials.json"),
        "reader": reader,
        "both": both,
        "elsewhere": elsewhere,
        "key": deployment.data().join("keys/cosign.pub"),
        "exportctl": programs().unwrap().exportctl,
        "folder": deployment.folder(),
    });
    let mut command = python();
    command.arg(workspace().join("tests/judges/console")).env("EXPORT_CONSOLE", settings.to_string());
    let told = output(command.current_dir(deployment.folder())).unwrap_or_else(|error| panic!("{error:#}"));
    eprintln!("{told}");
    assert!(told.lines().count() >= 16, "stories are missing:\n{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_told_so_serves_no_console() {
    let _turn = light().await;
    let sections = "[console]\nenabled = false\n";
    let deployment = Deployment::start_with(Setup::together(), "", sections).await.unwrap();
    let api = deployment.api().await.unwrap();
    for path in ["/", "/console/app.js"] {
        let answer = api.anonymous(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(answer.text().await.unwrap().contains("console.enabled"), "{path}");
    }
    assert_eq!(api.get("/api/export/runs").await.unwrap().status(), 200);
}
