//! `exportctl bundle verify` as a person or a script calls it: every exit code, every container, no network.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../../../crates/verify/tests/offline/made.rs"]
#[allow(dead_code, reason = "made for more tests than these")]
mod made;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use export_canon::tar::TarWriter;
use export_contract::Timestamp;
use export_contract::manifest::SourceState;
use export_signing::Signer as _;
use made::{FOREIGN, Made, OURS, files, manifest};
use serde_json::Value;

/// A bundle in a folder with the keys beside it.
struct Place(tempfile::TempDir);

impl Place {
    fn of(made: &Made) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("bundle");
        std::fs::create_dir(&bundle).unwrap();
        made.write(&bundle);
        std::fs::write(folder.path().join("ours.pub"), OURS.public_key().pem()).unwrap();
        std::fs::write(folder.path().join("foreign.pub"), FOREIGN.public_key().pem()).unwrap();
        Self(folder)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_exportctl"));
        command.current_dir(self.0.path()).args(["bundle", "verify"]).args(arguments).stdin(Stdio::null());
        command
    }

    fn verify(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

fn code(made: &Made, arguments: &[&str]) -> i32 {
    let out = Place::of(made).verify(&[&["bundle"], arguments].concat());
    assert_eq!(out.status.success(), !out.stdout.is_empty(), "{out:?}");
    out.status.code().unwrap()
}

const KEY: [&str; 2] = ["--key", "ours.pub"];

#[test]
fn every_fault_has_its_exit_code() {
    let good = Made::good;
    let foreign = Made::sealed(&good().0["export.json"], &good().0["bundle.tar"], &FOREIGN);
    let mut failed = manifest(&files());
    failed.sources[0].state = SourceState::Failed;
    let failed = Made::saying(&files(), &failed);
    let mut stale = manifest(&files());
    stale.fresh_until = Some(Timestamp::from_micros(1_000_000_000_000_000).unwrap());
    let stale = Made::saying(&files(), &stale);
    let lasting = |statement: &mut Value| statement["predicate"]["freshUntil"] = "2999-01-01T00:00:00Z".into();
    let of_another = |statement: &mut Value| statement["subject"][0]["digest"]["sha256"] = "0".repeat(64).into();
    let with = |more: &[&'static str]| [&KEY[..], more].concat();
    for (expected, name, made, arguments) in [
        (0, "good", good(), with(&[])),
        (0, "one of two keys", good(), with(&["--key", "foreign.pub"])),
        (0, "attested", good(), with(&["--require-attestation"])),
        (0, "failed source, allowed", failed.clone(), with(&["--allow-failed-sources"])),
        (0, "young enough", good(), with(&["--max-age", "5000w"])),
        (0, "stale and confirmed", stale.clone().refreshed_as(&OURS, lasting), with(&[])),
        (2, "no key", good(), vec![]),
        (2, "no age", good(), with(&["--max-age", "soon"])),
        (2, "a key that is none", good(), vec!["--key", "bundle/export.json"]),
        (4, "a key that is not there", good(), vec!["--key", "absent.pub"]),
        (10, "changed manifest", good().with("export.json", |text| text[30] ^= 1), with(&[])),
        (11, "no signature", good().without(&["export.json.sig"]), with(&[])),
        (11, "not attested", good().without(&["provenance.sigstore.json"]), with(&["--require-attestation"])),
        (12, "another signer", foreign, with(&[])),
        (12, "confirmed by another", stale.clone().refreshed_as(&FOREIGN, lasting), with(&[])),
        (12, "another key", good(), vec!["--key", "foreign.pub"]),
        (13, "changed file", good().with("bundle.tar", |tar| tar[512] ^= 1), with(&[])),
        (13, "a refresh of another bundle", good().refreshed_as(&OURS, of_another), with(&[])),
        (14, "changed header", good().with("bundle.tar", |tar| tar[3] ^= 1), with(&[])),
        (14, "more plain bytes than allowed", good(), with(&["--max-plain-bytes", "10"])),
        (15, "too old", good(), with(&["--max-age", "1s"])),
        (15, "not fresh", stale, with(&[])),
        (15, "confirmed too long ago", good().refreshed(), with(&[])),
        (17, "cut", good().with("bundle.tar", |tar| tar.truncate(3000)), with(&[])),
        (17, "failed source", failed, with(&[])),
    ] {
        assert_eq!(code(&made, &arguments), expected, "{name}");
    }
    let place = Place::of(&good());
    assert_eq!(place.verify(&[&["nowhere"], &KEY[..]].concat()).status.code(), Some(4));
}

#[test]
fn programs_read_the_outcome_as_json_whatever_it_is() {
    let place = Place::of(&Made::good());
    let out = place.verify(&["bundle", "--key", "ours.pub", "-o", "json"]);
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&report["verified"], &report["records"]), (&Value::Bool(true), &Value::from(60)), "{report}");
    assert!(!report["proven"].as_array().unwrap().is_empty() && !report["notProven"].as_array().unwrap().is_empty());
    assert!(report["ageSeconds"].as_i64().unwrap() > 0, "{report}");
    assert!(out.stderr.is_empty(), "no progress bar without a terminal: {out:?}");

    let out = place.verify(&["bundle", "--key", "foreign.pub", "-o", "json"]);
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&report["verified"], &report["exitCode"]), (&Value::Bool(false), &Value::from(12)), "{report}");
    assert_eq!(out.status.code(), Some(12));
    assert!(report["fault"].as_str().unwrap().contains(&OURS.public_key().key_id()), "{report}");
}

