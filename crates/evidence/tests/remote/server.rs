//! A Policy Engine and a Findings Ledger in one, over plain HTTP/1.1.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use export_canon::digesting::sha256;
use export_evidence::remote::RemoteSettings;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What goes wrong with an answer.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// This status, with the wait in seconds that is asked for.
    Answers(u16, Option<u64>),
    /// The connection ends in the middle of the body.
    StopsHalfway,
    /// The body is another one than its digest says.
    ChangesTheBody,
    /// The body does not end.
    Endless,
    /// Another address, which would get the token.
    Redirects,
    /// A page for people.
    Html,
    /// Every page leads to one that was there before, by way of another.
    GoesRoundInCircles,
    /// Page after page, without a line.
    SendsNothingForEver,
    /// Rows of another tenant.
    MixesTenantsUp,
    /// A row less than the manifest at the end counts.
    LosesARow,
    /// The rows of a page, backwards.
    TurnsRowsAround,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Path with its parameters.
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
}

#[derive(Default)]
struct State {
    /// Snapshots by tenant and id: time and text.
    snapshots: Mutex<BTreeMap<(String, String), (i64, String)>>,
    /// Rows of a list by tenant and path, in order.
    rows: Mutex<BTreeMap<(String, String), Vec<String>>>,
    /// What the next answers get, the first of them first.
    faults: Mutex<VecDeque<Fault>>,
    /// What every answer gets, after so many good ones.
    always: Mutex<Option<(usize, Fault)>>,
    requests: Mutex<Vec<Request>>,
    token: Mutex<String>,
    /// Rows of a page at most.
    page: Mutex<usize>,
}

/// The server; it ends with its runtime.
pub(crate) struct Server {
    state: Arc<State>,
    address: String,
    folder: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = Arc::new(State::default());
        "a token".clone_into(&mut state.token.lock().unwrap());
        *state.page.lock().unwrap() = 1_000;
        let server = Self {
            state: state.clone(),
            address: format!("http://{}/api", listener.local_addr().unwrap()),
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(server.token_file(), "a token\n").unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(state.clone(), stream));
            }
        });
        server
    }

    pub(crate) fn settings(&self) -> RemoteSettings {
        RemoteSettings {
            base_url: self.address.clone(),
            token_file: Some(self.token_file()),
            bearer: None,
            ca_file: None,
            timeout: Duration::from_secs(30),
        }
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    pub(crate) fn expect_token(&self, token: &str) {
        token.clone_into(&mut self.state.token.lock().unwrap());
    }

    pub(crate) fn put_snapshot(&self, tenant: &str, id: &str, micros: i64, text: &str) {
        self.state.snapshots.lock().unwrap().insert((tenant.to_owned(), id.to_owned()), (micros, text.to_owned()));
    }

    /// Rows behind `path`, in the order in which they are given out.
    pub(crate) fn put_rows(&self, tenant: &str, path: &str, rows: Vec<String>) {
        self.state.rows.lock().unwrap().insert((tenant.to_owned(), path.to_owned()), rows);
    }

    pub(crate) fn pages_of(&self, rows: usize) {
        *self.state.page.lock().unwrap() = rows;
    }

    pub(crate) fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.faults.lock().unwrap().extend(faults);
    }

    /// What every answer gets from now on.
    pub(crate) fn always(&self, fault: Option<Fault>) {
        *self.state.always.lock().unwrap() = fault.map(|fault| (0, fault));
    }

    /// What every answer gets after so many good ones.
    pub(crate) fn after(&self, good: usize, fault: Fault) {
        *self.state.always.lock().unwrap() = Some((good, fault));
    }

    /// What was asked since the last time.
    pub(crate) fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.state.requests.lock().unwrap())
    }
}

async fn serve(state: Arc<State>, mut stream: TcpStream) {
    let Some(request) = receive(&mut stream).await else { return };
    state.requests.lock().unwrap().push(request.clone());
    let fault = state.faults.lock().unwrap().pop_front().or_else(|| state.fault());
    let (status, media, headers, body) = state.answer(&request, fault.as_ref());
    let digest = format!("repr-digest: sha-256=:{}:\r\n", STANDARD.encode(sha256(body.as_bytes()).as_bytes()));
    let mut head = format!("HTTP/1.1 {status} x\r\ncontent-type: {media}\r\nconnection: close\r\n{headers}");
    let mut sent = body.clone().into_bytes();
    match fault {
        Some(Fault::StopsHalfway) => {
            head.push_str(&length(body.len() + 100));
        }
        Some(Fault::ChangesTheBody) => {
            head.extend([digest, length(body.len())]);
            sent = body.replace("blocked", "allowed").into_bytes();
        }
        Some(Fault::Endless) => {
            let mut goes = stream.write_all(format!("{head}\r\n").as_bytes()).await;
            while goes.is_ok() {
                goes = stream.write_all(&[b'\n'; 8_192]).await;
            }
            return;
        }
        _ => head.extend([digest, length(body.len())]),
    }
    let _gone = stream.write_all(&[head.as_bytes(), b"\r\n", &sent].concat()).await;
}

fn length(bytes: usize) -> String {
    format!("content-length: {bytes}\r\n")
}

