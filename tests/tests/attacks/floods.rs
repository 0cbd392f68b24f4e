//! Requests that are too large, too slow or too many.

use std::time::Duration;

use export_client::ProofKey;
use export_tests::{Api, Deployment, LOCAL_TENANT, Roles, Setup, heavy, light, peak_kib, start};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::rows::{Row, assert_refused};

const RUNS: &str = "/api/export/runs";

/// A request in plain bytes, without the blank line at its end.
fn head(api: &Api, method: &Method, path: &str, more: &str) -> String {
    let host = api.address("").trim_start_matches("http://").to_owned();
    let (token, proof) = (api.token(), api.proof(method, path));
    format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: DPoP {token}\r\ndpop: {proof}\r\n{more}")
}

async fn connect(api: &Api) -> TcpStream {
    TcpStream::connect(api.address("").trim_start_matches("http://")).await.unwrap()
}

/// Everything until the server hangs up, which it must do in time.
async fn until_closed(mut connection: TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection that is reset is over as well.
    let read = timeout(Duration::from_mins(2), connection.read_to_end(&mut answer)).await;
    drop(read.expect("the server never hung up"));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_packed_is_refused_and_what_is_slow_is_cut() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    let api = deployment.api().await.unwrap();
    let post = || api.request(Method::POST, RUNS).header("content-type", "application/json");
    // 1 GiB of zeros begins like this; nothing unpacks it.
    let bomb: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    let media = (415, "ERR_EXPORT_UNSUPPORTED_MEDIA");
    let mut rows: Vec<Row> = ["gzip", "br", "zstd", "deflate", "gzip, identity", "x"]
        .into_iter()
        .map(|coding| Row::new(coding, post().header("content-encoding", coding).body(bomb), media, "Content-Encoding"))
        .collect();
    let large = (413, "ERR_EXPORT_BODY_TOO_LARGE");
    rows.push(Row::new("2 MiB", post().body(vec![b' '; 2 << 20]), large, "larger than"));
    assert_refused(rows).await;
    heads(&api).await;
    slow(&api).await;
    assert_eq!(api.get(RUNS).await.unwrap().status(), 200, "and it still answers");
}

async fn heads(api: &Api) {
    let many = (0..2_000).map(|number| format!("x-{number}: y\r\n")).collect::<String>();
    let long = format!("x: {}\r\n", "y".repeat(1 << 20));
    let path = format!("/{}", "a".repeat(100_000));
    let request = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n{more}\r\n");
    for (name, text) in [
        ("2,000 headers", request(RUNS, &many)),
        ("a header of 1 MiB", request(RUNS, &long)),
        ("a path of 100 kB", request(&path, "")),
        ("no HTTP", "\u{16}\u{3}\u{1} hello\r\n\r\n".to_owned()),
        ("two lengths", request(RUNS, "content-length: 1\r\ncontent-length: 2\r\n")),
    ] {
        let mut connection = connect(api).await;
        // The server may hang up before all is sent.
        drop(connection.write_all(text.as_bytes()).await);
        let answer = until_closed(connection).await;
        let status = answer.split(' ').nth(1).unwrap_or("closed");
        assert!(["closed", "400", "414", "431"].contains(&status), "{name}: {answer}");
    }
}

