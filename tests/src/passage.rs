//! A way from one process to one server, on which the weather can be bad.
//!
//! What it does to a connection is what networks and servers do: it refuses, falls silent, is slow, cuts answers short, changes bytes of
//! them, and answers 503. It knows nothing of what it passes on but where the body of an HTTP answer begins.

use std::io;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// What happens on a [`Passage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weather {
    /// Everything is passed on.
    Clear,
    /// Connections are cut, and new ones at once.
    Refused,
    /// Nothing is passed on, and nobody is told.
    Stalled,
    /// Each piece of an answer waits so long.
    Slow(Duration),
    /// A connection is cut in the middle of its next answer.
    Cut,
    /// One bit is another one in the body of each answer over HTTP, or of each piece of it: where, this number decides.
    Flipped(u64),
    /// Every request over HTTP is answered 503.
    Unavailable,
    /// In answers, each text of the first kind becomes one of the second, which is as long.
    Changed(&'static str, &'static str),
}

/// Bytes that are passed on at a time.
const PIECE: usize = 64 << 10;
const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A port that leads to a server. Dropping it closes the port and cuts what goes through it.
#[derive(Debug)]
pub struct Passage {
    port: u16,
    weather: watch::Sender<Weather>,
    accepting: JoinHandle<()>,
}

impl Passage {
    /// Opens a way to the server at `HOST:PORT`, which need not be there yet.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn to(server: String) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for a passage")?;
        let port = listener.local_addr().context("the passage has no address")?.port();
        let (weather, watched) = watch::channel(Weather::Clear);
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(pass(socket, server.clone(), watched.clone()));
            }
        });
        Ok(Self { port, weather, accepting })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Changes the weather, for connections that are there and for new ones.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.accepting.abort();
        self.weather.send_replace(Weather::Refused);
    }
}

/// Passes one connection on until it ends or the weather ends it.
async fn pass(mut socket: TcpStream, server: String, mut weather: watch::Receiver<Weather>) {
    match settled(&mut weather).await {
        Weather::Refused => return,
        Weather::Unavailable => {
            // The request must be read, or closing resets the connection before the answer is.
            let mut request = vec![0; PIECE];
            drop(socket.read(&mut request).await);
            drop(socket.write_all(UNAVAILABLE).await);
            return;
        }
        _ => {}
    }
    let Ok(behind) = TcpStream::connect(&server).await else { return };
    drop((socket.set_nodelay(true), behind.set_nodelay(true)));
    let ((from_client, to_client), (from_server, to_server)) = (socket.into_split(), behind.into_split());
    let asked = pump(from_client, to_server, weather.clone(), false);
    let answered = pump(from_server, to_client, weather, true);
    tokio::pin!(asked, answered);
    // What one side has ended the other may still finish; what the weather ended is over for both.
    tokio::select! {
        ended = &mut asked => if ended.is_ok() { drop(answered.await); },
        ended = &mut answered => if ended.is_ok() { drop(asked.await); },
    }
}

/// Waits while nothing is passed on.
async fn settled(weather: &mut watch::Receiver<Weather>) -> Weather {
    loop {
        let now = *weather.borrow_and_update();
        if now != Weather::Stalled {
            return now;
        }
        if weather.changed().await.is_err() {
            return Weather::Refused;
        }
    }
}

/// One direction. `Ok` where its sender ended it.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    answers: bool,
) -> io::Result<()> {
    let cut = || Err(io::Error::from(io::ErrorKind::ConnectionReset));
    let mut piece = vec![0; PIECE];
    let mut pieces = 0_u64;
    loop {
        let read = tokio::select! {
            read = from.read(&mut piece) => read?,
            changed = weather.changed() => {
                let ended = changed.is_err() || matches!(*weather.borrow(), Weather::Refused | Weather::Unavailable);
                if ended { return cut(); }
                continue;
            }
        };
        if read == 0 {
            return to.shutdown().await;
        }
        let bytes = piece.get_mut(..read).unwrap_or_default();
        let now = settled(&mut weather).await;
        match (now, answers) {
            (Weather::Refused | Weather::Unavailable, _) => return cut(),
            (Weather::Slow(pause), true) => sleep(pause).await,
            (Weather::Cut, true) => {
                to.write_all(bytes.get(..read / 2).unwrap_or_default()).await?;
                return cut();
            }
            (Weather::Flipped(seed), true) => {
                pieces = pieces.wrapping_add(1);
                flip(bytes, seed.wrapping_add(pieces));
            }
            (Weather::Changed(text, other), true) => change(bytes, text.as_bytes(), other.as_bytes()),
            _ => {}
        }
        to.write_all(bytes).await?;
    }
}

