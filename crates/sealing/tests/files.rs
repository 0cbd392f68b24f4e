//! Files in both modes: whatever is changed is refused, and nothing of a changed chunk is given out.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::io::{self, Read};

use export_contract::encryption::EncryptionMode;
use export_sealing::{CHUNK, Identities, OpenError, Opener, RunKey, RunSealer, TAG};
use proptest::prelude::*;
use zeroize::Zeroizing;

const RUN: &str = "01J0000000000000000000000A";
const PATH: &str = "data/raw/advisories.jsonl.zst";
const IDENTITY: &str = export_sealing::fuzzing::IDENTITY;
const HEAD: usize = export_sealing::gcm::HEAD;

fn key(byte: u8) -> RunKey {
    RunKey::from_bytes(Zeroizing::new(vec![byte; 32])).unwrap()
}

fn recipient() -> age::x25519::Recipient {
    IDENTITY.parse::<age::x25519::Identity>().unwrap().to_public()
}

/// What encrypts and what decrypts, for each mode.
fn modes() -> [(&'static str, RunSealer, Opener); 2] {
    let text = Zeroizing::new(IDENTITY.as_bytes().to_vec());
    let identity = RunKey::from_bytes(text).unwrap();
    [
        ("aes-gcm", RunSealer::gcm(key(1), RUN), Opener::with_key(EncryptionMode::AesGcm, RUN, key(1)).unwrap()),
        ("age", RunSealer::age(vec![recipient()]), Opener::with_key(EncryptionMode::Age, RUN, identity).unwrap()),
    ]
}

/// Encrypts in pieces of this size.
fn sealed(sealer: &RunSealer, path: &str, plain: &[u8], piece: usize) -> Vec<u8> {
    let mut file = sealer.file(path).unwrap();
    let promised = file.sealed_bytes(plain.len() as u64);
    let mut sealed = Vec::new();
    for piece in plain.chunks(piece) {
        file.push(piece).unwrap();
        sealed.append(&mut file.take());
    }
    sealed.append(&mut file.finish().unwrap());
    assert_eq!(sealed.len() as u64, promised, "another length than was promised");
    sealed
}

/// The plain bytes that were given out, and how it ended.
fn opened(opener: &Opener, path: &str, sealed: &[u8]) -> (Vec<u8>, Result<(), OpenError>) {
    let mut plain = Vec::new();
    let ended = match opener.open(path, sealed) {
        Ok(mut reader) => reader.read_to_end(&mut plain).map(|_| ()).map_err(of),
        Err(error) => Err(error),
    };
    (plain, ended)
}

fn of(error: io::Error) -> OpenError {
    error.downcast::<OpenError>().expect("our own error")
}

fn plain(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 31 + at / 251) % 251).unwrap()).collect()
}

#[test]
fn what_goes_in_comes_out_whatever_its_length_and_pieces() {
    for (mode, sealer, opener) in modes() {
        for length in [0, 1, 15, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7] {
            for piece in [1000, CHUNK, 5 * CHUNK] {
                let sealed = sealed(&sealer, PATH, &plain(length), piece);
                let (found, ended) = opened(&opener, PATH, &sealed);
                assert!(ended.is_ok() && found == plain(length), "{mode}, {length} bytes by {piece}: {ended:?}");
            }
        }
    }
}

#[test]
fn two_encryptions_of_a_file_have_nothing_in_common() {
    for (mode, sealer, _) in modes() {
        let text = plain(3 * CHUNK);
        let (one, other) = (sealed(&sealer, PATH, &text, CHUNK), sealed(&sealer, PATH, &text, CHUNK));
        let tail = |bytes: &[u8]| bytes[bytes.len() - 2 * CHUNK..].to_vec();
        assert_ne!(tail(&one), tail(&other), "{mode}");
        assert!(!one.windows(16).any(|window| window == &text[..16]), "{mode} shows the text");
    }
}

