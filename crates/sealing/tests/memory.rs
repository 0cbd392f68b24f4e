//! Memory of both modes does not grow with the file. Alone in its process, because the kernel counts by process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "prints how long it took; nothing depends on it")]

use std::fs::{self, File};
use std::io::{self, Write as _};

use export_contract::encryption::EncryptionMode;
use export_sealing::fuzzing::IDENTITY;
use export_sealing::{Opener, RunKey, RunSealer};
use zeroize::Zeroizing;

const PIECE: usize = 1 << 20;
const PIECES: usize = 192;

/// Peak of resident memory in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The MiB that an act took.
fn cost(act: impl FnOnce()) -> u64 {
    // Sets the peak back to what is in use now (proc(5)).
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak();
    act();
    (peak() - before) >> 10
}

#[test]
fn a_file_of_any_size_is_encrypted_and_decrypted_in_a_few_mebibytes() {
    let key = |bytes: &[u8]| RunKey::from_bytes(Zeroizing::new(bytes.to_vec())).unwrap();
    let public = IDENTITY.parse::<age::x25519::Identity>().unwrap().to_public();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sealed");
    let piece = vec![7; PIECE];
    for (mode, sealer, secret) in [
        (EncryptionMode::AesGcm, RunSealer::gcm(key(&[1; 32]), "run"), key(&[1; 32])),
        (EncryptionMode::Age, RunSealer::age(vec![public]), key(IDENTITY.as_bytes())),
    ] {
        let begun = std::time::Instant::now();
        let grown = cost(|| {
            let mut out = File::create(&path).unwrap();
            let mut file = sealer.file("data/x").unwrap();
            for _ in 0..PIECES {
                file.push(&piece).unwrap();
                out.write_all(&file.take()).unwrap();
            }
            out.write_all(&file.finish().unwrap()).unwrap();
        });
        assert!(grown < 8, "{mode:?}: encrypting took {grown} MiB more");
        let sealed = begun.elapsed();
        let grown = cost(|| {
            let opener = Opener::with_key(mode, "run", secret).unwrap();
            let mut reader = opener.open("data/x", File::open(&path).unwrap()).unwrap();
            assert_eq!(io::copy(&mut reader, &mut io::sink()).unwrap(), (PIECES * PIECE) as u64);
        });
        assert!(grown < 8, "{mode:?}: decrypting took {grown} MiB more");
        // For whoever wants to know; nothing depends on it.
        println!(
            "{mode:?}: {PIECES} MiB encrypted in {sealed:?}, decrypted in {:?}",
            begun.elapsed().saturating_sub(sealed)
        );
    }
}