fn delivery(made: &Made, order: &[&str]) -> Vec<u8> {
    // The writer of bundles writes in order of names only, and a stream must come in another.
    let mut all = Vec::new();
    for name in order {
        let bytes = &made.0[name];
        let mut one = TarWriter::new(Vec::new());
        one.append(name, bytes.len() as u64, bytes.as_slice()).unwrap();
        let one = one.finish().unwrap();
        all.extend_from_slice(&one[..one.len() - 1024]);
    }
    all.extend([0; 1024]);
    all
}

fn piped(place: &Place, bytes: &[u8]) -> Output {
    let mut child = place
        .command(&["-", "--key", "ours.pub"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A refusal may come before everything was written.
    let _closed = child.stdin.take().unwrap().write_all(bytes);
    child.wait_with_output().unwrap()
}

#[test]
fn standard_input_is_read_once_and_told_when_it_comes_the_wrong_way_round() {
    let made = Made::good();
    let place = Place::of(&made);
    let small = ["export.json", "export.json.sig", "export.json.sigstore.json"];
    let right = delivery(&made, &[&small[..], &["bundle.tar", "provenance.sigstore.json"]].concat());
    let out = piped(&place, &right);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    let out = piped(&place, &delivery(&made, &[&["bundle.tar"], &small[..]].concat()));
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stderr).contains("small files"), "{out:?}");
    assert_eq!(piped(&place, &right[..right.len() / 2]).status.code(), Some(17));
    assert_eq!(place.verify(&["-", "--key", "ours.pub"]).status.code(), Some(17), "nothing on standard input");
}

/// Runs in a network namespace where even loopback is down.
#[test]
fn nothing_of_it_needs_a_network() {
    let prefixes: [&[&str]; 2] = [&["-n"], &["-rn"]];
    let works = |flags: &&&[&str]| {
        let out = Command::new("unshare").args(**flags).arg("true").output();
        out.is_ok_and(|out| out.status.success())
    };
    let Some(flags) = prefixes.iter().find(works) else {
        println!("unshare makes no network namespace on this machine: passed over");
        return;
    };
    // The namespace is empty indeed: one interface, and that is down.
    let devices = Command::new("unshare").args(*flags).args(["cat", "/proc/net/dev"]).output().unwrap();
    let devices = String::from_utf8(devices.stdout).unwrap();
    assert_eq!(devices.lines().filter(|line| line.contains(':')).count(), 1, "{devices}");

    let made = Made::good();
    let place = Place::of(&made);
    let small =
        ["export.json", "export.json.sig", "export.json.sigstore.json", "provenance.sigstore.json", "bundle.tar"];
    std::fs::write(place.0.path().join("delivery.tar"), delivery(&made, &small)).unwrap();
    let run = |path: &str| {
        let program = Path::new(env!("CARGO_BIN_EXE_exportctl"));
        let mut command = Command::new("unshare");
        command.args(*flags).arg(program).args(["bundle", "verify", path, "--require-attestation"]).args(KEY);
        command.current_dir(place.0.path()).output().unwrap()
    };
    for path in ["bundle", "bundle/bundle.tar", "delivery.tar"] {
        let out = run(path);
        assert_eq!(out.status.code(), Some(0), "{path}: {out:?}");
    }
}

