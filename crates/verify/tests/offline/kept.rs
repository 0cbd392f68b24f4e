//! Encrypted bundles whose key is kept elsewhere: who keeps it is asked for what was signed, and for nothing else.

use std::sync::{Arc, Mutex};

use export_contract::encryption::Encrypted;
use export_sealing::fuzzing::IDENTITY;
use export_sealing::{Context, Opener, WrapError};
use export_verify::{Identities, Keeper, Policy};

use crate::made::{FOREIGN, Made, trusting};
use crate::sealed::{MODES, Parts, code};

/// What it answers.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Key,
    Refusal,
    Silence,
}

#[derive(Debug)]
struct Kept {
    answer: Answer,
    asked: Mutex<Vec<Context>>,
}

impl Keeper for Kept {
    fn opener(&self, encrypted: &Encrypted, context: &Context) -> Result<Opener, WrapError> {
        self.asked.lock().unwrap().push(context.clone());
        match self.answer {
            Answer::Key => {
                let identities = Identities::parse(IDENTITY).unwrap();
                Opener::with_identities(encrypted, &context.run, &identities)
                    .map_err(|error| WrapError::Refused(Box::new(error)))
            }
            Answer::Refusal => Err(WrapError::Refused("another run".into())),
            Answer::Silence => Err(WrapError::Unavailable("no answer".into())),
        }
    }
}

/// The exit code, what was told, and what the keeper was asked for.
fn verified(made: &Made, answer: Answer) -> (u8, String, Vec<Context>) {
    let kept = Arc::new(Kept { answer, asked: Mutex::default() });
    let policy = Policy { keeper: Some(kept.clone()), require_provenance: true, ..trusting() };
    let (code, told) = code(made.verify(&policy));
    let asked = kept.asked.lock().unwrap().clone();
    (code, told, asked)
}

#[test]
fn a_key_that_is_kept_elsewhere_is_asked_for_once_in_the_name_of_the_signed_tenant_and_run() {
    for mode in MODES {
        let made = Parts::good(mode).made();
        let (code, told, asked) = verified(&made, Answer::Key);
        assert_eq!(code, 0, "{mode:?}: {told}");
        assert_eq!(asked, [Context { tenant: "acme".to_owned(), run: "run-1".to_owned() }], "{mode:?}");
    }
    let (code, told, asked) = verified(&Made::good(), Answer::Refusal);
    assert_eq!((code, asked), (0, Vec::new()), "nothing is encrypted: {told}");
}

#[test]
fn who_refuses_the_key_and_who_does_not_answer_are_told_apart() {
    let made = Parts::good(MODES[1]).made();
    let (code, told, _) = verified(&made, Answer::Refusal);
    assert!(code == 3 && told.contains("another run"), "{code}: {told}");
    let (code, told, _) = verified(&made, Answer::Silence);
    assert!(code == 6 && told.contains("no answer"), "{code}: {told}");
}

#[test]
fn nobody_is_asked_for_a_key_before_the_signatures_hold() {
    for mode in MODES {
        let flipped = |name| Parts::good(mode).made().with(name, |bytes| *bytes.last_mut().unwrap() ^= 1);
        let unsigned = |name| Parts::good(mode).made().without(&[name]);
        let mut foreign = Parts::good(mode).made();
        let statement = serde_json::from_slice(&foreign.0["provenance.json"]).unwrap();
        foreign.attest(&statement, &FOREIGN);
        for made in [
            foreign,
            flipped("export.json"),
            flipped("export.json.sig"),
            flipped("provenance.sigstore.json"),
            unsigned("provenance.sigstore.json"),
        ] {
            let (code, told, asked) = verified(&made, Answer::Key);
            assert!(matches!(code, 10..=14), "{mode:?}, {code}: {told}");
            assert_eq!(asked, [], "{mode:?}: {told}");
        }
    }
}
