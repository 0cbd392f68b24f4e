//! The proxy that lies: what it passes on is what it got, and each lie is told as often as it was asked for.

#![allow(clippy::unwrap_used, reason = "tests")]

use export_targets::liar::{Liar, Lie};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn say(liar: &Liar, request: &str) -> String {
    let mut caller = TcpStream::connect(liar.address()).await.unwrap();
    caller.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // What was cut off is told by its end, not by an error.
    drop(caller.read_to_string(&mut answer).await);
    answer
}

#[tokio::test]
async fn what_is_not_lied_about_is_passed_on_and_counted() {
    let peer = Liar::alone().await;
    peer.lie(
        "PUT",
        "/there",
        4,
        Lie::Answer { status: 201, headers: vec![("digest".into(), "a".into())], body: b"0123456789".to_vec() },
    );
    let liar = Liar::before(peer.address().to_owned()).await;
    liar.lie("PUT", "/there", 1, Lie::busy(7));
    liar.lie("PUT", "/there", 1, Lie::Header { name: "digest", value: Some("b".to_owned()) });
    liar.lie("PUT", "/there", 1, Lie::CutAnswer(4));
    liar.lie("PUT", "/there", 1, Lie::LostAnswer);
    let request = "PUT /there?x HTTP/1.1\r\nhost: a\r\nauthorization: secret\r\ncontent-length: 5\r\n\r\nhello";
    assert!(say(&liar, request).await.starts_with("HTTP/1.1 429 Told\r\nretry-after: 7\r\n"));
    assert!(peer.heard().is_empty(), "the peer heard of it");
    let other = say(&liar, request).await;
    assert!(other.contains("digest: b\r\n") && !other.contains("digest: a") && other.ends_with("\r\n\r\n0123456789"));
    assert!(say(&liar, request).await.ends_with("\r\n\r\n0123"));
    assert_eq!(say(&liar, request).await, "");
    let chunked =
        "PUT /there HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let honest = say(&liar, chunked).await;
    assert!(honest.contains("digest: a\r\n") && honest.ends_with("\r\n\r\n0123456789"), "{honest}");
    let nobody = say(&liar, "GET /elsewhere HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(nobody.starts_with("HTTP/1.1 404"), "{nobody}");
    let credentials: Vec<bool> = peer.heard().iter().map(|heard| heard.credentials).collect();
    assert_eq!(credentials, [true, true, true, false, false]);
    assert_eq!(peer.heard().iter().map(|heard| heard.bytes).collect::<Vec<_>>(), [5, 5, 5, 5, 0]);
    assert_eq!((liar.taken(), liar.heard().iter().filter(|heard| heard.lied_to).count()), (25, 4));
}

#[tokio::test]
async fn a_request_that_is_cut_is_cut_for_the_peer_too() {
    let peer = Liar::alone().await;
    let liar = Liar::before(peer.address().to_owned()).await;
    liar.lie("PATCH", "/", 1, Lie::HangUp(3));
    // One that ends before is passed on.
    let short = say(&liar, "PATCH /blob HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nhel").await;
    assert!(short.starts_with("HTTP/1.1 404"), "{short}");
    assert_eq!(say(&liar, "PATCH /blob HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello").await, "");
    assert_eq!(liar.taken(), 6);
}