/// Whoever sends a byte now and then is cut: heads after 15 s, bodies after 30 s.
async fn slow(api: &Api) {
    let mut quiet = connect(api).await;
    quiet.write_all(b"GET /api/export/runs HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut stuck = connect(api).await;
    let more = "content-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"profileId\":";
    stuck.write_all(head(api, &Method::POST, RUNS, more).as_bytes()).await.unwrap();
    let mut pieces = connect(api).await;
    let more = "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n";
    pieces.write_all(head(api, &Method::POST, RUNS, more).as_bytes()).await.unwrap();
    let (quiet, stuck, pieces) = tokio::join!(until_closed(quiet), until_closed(stuck), until_closed(pieces));
    assert!(quiet.is_empty() || quiet.starts_with("HTTP/1.1 408"), "{quiet}");
    for answer in [stuck, pieces] {
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("ERR_EXPORT_REQUEST_TIMEOUT"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_secrets_is_held_and_others_are_not() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    let api = deployment.api().await.unwrap();
    let rival = deployment.put_client("rival", "rival", &[]).unwrap();
    let guess = async |client: &str, secret: &str| {
        let proof = api.key().proof("POST", &api.address("/authority/token"), None, None).unwrap();
        let body = format!("grant_type=client_credentials&client_id={client}&client_secret={secret}");
        let request = api.anonymous(Method::POST, "/authority/token").header("dpop", proof);
        let answer = request.body(body).send().await.unwrap();
        let wait = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().parse::<u64>().unwrap());
        let status = answer.status().as_u16();
        (status, wait, answer.json::<Value>().await.unwrap()["error"].as_str().map(str::to_owned))
    };
    // Over both ways to a secret they count as one.
    let basic = async |secret: &str| {
        let request = api.anonymous(Method::GET, "/v2/token").basic_auth("local", Some(secret));
        request.send().await.unwrap().status().as_u16()
    };
    for number in 0..10 {
        let refused = guess("local", &format!("guess-{number}")).await;
        assert_eq!((refused.0, refused.2.as_deref()), (401, Some("invalid_client")));
        assert_eq!(basic("guess").await, 401);
    }
    let (status, wait, error) = guess("local", "guess").await;
    assert_eq!((status, error.as_deref()), (429, Some("temporarily_unavailable")));
    assert!((1..=61).contains(&wait.unwrap()));
    assert_eq!(basic("guess").await, 429);
    let vex = format!("/vex/{LOCAL_TENANT}/json-raw/.well-known/vex-repository.json");
    let vex = api.anonymous(Method::GET, &vex).basic_auth("local", Some("guess"));
    assert_refused(vec![Row::new("at the VEX repository", vex, (429, "ERR_EXPORT_QUOTA"), "try again in")]).await;
    // Also with the right secret: else a guess could be told from a hit.
    assert!(deployment.api().await.unwrap_err().to_string().contains("429"));
    Api::login(&rival).await.unwrap();
    assert_eq!(api.get(RUNS).await.unwrap().status(), 200, "tokens that are there stay good");
}

/// Ten thousand followers that never read: so many as are allowed get a place, the others a clear answer, and memory has its bounds.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_followers_take_the_places_there_are_and_no_more() {
    const FOLLOWERS: usize = 10_000;
    const PLACES: usize = 200;
    let _turn = heavy().await;
    // Without adapt the run never ends.
    let setup = Setup { roles: Roles::Apart { adapt: 0 }, ..Setup::together() };
    let deployment =
        Deployment::start_with(setup, "", &format!("[limits]\nevent_streams = {PLACES}\nrequest_burst = 100000\n"))
            .await
            .unwrap();
    deployment.generate(LOCAL_TENANT, 1, 50).unwrap();
    let run = start(&deployment.client().unwrap(), "json-raw").await.unwrap();
    let api = deployment.api().await.unwrap();
    let path = format!("{RUNS}/{}/events", run.id);
    let mut following = tokio::task::JoinSet::new();
    let mut held = Vec::new();
    let (mut places, mut turned_away) = (0, 0);
    for number in 0..FOLLOWERS {
        let api = api.clone();
        let path = path.clone();
        following.spawn(async move {
            let mut connection = connect(&api).await;
            connection.write_all(head(&api, &Method::GET, &path, "\r\n").as_bytes()).await.unwrap();
            let mut start = vec![0; 512];
            let read = timeout(Duration::from_mins(1), connection.read(&mut start)).await.unwrap().unwrap();
            (String::from_utf8_lossy(&start[..read]).into_owned(), connection)
        });
        // Sockets stay open, answers are waited for a hundred at a time: the test's own machine is not the one to be tested.
        if following.len() == 100 || number + 1 == FOLLOWERS {
            while let Some(followed) = following.join_next().await {
                let (answer, connection) = followed.unwrap();
                match answer.split(' ').nth(1) {
                    Some("200") => places += 1,
                    Some("503") => {
                        assert!(answer.to_lowercase().contains("retry-after: "), "{answer}");
                        turned_away += 1;
                    }
                    _ => panic!("{answer}"),
                }
                held.push(connection);
            }
        }
    }
    assert_eq!((places, turned_away), (PLACES, FOLLOWERS - PLACES));
    assert_eq!(held.len(), FOLLOWERS);
    let peak = peak_kib(deployment.pid("gateway").unwrap()).unwrap();
    assert!(peak < 512 << 10, "{peak} KiB");
    assert_eq!(api.get(RUNS).await.unwrap().status(), 200, "others are served");
    // Whoever leaves makes room.
    drop(held);
    loop {
        let answer = api.get(&path).await.unwrap();
        if answer.status() == 200 {
            break;
        }
        assert_eq!(answer.status(), 503);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Keys are free to make: a proof of any of them for a token of another is nothing, however many come.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_proofs_by_strange_keys_takes_no_place_in_the_register() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    let api = deployment.api().await.unwrap();
    let mut rows = Vec::new();
    for number in 0..200 {
        let key = ProofKey::generate().unwrap();
        let proof = key.proof("GET", &api.address(RUNS), Some(api.token()), None).unwrap();
        let request = api.anonymous(Method::GET, RUNS).header("authorization", format!("DPoP {}", api.token()));
        let refused = crate::rows::UNAUTHENTICATED;
        rows.push(Row::new(format!("key {number}"), request.header("dpop", proof), refused, "another key"));
    }
    assert_refused(rows).await;
    let answer = api.request(Method::POST, RUNS).json(&json!({})).send().await.unwrap();
    assert_eq!(answer.status(), 400);
}
