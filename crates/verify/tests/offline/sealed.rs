//! Encrypted bundles: proven without the key as far as that goes, and with it to the end.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use export_canon::tar::TarWriter;
use export_contract::encryption::{
    Encrypted, EncryptedFile, Encryption, EncryptionMode, EncryptionScope, ManifestEncryption,
};
use export_contract::manifest::{ExportManifest, PATH};
use export_sealing::fuzzing::IDENTITY;
use export_sealing::{Context, Keepers, Sealing};
use export_verify::{Identities, Policy, Report, VerifyError, decrypt, verify_stream};
use serde_json::{Value, json};

use crate::made::{File, Made, OURS, compressed, digest, files, manifest, statement, trusting};
use crate::packed::{ORDER, delivery};

pub(crate) const MODES: [EncryptionMode; 2] = [EncryptionMode::Age, EncryptionMode::AesGcm];

fn recipient() -> String {
    IDENTITY.parse::<age::x25519::Identity>().unwrap().to_public().to_string()
}

fn knowing() -> Policy {
    Policy { identities: Some(Identities::parse(IDENTITY).unwrap()), ..trusting() }
}

fn stranger() -> Policy {
    use age::secrecy::ExposeSecret as _;
    let text = age::x25519::Identity::generate().to_string();
    Policy { identities: Some(Identities::parse(text.expose_secret()).unwrap()), ..trusting() }
}

/// An encrypted bundle in its parts, so that each can be exchanged.
#[derive(Clone)]
pub(crate) struct Parts {
    manifest: ExportManifest,
    /// The tar by name.
    tar: BTreeMap<String, Vec<u8>>,
    encrypted: Encrypted,
}

