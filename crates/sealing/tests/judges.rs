//! What others make of our files, and we of theirs: the `age` program, and Python's `cryptography` for mode `aes-gcm`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use export_contract::encryption::{Encryption, EncryptionMode, EncryptionScope};
use export_sealing::{CHUNK, Context, Identities, Opener, Prepared, Sealing};

const PATH: &str = "data/raw/advisories.jsonl.zst";

fn run(command: &mut Command) -> Output {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; run `make tools`"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    done
}

/// A key that `age-keygen` makes: its file, and who that is.
fn keygen(folder: &Path, name: &str) -> (PathBuf, String) {
    let file = folder.join(name);
    run(Command::new("age-keygen").arg("-o").arg(&file));
    let public = run(Command::new("age-keygen").arg("-y").arg(&file)).stdout;
    (file, String::from_utf8(public).unwrap().trim().to_owned())
}

fn identities(file: &Path) -> Identities {
    Identities::parse(&fs::read_to_string(file).unwrap()).unwrap()
}

fn context() -> Context {
    Context { tenant: "acme".to_owned(), run: "01J0000000000000000000000A".to_owned() }
}

async fn prepared(mode: EncryptionMode, recipients: &[&str]) -> Prepared {
    let recipients = recipients.iter().map(|text| (*text).to_owned()).collect();
    let wanted = Encryption { mode, recipients, scope: None, strict: true };
    Sealing::default().begin(&wanted, EncryptionScope::Data, &context()).await.unwrap()
}

fn sealed(prepared: &Prepared, plain: &[u8]) -> Vec<u8> {
    let mut file = prepared.sealer.file(PATH).unwrap();
    file.push(plain).unwrap();
    [file.take(), file.finish().unwrap()].concat()
}

fn lengths() -> [Vec<u8>; 4] {
    [Vec::new(), b"a line\n".to_vec(), vec![7; 2 * CHUNK], vec![9; 3 * CHUNK + 1]]
}

#[tokio::test]
async fn age_decrypts_what_we_encrypt_with_the_identity_of_any_recipient() {
    let folder = tempfile::tempdir().unwrap();
    let ((one, a), (two, b), (stranger, _)) =
        (keygen(folder.path(), "one"), keygen(folder.path(), "two"), keygen(folder.path(), "three"));
    let run_sealed = prepared(EncryptionMode::Age, &[&a, &b]).await;
    assert!(run_sealed.encrypted.recipients.iter().all(|recipient| recipient.wrapped_key.is_none()));
    let file = folder.path().join("file.age");
    for plain in lengths() {
        fs::write(&file, sealed(&run_sealed, &plain)).unwrap();
        for identity in [&one, &two] {
            let found = run(Command::new("age").args(["-d", "-i"]).arg(identity).arg(&file)).stdout;
            assert!(found == plain, "{} bytes of {}", found.len(), plain.len());
        }
        let refused = Command::new("age").args(["-d", "-i"]).arg(&stranger).arg(&file).output().unwrap();
        assert!(!refused.status.success());
    }
}

#[tokio::test]
async fn we_decrypt_what_age_encrypts_and_refuse_what_is_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let ((one, a), (_, b), (stranger, _)) =
        (keygen(folder.path(), "one"), keygen(folder.path(), "two"), keygen(folder.path(), "three"));
    let encrypted = prepared(EncryptionMode::Age, &[&a]).await.encrypted;
    let (plain, file) = (folder.path().join("plain"), folder.path().join("file.age"));
    for text in lengths() {
        fs::write(&plain, &text).unwrap();
        run(Command::new("age").args(["-r", &b, "-r", &a, "-o"]).arg(&file).arg(&plain));
        let bytes = fs::read(&file).unwrap();
        let opener = Opener::with_identities(&encrypted, "", &identities(&one)).unwrap();
        let mut found = Vec::new();
        opener.open(PATH, bytes.as_slice()).unwrap().read_to_end(&mut found).unwrap();
        assert!(found == text);
        let opener = Opener::with_identities(&encrypted, "", &identities(&stranger)).unwrap();
        assert!(opener.open(PATH, bytes.as_slice()).is_err());
    }
}

/// Everything that docs/encryption.md says of the format, by somebody who has only that page, `age` and `cryptography`.
#[tokio::test]
async fn python_decrypts_mode_aes_gcm_with_the_key_that_age_unwraps() {
    let folder = tempfile::tempdir().unwrap();
    let ((one, a), (_, b)) = (keygen(folder.path(), "one"), keygen(folder.path(), "two"));
    let run_sealed = prepared(EncryptionMode::AesGcm, &[&a, &b]).await;
    let wrapped = run_sealed.encrypted.recipients.iter().find(|wrapped| wrapped.recipient == a).unwrap();
    let wrapped = STANDARD.decode(wrapped.wrapped_key.as_ref().unwrap()).unwrap();
    fs::write(folder.path().join("key.age"), &wrapped).unwrap();
    let key = run(Command::new("age").args(["-d", "-i"]).arg(&one).arg(folder.path().join("key.age"))).stdout;
    assert_eq!(key.len(), 32);
    fs::write(folder.path().join("key"), key).unwrap();

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for plain in lengths() {
        fs::write(folder.path().join("file.enc"), sealed(&run_sealed, &plain)).unwrap();
        let mut python = Command::new(root.join(".venv/bin/python"));
        python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decrypt.py"));
        python.arg(folder.path().join("key")).args([&context().run, PATH]).arg(folder.path().join("file.enc"));
        assert!(run(&mut python).stdout == plain);
    }
    let ours = Opener::with_identities(&run_sealed.encrypted, &context().run, &identities(&one)).unwrap();
    let mut found = Vec::new();
    ours.open(PATH, fs::read(folder.path().join("file.enc")).unwrap().as_slice())
        .unwrap()
        .read_to_end(&mut found)
        .unwrap();
    assert!(found == lengths()[3]);
}
