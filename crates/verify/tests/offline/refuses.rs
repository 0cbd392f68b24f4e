//! Every class of fault has its exit code (architecture, section 8).

use export_canon::jcs;
use export_contract::manifest::{ExportManifest, SourceState};
use export_contract::{Digest, Timestamp};
use export_signing::Signer as _;
use export_signing::bundle::{Bundle, to_base64};
use export_verify::{Policy, verify};
use serde_json::json;

use crate::made::{FOREIGN, File, Made, OURS, compressed, files, manifest, rehash, sign, statement, tar, trusting};

pub(crate) fn check(code: u8, cases: Vec<(&str, Made)>) {
    for (name, made) in cases {
        let error = made.verify(&trusting()).map(|_| ()).expect_err(name);
        assert_eq!(error.exit_code(), code, "{name}: {error:?}");
    }
}

#[test]
fn signatures_that_do_not_verify() {
    let good = Made::good;
    check(
        10,
        vec![
            ("changed manifest", good().with("export.json", |text| text[30] ^= 1)),
            (
                "detached over other bytes",
                good().with("export.json.sig", |text| *text = to_base64(&sign(&OURS, b"x")).into()),
            ),
            ("detached is not base64", good().with("export.json.sig", |text| text[5] = b'*')),
            ("detached is empty", good().with("export.json.sig", Vec::clear)),
            ("detached has a line feed", good().with("export.json.sig", |text| text.push(b'\n'))),
            (
                "bundled over other bytes",
                good().with_json("export.json.sigstore.json", |bundle| {
                    bundle["messageSignature"]["signature"] = to_base64(&sign(&OURS, b"x")).into();
                }),
            ),
            (
                "statement over other bytes",
                good().with_json("provenance.sigstore.json", |bundle| {
                    bundle["dsseEnvelope"]["signatures"][0]["sig"] = to_base64(&sign(&OURS, b"x")).into();
                }),
            ),
            (
                "statement of another type",
                good().with_json("provenance.sigstore.json", |bundle| {
                    bundle["dsseEnvelope"]["payloadType"] = "text/plain".into();
                }),
            ),
            (
                "statement is not base64",
                good().with_json("provenance.sigstore.json", |bundle| {
                    bundle["dsseEnvelope"]["payload"] = "*".into();
                }),
            ),
        ],
    );
}

#[test]
fn signatures_that_are_not_there() {
    check(
        11,
        vec![
            ("none", Made::good().without(&["export.json.sig", "export.json.sigstore.json"])),
            ("detached", Made::good().without(&["export.json.sig"])),
            ("bundled", Made::good().without(&["export.json.sigstore.json"])),
        ],
    );
}

#[test]
fn signatures_of_another_key() {
    let export_json = jcs::to_vec(&manifest(&files())).unwrap();
    let foreign = || Made::sealed(&export_json, &tar(&files(), &export_json), &FOREIGN);
    let mut attested = Made::good();
    attested.attest(&statement(&attested.0["export.json"], &attested.0["bundle.tar"]), &FOREIGN);
    check(
        12,
        vec![
            ("with its key", foreign()),
            ("without its key", foreign().without(&["cosign.pub"])),
            (
                "detached alone",
                Made::good()
                    .with("export.json.sig", |text| text.clone_from(&foreign().0["export.json.sig"]))
                    .with("cosign.pub", |pem| *pem = FOREIGN.public_key().pem().into()),
            ),
            ("provenance alone", attested),
        ],
    );
    let both = Policy { keys: vec![OURS.public_key().clone(), FOREIGN.public_key().clone()], ..Policy::default() };
    let mixed = Made::good().with("export.json.sig", |text| text.clone_from(&foreign().0["export.json.sig"]));
    assert_eq!(mixed.verify(&both).unwrap_err().exit_code(), 14, "two signers of one manifest");
    let error = foreign().verify(&trusting()).unwrap_err().to_string();
    assert!(error.contains(&FOREIGN.public_key().key_id()) && error.contains(&OURS.public_key().key_id()), "{error}");
}