#[test]
fn a_packed_bundle_is_one_file_that_verifies_and_always_the_same() {
    let lasting = |statement: &mut Value| statement["predicate"]["freshUntil"] = "2999-01-01T00:00:00Z".into();
    let place = Place::of(&Made::good().refreshed_as(&OURS, lasting));
    let pack = |out: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_exportctl"));
        command.current_dir(place.0.path()).args(["bundle", "pack", "bundle", "--out", out]).output().unwrap()
    };
    assert!(pack("one.tar").status.success());
    let one = std::fs::read(place.0.path().join("one.tar")).unwrap();
    let out = place.verify(&["one.tar", "--key", "ours.pub", "--require-attestation"]);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stdout).contains("confirmed unchanged"), "{out:?}");
    assert_eq!(piped(&place, &one).status.code(), Some(0), "from a pipe");
    assert_eq!(pack("-").stdout, one);
    let listed = Command::new("tar").args(["-tf", "one.tar"]).current_dir(place.0.path()).output().unwrap();
    assert!(listed.status.success() && listed.stdout.ends_with(b"bundle.tar\n"), "{listed:?}");

    // Without what vouches for it nothing is packed, and what was there stays.
    std::fs::remove_file(place.0.path().join("bundle/export.json.sig")).unwrap();
    let refused = pack("one.tar");
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("export.json.sig"), "{refused:?}");
    assert_eq!(std::fs::read(place.0.path().join("one.tar")).unwrap(), one);
    assert!(!place.0.path().join("one.tar.partial").exists());
}

#[test]
fn identities_and_folders_are_checked_before_a_bundle_is_read_and_no_key_is_printed() {
    let place = Place::of(&Made::good());
    let folder = place.0.path();
    std::fs::write(folder.join("bad.txt"), "AGE-SECRET-KEY-1HUNTER2\n").unwrap();
    std::fs::write(folder.join("empty.txt"), "# nothing\n").unwrap();
    let decrypt = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_exportctl"));
        command.current_dir(folder).args(["bundle", "decrypt", "bundle"]).args(arguments).output().unwrap()
    };
    for (identity, code, says) in
        [("bad.txt", 2, "line 1"), ("empty.txt", 2, "age-keygen"), ("none.txt", 4, "none.txt")]
    {
        let verified = place.verify(&[&["bundle", "--identity", identity], &KEY[..]].concat());
        let decrypted = decrypt(&["--identity", identity, "--out", "plain", KEY[0], KEY[1]]);
        for out in [verified, decrypted] {
            let told = String::from_utf8_lossy(&out.stderr);
            assert_eq!(out.status.code(), Some(code), "{told}");
            assert!(told.contains(says) && !told.contains("HUNTER2"), "{told}");
        }
    }
    let identity = "AGE-SECRET-KEY-1D9GRDPAPXUXLJK0QZEDGVQNMRJ6FF98KT0FWS4H4XVSSATXPE52QSG7ZU7\n";
    std::fs::write(folder.join("good.txt"), identity).unwrap();
    for arguments in [
        &["--identity", "good.txt", "--out", "plain"][..],
        &["--identity", "good.txt", "--out", "bundle", KEY[0], KEY[1]],
    ] {
        let out = decrypt(arguments);
        assert_eq!(out.status.code(), Some(2), "{out:?}");
    }
    // Nothing is encrypted in this one: what comes out is what went in.
    let out = decrypt(&["--identity", "good.txt", "--out", "plain", KEY[0], KEY[1]]);
    assert!(out.status.success(), "{out:?}");
    assert_eq!(
        std::fs::read(folder.join("bundle/bundle.tar")).unwrap(),
        std::fs::read(folder.join("plain/bundle.tar")).unwrap()
    );
}
