//! Nothing lost, nothing twice: a whole deployment in which processes, servers, networks and disks fail by a seeded schedule while many runs are
//! ordered, and checks by name of what came of it (docs/reliability.md).
//!
//! `CHAOS_SEED=…` repeats a schedule; `make chaos` runs the long profile. Start reading at [`story`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod broken;
mod checks;
mod client;
mod disk;
mod fault;
mod fleet;
mod history;
mod seed;
mod story;

use std::fmt::Write as _;
use std::time::Duration;

use export_tests::heavy;
use tokio::time::Instant;

use crate::checks::CHECKS;
use crate::fault::{Round, counted};
use crate::fleet::Shape;
use crate::history::History;
use crate::story::{CALMED_WITHIN, Scale, Story};

/// A number of the environment.
fn told(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "tests are configured by the environment alone")]
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// The usual size, or what the environment says.
fn sized(seed: u64, runs: usize, faults: usize) -> Scale {
    let size = |name, usual| told(name).map_or(usual, |value| usize::try_from(value).unwrap());
    Scale {
        seed,
        runs: size("CHAOS_RUNS", runs),
        faults: size("CHAOS_FAULTS", faults),
        at_once: 24,
        calmed_within: CALMED_WITHIN,
    }
}

/// The seed that the environment names, or one of chance.
fn seed() -> u64 {
    let of_chance = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| u64::from(since.subsec_nanos()));
    told("CHAOS_SEED").unwrap_or(of_chance)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_happens_twice_whatever_fails() {
    let _turn = heavy().await;
    #[expect(clippy::disallowed_methods, reason = "tests are configured by the environment alone")]
    let long = std::env::var_os("CHAOS_LONG").is_some();
    // The short one is part of every build, so its schedule is always the same; `make chaos` tries another each time.
    let scale = if long { sized(seed(), 1_000, 300) } else { sized(told("CHAOS_SEED").unwrap_or(1), 200, 40) };
    let brokers = told("CHAOS_BROKERS").map_or(if long { 3 } else { 1 }, |count| usize::try_from(count).unwrap());
    live_through(Shape { brokers, cap: 4, believed_cap: 4, served: false, in_folder: false }, scale).await;
}

/// The same where runs and evidence are kept by a server that speaks MongoDB's protocol, which fails as well (`CHAOS_SERVED=1`). The one that tests
/// can install looks through whole collections for most questions and is done with one processor: fewer runs are followed at once.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "some six minutes; `make chaos-served` runs it (docs/reliability.md)"]
async fn nothing_is_lost_either_where_the_store_is_a_server_that_fails() {
    if told("CHAOS_SERVED").is_none() {
        return;
    }
    let _turn = heavy().await;
    let scale = Scale { at_once: 12, calmed_within: CALMED_WITHIN * 4, ..sized(seed(), 30, 30) };
    live_through(Shape { brokers: 1, cap: 4, believed_cap: 4, served: true, in_folder: false }, scale).await;
}

/// The same where staging is a folder, on the disk of the ledgers: what is full is full for both.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_where_staging_is_a_folder_whose_disk_is_full_at_times() {
    let _turn = heavy().await;
    let shape = Shape { brokers: 1, cap: 4, believed_cap: 4, served: false, in_folder: true };
    live_through(
        shape,
        Scale { seed: told("CHAOS_SEED").unwrap_or(1), runs: 45, faults: 9, at_once: 24, calmed_within: CALMED_WITHIN },
    )
    .await;
}

async fn live_through(shape: Shape, scale: Scale) {
    eprintln!("CHAOS_SEED={} repeats this schedule: {scale:?} {shape:?}", scale.seed);
    let began = Instant::now();
    let mut story = Story::begin(shape).await.unwrap();
    eprintln!("undisturbed bundles were made within {:?}", began.elapsed());
    let disturbed = Instant::now();
    let rounds = match story.disturb(scale).await {
        Ok(rounds) => rounds,
        Err(error) => give_up(story, &format!("{error:#}")),
    };
    let ended = disturbed.elapsed();
    if let Err(error) = story.end().await {
        give_up(story, &format!("{error:#}"));
    }
    let broken: Vec<(&str, Vec<String>)> = CHECKS.iter().map(|(name, check)| (*name, check(&story.history))).collect();
    eprintln!("{}", report(&scale, &shape, &rounds, &story.history, &broken, (ended, began.elapsed())));
    if broken.iter().any(|(_, lines)| !lines.is_empty()) {
        give_up(story, "invariants are broken");
    }
}

/// Fails, and keeps the logs.
fn give_up(story: Story, why: &str) -> ! {
    for line in story.fleet.complaints().iter().take(20) {
        eprintln!("{line}");
    }
    let kept = story.fleet.keep();
    panic!("{why}; logs are in {}", kept.display());
}

fn report(
    scale: &Scale,
    shape: &Shape,
    rounds: &[Round],
    history: &History,
    broken: &[(&str, Vec<String>)],
    (disturbed, whole): (Duration, Duration),
) -> String {
    let mut text = String::from("\n");
    let requests: usize = history.orders.iter().map(|order| order.requests).sum();
    let connections: usize = history.followed.iter().map(|followed| followed.connections).sum();
    let counts = counted(rounds);
    for (name, value) in [
        ("seed", scale.seed.to_string()),
        ("brokers", shape.brokers.to_string()),
        (
            "runs",
            format!(
                "{} of {} tenants, and {} undisturbed",
                scale.runs,
                story::TENANTS.len(),
                history.orders.len() - scale.runs
            ),
        ),
        ("requests for them", requests.to_string()),
        ("connections of followers", connections.to_string()),
        ("looks at the ledger", history.looks.to_string()),
        ("most running at once", format!("{:?} of {}", history.most_active, shape.cap)),
        ("faults", counts.values().sum::<usize>().to_string()),
        ("took", format!("{} s, {} s as a whole", disturbed.as_secs(), whole.as_secs())),
    ] {
        writeln!(text, "| {name} | {value} |").unwrap();
    }
    for (kind, count) in counts {
        writeln!(text, "| fault: {kind} | {count} |").unwrap();
    }
    for (name, lines) in broken {
        writeln!(
            text,
            "| {name} | {} |",
            if lines.is_empty() { "holds".to_owned() } else { format!("broken {} times", lines.len()) }
        )
        .unwrap();
    }
    for survivor in &history.survivors {
        writeln!(text, "{survivor:?}").unwrap();
    }
    for (name, lines) in broken {
        for line in lines.iter().take(10) {
            writeln!(text, "BROKEN {name}: {line}").unwrap();
        }
    }
    text
}
