//! The names of a run at a target: each generation has its own, so that what one handed over is taken back without the others.

use export_contract::run::RunRef;
use export_contract::{Generation, RunId};

/// What a run is called: its id, of a replay `<id>-g<generation>`.
pub(crate) fn name_of(run: &RunRef) -> String {
    if run.generation == Generation::FIRST { run.run.to_string() } else { format!("{}-{}", run.run, run.generation) }
}

/// Whether `rest`, which stands behind the id of `run` in a name, is of its generation or of one before.
pub(crate) fn is_up_to(run: &RunRef, rest: &str) -> bool {
    match rest.strip_prefix("-g") {
        Some(number) => number.parse::<u32>().is_ok_and(|number| number > 1 && number <= run.generation.0),
        None => rest.is_empty(),
    }
}

/// The run that a name is of, whatever the generation.
pub(crate) fn run_named(name: &str) -> Option<RunId> {
    let (id, number) = name.split_once("-g").unwrap_or((name, "2"));
    number.parse::<u32>().ok()?;
    id.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_generation_has_a_name_and_takes_those_before_with_it() {
        let run = RunId::from_parts(1_760_000_000_000, 7);
        let of = |generation| RunRef {
            tenant: "acme".parse().unwrap(),
            run: run.clone(),
            generation: Generation(generation),
        };
        assert_eq!((name_of(&of(1)), name_of(&of(12))), (run.to_string(), format!("{run}-g12")));
        let is_of = |generation: u32, rest: &str| is_up_to(&of(generation), rest);
        assert!(is_of(1, "") && is_of(3, "") && is_of(3, "-g2") && is_of(3, "-g3"));
        for (generation, rest) in [(1, "-g2"), (3, "-g4"), (3, "-gx"), (3, "-g"), (3, "0"), (3, "-g2x")] {
            assert!(!is_of(generation, rest), "{generation} {rest}");
        }
        for name in [run.to_string(), format!("{run}-g2")] {
            assert_eq!(run_named(&name), Some(run.clone()));
        }
        assert_eq!([run_named("latest"), run_named(&format!("{run}-gx"))], [None, None]);
    }
}