/// Status, media type, further headers, body.
type Answer = (u16, &'static str, String, String);

impl State {
    fn fault(&self) -> Option<Fault> {
        let mut always = self.always.lock().unwrap();
        let (good, fault) = always.as_mut()?;
        if *good == 0 {
            return Some(fault.clone());
        }
        *good -= 1;
        None
    }

    fn answer(&self, request: &Request, fault: Option<&Fault>) -> Answer {
        let problem = |status: u16, detail: &str, headers: String| {
            (status, "application/problem+json", headers, json!({ "detail": detail }).to_string())
        };
        match fault {
            Some(Fault::Answers(status, wait)) => {
                let headers = wait.map(|wait| format!("retry-after: {wait}\r\n")).unwrap_or_default();
                return problem(*status, "not now", headers);
            }
            Some(Fault::Redirects) => return problem(307, "there", "location: /elsewhere\r\n".to_owned()),
            Some(Fault::Html) => return (200, "text/html", String::new(), "<p>welcome</p>".to_owned()),
            _ => {}
        }
        let token = format!("Bearer {}", self.token.lock().unwrap());
        if request.headers.get("authorization") != Some(&token) {
            return problem(401, "who are you", String::new());
        }
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let parameters: BTreeMap<&str, String> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name, value.replace("%3A", ":").replace("%3D", "=")))
            .collect();
        let tenant = request.headers["x-stella-tenant"].clone();
        let path = path.strip_prefix("/api/").unwrap_or(path);
        if path == "policy/snapshots" {
            return self.list(&tenant, &parameters);
        }
        let id = path.strip_prefix("policy/snapshots/").filter(|id| !id.contains('/'));
        if let Some(id) = id {
            let found = self.snapshots.lock().unwrap().get(&(tenant, id.to_owned())).cloned();
            return match found {
                Some((_, text)) => (200, "application/json; charset=utf-8", String::new(), text),
                None => problem(404, "no such snapshot", String::new()),
            };
        }
        let rows = self.rows.lock().unwrap().get(&(tenant, path.to_owned())).cloned();
        match rows {
            Some(rows) => self.page(path, rows, &parameters, fault),
            None => problem(404, "no such list", String::new()),
        }
    }

    fn list(&self, tenant: &str, parameters: &BTreeMap<&str, String>) -> Answer {
        assert_eq!(parameters["tenant_id"], tenant);
        let from: usize = parameters.get("after_cursor").map_or(0, |cursor| cursor.parse().unwrap());
        let mut items: Vec<(i64, String, Value)> = Vec::new();
        for ((owner, id), (micros, text)) in &*self.snapshots.lock().unwrap() {
            if owner == tenant {
                let whole: Value = serde_json::from_str(text).unwrap();
                let item = json!({ "snapshot_id": id, "generated_at": whole["generated_at"], "ledger_export_id": "l", "overlay_hash": "o" });
                items.push((*micros, id.clone(), item));
            }
        }
        items.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        // Two a page, so that there are pages.
        let next = (from + 2 < items.len()).then(|| (from + 2).to_string());
        let items: Vec<Value> = items.into_iter().skip(from).take(2).map(|item| item.2).collect();
        (200, "application/json", String::new(), json!({ "items": items, "next_cursor": next }).to_string())
    }

    /// Findings have the place of the next page in a header, the ledger has it in the last line, with a manifest at the end.
    fn page(
        &self,
        path: &str,
        rows: Vec<String>,
        parameters: &BTreeMap<&str, String>,
        fault: Option<&Fault>,
    ) -> Answer {
        let (is_ledger, all) = (path.starts_with("ledger"), rows.len());
        let place = parameters.get(if is_ledger { "page_token" } else { "after_cursor" });
        let from: usize = match place.map(|place| place.parse()) {
            None => 0,
            Some(Ok(from)) => from,
            Some(Err(_)) => return (400, "application/json", String::new(), r#"{"error":"no such page"}"#.to_owned()),
        };
        let limit = parameters["limit"].parse::<usize>().unwrap().min(*self.page.lock().unwrap());
        let mut next = (from + limit < all).then(|| (from + limit).to_string());
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        let manifest = json!({ "export_id": "e", "record_count": all, "sha256": sha256(text.as_bytes()).hex() });
        let mut page: Vec<String> = rows.into_iter().skip(from).take(limit).collect();
        match fault {
            Some(Fault::GoesRoundInCircles) => next = Some(if from == 0 { "1" } else { "0" }.to_owned()),
            Some(Fault::SendsNothingForEver) => {
                page.clear();
                next = Some((from + 1).to_string());
            }
            Some(Fault::MixesTenantsUp) => {
                let foreign = page[0].replacen('{', r#"{"tenant_id":"globex","#, 1);
                page.insert(1, foreign.replace("\"acme\"", "\"globex\""));
            }
            Some(Fault::LosesARow) => drop(page.pop()),
            Some(Fault::TurnsRowsAround) => page.reverse(),
            _ => {}
        }
        let mut body: String = page.iter().map(|row| format!("{row}\n")).collect();
        let mut headers = String::new();
        match next {
            Some(next) if is_ledger => body.extend([&*json!({ "next_page_token": next }).to_string(), "\n"]),
            Some(next) => headers = format!("x-next-cursor: {next}\r\n"),
            None => body.extend([&*manifest.to_string(), "\n"]),
        }
        (200, "application/x-ndjson", headers, body)
    }
}

/// One HTTP/1.1 request without a body.
async fn receive(stream: &mut TcpStream) -> Option<Request> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut text).await.ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8(text).ok()?;
    let mut lines = head.split("\r\n");
    let target = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines
        .filter_map(|header| header.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    Some(Request { target, headers })
}
