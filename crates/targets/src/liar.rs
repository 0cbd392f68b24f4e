//! A proxy for tests that stands before a real peer and lies when it is told to: wrong digests, cut bodies, refusals, redirects.
//!
//! It takes one request per connection, keeps account of what it heard, and passes on whatever no lie is told about, byte for byte.

#![expect(clippy::expect_used, reason = "a tool for tests")]

mod message;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use self::message::{Framing, Head, pass_body};

/// What is done to a request or to its answer.
#[derive(Clone, Debug)]
pub enum Lie {
    /// The peer hears nothing of it; this is the answer. A `content-length` is added.
    Answer {
        /// Status, such as 429.
        status: u16,
        /// Headers by name.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// The same with a body that never ends.
    Endless {
        /// Status.
        status: u16,
        /// Headers by name.
        headers: Vec<(String, String)>,
    },
    /// The peer hears nothing of it, and there is no answer until the caller hangs up.
    Silence,
    /// The peer's answer has this header instead of its own; without a value, it has none of that name.
    Header {
        /// Name in lower case.
        name: &'static str,
        /// Another value.
        value: Option<String>,
    },
    /// The peer's answer ends after so many bytes of its body.
    CutAnswer(u64),
    /// The peer gets so many bytes of the request's body, and both connections end there. Told of longer bodies only.
    HangUp(u64),
    /// The peer gets so many bytes of the request's body, and nothing more comes or goes until the caller hangs up. Told of longer bodies
    /// only.
    Stall(u64),
    /// The peer gets the whole request, and its answer is lost on the way.
    LostAnswer,
}

impl Lie {
    /// An answer without a body.
    pub fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A redirect to `url`.
    pub fn redirect(status: u16, url: String) -> Self {
        Self::Answer { status, headers: vec![("location".to_owned(), url)], body: Vec::new() }
    }

    /// An answer that asks to be left alone for so many seconds.
    pub fn busy(seconds: u32) -> Self {
        let headers = vec![("retry-after".to_owned(), seconds.to_string())];
        Self::Answer { status: 429, headers, body: Vec::new() }
    }
}

/// A request that it heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// `GET` and so on.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Whether it came with an `authorization`.
    pub credentials: bool,
    /// Bytes of its body.
    pub bytes: u64,
    /// Whether it was lied to.
    pub lied_to: bool,
}

#[derive(Debug)]
struct Rule {
    method: &'static str,
    path: String,
    least: u64,
    times: usize,
    lie: Lie,
}

#[derive(Debug, Default)]
struct State {
    upstream: Option<String>,
    rules: Mutex<Vec<Rule>>,
    heard: Mutex<Vec<Heard>>,
    silent: Notify,
}

/// A listening proxy; dropping it ends it.
#[derive(Debug)]
pub struct Liar {
    address: String,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl Liar {
    /// Stands before the server at `upstream`, an address such as `127.0.0.1:5000` that speaks HTTP without TLS.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn before(upstream: String) -> Self {
        Self::listen(Some(upstream)).await
    }

    /// Stands before nothing: answers 404 to whatever no lie is told about. Another host, to which nothing should come.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn alone() -> Self {
        Self::listen(None).await
    }

    async fn listen(upstream: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new(State { upstream, ..State::default() });
        let accepting = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                while let Ok((caller, _)) = listener.accept().await {
                    let state = Arc::clone(&state);
                    // A caller that hangs up is no fault of the proxy's.
                    tokio::spawn(async move { drop(serve(&state, caller).await) });
                }
            }
        });
        Self { address, state, accepting }
    }

    /// Where it listens, such as `127.0.0.1:40123`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The next `times` requests with this method, and with `path` in their path, are lied to. Of several lies the one that was told
    /// first goes first.
    pub fn lie(&self, method: &'static str, path: &str, times: usize, lie: Lie) {
        self.lie_to_long(method, path, 0, times, lie);
    }

    /// The same for requests with a body of at least so many bytes only.
    pub fn lie_to_long(&self, method: &'static str, path: &str, least: u64, times: usize, lie: Lie) {
        let least = match &lie {
            Lie::HangUp(bytes) | Lie::Stall(bytes) => least.max(bytes + 1),
            _ => least,
        };
        locked(&self.state.rules).push(Rule { method, path: path.to_owned(), least, times, lie });
    }

    /// From now on it is honest.
    pub fn be_honest(&self) {
        locked(&self.state.rules).clear();
    }

    /// What it heard so far, in the order of the beginnings.
    pub fn heard(&self) -> Vec<Heard> {
        locked(&self.state.heard).clone()
    }

    /// Bytes of all bodies that it was sent so far.
    pub fn taken(&self) -> u64 {
        self.heard().iter().map(|heard| heard.bytes).sum()
    }

    /// Waits until a request is met with [`Lie::Silence`] or has come to a [`Lie::Stall`].
    pub async fn is_silent(&self) {
        self.state.silent.notified().await;
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn lie_for(&self, head: &Head) -> Option<Lie> {
        let mut rules = locked(&self.rules);
        let length = match head.framing() {
            Framing::Length(length) => length,
            Framing::Chunked => u64::MAX,
        };
        let fits = |rule: &&mut Rule| {
            let asked = head.method() == rule.method && head.path().contains(&rule.path);
            rule.times > 0 && asked && length >= rule.least
        };
        let rule = rules.iter_mut().find(fits)?;
        rule.times -= 1;
        Some(rule.lie.clone())
    }

    /// Gives the request's number, by which its bytes are counted.
    fn hear(&self, head: &Head, lied_to: bool) -> usize {
        let mut heard = locked(&self.heard);
        heard.push(Heard {
            method: head.method().to_owned(),
            path: head.path().to_owned(),
            credentials: head.value("authorization").is_some(),
            bytes: 0,
            lied_to,
        });
        heard.len() - 1
    }

    fn count(&self, number: usize, bytes: u64) {
        if let Some(heard) = locked(&self.heard).get_mut(number) {
            heard.bytes += bytes;
        }
    }
}

