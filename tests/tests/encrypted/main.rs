//! Deployments in which every connection is encrypted, and what they do with those who do not play along.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod credentials;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use export_tests::{Bundle, Deployment, LOCAL_TENANT, Setup, heavy, light, output, programs};
use tokio::time::{Instant, sleep};

/// What a client of `host:port` is told by whoever answers there.
fn asked(address: &str, ca: &Path) -> String {
    let mut client = Command::new("openssl");
    client.args(["s_client", "-brief", "-verify_return_error", "-connect", address, "-CAfile"]).arg(ca);
    let said = client.stdin(std::process::Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&said.stderr).into_owned()
}

fn curl(arguments: &[&str]) -> std::process::Output {
    Command::new("curl").args(["-sS", "--max-time", "60"]).args(arguments).output().unwrap()
}

/// SHA-256 of the certificate that is served.
fn fingerprint(address: &str) -> String {
    let shell = format!(
        "openssl s_client -connect {address} </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256"
    );
    output(Command::new("sh").args(["-c", &shell])).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_well_where_every_connection_is_encrypted_and_nobody_gets_in_in_the_clear() {
    let _turn = heavy().await;
    let mut deployment = Deployment::start(Setup::encrypted(1)).await.unwrap();
    deployment.generate(LOCAL_TENANT, 1, 300).unwrap();
    let finished = deployment.run("json:raw").await.unwrap();
    finished.assert_once();
    let bundle = deployment.download(&finished).await.unwrap();
    assert_eq!(Bundle::digest(&bundle.tar()).unwrap(), finished.digest().to_string());

    let (server, ca) = (deployment.server().to_owned(), deployment.certificates().unwrap().ca());
    assert!(server.starts_with("https://"), "{server}");
    let address = server.trim_start_matches("https://");
    assert!(asked(address, &ca).contains("Verification: OK"), "{}", asked(address, &ca));
    let clear = curl(&[&format!("http://{address}/health/live")]);
    assert!(!clear.status.success(), "plain HTTP is answered");
    let stranger = curl(&[&format!("{server}/health/live")]);
    assert_eq!(stranger.status.code(), Some(60), "a certificate that nobody vouches for is taken");
    let trusted = curl(&["-D", "-", "--cacert", ca.to_str().unwrap(), &format!("{server}/health/live")]);
    let head = String::from_utf8_lossy(&trusted.stdout).to_lowercase();
    assert!(head.contains("200 ok") && head.contains("strict-transport-security: max-age="), "{head}");

    // A role without a certificate of its own is not let in by the broker, and says what it could not do.
    let settings = std::fs::read_to_string(deployment.folder().join("export.toml")).unwrap();
    let client = |line: &str| line.starts_with("certificate_file") || line.starts_with("key_file");
    let certificate = deployment.certificates().unwrap().certificate("client").display().to_string();
    let key = deployment.certificates().unwrap().key("client").display().to_string();
    let without: Vec<&str> = settings
        .lines()
        .filter(|line| !(client(line) && (line.contains(&certificate) || line.contains(&key))))
        .collect();
    assert_eq!(settings.lines().count(), without.len() + 2);
    let path = deployment.folder().join("uncertified.toml");
    std::fs::write(&path, without.join("\n")).unwrap();
    let refused = Command::new(&programs().unwrap().exportd).arg("plan").arg("--config").arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("cannot connect to NATS"), "{said}");
    deployment.stop_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_are_downloaded_whole_and_in_part_over_tls_and_a_new_certificate_is_served_without_a_stop() {
    let _turn = light().await;
    let setup = Setup { encrypted: true, ..Setup::together() };
    let mut deployment = Deployment::start(setup).await.unwrap();
    deployment.put_client("local", LOCAL_TENANT, &[]).unwrap();
    deployment.generate(LOCAL_TENANT, 1, 3_000).unwrap();
    let finished = deployment.run("json:raw").await.unwrap();
    let bundle = deployment.download(&finished).await.unwrap();
    assert_eq!(Bundle::digest(&bundle.tar()).unwrap(), finished.digest().to_string());
    let whole = std::fs::read(bundle.tar()).unwrap();

    // A link needs no token, so that curl can take it.
    let client = deployment.client().unwrap();
    let link = client.link(finished.run.id.as_str(), "bundle.tar", 600).await.unwrap();
    let link = link.url;
    let ca = deployment.certificates().unwrap().ca().display().to_string();
    let part = curl(&["--cacert", &ca, "-r", "1000-50999", &link]);
    assert_eq!(part.stdout, whole[1_000..51_000], "{}", String::from_utf8_lossy(&part.stderr));

    let address = deployment.server().trim_start_matches("https://").to_owned();
    let before = fingerprint(&address);
    deployment.certificates().unwrap().issue("server").unwrap();
    let until = Instant::now() + Duration::from_mins(1);
    while fingerprint(&address) == before {
        assert!(Instant::now() < until, "the old certificate is still served");
        sleep(Duration::from_millis(500)).await;
    }
    let again = curl(&["--cacert", &ca, &link]);
    assert_eq!(again.stdout, whole, "{}", String::from_utf8_lossy(&again.stderr));
    deployment.stop_all().await.unwrap();
}
