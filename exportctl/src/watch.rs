//! Following a run: progress bars on a terminal, lines elsewhere.

use std::collections::BTreeMap;

use export_client::{Client, RunSignal};
use export_contract::event::{EventType, ProgressStep, RunEvent};
use export_contract::run::Run;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::{Form, Global};
use crate::exit::Failure;
use crate::output;

/// Follows a run to its end and gives its final record. With `-o ndjson` every event is a line of output.
pub(crate) async fn watch(global: &Global, client: &Client, run: &str) -> Result<Run, Failure> {
    let bar = ProgressBar::with_draw_target(
        Some(0),
        if output::bars(global) { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
    );
    if let Ok(style) =
        ProgressStyle::with_template("{msg:<28} [{bar:32}] {human_pos}/{human_len} records  {per_sec}  {elapsed}")
    {
        bar.set_style(style.progress_chars("=> "));
    }
    let mut parts: BTreeMap<u32, u64> = BTreeMap::new();
    let mut done = 0;
    let mut waits_for = None;
    let mut signals = client.follow(run, 0);
    while let Some(signal) = signals.next().await.map_err(Failure::Client)? {
        match signal {
            RunSignal::Progress(tick) => {
                if tick.step == ProgressStep::StageWaiting {
                    let now = tick.waiting.map(|waiting| waiting.reason);
                    if now != waits_for {
                        waits_for = now;
                        let told =
                            now.map_or_else(|| "goes on".to_owned(), |reason| format!("waits for {}", reason.as_str()));
                        bar.set_message(told.clone());
                        if bar.is_hidden() {
                            output::note(global, &format!("{} {told}", tick.phase));
                        }
                    }
                    continue;
                }
                if let Some(part) = tick.part {
                    parts.insert(part.0, tick.records);
                }
                bar.set_position(done + parts.values().sum::<u64>());
            }
            RunSignal::Event(event) => {
                let metric = |name: &str| event.metrics.get(name).copied();
                if event.event_type == EventType::RunReplayed {
                    (parts, done) = (BTreeMap::new(), 0);
                    bar.set_position(0);
                } else if event.event_type == EventType::AdapterComplete {
                    // From here on the part counts by its final number.
                    if let Some(part) = metric("part").and_then(|part| u32::try_from(part).ok()) {
                        parts.remove(&part);
                    }
                    done += metric("records").unwrap_or(0);
                    bar.set_position(done + parts.values().sum::<u64>());
                } else if let (Some(total), Some(export_contract::run::Phase::Resolve)) =
                    (metric("records"), event.phase)
                {
                    bar.set_length(total);
                }
                tell(global, &bar, &event);
            }
        }
    }
    bar.finish_and_clear();
    client.run(run).await.map_err(Failure::Client)
}

fn tell(global: &Global, bar: &ProgressBar, event: &RunEvent) {
    bar.set_message(event.message.clone());
    if global.output == Form::Ndjson {
        output::document(global, event, |_| String::new());
    } else if bar.is_hidden() && event.event_type != EventType::AdapterComplete {
        output::note(global, &format!("{} {:<17} {}", event.at, event.event_type.as_str(), event.message));
    }
}
