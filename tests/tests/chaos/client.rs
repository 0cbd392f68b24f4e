//! Clients that want their bundles, whatever happens to the gateways.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, bail};
use aws_lc_rs::digest::{SHA256, digest as hashed};
use export_client::{Client, ClientError, HeaderMap, HeaderName, HeaderValue, Method, NewRun};
use export_contract::event::RunEvent;
use export_contract::run::Run;
use tokio::time::{Instant, sleep, timeout};

use crate::history::{Followed, Order};
use crate::seed::Seeded;

/// How long an answer may take; a stopped gateway gives none.
const ANSWER: Duration = Duration::from_secs(10);
/// Silence after which a stream is given up: its heartbeats come each 15 s.
const SILENCE: Duration = Duration::from_secs(20);
/// How long a client tries in all.
const PATIENCE: Duration = Duration::from_mins(8);

/// Orders a run under a key, at gateways of chance, until it is accepted; one order in four is sent twice at once.
pub(crate) async fn order(
    clients: &[Client],
    wanted: &NewRun,
    order: &mut Order,
    mut seed: Seeded,
) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    let twice = seed.percent(25);
    loop {
        let first = seed.below(clients.len());
        let asked: Vec<&Client> = if twice { clients.iter().collect() } else { vec![&clients[first]] };
        order.requests += asked.len();
        let answers = asked.iter().map(|client| timeout(ANSWER, client.start_run(wanted, Some(&order.key))));
        for answer in futures::future::join_all(answers).await {
            match answer {
                Ok(Ok(run)) => _ = order.runs.insert(run.id.to_string()),
                Ok(Err(error)) if !passes(&error) => return Err(error).context("an order was refused"),
                Ok(Err(_)) | Err(_) => {}
            }
        }
        if !order.runs.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < until, "nobody took the order");
        sleep(Duration::from_millis(300)).await;
    }
}

/// Whether another try may help.
fn passes(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::Unreadable { .. } => true,
        ClientError::Refused(problem) => matches!(problem.status, 409 | 425 | 429 | 500..=599),
        _ => false,
    }
}

/// Asks until there is an answer.
pub(crate) async fn ask<T, F, G>(clients: &[Client], call: G) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, ClientError>>,
    G: Fn(Client) -> F,
{
    let until = Instant::now() + PATIENCE;
    loop {
        for client in clients {
            match timeout(ANSWER, call(client.clone())).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if !passes(&error) => return Err(error.into()),
                Ok(Err(_)) | Err(_) => {}
            }
        }
        anyhow::ensure!(Instant::now() < until, "nobody answers");
        sleep(Duration::from_millis(300)).await;
    }
}

/// Follows a run to its end over server-sent events, at one gateway after the other, each time from the last entry that came. Now and then it
/// leaves by itself, since clients do.
pub(crate) async fn follow(clients: &[Client], run: &str, mut seed: Seeded, until: Instant) -> Followed {
    let mut followed = Followed { run: run.to_owned(), ..Followed::default() };
    while !followed.ended && Instant::now() < until {
        let client = seed.pick(clients).clone();
        followed.connections += 1;
        let leaves_after = if seed.percent(20) { 1 + seed.below(6) } else { usize::MAX };
        // How a connection ends does not matter; what it told until then is kept.
        drop(connection(&client, &mut followed, leaves_after, until).await);
        if !followed.ended {
            sleep(Duration::from_millis(200)).await;
        }
    }
    followed
}

async fn connection(
    client: &Client,
    followed: &mut Followed,
    leaves_after: usize,
    until: Instant,
) -> anyhow::Result<()> {
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("accept"), HeaderValue::from_static("text/event-stream"));
    let last = followed.seen.last().map_or(0, |(number, _)| *number);
    headers.insert(HeaderName::from_static("last-event-id"), HeaderValue::from(last));
    let path = format!("/api/export/runs/{}/events", followed.run);
    let mut answer = timeout(ANSWER, client.call_any(Method::GET, &path, headers, None)).await??;
    let mut text = Vec::new();
    let (mut told, mut anything) = (0, false);
    while let Some(piece) = timeout(SILENCE.min(until - Instant::now()), answer.piece()).await?? {
        anything = true;
        text.extend_from_slice(&piece);
        while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
            let frame: Vec<u8> = text.drain(..end + 2).collect();
            let Some((number, name)) = entry(&String::from_utf8_lossy(&frame)) else { continue };
            followed.ended = matches!(name.as_str(), "run.succeeded" | "run.failed" | "run.aborted");
            followed.seen.push((number, name));
            told += 1;
            if followed.ended || told == leaves_after {
                return Ok(());
            }
        }
    }
    // 204: nothing will follow, since the end was told.
    if !anything {
        followed.ended =
            followed.seen.last().is_some_and(|(_, name)| name.starts_with("run.") && name != "run.running");
        bail!("nothing came");
    }
    Ok(())
}

/// Number and name of a frame that is an entry; signs of life have no number.
fn entry(frame: &str) -> Option<(u64, String)> {
    let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some((field("id:")?.parse().ok()?, field("event:")?.to_owned()))
}

/// Digest of the bytes of a bundle, as the gateway gives them.
pub(crate) async fn digest(clients: &[Client], run: &Run) -> anyhow::Result<String> {
    let id = run.id.to_string();
    let bytes = ask(clients, |client| {
        let id = id.clone();
        async move { client.file(&id, "download").await }
    });
    let bytes = bytes.await.with_context(|| format!("the bundle of run {id} cannot be had"))?;
    let hex: String = hashed(&SHA256, &bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sha256:{hex}"))
}

/// Every run of a tenant.
pub(crate) async fn runs(clients: &[Client]) -> anyhow::Result<Vec<Run>> {
    let mut found: Vec<Run> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("limit", "200".to_owned())];
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page = ask(clients, |client| {
            let query = query.clone();
            async move { client.runs(&query).await }
        })
        .await?;
        found.extend(page.runs);
        match page.next_cursor {
            Some(next) if seen.insert(next.clone()) => cursor = Some(next),
            _ => return Ok(found),
        }
    }
}

/// The whole timeline of a run that has ended.
pub(crate) async fn timeline(clients: &[Client], run: &str) -> anyhow::Result<Vec<RunEvent>> {
    let client = clients.first().context("no client")?;
    let mut stream = client.follow(run, 0);
    let mut events = Vec::new();
    let read = async {
        while let Some(signal) = stream.next().await? {
            if let export_client::RunSignal::Event(event) = signal {
                events.push(event);
            }
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, read).await.context("the timeline has no end")??;
    Ok(events)
}
