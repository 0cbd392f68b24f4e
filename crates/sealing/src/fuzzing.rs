//! What fuzzers feed: the readers of encrypted files, with what must hold of any input.
//!
//! `fuzz/` calls these under libFuzzer; a test calls the very same on the corpus and on changes of it, without any special toolchain.

#![expect(clippy::missing_panics_doc, reason = "each of them panics when what must hold of any input does not")]

use std::io::Read as _;

use zeroize::Zeroizing;

use crate::gcm::{HEAD, Head};
use crate::{Identities, Opener, RunKey};
use export_contract::encryption::EncryptionMode;

/// A target: takes any bytes.
pub type Target = fn(&[u8]);

/// The targets by name; `fuzz/corpus` has a folder of that name for each.
pub const TARGETS: [(&str, Target); 3] = [("sealed", sealed), ("age_file", age_file), ("identities", identities)];

/// Files of mode `aes-gcm`: a head that is read has one form, and what decrypts is no longer than what came in.
pub fn sealed(bytes: &[u8]) {
    if let Some(head) = bytes.first_chunk::<HEAD>()
        && let Ok(parsed) = Head::parse(head)
    {
        assert_eq!(parsed.to_bytes(), *head);
    }
    // The corpus is made with this key, so that changes of it get past the first chunk.
    if let Some(key) = RunKey::from_bytes(Zeroizing::new(vec![7; 32])) {
        opened(&Opener::with_key(EncryptionMode::AesGcm, "run", key), bytes);
    }
}

/// age files.
pub fn age_file(bytes: &[u8]) {
    let text = Zeroizing::new(IDENTITY.as_bytes().to_vec());
    if let Some(key) = RunKey::from_bytes(text) {
        opened(&Opener::with_key(EncryptionMode::Age, "run", key), bytes);
    }
}

/// An identity that protects nothing: the corpus is encrypted to it.
pub const IDENTITY: &str = "AGE-SECRET-KEY-1D9GRDPAPXUXLJK0QZEDGVQNMRJ6FF98KT0FWS4H4XVSSATXPE52QSG7ZU7";

fn opened(opener: &Result<Opener, crate::OpenError>, bytes: &[u8]) {
    let Ok(Ok(mut reader)) = opener.as_ref().map(|opener| opener.open("path", bytes)) else { return };
    let mut plain = Vec::new();
    let whole = reader.read_to_end(&mut plain).is_ok();
    assert!(plain.len() < bytes.len());
    if !whole {
        assert!(reader.read(&mut [0]).is_err(), "goes on after a fault");
    }
}

/// Identity files: what is read has at least one key, and it is printed nowhere.
pub fn identities(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Identities::parse(text) {
        Ok(found) => assert!(!format!("{found:?}").contains("SECRET")),
        Err(error) => assert!(!error.to_string().contains("SECRET-KEY-1D9G")),
    }
}