#[test]
fn bytes_that_are_not_those_listed() {
    let text = jcs::to_vec(&manifest(&files())).unwrap();
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut files = files();
        change(&mut files[1].bytes);
        Made::good().with_tar(tar(&files, &text))
    };
    let other = {
        let mut files = files();
        files[0].bytes.push(b'\n');
        Made::of(&files)
    };
    let mut hash = manifest(&files());
    hash.rerun_hash = Digest::from_bytes([0; 32]);
    let swapped_statement =
        Made::good().with("provenance.sigstore.json", |text| text.clone_from(&other.0["provenance.sigstore.json"]));
    check(
        13,
        vec![
            ("a flipped byte", changed(|bytes| bytes[20] ^= 1)),
            ("a byte too many", changed(|bytes| bytes.push(0))),
            ("a byte too few", changed(|bytes| _ = bytes.pop())),
            ("no bytes", changed(Vec::clear)),
            ("a seek table gone", changed(|bytes| bytes.truncate(bytes.len() - 41))),
            (
                "the tar of another bundle",
                Made::good().with("bundle.tar", |bytes| bytes.clone_from(&other.0["bundle.tar"])),
            ),
            ("another export.json in the tar", Made::good().with_tar(tar(&files(), &jcs::to_vec(&hash).unwrap()))),
            ("the statement of another bundle", swapped_statement.without(&["provenance.json"])),
            ("another text beside the statement", Made::good().with("provenance.json", |text| text[9] ^= 1)),
            ("rerunHash", Made::saying(&files(), &hash)),
            (
                "digest in the bundle",
                Made::good().with_json("export.json.sigstore.json", |bundle| {
                    bundle["messageSignature"]["messageDigest"]["digest"] = to_base64(&[0; 32]).into();
                }),
            ),
        ],
    );
}

#[test]
fn manifests_that_are_malformed() {
    let said = |change: &dyn Fn(&mut ExportManifest)| {
        let mut manifest = manifest(&files());
        change(&mut manifest);
        Made::saying(&files(), &manifest)
    };
    let canonical = String::from_utf8(jcs::to_vec(&manifest(&files())).unwrap()).unwrap();
    let text = |text: String| Made::with_text(&files(), text.as_bytes());
    check(
        14,
        vec![
            ("white space", text(canonical.replacen(':', ": ", 1))),
            ("a line feed at the end", text(format!("{canonical}\n"))),
            ("a member twice", text(canonical.replacen('{', "{\"adapter\":{\"name\":\"x\",\"version\":\"1\"},", 1))),
            ("a number in another form", text(canonical.replacen("\"level\":3", "\"level\":3.0", 1))),
            ("not JSON", text("nonsense".to_owned())),
            ("deep", text("[".repeat(100_000))),
            ("a member missing", text(canonical.replacen("\"tenant\":\"acme\",", "", 1))),
            ("schema", said(&|manifest| manifest.schema = "urn:other".to_owned())),
            ("version 2", said(&|manifest| manifest.version = "2.0".to_owned())),
            ("version 1 and nothing", said(&|manifest| manifest.version = "1.".to_owned())),
            ("unsorted contents", said(&|manifest| manifest.contents.reverse())),
            (
                "a path twice",
                said(&|manifest| {
                    manifest.contents.insert(0, manifest.contents[0].clone());
                    rehash(manifest);
                }),
            ),
            (
                "itself",
                said(&|manifest| {
                    let mut own = manifest.contents[0].clone();
                    own.path = "manifests/export.json".to_owned();
                    manifest.contents.push(own);
                    rehash(manifest);
                }),
            ),
            // Reading stops at what was promised, so how much more there is stays unknown.
            ("too few frames", said(&|manifest| manifest.contents[1].frames = Some(2))),
            ("too few plain bytes", said(&|manifest| *manifest.contents[1].plain_bytes.as_mut().unwrap() -= 1)),
        ],
    );
    check(
        13,
        vec![
            ("too many records", said(&|manifest| manifest.contents[1].records = Some(61))),
            ("too few records", said(&|manifest| manifest.contents[1].records = Some(59))),
            ("too many frames", said(&|manifest| manifest.contents[1].frames = Some(4))),
            ("too many plain bytes", said(&|manifest| *manifest.contents[1].plain_bytes.as_mut().unwrap() += 1)),
        ],
    );
}

#[test]
fn a_later_minor_version_with_more_members_is_read() {
    let text = String::from_utf8(jcs::to_vec(&manifest(&files())).unwrap()).unwrap();
    let later = text.replacen("\"version\":\"1.0\"}", "\"version\":\"1.7\",\"zebra\":{\"new\":true}}", 1);
    assert_ne!(text, later);
    Made::with_text(&files(), later.as_bytes()).verify(&trusting()).unwrap();
}