#[test]
fn a_file_is_bound_to_its_path_its_run_and_its_key() {
    let sealer = RunSealer::gcm(key(1), RUN);
    let file = sealed(&sealer, PATH, &plain(100), CHUNK);
    let other_run = "01J0000000000000000000000B";
    for (what, run, byte, path) in [
        ("another path", RUN, 1, "data/raw/vex.jsonl.zst"),
        ("another run", other_run, 1, PATH),
        ("another key", RUN, 2, PATH),
        ("path and run cut elsewhere", RUN.get(..25).unwrap(), 1, &format!("A:{PATH}") as &str),
    ] {
        let opener = Opener::with_key(EncryptionMode::AesGcm, run, key(byte)).unwrap();
        let (found, ended) = opened(&opener, path, &file);
        assert!(found.is_empty() && matches!(ended, Err(OpenError::Tampered)), "{what}: {ended:?}");
    }
    assert!(Opener::with_key(EncryptionMode::Age, RUN, key(1)).is_err(), "a key of the other mode");
    let short = RunKey::from_bytes(Zeroizing::new(vec![1; 31])).unwrap();
    let opener = Opener::with_key(EncryptionMode::AesGcm, RUN, short).unwrap();
    assert!(opener.open(PATH, file.as_slice()).is_err(), "a key of 31 bytes");
}

#[test]
fn an_age_file_for_others_says_so() {
    let stranger = age::x25519::Identity::generate();
    let file = sealed(&RunSealer::age(vec![stranger.to_public()]), PATH, b"text", CHUNK);
    let (_, _, opener) = modes().into_iter().nth(1).unwrap();
    assert!(matches!(opened(&opener, PATH, &file).1, Err(OpenError::NotForUs)));
}

#[test]
fn chunks_in_another_order_or_from_another_file_are_refused() {
    for (mode, sealer, opener) in modes() {
        let text = plain(4 * CHUNK);
        let (file, other) = (sealed(&sealer, PATH, &text, CHUNK), sealed(&sealer, PATH, &text, CHUNK));
        let head = file.len() - 4 * (CHUNK + TAG);
        let chunk = |file: &[u8], at: usize| {
            let begins = file.len() - 4 * (CHUNK + TAG) + at * (CHUNK + TAG);
            file[begins..begins + CHUNK + TAG].to_vec()
        };
        let made = |order: &[Vec<u8>]| [&[file[..head].to_vec()], order].concat().concat();
        let of = |at| chunk(&file, at);
        for (what, changed, good) in [
            ("two swapped", made(&[of(1), of(0), of(2), of(3)]), 0),
            ("one twice", made(&[of(0), of(0), of(1), of(3)]), 1),
            ("one missing", made(&[of(0), of(2), of(3)]), 1),
            ("the last left out", made(&[of(0), of(1), of(2)]), 3),
            ("the last twice", made(&[of(0), of(1), of(2), of(3), of(3)]), 4),
            ("something behind", [file.clone(), b"x".to_vec()].concat(), 4),
            ("one of another file", made(&[of(0), chunk(&other, 1), of(2), of(3)]), 1),
        ] {
            let (found, ended) = opened(&opener, PATH, &changed);
            assert!(ended.is_err(), "{mode}: {what}");
            assert!(found.len() <= good * CHUNK && text.starts_with(&found), "{mode}: {what} gives {}", found.len());
        }
    }
}

