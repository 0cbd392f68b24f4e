//! `exportctl dead-letter`.

use export_contract::dead_letter::KeptLetter;

use crate::cli::{DeadLetterCommand, Global};
use crate::exit::{Exit, Failure};
use crate::login::client;
use crate::{output, run};

/// Runs one of the commands for dead letters.
pub(crate) async fn dead_letter(global: &Global, command: DeadLetterCommand) -> Result<Exit, Failure> {
    let client = client(global)?;
    match command {
        DeadLetterCommand::List { run, after, limit } => {
            let mut query = vec![("limit", limit.to_string())];
            query.extend(run.map(|run| ("run", run)));
            query.extend(after.map(|after| ("cursor", after.to_string())));
            let page = client.dead_letters(&query).await.map_err(Failure::Client)?;
            output::list(global, &page.letters, &["ID", "AT", "RUN", "STEP", "PART", "TRIES", "CODE"], row);
            if let Some(next) = page.next_cursor {
                output::note(global, &format!("there are more letters; go on with --after {next}"));
            }
        }
        DeadLetterCommand::Show { id } => {
            let letter = client.dead_letter(id).await.map_err(Failure::Client)?;
            output::document(global, &letter, facts);
        }
        DeadLetterCommand::Replay { id, watch } => {
            let replayed = client.replay_dead_letter(id).await.map_err(Failure::Client)?;
            return run::replayed(global, &client, &replayed, watch).await;
        }
    }
    Ok(Exit::Ok)
}

fn row(kept: &KeptLetter) -> Vec<String> {
    vec![
        kept.id.to_string(),
        kept.letter.at.to_string(),
        format!("{} {}", kept.run_id, kept.generation),
        kept.letter.consumer.clone(),
        kept.part.map_or_else(String::new, |part| part.to_string()),
        kept.letter.deliveries.to_string(),
        kept.letter.code.to_string(),
    ]
}

fn facts(kept: &KeptLetter) -> String {
    let letter = &kept.letter;
    output::facts(&[
        ("letter", kept.id.to_string()),
        ("at", letter.at.to_string()),
        ("run", format!("{} {}", kept.run_id, kept.generation)),
        ("step", letter.consumer.clone()),
        ("part", kept.part.map_or_else(String::new, |part| part.to_string())),
        ("tries", letter.deliveries.to_string()),
        ("code", letter.code.to_string()),
        ("reason", letter.reason.clone()),
        ("subject", letter.subject.clone()),
        ("command", letter.payload.clone()),
    ])
}
