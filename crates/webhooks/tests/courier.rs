//! What is sent, to whom it is not, and what becomes of receivers that lie.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use export_contract::{TenantId, Timestamp, WebhookId};
use export_webhooks::receiver::{Answer, Receiver};
use export_webhooks::{
    AddressRefused, AddressRules, Courier as _, HttpCourier, Lookup, Parcel, SealedSecretError, SecretKeeper, Sent,
    WebhookSecret,
};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const BODY: &str = "{\"type\":\"run.succeeded\"}";

/// A lookup that says what it is told to.
#[derive(Debug)]
struct Says(&'static str, u16);

#[async_trait]
impl Lookup for Says {
    async fn addresses(&self, _host: &str) -> io::Result<Vec<SocketAddr>> {
        let addresses = self.0.split(' ').filter(|address| !address.is_empty());
        Ok(addresses.map(|address| SocketAddr::new(address.parse().unwrap(), self.1)).collect())
    }
}

fn hosts(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Rules under which the receiver can be reached by its address and as `inside.example`.
fn open_rules() -> AddressRules {
    let both = hosts(&["127.0.0.1", "inside.example"]);
    AddressRules { allow_http_hosts: both.clone(), allow_private_hosts: both, offline: false }
}

fn keeper() -> Arc<SecretKeeper> {
    Arc::new(SecretKeeper::new(KEY).unwrap())
}

fn courier(rules: AddressRules, says: Says, timeout: Duration) -> HttpCourier {
    let _already_chosen = rustls::crypto::aws_lc_rs::default_provider().install_default();
    HttpCourier::new(rules, keeper(), Arc::new(says), timeout).unwrap()
}

fn names() -> (TenantId, WebhookId) {
    ("acme".parse().unwrap(), "hook".parse().unwrap())
}

async fn send(courier: &HttpCourier, url: &str) -> (Sent, String) {
    let (tenant, webhook) = names();
    let secret = WebhookSecret::random();
    let sealed = keeper().seal(&secret, "acme", "hook").unwrap();
    let at: Timestamp = "2026-05-01T12:00:00.25Z".parse().unwrap();
    let parcel =
        Parcel { tenant: &tenant, webhook: &webhook, url, sealed_secrets: &[&sealed], id: "msg_1", at, body: BODY };
    (courier.send(parcel).await, secret.shown())
}

const PATIENT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_message_is_signed_as_the_specification_says() {
    let receiver = Receiver::start([]).await;
    let courier = courier(open_rules(), Says("", 0), PATIENT);
    let (sent, secret) = send(&courier, &receiver.url()).await;
    assert!(sent.is_taken(), "{sent:?}");
    let [received] = receiver.received().try_into().unwrap();
    assert_eq!((received.line.as_str(), received.body.as_str()), ("POST /hook HTTP/1.1", BODY));
    assert_eq!((received.id(), received.header("webhook-timestamp")), ("msg_1", "1777636800"));
    assert_eq!(received.header("content-type"), "application/json");
    assert!(received.is_signed_by(&secret));
    assert!(!received.is_signed_by(&WebhookSecret::random().shown()));
}

#[tokio::test]
async fn what_a_lying_receiver_does_is_told() {
    let elsewhere = Receiver::start([]).await;
    let receiver = Receiver::start([
        Answer::status(500),
        Answer::Status(429, vec!["Retry-After: 7".to_owned()]),
        Answer::Status(302, vec![format!("Location: {}", elsewhere.url())]),
        Answer::Cut,
        Answer::status(410),
        Answer::Endless,
    ])
    .await;
    let courier = courier(open_rules(), Says("", 0), PATIENT);
    let mut told = Vec::new();
    for _ in 0..6 {
        told.push(send(&courier, &receiver.url()).await.0);
    }
    let [broken, busy, redirect, cut, gone, endless] = told.try_into().unwrap();
    assert_eq!((broken.status, broken.is_taken()), (Some(500), false));
    assert_eq!((busy.status, busy.retry_after), (Some(429), Some(Duration::from_secs(7))));
    assert_eq!((redirect.status, redirect.is_taken()), (Some(302), false));
    assert!(redirect.error.unwrap().contains("redirects are not followed"));
    assert_eq!((cut.status, cut.is_taken()), (None, false));
    assert!(cut.error.is_some());
    assert!(gone.is_gone() && !gone.is_taken());
    assert!(endless.is_taken(), "no more of an answer is read than its head: {endless:?}");
    assert_eq!(elsewhere.received().len(), 0);
}

#[tokio::test]
async fn a_receiver_that_says_nothing_is_not_waited_for() {
    let receiver = Receiver::start([Answer::Silence]).await;
    let courier = courier(open_rules(), Says("", 0), Duration::from_millis(200));
    let (sent, _) = send(&courier, &receiver.url()).await;
    assert_eq!((sent.status, sent.error.as_deref()), (None, Some("no answer within 0.2 s")));
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn an_address_that_is_not_public_is_not_connected_to_whatever_its_name() {
    let receiver = Receiver::start([]).await;
    let named = |host: &str| format!("http://{host}:{}/hook", receiver.port());
    let by_name =
        AddressRules { allow_http_hosts: hosts(&["outside.example", "127.0.0.1"]), ..AddressRules::default() };
    for says in ["127.0.0.1", "93.184.215.14 127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "10.1.2.3"] {
        let courier = courier(by_name.clone(), Says(says, 0), PATIENT);
        let (sent, _) = send(&courier, &named("outside.example")).await;
        let error = sent.error.unwrap();
        assert_eq!(sent.status, None, "{says}");
        assert!(error.contains("not at a public address"), "{says}: {error}");
        assert!(says.split(' ').all(|address| !error.contains(address)), "whoever asks learns no address: {error}");
    }
    // Nor by its number, in any spelling.
    let courier = courier(by_name, Says("127.0.0.1", 0), PATIENT);
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:7f00:1]"] {
        let (sent, _) = send(&courier, &named(host)).await;
        assert_eq!(sent.status, None, "{host}: {sent:?}");
    }
    assert_eq!(receiver.received().len(), 0);
}

#[tokio::test]
async fn a_host_that_is_allowed_is_connected_to_where_it_was_found() {
    let receiver = Receiver::start([]).await;
    let courier = courier(open_rules(), Says("127.0.0.1", 0), PATIENT);
    let (sent, _) = send(&courier, &format!("http://inside.example:{}/hook", receiver.port())).await;
    assert!(sent.is_taken(), "{sent:?}");
    let [received] = receiver.received().try_into().unwrap();
    assert_eq!(received.header("host"), format!("inside.example:{}", receiver.port()));
    let nowhere = self::courier(open_rules(), Says("", 0), PATIENT);
    let (sent, _) = send(&nowhere, "http://inside.example/").await;
    assert!(sent.error.unwrap().contains("has no address"));
}

#[test]
fn addresses_of_every_special_kind_are_told_from_public_ones() {
    let rules = AddressRules::default();
    for address in [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "127.9.9.9",
        "169.254.169.254",
        "172.31.0.1",
        "192.0.0.170",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:a00:1::1",
        "2002:7f00:1::1",
        "3fff::1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "4000::1",
    ] {
        let refused = rules.allows("h", address.parse().unwrap()).unwrap_err();
        assert!(matches!(refused, AddressRefused::Private { .. }), "{address}");
    }
    for address in [
        "93.184.215.14",
        "8.8.8.8",
        "100.128.0.1",
        "172.32.0.1",
        "198.20.0.1",
        "2606:4700::1111",
        "2001:4860::8888",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ] {
        assert_eq!(rules.allows("h", address.parse().unwrap()), Ok(()), "{address}");
    }
    let offline =
        AddressRules { offline: true, allow_private_hosts: ["h".to_owned()].into(), ..AddressRules::default() };
    assert!(matches!(offline.allows("h", "8.8.8.8".parse().unwrap()), Err(AddressRefused::Offline { .. })));
    assert_eq!(offline.allows("h", "10.0.0.1".parse().unwrap()), Ok(()));
    assert!(matches!(offline.allows("i", "10.0.0.1".parse().unwrap()), Err(AddressRefused::Private { .. })));
}

#[test]
fn an_address_that_nothing_would_ever_be_sent_to_is_refused_when_it_is_given() {
    let rules = AddressRules { allow_http_hosts: hosts(&["plain.example"]), ..AddressRules::default() };
    for good in ["https://hooks.example/export?x=1", "https://hooks.example:8443/", "http://plain.example/"] {
        assert_eq!(rules.check_url(good), Ok(()), "{good}");
    }
    for (bad, word) in [
        ("http://hooks.example/", "not reached over https"),
        ("https://u:p@hooks.example/", "user or password"),
        ("ftp://hooks.example/", "not an address"),
        ("file:///etc/passwd", "not an address"),
        ("hooks.example", "not an address"),
        ("https://127.0.0.1/", "not at a public address"),
        ("https://[::1]/", "not at a public address"),
        ("https://0177.0.0.1/", "not at a public address"),
        ("https://169.254.169.254/latest/meta-data", "not at a public address"),
    ] {
        let told = rules.check_url(bad).unwrap_err().to_string();
        assert!(told.contains(word), "{bad}: {told}");
    }
    assert!(rules.check_url(&format!("https://hooks.example/{}", "x".repeat(3_000))).is_err());
}

#[test]
fn a_secret_lies_encrypted_and_is_nobody_elses() {
    let secret = WebhookSecret::random();
    let sealed = keeper().seal(&secret, "acme", "hook").unwrap();
    assert!(secret.shown().starts_with("whsec_"));
    assert!(!sealed.contains(secret.shown().trim_start_matches("whsec_")));
    assert_ne!(sealed, keeper().seal(&secret, "acme", "hook").unwrap(), "no nonce comes twice");
    let opened = |keeper: &SecretKeeper, sealed: &str, tenant: &str, webhook: &str| {
        keeper.open(sealed, tenant, webhook).map(|secret| secret.shown())
    };
    assert_eq!(opened(&keeper(), &sealed, "acme", "hook"), Ok(secret.shown()));
    let other = SecretKeeper::new(&KEY.replace('0', "f")).unwrap();
    for refused in [
        opened(&keeper(), &sealed, "globex", "hook"),
        opened(&keeper(), &sealed, "acme", "other"),
        opened(&other, &sealed, "acme", "hook"),
        opened(&keeper(), &sealed.replacen("v1:", "v2:", 1), "acme", "hook"),
        opened(&keeper(), "v1:AAAA", "acme", "hook"),
    ] {
        assert_eq!(refused, Err(SealedSecretError::Open));
    }
    for bad in ["", "00", "zz", KEY.trim_start_matches("00")] {
        assert!(matches!(SecretKeeper::new(bad), Err(SealedSecretError::Key)), "{bad}");
    }
    assert!(!format!("{:?}", keeper()).contains("0001"));
}
