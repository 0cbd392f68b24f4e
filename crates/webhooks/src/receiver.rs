//! A receiver of webhooks for tests, which lies as it is told to.
#![expect(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a helper of tests fails by panicking")]

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::secret::WebhookSecret;
use crate::signature::verify;

/// How a request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With a status and header lines, such as `Retry-After: 7`.
    Status(u16, Vec<String>),
    /// With 200 and a body that does not end.
    Endless,
    /// Never.
    Silence,
    /// With half a status line.
    Cut,
}

impl Answer {
    /// A status without anything.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Status(status, Vec::new())
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Method and path.
    pub line: String,
    /// Header lines by name in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
}

impl Received {
    /// Its `webhook-id`.
    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// A header, empty where it did not come.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Whether the secret that was shown signed it.
    pub fn is_signed_by(&self, shown: &str) -> bool {
        let secret = WebhookSecret::from_shown(shown).unwrap();
        let seconds = self.header("webhook-timestamp").parse().unwrap();
        verify(&secret, self.id(), seconds, &self.body, self.header("webhook-signature"))
    }
}

#[derive(Debug, Default)]
struct Desk {
    answers: Mutex<VecDeque<Answer>>,
    received: Mutex<Vec<Received>>,
    news: Notify,
}

/// A receiver on a port of its own. It ends when it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    desk: Arc<Desk>,
    listening: JoinHandle<()>,
}

impl Receiver {
    /// Starts one that gives these answers, and then 204 to everything.
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::new(Desk { answers: Mutex::new(answers.into_iter().collect()), ..Desk::default() });
        let at_work = Arc::clone(&desk);
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let desk = Arc::clone(&at_work);
                tokio::spawn(async move { serve(stream, &desk).await });
            }
        });
        Self { address, desk, listening }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where to send to.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port())
    }

    /// What came so far.
    pub fn received(&self) -> Vec<Received> {
        self.desk.received.lock().unwrap().clone()
    }

    /// Waits until so many requests came.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        loop {
            let news = self.desk.news.notified();
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            news.await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn serve(mut stream: TcpStream, desk: &Desk) {
    let Some(received) = read(&mut stream).await else { return };
    let answer = desk.answers.lock().unwrap().pop_front().unwrap_or_else(|| Answer::status(204));
    desk.received.lock().unwrap().push(received);
    desk.news.notify_waiters();
    // Whoever sent it may be gone; that is none of a receiver's business.
    let _gone = match answer {
        Answer::Status(status, headers) => {
            let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
            let text = format!("HTTP/1.1 {status} Told\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(text.as_bytes()).await
        }
        Answer::Endless => {
            let mut outcome = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            while outcome.is_ok() {
                outcome = stream.write_all(b"10\r\n0123456789abcdef\r\n").await;
            }
            outcome
        }
        Answer::Silence => {
            // Until the sender has had enough.
            stream.read(&mut [0; 1]).await.map(|_| ())
        }
        Answer::Cut => stream.write_all(b"HTTP/1.1 2").await,
    };
}

async fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(piece.get(..read)?);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let mut lines = head.lines();
        let line = lines.next()?.to_owned();
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length: usize = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        if body.len() >= length {
            return Some(Received { line, headers, body: body.to_owned() });
        }
    }
}