#[test]
fn compressed_files_that_are_malformed() {
    let made = |file: File| Made::of(&[file]);
    let lines = |bytes: Vec<u8>, plain: u64, records: u64, frames: u64| {
        made(File {
            bytes,
            records: Some(records),
            plain: Some(plain),
            frames: Some(frames),
            ..File::plain("data/raw/vex.jsonl.zst", b"")
        })
    };
    let skippable = |bytes: &[u8]| [&0x184d_2a50_u32.to_le_bytes()[..], &[3, 0, 0, 0], b"abc", bytes].concat();
    let two = compressed(&["1\n", "2\n"]);
    let bomb = "\n".repeat(64 << 20);
    check(
        14,
        vec![
            ("not zstd", lines(b"1\n2\n".to_vec(), 4, 2, 1)),
            ("nothing at all", lines(Vec::new(), 0, 0, 0)),
            ("a bomb", lines(compressed(&[&bomb]), 1000, 1000, 1)),
            ("a cut frame", lines(two[..6].to_vec(), 4, 2, 2)),
            ("hidden bytes before", lines(skippable(&two), 4, 2, 2)),
            ("hidden bytes after", lines([two.clone(), skippable(&[])].concat(), 4, 2, 2)),
            ("no seek table", lines([compressed(&["1\n"]), compressed(&["2\n"])].concat(), 4, 2, 2)),
            ("a table of other frames", lines([compressed(&["1\n"]), two.clone()].concat(), 6, 3, 3)),
            ("a blank line", lines(compressed(&["1\n\n"]), 3, 2, 1)),
            ("a blank line across frames", lines(compressed(&["1\n", "\n2\n"]), 5, 3, 2)),
            ("an open line", lines(compressed(&["1\n2"]), 3, 1, 1)),
        ],
    );
}

#[test]
fn files_beside_the_tar_that_are_malformed() {
    let json = |name, change: fn(&mut serde_json::Value)| Made::good().with_json(name, change);
    let (message, proof) = ("export.json.sigstore.json", "provenance.sigstore.json");
    let attested = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut made = Made::good();
        let mut statement = statement(&made.0["export.json"], &made.0["bundle.tar"]);
        change(&mut statement);
        made.attest(&statement, &OURS);
        made
    };
    check(
        14,
        vec![
            ("a bundle that is not JSON", Made::good().with(message, |text| *text = b"x".to_vec())),
            ("a member more", json(message, |bundle| bundle["more"] = json!(1))),
            ("another media type", json(message, |bundle| bundle["mediaType"] = json!("application/json"))),
            ("log entries", json(message, |bundle| bundle["verificationMaterial"]["tlogEntries"] = json!([{}]))),
            ("a certificate", json(message, |bundle| bundle["verificationMaterial"]["certificate"] = json!({}))),
            (
                "another key's hint",
                Made::good().with_json(message, |bundle| {
                    bundle["verificationMaterial"]["publicKey"]["hint"] = FOREIGN.public_key().hint().into();
                }),
            ),
            (
                "another hash",
                json(message, |bundle| bundle["messageSignature"]["messageDigest"]["algorithm"] = json!("SHA2_512")),
            ),
            (
                "a digest that is none",
                json(message, |bundle| bundle["messageSignature"]["messageDigest"]["digest"] = json!("AA==")),
            ),
            (
                "an envelope for a message",
                Made::good().with(message, |text| {
                    *text = Made::good().0["provenance.sigstore.json"].clone();
                }),
            ),
            (
                "a message for an envelope",
                Made::good().with(proof, |text| {
                    *text = serde_json::to_vec(&Bundle::of_message(OURS.public_key(), b"", &sign(&OURS, b""))).unwrap();
                }),
            ),
            ("a keyid", json(proof, |bundle| bundle["dsseEnvelope"]["signatures"][0]["keyid"] = json!("x"))),
            (
                "two signatures",
                json(proof, |bundle| {
                    let signatures = &mut bundle["dsseEnvelope"]["signatures"];
                    *signatures = json!([signatures[0].clone(), signatures[0].clone()]);
                }),
            ),
            ("no signature", json(proof, |bundle| bundle["dsseEnvelope"]["signatures"] = json!([]))),
            ("too long a signature", Made::good().with("export.json.sig", |text| *text = vec![b'A'; 2000])),
            ("a statement with white space", {
                let mut made = Made::good();
                let payload = [&made.0["provenance.json"][..], b"\n"].concat();
                made.seal(payload, &OURS);
                made
            }),
            ("a member more in the statement", attested(&|statement| statement["more"] = json!(1))),
            ("another predicate", attested(&|statement| statement["predicateType"] = json!("https://example.com"))),
            ("no subject", attested(&|statement| statement["subject"] = json!([]))),
            (
                "a subject twice",
                attested(&|statement| {
                    let subject = statement["subject"][0].clone();
                    statement["subject"].as_array_mut().unwrap().push(subject);
                }),
            ),
            (
                "many subjects",
                attested(&|statement| {
                    let subject = json!({"name": "x", "digest": {}});
                    statement["subject"].as_array_mut().unwrap().extend(vec![subject; 1024]);
                }),
            ),
        ],
    );
}

