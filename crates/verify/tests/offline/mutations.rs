//! Whatever is changed in any file that is believed, the verifier does not say yes, and names the right class.

use std::path::Path;

use export_verify::verify;

use crate::made::{Made, trusting};

/// The files that are believed, and the codes that a flipped bit in them may give.
const FILES: [(&str, &[u8]); 6] = [
    ("bundle.tar", &[13, 14]),
    ("export.json", &[10]),
    ("export.json.sig", &[10]),
    ("export.json.sigstore.json", &[10, 13, 14]),
    ("provenance.json", &[13]),
    ("provenance.sigstore.json", &[10, 14]),
];

fn refused(folder: &Path, what: &str) -> u8 {
    match verify(folder, &trusting()) {
        Ok(report) => panic!("{what} passed: {report:?}"),
        Err(error) => error.exit_code(),
    }
}

/// Flips bits at every `step`-th byte of the tar and at every byte of the other files; gives how many mutations were judged.
fn flip(step: usize, bits: &[u8]) -> usize {
    let made = Made::good();
    let folder = tempfile::tempdir().unwrap();
    made.write(folder.path());
    verify(folder.path(), &trusting()).unwrap();
    let mut judged = 0;
    for (name, codes) in FILES {
        let good = &made.0[name];
        let path = folder.path().join(name);
        for at in (0..good.len()).step_by(if name == "bundle.tar" { step } else { 1 }) {
            for bit in bits {
                let mut bad = good.clone();
                bad[at] ^= 1 << ((at + usize::from(*bit)) % 8);
                std::fs::write(&path, &bad).unwrap();
                let code = refused(folder.path(), &format!("byte {at} of {name}"));
                assert!(codes.contains(&code), "byte {at} of {name} gave {code}");
                judged += 1;
            }
        }
        std::fs::write(&path, good).unwrap();
    }
    judged
}

#[test]
fn no_flipped_bit_passes() {
    assert!(flip(5, &[0]) > 5_000);
}

#[test]
#[ignore = "part of make soak: every bit of every byte"]
fn no_flipped_bit_passes_anywhere() {
    assert!(flip(1, &[0, 1, 2, 3, 4, 5, 6, 7]) > 20_000);
}

#[test]
fn no_cut_file_passes() {
    let made = Made::good();
    let folder = tempfile::tempdir().unwrap();
    made.write(folder.path());
    for (name, flipped) in FILES {
        let good = &made.0[name];
        let path = folder.path().join(name);
        for length in (0..good.len()).step_by((good.len() / 60).max(1)) {
            std::fs::write(&path, &good[..length]).unwrap();
            let code = refused(folder.path(), &format!("{length} bytes of {name}"));
            let expected = if name == "bundle.tar" { &[17] } else { flipped };
            assert!(expected.contains(&code), "{length} bytes of {name} gave {code}");
        }
        std::fs::write(&path, good).unwrap();
    }
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
    let made = Made::good();
    let folder = tempfile::tempdir().unwrap();
    made.write(folder.path());
    let mut numbers = Numbers(seed);
    for round in 0..rounds {
        let (name, _) = FILES[numbers.below(FILES.len())];
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

#[test]
fn files_of_another_good_bundle_do_not_fit() {
    let made = Made::good();
    let other = Made::of(&crate::made::files()[..2]);
    for (name, _) in FILES {
        if name == "export.json.sig" || name == "export.json.sigstore.json" || name == "export.json" {
            let swapped = made.clone().with(name, |bytes| bytes.clone_from(&other.0[name]));
            assert_eq!(swapped.verify(&trusting()).unwrap_err().exit_code(), 10, "{name}");
        } else {
            let swapped = made.clone().with(name, |bytes| bytes.clone_from(&other.0[name]));
            let code = swapped.verify(&trusting()).unwrap_err().exit_code();
            assert!([13, 17].contains(&code), "{name} gave {code}");
        }
    }
}
