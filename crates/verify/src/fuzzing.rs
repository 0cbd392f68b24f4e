//! What fuzzers feed: each parser of the verifier behind one function of bytes, with what must hold of any input.
//!
//! `fuzz/` calls these under libFuzzer; a test calls the very same on the corpus and on changes of it, without any special toolchain.

#![expect(clippy::missing_panics_doc, reason = "each of them panics when what must hold of any input does not")]

use std::io::Read;

use export_canon::tar::{TarLimits, TarReader};
use export_canon::zst::{BoundedDecoder, parse_seek_table};
use export_contract::Digest;
use export_signing::PublicKey;
use export_signing::dsse::{Envelope, pre_authentication};
use export_signing::statement::{Provenance, Statement};
use serde::Deserialize as _;

use crate::canonical;
use crate::container::{Container, Delivery, ExportJson, LayoutIndex, LayoutManifest};
use crate::frames::FrameWalker;
use crate::policy::Policy;
use crate::{archive, manifest, refresh, sealed, signature};

/// A key whose private half nobody has.
const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQlxtUGBA2ya7MimF07i5+JIWAIrJ
TMjCNyctVuOO25ChwStWi/0qh4SEWO+RATT+VpELrPM61Cp6rzJZ3AVvXw==
-----END PUBLIC KEY-----
";
/// Most plain bytes that are decompressed of an input.
const MOST_PLAIN: u64 = 1 << 20;

/// A target: takes any bytes.
pub type Target = fn(&[u8]);

/// The targets by name; `fuzz/corpus` has a folder of that name for each.
pub const TARGETS: [(&str, Target); 12] = [
    ("tar", tar),
    ("delivery", delivery),
    ("bundle", bundle),
    ("frames", frames),
    ("seek_table", seek_table),
    ("manifest", manifest_text),
    ("sigstore_bundle", sigstore_bundle),
    ("statement", statement),
    ("refresh", refresh_statement),
    ("public_key", public_key),
    ("signature", signature_bytes),
    ("layout", layout),
];

/// The strict reader of the signed tar: no path that it gives leaves a folder, and bodies have the length it tells.
pub fn tar(bytes: &[u8]) {
    let mut archive = TarReader::new(bytes, TarLimits::default());
    while let Ok(Some(mut entry)) = archive.next_entry() {
        let unsafe_part = |part: &str| matches!(part, "" | "." | "..");
        assert!(!entry.path().split('/').any(unsafe_part), "{}", entry.path());
        assert!(!entry.path().contains('\\'), "{}", entry.path());
        let (size, mut read) = (entry.size(), 0);
        let mut piece = [0; 4096];
        loop {
            match entry.read(&mut piece) {
                Ok(0) => break assert_eq!(read, size),
                Ok(got) => read += got as u64,
                Err(_) => return,
            }
        }
    }
}

/// The reader of deliveries: names are plain and occur once.
pub fn delivery(bytes: &[u8]) {
    let mut names = std::collections::BTreeSet::new();
    let mut delivery = Delivery::new(bytes, "the input");
    while let Ok(Some(member)) = delivery.next_member() {
        assert!(!member.name.contains(['/', '\\', '\0']) && !matches!(member.name.as_str(), "" | "." | ".."));
        assert!(names.insert(member.name.to_lowercase()));
    }
}

/// Everything behind the signature, on a delivery whose signatures are not looked at.
pub fn bundle(bytes: &[u8]) {
    let Ok(mut container) = Container::stream(bytes) else { return };
    let Ok(export_json) = container.export_json() else { return };
    let policy = Policy { allow_failed_sources: true, max_plain_bytes: Some(MOST_PLAIN), ..Policy::default() };
    let Ok(manifest) = manifest::read(&export_json, &policy) else { return };
    let unsealing = sealed::prepare(&container, &manifest.export, &policy).ok().flatten();
    let wanted =
        archive::Wanted { manifest: &manifest.export, export_json: &export_json, unsealing: unsealing.as_ref() };
    if let Ok(archive) = archive::check(&mut container, &wanted, &policy, &|_| (), None) {
        assert_eq!(archive.files, manifest.export.contents.len() as u64);
    }
}