#[cfg(unix)]
#[test]
fn a_pipe_or_a_folder_in_place_of_a_file_is_refused_at_once() {
    for (name, code) in
        [("export.json", 14), ("export.json.sig", 14), ("bundle.tar", 14), ("provenance.sigstore.json", 14)]
    {
        let folder = tempfile::tempdir().unwrap();
        Made::good().without(&[name]).write(folder.path());
        let made = std::process::Command::new("mkfifo").arg(folder.path().join(name)).status().unwrap();
        assert!(made.success());
        assert_eq!(verify(folder.path(), &trusting()).unwrap_err().exit_code(), code, "{name}");
        std::fs::remove_file(folder.path().join(name)).unwrap();
        std::fs::create_dir(folder.path().join(name)).unwrap();
        assert_eq!(verify(folder.path(), &trusting()).unwrap_err().exit_code(), code, "{name}");
    }
}

#[test]
fn evidence_that_is_too_old() {
    let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
    let made = |as_of, until| {
        let mut manifest = manifest(&files());
        manifest.as_of = as_of;
        manifest.fresh_until = until;
        Made::saying(&files(), &manifest)
    };
    let now = |max_age| Policy { now: at("2026-03-01T00:00:00Z"), max_age_seconds: max_age, ..trusting() };
    let hour_old = made(at("2026-02-28T23:00:00Z"), None);
    assert_eq!(hour_old.verify(&now(Some(3600))).unwrap().age_seconds, Some(3600));
    hour_old.verify(&now(None)).unwrap();
    for (name, made, max_age) in [
        ("one second too old", hour_old, Some(3599)),
        ("no asOf", made(None, None), Some(3600)),
        ("from the future", made(at("2026-03-02T00:00:00Z"), None), Some(3600)),
        ("past freshUntil", made(at("2026-02-28T23:00:00Z"), at("2026-02-28T23:59:59Z")), None),
    ] {
        assert_eq!(made.verify(&now(max_age)).unwrap_err().exit_code(), 15, "{name}");
    }
    let no_clock = Policy { max_age_seconds: Some(1), ..trusting() };
    assert_eq!(Made::good().verify(&no_clock).unwrap_err().exit_code(), 15);
    made(at("2026-03-01T00:04:00Z"), None).verify(&now(Some(10))).expect("clocks differ by minutes");
}

#[test]
fn bundles_that_are_incomplete() {
    let text = jcs::to_vec(&manifest(&files())).unwrap();
    let lacking = |at: usize| {
        let mut files = files();
        files.remove(at);
        Made::good().with_tar(tar(&files, &text))
    };
    let mut failed = manifest(&files());
    failed.sources[0].state = SourceState::Failed;
    let no_manifest = {
        let mut files = files();
        files.push(File::plain("manifests/export.json", b""));
        let whole = tar(&files, &text);
        // Everything before the manifest, which is the last entry, and the end.
        let length = whole.len() - 1024 - 512 - text.len().next_multiple_of(512);
        [&whole[..length], &[0; 1024]].concat()
    };
    check(
        17,
        vec![
            ("no tar", Made::good().without(&["bundle.tar"])),
            ("first file missing", lacking(0)),
            ("second file missing", lacking(1)),
            ("third file missing", lacking(2)),
            ("manifest missing in the tar", Made::good().with_tar(no_manifest.clone())),
            ("manifest missing everywhere", Made::good().with_tar(no_manifest).without(&["export.json"])),
            ("an empty tar", Made::good().with_tar(vec![0; 1024])),
            ("a tar of no bytes", Made::good().with_tar(Vec::new())),
            ("a source that failed", Made::saying(&files(), &failed)),
        ],
    );
}
