//! Keys, passwords and clients in files.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use export_authority::{LocalAuthority, Scope, TokenRequest};
use export_signing::{FileSigner, Password, Signer as _};
use export_tests::{output, programs};

use crate::cuts::{Cut, ENDED, mark, record, record_test, root};

fn authority(folder: &Path) -> Result<LocalAuthority, String> {
    LocalAuthority::open(&folder.join("authority"), "issuer", "audience").map_err(|error| format!("{error}"))
}

/// The public half of the authority's key, as text.
fn public(authority: &LocalAuthority) -> String {
    serde_json::to_string(authority.jwks()).unwrap()
}

#[test]
#[ignore = "the process that another test records"]
fn recorded() {
    let Some(root) = root() else { return };
    let authority = authority(&root).unwrap();
    mark(&format!("key {}", public(&authority)));
    for id in ["one", "two", "one"] {
        let scopes: BTreeSet<Scope> = BTreeSet::new();
        let credentials = authority.put_client(id, vec!["demo".parse().unwrap()], &scopes).unwrap();
        mark(&format!("client {id} {}", credentials.client_secret));
    }
}

fn check_authority(cut: &Cut<'_>) -> Vec<String> {
    let authority = match authority(cut.folder) {
        Ok(authority) => authority,
        Err(error) => return vec![format!("the authority does not open: {error}")],
    };
    let mut broken = Vec::new();
    let knows = |id: &str, secret: &str| {
        let request = TokenRequest {
            grant_type: "client_credentials".to_owned(),
            client_id: id.to_owned(),
            client_secret: secret.to_owned(),
            scope: None,
        };
        authority.issue(&request, "thumbprint").is_ok()
    };
    for (number, line) in cut.confirmed.iter().enumerate() {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["key", key] if *key != public(&authority) => broken.push("another key signs tokens".to_owned()),
            // A client that got another secret later has that one, and may have it when it was about to get it.
            ["client", id, secret] => {
                let later =
                    cut.confirmed.iter().skip(number + 1).any(|line| line.starts_with(&format!("client {id} ")));
                let about_to = *id == "one" && cut.confirmed.len() == 3;
                if !later && !about_to && !knows(id, secret) {
                    broken.push(format!("client {id} is not known any more"));
                }
            }
            _ => {}
        }
    }
    if let Err(error) = authority.put_client("next", vec![], &BTreeSet::new()) {
        broken.push(format!("no client can be made any more: {error}"));
    }
    broken
}

#[test]
fn the_local_authority_survives_a_cut_at_any_write() {
    let recording = record_test("keys::recorded");
    let (cuts, broken) = recording.cut(8, check_authority);
    eprintln!("authority: {cuts} different disks after a cut");
    assert!(broken.is_empty(), "{} of {cuts}: {:#?}", broken.len(), &broken[..broken.len().min(8)]);
}

/// `exportd key generate` for a data folder.
fn generate(data: &Path) -> Command {
    let mut command = Command::new(&programs().unwrap().exportd);
    command.args(["key", "generate"]).env("EXPORT_DATA_DIR", data);
    command
}

/// The public key of the signing key, if it opens with the password beside it.
fn signing_key(data: &Path) -> Result<String, String> {
    let password = std::fs::read(data.join("keys/cosign.password")).map_err(|error| format!("no password: {error}"))?;
    if password.len() != 64 {
        return Err(format!("the password has {} characters", password.len()));
    }
    let signer = FileSigner::open(&data.join("keys/cosign.key"), &Password::new(password));
    signer.map(|signer| signer.public_key().pem().to_owned()).map_err(|error| format!("{error}"))
}

#[test]
fn the_signing_key_survives_a_cut_at_any_write() {
    // The data folder must be where the recorder looks, which is known to the recorded program only.
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg("EXPORT_DATA_DIR=\"$POWER_ROOT/data\" exec \"$0\" key generate")
        .arg(&programs().unwrap().exportd);
    let recording = record(&mut [shell]);
    let made = signing_key(&recording.root().join("data"));
    made.as_ref().unwrap();
    let (cuts, broken) = recording.cut(5, |cut| {
        let data = cut.folder.join("data");
        let before = signing_key(&data);
        if let Err(error) = output(&mut generate(&data)) {
            return vec![format!("no key can be made: {error:#}")];
        }
        let after = match signing_key(&data) {
            Ok(key) => key,
            Err(error) => return vec![format!("the key is of no use: {error}")],
        };
        let mut broken = Vec::new();
        if before.as_ref().is_ok_and(|before| *before != after) {
            broken.push("a key that was there is another one".to_owned());
        }
        if cut.confirmed.iter().any(|text| text == ENDED) && before != made {
            broken.push(format!("the key that was made is lost: {before:?}"));
        }
        let shown = std::fs::read_to_string(data.join("keys/cosign.pub")).unwrap_or_default();
        if shown != after {
            broken.push("the public key beside it is another one".to_owned());
        }
        broken
    });
    eprintln!("signing key: {cuts} different disks after a cut");
    assert!(broken.is_empty(), "{} of {cuts}: {:#?}", broken.len(), &broken[..broken.len().min(8)]);
}
