//! Several things are changed at once, at random; `tests/mutations.rs` changes each place alone.

use std::path::Path;

use export_verify::verify;

use crate::made::{Made, trusting};

const FILES: [&str; 7] = [
    "bundle.tar",
    "export.json",
    "export.json.sig",
    "export.json.sigstore.json",
    "provenance.json",
    "provenance.sigstore.json",
    "refresh.sigstore.json",
];

fn refused(folder: &Path, what: &str) {
    let outcome = verify(folder, &trusting());
    assert!(outcome.is_err(), "{what} passed: {outcome:?}");
}

/// A row of numbers that is the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }
}

/// Inserts, removes, doubles, moves and blanks stretches.
fn garble(rounds: usize, seed: u64) {
    let made = Made::good().refreshed();
    let folder = tempfile::tempdir().unwrap();
    made.write(folder.path());
    let mut numbers = Numbers(seed);
    for round in 0..rounds {
        let name = FILES[numbers.below(FILES.len())];
        let good = &made.0[name];
        let mut bad = good.clone();
        let unit = if name == "bundle.tar" && numbers.below(2) == 0 { 512 } else { 1 };
        let at = numbers.below(good.len() / unit) * unit;
        let end = (at + (1 + numbers.below(8)) * unit).min(good.len());
        let stretch = good[at..end].to_vec();
        match numbers.below(5) {
            0 => _ = bad.splice(at..at, vec![b'x'; end - at]),
            1 => _ = bad.drain(at..end),
            2 => _ = bad.splice(at..at, stretch),
            3 => {
                bad.drain(at..end);
                let to = numbers.below(bad.len() / unit) * unit;
                bad.splice(to..to, stretch);
            }
            _ => bad[at..end].fill(0),
        }
        if bad == *good {
            continue;
        }
        std::fs::write(folder.path().join(name), &bad).unwrap();
        refused(folder.path(), &format!("round {round} of seed {seed}, {name} at {at}..{end}"));
        std::fs::write(folder.path().join(name), good).unwrap();
    }
}

#[test]
fn no_garbled_file_passes() {
    garble(1_000, 1);
}

#[test]
#[ignore = "part of make soak: 50,000 rounds"]
fn no_garbled_file_passes_ever() {
    (2..52).for_each(|seed| garble(1_000, seed));
}
