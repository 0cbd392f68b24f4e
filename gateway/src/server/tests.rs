use std::io::Write as _;
use std::sync::Arc;

use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use warp::Filter as _;
use warp::reply::Response;

use super::{FileBody, serve};

/// Bytes that tell where they are.
fn content(seed: u8, length: u32) -> Vec<u8> {
    (0..length).flat_map(|at| (at ^ u32::from(seed)).to_le_bytes()).collect()
}

fn file(bytes: &[u8]) -> Arc<NamedTempFile> {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    Arc::new(file)
}

fn answer(file: &NamedTempFile, range: std::ops::Range<u64>) -> Response {
    let mut response = Response::new(bytes::Bytes::new().into());
    let length = (range.end - range.start).to_string();
    response.headers_mut().insert("content-length", length.parse().unwrap());
    response.extensions_mut().insert(FileBody::new(file.reopen().unwrap(), range));
    response
}

/// Answers of one connection to requests that were all sent before the first was read.
async fn bodies(requests: &[&str], routes: impl Fn(&str) -> Response + Clone + Send + Sync + 'static) -> Vec<Vec<u8>> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let filter = warp::path::full().map(move |path: warp::path::FullPath| routes(path.as_str()));
    let serving = tokio::spawn(serve(listener, None, filter, stop.clone()));
    let mut socket = TcpStream::connect(address).await.unwrap();
    for request in requests {
        socket.write_all(format!("GET {request} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    }
    let mut bodies = Vec::new();
    for _ in requests {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap().split('\r').next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        socket.read_exact(&mut body).await.unwrap();
        bodies.push(body);
    }
    drop(socket);
    stop.cancel();
    serving.await.unwrap();
    bodies
}

#[tokio::test]
async fn parts_of_files_and_plain_answers_of_one_connection_come_in_their_order() {
    let (first, second) = (content(0, 1_000_000), content(0xA5, 700_000));
    let (a, b) = (file(&first), file(&second));
    let got = bodies(&["/a", "/b", "/plain", "/part", "/a", "/last"], move |path| match path {
        "/a" => answer(&a, 0..4_000_000),
        "/b" => answer(&b, 0..2_800_000),
        "/part" => answer(&a, 1_048_575..2_097_154),
        "/last" => answer(&b, 2_799_999..2_800_000),
        _ => {
            let mut response = Response::new("plain".into());
            response.headers_mut().insert("content-length", "5".parse().unwrap());
            response
        }
    })
    .await;
    assert!(got[0] == first, "the first file");
    assert!(got[1] == second, "the second file");
    assert_eq!(got[2], b"plain");
    assert!(got[3] == first[1_048_575..2_097_154], "a part over the bounds of placeholders");
    assert!(got[4] == first, "the first file again");
    assert_eq!(got[5], second[2_799_999..]);
}

#[tokio::test]
async fn a_file_that_became_shorter_ends_the_connection_and_no_other_byte_takes_its_place() {
    let bytes = content(7, 500_000);
    let short = file(&bytes);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let routes = warp::any().map(move || answer(&short, 0..3_000_000));
    let serving = tokio::spawn(serve(listener, None, routes, stop.clone()));
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut all = Vec::new();
    socket.read_to_end(&mut all).await.unwrap();
    let body = all.windows(4).position(|at| at == b"\r\n\r\n").unwrap() + 4;
    assert!(all[body..] == bytes, "{} bytes came", all.len() - body);
    stop.cancel();
    serving.await.unwrap();
}