/// Texts that are cut by the end of a piece stay as they are: whoever asks again hears the change then.
fn change(bytes: &mut [u8], text: &[u8], other: &[u8]) {
    let mut at = 0;
    while let Some(window) = bytes.get_mut(at..at + text.len()) {
        if window == text {
            window.copy_from_slice(other);
        }
        at += 1;
    }
}

/// Changes one bit of a body, or of a piece of one.
fn flip(bytes: &mut [u8], seed: u64) {
    let begins_answer = bytes.starts_with(b"HTTP/");
    let body = match bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        Some(at) if begins_answer => at + 4,
        None if begins_answer => bytes.len(),
        _ => 0,
    };
    let body = bytes.get_mut(body..).unwrap_or_default();
    let chance = mixed(seed);
    let at = usize::try_from(chance >> 8).unwrap_or_default().checked_rem(body.len());
    if let Some(byte) = at.and_then(|at| body.get_mut(at)) {
        *byte ^= 1 << (chance % 8);
    }
}

/// Numbers that follow each other become numbers that do not (`SplitMix64`).
fn mixed(seed: u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::{Passage, Weather, flip};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    /// A server that answers each line with an HTTP answer of four bytes.
    async fn server() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut line = [0; 5];
                    while socket.read_exact(&mut line).await.is_ok() {
                        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\nbody").await.unwrap();
                    }
                });
            }
        });
        address
    }

    /// What comes back for a line on a new connection, as far as it comes.
    async fn answer(passage: &Passage) -> String {
        let mut socket = TcpStream::connect(passage.address()).await.unwrap();
        drop(socket.write_all(b"line\n").await);
        drop(socket.shutdown().await);
        let mut text = Vec::new();
        drop(socket.read_to_end(&mut text).await);
        String::from_utf8_lossy(&text).into_owned()
    }

    #[tokio::test]
    async fn each_weather_does_what_its_name_says() {
        let passage = Passage::to(server().await).await.unwrap();
        assert_eq!(answer(&passage).await, "HTTP/1.1 200 OK\r\n\r\nbody");
        for seed in 0..64 {
            passage.set(Weather::Flipped(seed));
            let answer = answer(&passage).await;
            let (head, body) = answer.split_at(19);
            assert_eq!(head, "HTTP/1.1 200 OK\r\n\r\n");
            let bits: u32 = body.bytes().zip(*b"body").map(|(found, sent)| (found ^ sent).count_ones()).sum();
            assert!(bits == 1 || body.contains('\u{fffd}'), "{body:?}");
        }
        passage.set(Weather::Changed("body", "else"));
        assert_eq!(answer(&passage).await, "HTTP/1.1 200 OK\r\n\r\nelse");
        passage.set(Weather::Cut);
        assert_eq!(answer(&passage).await, "HTTP/1.1 20");
        passage.set(Weather::Refused);
        assert_eq!(answer(&passage).await, "");
        passage.set(Weather::Unavailable);
        assert!(answer(&passage).await.starts_with("HTTP/1.1 503"));
        passage.set(Weather::Clear);
        assert_eq!(answer(&passage).await, "HTTP/1.1 200 OK\r\n\r\nbody");
    }

    #[tokio::test]
    async fn what_stood_still_goes_on_and_what_was_there_is_cut() {
        let passage = Passage::to(server().await).await.unwrap();
        let mut socket = TcpStream::connect(passage.address()).await.unwrap();
        passage.set(Weather::Stalled);
        socket.write_all(b"line\n").await.unwrap();
        passage.set(Weather::Clear);
        let mut text = [0; 23];
        socket.read_exact(&mut text).await.unwrap();
        passage.set(Weather::Refused);
        assert_eq!(socket.read(&mut text).await.unwrap_or(0), 0);
    }

    #[test]
    fn heads_of_answers_keep_their_bytes() {
        let mut head = *b"HTTP/1.1 200 OK\r\n";
        flip(&mut head, 7);
        assert_eq!(&head, b"HTTP/1.1 200 OK\r\n");
        let mut places = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut answer = *b"HTTP/1.1 200 OK\r\n\r\nrest";
            flip(&mut answer, seed);
            let other = answer.iter().zip(b"HTTP/1.1 200 OK\r\n\r\nrest").position(|(found, sent)| found != sent);
            places.insert(other.unwrap());
        }
        assert_eq!(places, (19..23).collect(), "every byte of the body, and none before");
    }
}