/// The follower of zstd frames: pieces make no difference, and what it accepts is what a decoder sees.
pub fn frames(bytes: &[u8]) {
    let walk = |piece: usize| {
        let mut walker = FrameWalker::expecting(1 << 10);
        bytes.chunks(piece).for_each(|piece| walker.push(piece));
        // Numbers are only asked for where nothing is wrong.
        walker.finish().map(|()| (walker.frames(), walker.has_table()))
    };
    let whole = walk(bytes.len().max(1));
    assert_eq!(whole, walk(1));
    assert_eq!(whole, walk(7));
    if let Ok(mut decoder) = BoundedDecoder::new(bytes, MOST_PLAIN) {
        let mut plain = Vec::new();
        if decoder.read_to_end(&mut plain).is_err() {
            assert!(plain.len() as u64 <= MOST_PLAIN);
        }
    }
}

/// The seek table of a zstd file.
pub fn seek_table(bytes: &[u8]) {
    for length in [bytes.len() as u64, 1 << 40] {
        if let Ok(frames) = parse_seek_table(bytes, length, 1 << 10) {
            assert!(frames.len() <= 1 << 10);
        }
    }
}

/// `export.json`: what is accepted has one form.
pub fn manifest_text(bytes: &[u8]) {
    let digest = Digest::from_bytes(*export_canon::digesting::sha256(bytes).as_bytes());
    let export_json = ExportJson { bytes: bytes.to_vec(), digest };
    if let Ok(manifest) = manifest::read(&export_json, &Policy::default()) {
        assert!(manifest.export.contents.is_sorted_by(|before, after| before.path < after.path));
        assert_eq!(manifest.export.delta.is_some(), manifest.export.profile.variant == "delta");
    }
}

/// Sigstore bundles and the envelope in them: what is accepted says the same when it is written again.
pub fn sigstore_bundle(bytes: &[u8]) {
    let Ok(bundle) = signature::read_bundle("input", bytes) else { return };
    assert!(bundle.message_signature.is_some() != bundle.dsse_envelope.is_some());
    let again = serde_json::to_vec(&bundle).unwrap_or_default();
    assert_eq!(signature::read_bundle("input", &again).ok().as_ref(), Some(&bundle));
    if let Some((payload, _)) = bundle.dsse_envelope.as_ref().and_then(Envelope::open) {
        statement(&payload);
    }
}

/// in-toto statements, bare or in an envelope. Two payloads never have one encoding.
pub fn statement(bytes: &[u8]) {
    let encoded = pre_authentication("type", bytes);
    assert!(encoded.ends_with(bytes) && encoded.starts_with(b"DSSEv1 4 type "));
    if let Ok(envelope) = serde_json::from_slice::<Envelope>(bytes)
        && let Some((payload, _)) = envelope.open()
    {
        assert_eq!(envelope.payload, export_signing::bundle::to_base64(&payload));
    }
    if let Ok(value) = canonical::read("input", bytes)
        && let Ok(statement) = Statement::<Provenance>::deserialize(&value)
    {
        assert!(!format!("{statement:?}").is_empty());
    }
}

/// The statement of a refresh: what is accepted says the same when it is written again, and is fresh for some time.
pub fn refresh_statement(bytes: &[u8]) {
    let Ok(statement) = refresh::read(bytes) else { return };
    assert!(statement.predicate.fresh_until > statement.predicate.checked_at);
    let again = export_canon::jcs::to_vec(&statement).unwrap_or_default();
    assert_eq!(refresh::read(&again).ok().as_ref(), Some(&statement));
}

/// Public keys in PEM: a text that is taken is one key, whatever stands around it.
pub fn public_key(bytes: &[u8]) {
    let Some(key) = std::str::from_utf8(bytes).ok().and_then(|text| PublicKey::from_pem(text).ok()) else { return };
    assert_eq!(key.key_id().len(), 64);
    assert!(PublicKey::from_pem(key.pem()).is_ok_and(|again| again.key_id() == key.key_id()));
    assert!(key.verify(b"message", b"").is_err());
}

/// Signatures in DER: nobody can sign with this key.
pub fn signature_bytes(bytes: &[u8]) {
    let Ok(key) = PublicKey::from_pem(KEY) else { return };
    assert!(key.verify(b"message", bytes).is_err());
    // The other way round: a fixed signature over any message.
    let fixed = [0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01];
    assert!(key.verify(bytes, &fixed).is_err());
}

/// Index and manifest of an OCI image layout.
pub fn layout(bytes: &[u8]) {
    let index = serde_json::from_slice::<LayoutIndex>(bytes);
    let manifest = serde_json::from_slice::<LayoutManifest>(bytes);
    // Each needs a member that the other has not; both at once would be a text that readers could take for either.
    if let (Ok(index), Ok(manifest)) = (index, manifest) {
        assert!(!format!("{index:?}{manifest:?}").is_empty());
    }
}