#[test]
fn a_head_that_asks_for_other_things_is_refused_before_memory_is_taken() {
    let (_, sealer, opener) = modes().into_iter().next().unwrap();
    let file = sealed(&sealer, PATH, b"text", CHUNK);
    for (what, at, bytes) in [
        ("magic", 0, &b"X"[..]),
        ("version", 8, &[2]),
        ("algorithm", 9, &[9]),
        ("reserved", 10, &[1]),
        ("no chunk size", 12, &[0, 0, 0, 0]),
        ("a chunk of 4 GiB", 12, &[255, 255, 255, 255]),
        ("end of the head", 23, &[1]),
    ] {
        let mut changed = file.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        let error = opener.open(PATH, changed.as_slice()).unwrap_err();
        assert!(matches!(error, OpenError::NotSealed(_)), "{what}: {error}");
    }
    // A size that is allowed changes the file's key.
    let mut changed = file.clone();
    changed[12..16].copy_from_slice(&2048_u32.to_be_bytes());
    assert!(matches!(opened(&opener, PATH, &changed).1, Err(OpenError::Tampered)));
    assert_eq!(HEAD, 24);

    let (_, _, opener) = modes().into_iter().nth(1).unwrap();
    let endless = [&b"age-encryption.org/v1\n"[..], &b"-> X25519 abc\n".repeat(100_000)].concat();
    assert!(matches!(opener.open(PATH, endless.as_slice()), Err(OpenError::NotSealed(_))));
    let one_line = vec![b'a'; 1 << 20];
    assert!(matches!(opener.open(PATH, one_line.as_slice()), Err(OpenError::NotSealed(_))));
    assert!(opener.open(PATH, file.as_slice()).is_err(), "a file of the other mode");
}

#[test]
fn a_reader_that_fails_is_not_taken_for_tampering() {
    struct Broken<'a>(&'a [u8]);
    impl Read for Broken<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer) {
                Ok(0) => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
                read => read,
            }
        }
    }
    for (mode, sealer, opener) in modes() {
        let file = sealed(&sealer, PATH, &plain(2 * CHUNK), CHUNK);
        let mut reader = opener.open(PATH, Broken(&file[..file.len() - 10])).unwrap();
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{mode}");
        assert!(reader.read(&mut [0]).is_err(), "{mode} goes on");
    }
}

#[test]
fn no_key_is_printed() {
    let identities = Identities::parse(&format!("# mine\n\n{IDENTITY}\n")).unwrap();
    let (_, sealer, opener) = modes().into_iter().next().unwrap();
    let file = sealer.file(PATH).unwrap();
    let reader = opener.open(PATH, [0; 0].as_slice());
    let printed = format!("{identities:?} {:?} {sealer:?} {opener:?} {file:?} {reader:?}", key(1));
    assert!(!printed.contains("SECRET") && !printed.contains("1, 1, 1"), "{printed}");
    assert!(printed.contains("age1"), "which public keys they are may be told");
}

#[test]
fn identity_files_are_read_as_age_keygen_writes_them_and_faults_name_the_line() {
    for (text, says) in [
        ("", "no age identity"),
        ("# nothing\n", "no age identity"),
        ("x\n", "line 1"),
        (&format!("{IDENTITY}\nage1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\n"), "line 2"),
        (&format!("{}\n", IDENTITY.get(..70).unwrap()), "line 1"),
        (&format!("{IDENTITY}\n").repeat(33), "more than 32"),
    ] {
        let error = Identities::parse(text).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains("D9GRD"), "{text}: {error}");
    }
    let crlf = format!("# created: now\r\n# public key: {}\r\n{IDENTITY}\r\n", recipient());
    assert!(Identities::parse(&crlf).unwrap().has(&recipient().to_string()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_changed_byte_and_no_cut_passes(length in 0..3 * CHUNK, at in any::<proptest::sample::Index>(), bit in 0..8_u8) {
        for (mode, sealer, opener) in modes() {
            let text = plain(length);
            let file = sealed(&sealer, PATH, &text, CHUNK);
            let at = at.index(file.len());

            let mut flipped = file.clone();
            flipped[at] ^= 1 << bit;
            let (found, ended) = opened(&opener, PATH, &flipped);
            prop_assert!(ended.is_err(), "{mode}: bit {bit} of byte {at} of {} passes", file.len());
            // Whole chunks before the changed one, and nothing of it.
            let before = at.saturating_sub(file.len() - length - length.div_ceil(CHUNK).max(1) * TAG) / (CHUNK + TAG);
            prop_assert!(found.len() <= before * CHUNK && text.starts_with(&found), "{mode}: {} given out", found.len());

            let (found, ended) = opened(&opener, PATH, &file[..at]);
            prop_assert!(ended.is_err(), "{mode}: cut at {at} of {} passes", file.len());
            prop_assert!(text.starts_with(&found));
        }
    }
}
