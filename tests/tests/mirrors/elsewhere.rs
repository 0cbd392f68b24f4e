//! Time zone, locale, umask, the number of processors and the order of folders reach no byte; diffoscope is the judge.

use std::path::Path;
use std::process::Command;

use export_tests::{Bundle, Deployment, Setup, Surroundings, heavy, output};

use crate::world::{Evidence, delta, full, state};

/// The bundles of every kind that a mirror has, made of the same evidence.
async fn bundles(setup: Setup, numbers: impl Iterator<Item = u32> + Clone) -> (Deployment, Vec<Bundle>, String) {
    let mut deployment = Deployment::start(setup).await.unwrap();
    let evidence = Evidence::new(&deployment);
    // Folders list their files as they were made, on many file systems.
    for number in numbers.clone() {
        evidence.advisory(number, 1).vex(number, "affected");
        if number < 5 {
            evidence.sbom(number, 1);
        }
    }
    evidence.policy(1, &[(1, "blocked", "high"), (2, "passed", "low")]).import(&deployment);
    let (first, whole) = full(&mut deployment, "mirror-full").await;
    for number in numbers.filter(|number| number % 3 == 0) {
        evidence.advisory(number, 2).sbom(number % 9, 2);
    }
    evidence.import(&deployment);
    let (second, changes) = delta(&mut deployment, "mirror-delta", first.run.id.as_str()).await;
    let state = state(&second);
    (deployment, vec![whole, changes], state)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_around_the_processes_reaches_no_byte() {
    let _turn = heavy().await;
    let (_here, ours, state) = bundles(Setup { adapt_threads: 4, ..Setup::together() }, 0..120).await;
    let elsewhere = Setup { adapt_threads: 1, surroundings: Surroundings::Elsewhere, ..Setup::together() };
    let (_there, theirs, other_state) = bundles(elsewhere, (0..120).rev()).await;
    assert_eq!(state, other_state);
    for (one, other) in ours.iter().zip(&theirs) {
        judge(&one.tar(), &other.tar());
        judge(&one.folder().join("export.json"), &other.folder().join("export.json"));
    }
}

fn judge(one: &Path, other: &Path) {
    assert_eq!(Bundle::digest(one).unwrap(), Bundle::digest(other).unwrap(), "{}", told(one, other));
    output(Command::new("diffoscope").arg(one).arg(other)).unwrap();
}

/// What diffoscope says of the difference.
fn told(one: &Path, other: &Path) -> String {
    let said = Command::new("diffoscope").arg(one).arg(other).output();
    said.map(|said| String::from_utf8_lossy(&said.stdout).chars().take(4_000).collect()).unwrap_or_default()
}