fn parts(files: &[File], mode: EncryptionMode, scope: EncryptionScope) -> Parts {
    let mut manifest = manifest(files);
    let how = ManifestEncryption { mode, scope };
    manifest.encryption = Some(how);
    let context = Context { tenant: manifest.tenant.to_string(), run: "run-1".to_owned() };
    let wanted = Encryption { mode, recipients: [recipient()].into(), scope: None, strict: true };
    let sealing = Sealing::new(Keepers::default(), BTreeMap::new(), Arc::new(|_, _, _| ()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let prepared = runtime.block_on(sealing.begin(&wanted, scope, &context)).unwrap();
    let mut encrypted = prepared.encrypted;
    let mut tar = BTreeMap::new();
    for file in files {
        let stored = how.stored(&file.path);
        if stored == file.path {
            tar.insert(stored, file.bytes.clone());
            continue;
        }
        let mut sealer = prepared.sealer.file(&file.path).unwrap();
        sealer.push(&file.bytes).unwrap();
        tar.insert(stored, [sealer.take(), sealer.finish().unwrap()].concat());
    }
    encrypted.files = listed(&tar, mode);
    Parts { manifest, tar, encrypted }
}

fn listed(tar: &BTreeMap<String, Vec<u8>>, mode: EncryptionMode) -> Vec<EncryptedFile> {
    let sealed = tar.iter().filter(|(name, _)| name.ends_with(mode.suffix()));
    sealed
        .map(|(name, bytes)| EncryptedFile { path: name.clone(), digest: digest(bytes), bytes: bytes.len() as u64 })
        .collect()
}

impl Parts {
    pub(crate) fn good(mode: EncryptionMode) -> Self {
        parts(&files(), mode, EncryptionScope::Data)
    }

    /// Changes the tar, and the signed provenance with it: what only the maker could do.
    fn resigned(mut self, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> Self {
        change(&mut self.tar);
        self.encrypted.files = listed(&self.tar, self.encrypted.mode);
        self
    }

    fn bytes(&self) -> (Vec<u8>, Vec<u8>) {
        let text = export_canon::jcs::to_vec(&self.manifest).unwrap();
        let mut entries = self.tar.clone();
        entries.insert(PATH.to_owned(), text.clone());
        let mut writer = TarWriter::new(Vec::new());
        for (path, bytes) in &entries {
            writer.append(path, bytes.len() as u64, bytes.as_slice()).unwrap();
        }
        (text, writer.finish().unwrap())
    }

    pub(crate) fn made(&self) -> Made {
        self.saying(&json!(self.encrypted))
    }

    /// With any word in the provenance; null leaves it out.
    fn saying(&self, encrypted: &Value) -> Made {
        let (text, tar) = self.bytes();
        let mut made = Made::sealed(&text, &tar, &OURS);
        let mut statement = statement(&text, &tar);
        if !encrypted.is_null() {
            let internal = &mut statement["predicate"]["buildDefinition"]["internalParameters"];
            internal["environment"] = json!({ "encryption": encrypted });
        }
        made.attest(&statement, &OURS);
        made
    }

    fn verify(&self, policy: &Policy) -> Result<Report, VerifyError> {
        self.made().verify(policy)
    }
}

pub(crate) fn code(outcome: Result<Report, VerifyError>) -> (u8, String) {
    match outcome {
        Ok(_) => (0, String::new()),
        Err(error) => {
            let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
            (error.exit_code(), causes.map(|error| format!("{error}: ")).collect())
        }
    }
}

#[test]
fn without_the_key_the_encrypted_bytes_are_proven_and_the_rest_is_said_not_to_be() {
    for mode in MODES {
        let report = Parts::good(mode).verify(&trusting()).unwrap();
        let facts = report.encryption.as_ref().unwrap();
        assert_eq!((facts.mode, facts.files, facts.contents_proven, facts.decrypted), (mode, 2, false, false));
        assert_eq!(facts.recipients, [recipient()]);
        assert_eq!((report.files, report.records), (3, 0));
        let (proven, not_proven) = (report.proven.join("\n"), report.not_proven.join("\n"));
        assert!(proven.contains("2 of them are encrypted") && !proven.contains("records"), "{proven}");
        assert!(not_proven.contains("what the 2 encrypted files hold"), "{not_proven}");
    }
    let payload = parts(&files(), EncryptionMode::Age, EncryptionScope::Payload).verify(&trusting()).unwrap();
    assert_eq!(payload.encryption.unwrap().files, 2, "README.md stays readable");
}

#[test]
fn with_the_key_everything_is_proven_that_is_proven_of_a_plain_bundle() {
    let plain = Made::good().verify(&trusting()).unwrap();
    for mode in MODES {
        let report = Parts::good(mode).verify(&knowing()).unwrap();
        assert_eq!((report.files, report.records), (plain.files, plain.records));
        assert_eq!(report.rerun_hash, plain.rerun_hash);
        assert!(report.encryption.as_ref().unwrap().contents_proven);
        let proven = report.proven.join("\n");
        assert!(proven.contains("the 2 encrypted files decrypt to what export.json lists"), "{proven}");
        assert!(!report.not_proven.join("\n").contains("encrypted"), "{:?}", report.not_proven);
    }
    // An identity too many does no harm.
    Made::good().verify(&knowing()).unwrap();
}

#[test]
fn the_identity_of_somebody_else_is_a_matter_of_permission() {
    for mode in MODES {
        let (code, told) = code(Parts::good(mode).verify(&stranger()));
        assert_eq!(code, 3, "{mode:?}: {told}");
        assert!(told.contains("other recipients"), "{told}");
    }
}

/// What anybody on the way can do: change bytes, but sign nothing.
#[test]
fn changed_encrypted_bytes_are_a_wrong_digest_with_and_without_the_key() {
    const FILE: &str = "data/raw/advisories.jsonl.zst";
    for mode in MODES {
        let good = Parts::good(mode);
        let name = format!("{FILE}{}", mode.suffix());
        let other = Parts::good(mode);
        for (what, tar) in [
            ("a bit", change(&good, |tar| *tar.get_mut(&name).unwrap().last_mut().unwrap() ^= 1)),
            ("a bit of the head", change(&good, |tar| tar.get_mut(&name).unwrap()[20] ^= 1)),
            ("cut", change(&good, |tar| _ = tar.get_mut(&name).unwrap().pop())),
            ("longer", change(&good, |tar| tar.get_mut(&name).unwrap().push(0))),
            ("empty", change(&good, |tar| tar.get_mut(&name).unwrap().clear())),
            ("the file of another run", change(&good, |tar| _ = tar.insert(name.clone(), other.tar[&name].clone()))),
            (
                "two files swapped",
                change(&good, |tar| {
                    let vex = format!("data/raw/vex.jsonl.zst{}", mode.suffix());
                    let (one, two) = (tar[&name].clone(), tar[&vex].clone());
                    tar.extend([(name.clone(), two), (vex, one)]);
                }),
            ),
        ] {
            let made = Parts { tar, ..good.clone() };
            // Even with provenance that names the changed tar as its subject: the files are told by name.
            for policy in [trusting(), knowing()] {
                let (code, told) = code(made.verify(&policy));
                assert_eq!(code, 13, "{mode:?}, {what}: {told}");
                assert!(told.contains("data/raw/"), "{mode:?}, {what}: {told}");
            }
        }
    }
}

fn change(parts: &Parts, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> BTreeMap<String, Vec<u8>> {
    let mut tar = parts.tar.clone();
    change(&mut tar);
    tar
}

/// Byte by byte, with and without the key; every eleventh, as each costs a signature.
#[test]
fn no_changed_byte_of_an_encrypted_tar_passes() {
    for mode in MODES {
        let good = parts(&files(), mode, EncryptionScope::Payload).made();
        let folder = tempfile::tempdir().unwrap();
        good.write(folder.path());
        let tar = &good.0["bundle.tar"];
        for at in (0..tar.len()).step_by(11) {
            let mut changed = tar.clone();
            changed[at] ^= 0x20;
            fs::write(folder.path().join("bundle.tar"), &changed).unwrap();
            for policy in [trusting(), knowing()] {
                let outcome = export_verify::verify(folder.path(), &policy);
                assert!(outcome.is_err(), "{mode:?}: byte {at} of {} passes", tar.len());
            }
        }
    }
}

/// What only the maker could have signed: the bytes are as promised, and there is something else inside.
#[test]
fn what_decrypts_to_something_else_is_refused_with_the_key() {
    for mode in MODES {
        let good = Parts::good(mode);
        let mut others = files();
        others[1] = File::lines("data/raw/advisories.jsonl.zst", &["{\"id\":\"other\"}\n"]);
        let name = format!("data/raw/advisories.jsonl.zst{}", mode.suffix());
        // Of another key in mode aes-gcm; in mode age it opens, and another text is inside.
        let foreign = parts(&others, mode, EncryptionScope::Data).tar.remove(&name).unwrap();
        let lying = good.clone().resigned(|tar| _ = tar.insert(name.clone(), foreign));
        assert_eq!(code(lying.verify(&trusting())).0, 0, "the bytes are those that were promised");
        let expected = if mode == EncryptionMode::Age { 13 } else { 14 };
        let (code, told) = code(lying.verify(&knowing()));
        assert_eq!(code, expected, "{told}");
        assert!(told.contains("advisories"), "{told}");
    }
}

/// Bounds hold inside of encrypted files as they do outside.
#[test]
fn a_bomb_inside_an_encrypted_file_does_not_go_off() {
    let bomb = File {
        path: "data/raw/advisories.jsonl.zst".to_owned(),
        bytes: compressed(&[&"0\n".repeat(1 << 20)]),
        records: Some(1 << 20),
        plain: Some(100),
        frames: Some(1),
    };
    for mode in MODES {
        assert_eq!(code(parts(std::slice::from_ref(&bomb), mode, EncryptionScope::Data).verify(&knowing())).0, 14);
        let honest = File { plain: Some(2 << 20), ..bomb.clone() };
        let parts = parts(&[honest], mode, EncryptionScope::Data);
        parts.verify(&knowing()).unwrap();
        let tight = Policy { max_plain_bytes: Some(1 << 20), ..knowing() };
        assert_eq!(code(parts.verify(&tight)).0, 14);
    }
}

#[test]
fn provenance_must_be_there_be_signed_and_name_each_encrypted_file_and_no_other() {
    for mode in MODES {
        let good = Parts::good(mode);
        for policy in [trusting(), knowing()] {
            let unsigned = good.made().without(&["provenance.sigstore.json"]);
            assert_eq!(code(unsigned.verify(&policy)).0, 11);
            let absent = good.made().without(&["provenance.json", "provenance.sigstore.json"]);
            assert_eq!(code(absent.verify(&policy)).0, 11);
        }
        let said = |change: &dyn Fn(&mut Value)| {
            let mut said = json!(good.encrypted);
            change(&mut said);
            good.saying(&said)
        };
        for (what, made) in [
            ("nothing", said(&|said| *said = Value::Null)),
            ("another type", said(&|said| *said = json!([]))),
            ("a file less", said(&|said| _ = said["files"].as_array_mut().unwrap().pop())),
            (
                "a file more",
                said(&|said| {
                    let mut more = said["files"][0].clone();
                    more["path"] = "data/z".into();
                    said["files"].as_array_mut().unwrap().push(more);
                }),
            ),
            (
                "a file twice",
                said(&|said| {
                    let first = said["files"][0].clone();
                    said["files"].as_array_mut().unwrap().insert(0, first);
                }),
            ),
            ("another scope", said(&|said| said["scope"] = "payload".into())),
            (
                "another mode",
                said(&|said| said["mode"] = if mode == EncryptionMode::Age { "aes-gcm" } else { "age" }.into()),
            ),
        ] {
            let (code, told) = code(made.verify(&trusting()));
            assert_eq!(code, 14, "{mode:?}, {what}: {told}");
        }
    }
}

#[test]
fn a_bundle_is_in_one_form_and_export_json_says_which_names_that_are() {
    let good = Parts::good(EncryptionMode::Age);
    let plain = |path: &str| files().into_iter().find(|file| file.path == path).unwrap().bytes;
    let mixed = change(&good, |tar| {
        tar.remove("data/raw/vex.jsonl.zst.age");
        tar.insert("data/raw/vex.jsonl.zst".to_owned(), plain("data/raw/vex.jsonl.zst"));
    });
    let mixed = Parts { tar: mixed, ..good.clone() };
    assert!(matches!(code(mixed.verify(&trusting())).0, 14 | 17), "{:?}", code(mixed.verify(&trusting())));
    // Names with a suffix, and a manifest that knows of no encryption.
    let mut silent = good.clone();
    silent.manifest.encryption = None;
    assert_eq!(code(silent.verify(&trusting())).0, 17);
    let missing = Parts { tar: change(&good, |tar| _ = tar.remove("data/raw/vex.jsonl.zst.age")), ..good };
    assert_eq!(code(missing.verify(&knowing())).0, 17);
}

#[test]
fn a_stream_needs_its_provenance_first_only_where_it_is_decrypted() {
    for mode in MODES {
        let made = Parts::good(mode).made();
        let good = delivery(&made, &ORDER);
        let streamed = |bytes: &[u8], policy: &Policy| code(verify_stream(bytes, policy, &|_| ())).0;
        assert_eq!((streamed(&good, &trusting()), streamed(&good, &knowing())), (0, 0));
        let mut late = ORDER;
        late[4..].rotate_right(1);
        assert_eq!(late[4], "bundle.tar");
        let late = delivery(&made, &late);
        assert_eq!((streamed(&late, &trusting()), streamed(&late, &knowing())), (0, 2));
    }
}

#[test]
fn a_decrypted_bundle_is_the_plain_one_and_verifies_as_what_it_is() {
    for mode in MODES {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir(&from).unwrap();
        let parts = Parts::good(mode);
        parts.made().write(&from);
        let report = decrypt(&from, &knowing(), &to, &|_| ()).unwrap();
        assert!(report.encryption.unwrap().contents_proven);
        let tar = fs::read(to.join("bundle.tar")).unwrap();
        assert!(tar == crate::made::tar(&files(), &parts.bytes().0), "not the tar that a plain run would have");
        for name in ORDER.iter().filter(|name| **name != "bundle.tar") {
            assert_eq!(fs::read(from.join(name)).unwrap(), fs::read(to.join(name)).unwrap(), "{name}");
        }
        assert!(!folder.path().join("to.partial").exists());

        for policy in [trusting(), knowing(), stranger(), Policy { require_provenance: true, ..trusting() }] {
            let report = export_verify::verify(&to, &policy).unwrap();
            let facts = report.encryption.unwrap();
            assert_eq!((facts.decrypted, facts.contents_proven, facts.files), (true, true, 0));
            assert_eq!((report.files, report.records), (3, 60));
            let told = report.not_proven.join("\n");
            assert!(told.contains("its files were decrypted since"), "{told}");
            assert!(!report.proven.join("\n").contains("bundle.tar and export.json are from run"));
        }
        // And is held to its digests like any other.
        let mut broken = tar;
        let at = broken.windows(4).position(|four| four == b"# Ev").unwrap();
        broken[at] ^= 1;
        fs::write(to.join("bundle.tar"), broken).unwrap();
        assert_eq!(code(export_verify::verify(&to, &trusting())).0, 13);
    }
}

#[test]
fn nothing_of_a_bundle_that_does_not_pass_is_left_behind() {
    for mode in MODES {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir(&from).unwrap();
        let good = Parts::good(mode);
        let last = format!("data/raw/vex.jsonl.zst{}", mode.suffix());
        let broken = Parts { tar: change(&good, |tar| *tar.get_mut(&last).unwrap().last_mut().unwrap() ^= 1), ..good };
        broken.made().write(&from);
        assert_eq!(code(decrypt(&from, &knowing(), &to, &|_| ())).0, 13);
        assert_eq!(code(decrypt(&from, &stranger(), &to, &|_| ())).0, 3);
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["from"]);
        fs::create_dir(&to).unwrap();
        assert_eq!(code(decrypt(&from, &knowing(), &to, &|_| ())).0, 1, "a folder that is there is not written to");
    }
}

/// A suffix can change the order of names: `a` stands before `a-b`, and `a.age` behind `a-b.age`.
#[test]
fn names_of_which_one_begins_another_are_decrypted_to_their_places() {
    let files =
        [File::plain("data/a", b"short"), File::plain("data/a-b", b"long"), File::plain("data/a.b", &[7; 1000])];
    for mode in MODES {
        let parts = parts(&files, mode, EncryptionScope::Data);
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir(&from).unwrap();
        parts.made().write(&from);
        decrypt(&from, &knowing(), &to, &|_| ()).unwrap();
        export_verify::verify(&to, &trusting()).unwrap();
    }
}

#[test]
fn inspect_shows_who_can_decrypt() {
    let folder = tempfile::tempdir().unwrap();
    Parts::good(EncryptionMode::AesGcm).made().write(folder.path());
    let shown = export_verify::inspect(folder.path()).unwrap();
    assert_eq!(shown.manifest.encryption.unwrap().mode, EncryptionMode::AesGcm);
    assert_eq!(shown.recipients[0].recipient, recipient());
    Made::good().write(folder.path());
    assert!(export_verify::inspect(folder.path()).unwrap().recipients.is_empty());
}