async fn serve(state: &State, caller: TcpStream) -> io::Result<()> {
    let (from_caller, mut to_caller) = caller.into_split();
    let mut from_caller = BufReader::new(from_caller);
    let Some(head) = Head::read(&mut from_caller).await? else { return Ok(()) };
    let lie = state.lie_for(&head);
    let number = state.hear(&head, lie.is_some());
    let framing = head.framing();
    let mut counted = |bytes| state.count(number, bytes);
    match (lie, &state.upstream) {
        (Some(Lie::Answer { status, mut headers, body }), _) => {
            drained(&mut from_caller, framing, &mut counted).await?;
            headers.push(("content-length".to_owned(), body.len().to_string()));
            to_caller.write_all(&Head::answer(status, &headers)).await?;
            if head.method() != "HEAD" {
                to_caller.write_all(&body).await?;
            }
            to_caller.shutdown().await
        }
        (Some(Lie::Endless { status, headers }), _) => {
            drained(&mut from_caller, framing, &mut counted).await?;
            to_caller.write_all(&Head::answer(status, &headers)).await?;
            loop {
                to_caller.write_all(&[b' '; 16 << 10]).await?;
            }
        }
        (Some(Lie::Silence), _) => {
            drained(&mut from_caller, framing, &mut counted).await?;
            state.silent.notify_one();
            from_caller.read_to_end(&mut Vec::new()).await.map(drop)
        }
        (_, None) => {
            drained(&mut from_caller, framing, &mut counted).await?;
            to_caller.write_all(&Head::answer(404, &[("content-length".to_owned(), "0".to_owned())])).await?;
            to_caller.shutdown().await
        }
        (Some(Lie::HangUp(bytes)), Some(upstream)) => {
            let mut peer = TcpStream::connect(upstream).await?;
            peer.write_all(&head.closing()).await?;
            pass_body(&mut from_caller, Some(&mut peer), framing, bytes, &mut counted).await
        }
        (Some(Lie::Stall(bytes)), Some(upstream)) => {
            let mut peer = TcpStream::connect(upstream).await?;
            peer.write_all(&head.closing()).await?;
            pass_body(&mut from_caller, Some(&mut peer), framing, bytes, &mut counted).await?;
            state.silent.notify_one();
            // The caller's rest is read and goes nowhere.
            tokio::io::copy(&mut from_caller, &mut tokio::io::sink()).await.map(drop)
        }
        (lie, Some(upstream)) => {
            let (from_peer, mut to_peer) = TcpStream::connect(upstream).await?.into_split();
            to_peer.write_all(&head.closing()).await?;
            let request = pass_body(&mut from_caller, Some(&mut to_peer), framing, u64::MAX, &mut counted);
            let answer = pass_answer(BufReader::new(from_peer), to_caller, lie);
            let (_, answer) = futures::join!(request, answer);
            answer
        }
    }
}

async fn drained(
    caller: &mut BufReader<OwnedReadHalf>,
    framing: Framing,
    counted: &mut impl FnMut(u64),
) -> io::Result<()> {
    pass_body(caller, None::<&mut TcpStream>, framing, u64::MAX, counted).await
}

async fn pass_answer(
    mut peer: BufReader<OwnedReadHalf>,
    mut caller: OwnedWriteHalf,
    lie: Option<Lie>,
) -> io::Result<()> {
    let mut head = loop {
        let Some(head) = Head::read(&mut peer).await? else { return Ok(()) };
        if !head.is_interim() {
            break head;
        }
        caller.write_all(&head.as_it_is()).await?;
    };
    let mut most = u64::MAX;
    match lie {
        Some(Lie::Header { name, value }) => head.set(name, value),
        Some(Lie::CutAnswer(bytes)) => most = bytes,
        Some(Lie::LostAnswer) => return Ok(()),
        _ => {}
    }
    caller.write_all(&head.closing()).await?;
    tokio::io::copy(&mut peer.take(most), &mut caller).await?;
    caller.shutdown().await
}
