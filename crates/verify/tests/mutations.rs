//! Every place of a bundle is changed in every way that comes to mind: the verifier never says yes, never panics, takes no memory for
//! it, and its exit code names the fault that there is. Alone in its process, because the kernel counts memory by process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "how much is tried is a setting of the tests")]

#[path = "offline/made.rs"]
#[allow(dead_code, reason = "made for more tests than these")]
mod made;
#[path = "offline/packed.rs"]
#[allow(dead_code, reason = "made for more tests than these")]
mod packed;

use std::fs;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use export_signing::Signer as _;
use export_verify::{Report, VerifyError, verify, verify_stream};
use made::{FOREIGN, File, Made, OURS, files, trusting};
use serde_json::Value;

/// The least number of mutations that are judged.
const LEAST: u64 = 20_000;
/// The most memory in MiB that all of them together may take beyond what the first verification took.
const MOST_MIB: u64 = 16;
/// The same with damaged packing, in which a frame may ask for a window of its own of up to 128 MiB.
const MOST_MIB_PACKED: u64 = 160;

const TAR: &str = "bundle.tar";
const MANIFEST: &str = "export.json";
const SIGNATURE: &str = "export.json.sig";
const BUNDLED: &str = "export.json.sigstore.json";
const STATEMENT: &str = "provenance.json";
const ATTESTED: &str = "provenance.sigstore.json";
const REFRESHED: &str = "refresh.sigstore.json";
/// All that is believed. `cosign.pub` comes along for people only.
const BELIEVED: [&str; 7] = [TAR, MANIFEST, SIGNATURE, BUNDLED, STATEMENT, ATTESTED, REFRESHED];

/// Where a byte stands, and the codes that name a change of it.
struct Place {
    file: &'static str,
    what: &'static str,
    bytes: Range<usize>,
    codes: &'static [u8],
}

/// The table: which fault a change of a byte is, by the place of the byte. Within JSON a change may also make it no JSON, which is 14.
fn places(made: &Made) -> Vec<Place> {
    let mut places = tar_places(&made.0[TAR]);
    for (file, codes) in [(MANIFEST, &[10][..]), (SIGNATURE, &[10]), (STATEMENT, &[13])] {
        places.push(Place { file, what: "text", bytes: 0..made.0[file].len(), codes });
    }
    places.extend(json_places(
        BUNDLED,
        &made.0[BUNDLED],
        &[
            ("/messageSignature/signature", &[10]),
            // Another digest of 32 bytes, or none.
            ("/messageSignature/messageDigest/digest", &[13, 14]),
        ],
    ));
    for enveloped in [ATTESTED, REFRESHED] {
        places.extend(json_places(
            enveloped,
            &made.0[enveloped],
            &[
                ("/dsseEnvelope/payload", &[10]),
                ("/dsseEnvelope/payloadType", &[10]),
                ("/dsseEnvelope/signatures/0/sig", &[10]),
            ],
        ));
    }
    places
}

fn tar_places(tar: &[u8]) -> Vec<Place> {
    let mut places = Vec::new();
    let mut put = |what, bytes: Range<usize>, codes| places.push(Place { file: TAR, what, bytes, codes });
    let mut at = 0;
    while tar[at] != 0 {
        let size = usize::from_str_radix(std::str::from_utf8(&tar[at + 124..at + 135]).unwrap(), 8).unwrap();
        let (body, end) = (at + 512, (at + 512 + size).next_multiple_of(512));
        put("header", at..body, &[14]);
        put("body", body..body + size, &[13]);
        put("padding", body + size..end, &[14]);
        at = end;
    }
    put("end marker", at..tar.len(), &[14]);
    places
}

/// The named values with their codes, everything between them with 14.
fn json_places(file: &'static str, text: &[u8], values: &[(&str, &'static [u8])]) -> Vec<Place> {
    let (text, document) = (std::str::from_utf8(text).unwrap(), serde_json::from_slice::<Value>(text).unwrap());
    let mut found: Vec<(Range<usize>, &'static [u8])> = values
        .iter()
        .map(|(pointer, codes)| {
            let value = document.pointer(pointer).unwrap().as_str().unwrap();
            let at = text.find(&format!("\"{value}\"")).unwrap() + 1;
            (at..at + value.len(), *codes)
        })
        .collect();
    found.sort_by_key(|(range, _)| range.start);
    let mut places = Vec::new();
    let mut at = 0;
    for (range, codes) in found {
        places.push(Place { file, what: "structure", bytes: at..range.start, codes: &[14] });
        at = range.end;
        places.push(Place { file, what: "value", bytes: range, codes });
    }
    places.push(Place { file, what: "structure", bytes: at..text.len(), codes: &[14] });
    places
}

/// A bundle on disk of which one file at a time is another.
struct Bench {
    folder: tempfile::TempDir,
    made: Made,
    judged: u64,
}

impl Bench {
    fn of(made: Made) -> Self {
        let folder = tempfile::tempdir().unwrap();
        made.write(folder.path());
        verify(folder.path(), &trusting()).unwrap();
        Self { folder, made, judged: 0 }
    }

    /// Judges the bundle with another text for one file.
    fn judge(&mut self, file: &str, bytes: &[u8], codes: &[u8], what: &dyn Fn() -> String) {
        if self.made.0[file] == bytes {
            return;
        }
        let path = self.folder.path().join(file);
        fs::write(&path, bytes).unwrap();
        self.refuse(codes, what);
        fs::write(&path, &self.made.0[file]).unwrap();
    }

    fn refuse(&mut self, codes: &[u8], what: &dyn Fn() -> String) {
        let outcome = outcome(what, || verify(self.folder.path(), &trusting()));
        self.judged += 1;
        match outcome {
            Ok(report) => panic!("{} passed: {report:?}", what()),
            Err(error) => assert!(codes.contains(&error.exit_code()), "{}: not {codes:?}, {error:?}", what()),
        }
    }
}

fn outcome(
    what: &dyn Fn() -> String,
    act: impl FnOnce() -> Result<Report, VerifyError>,
) -> Result<Report, VerifyError> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|_| panic!("{} made the verifier panic", what()))
}

/// The values a byte is changed to: one bit in turn and zero as a rule, every bit and more when there is time.
fn changes(byte: u8, at: usize, soak: bool) -> Vec<u8> {
    let bit = |n: usize| byte ^ 1 << (n % 8);
    if soak {
        (0..8).map(bit).chain([0, 0xff, byte.wrapping_add(1), b'"', b' ']).collect()
    } else {
        vec![bit(at), !byte, 0]
    }
}

/// Every byte of every file.
fn change_bytes(bench: &mut Bench, soak: bool) {
    for place in places(&bench.made) {
        for at in place.bytes.clone() {
            for to in changes(bench.made.0[place.file][at], at, soak) {
                let mut bad = bench.made.0[place.file].clone();
                bad[at] = to;
                let is_json = [BUNDLED, ATTESTED, REFRESHED].contains(&place.file);
                let broken = is_json && serde_json::from_slice::<Value>(&bad).is_err();
                let codes = if broken { &[14] } else { place.codes };
                bench.judge(place.file, &bad, codes, &|| {
                    format!("byte {at} of {}, {}, as {to:#x}", place.file, place.what)
                });
            }
        }
    }
}

/// Every length, as if a copy had broken off; and a little more than there is.
fn change_lengths(bench: &mut Bench, soak: bool) {
    for (file, cut, grown) in [
        (TAR, 17, 14),
        (MANIFEST, 10, 10),
        (SIGNATURE, 10, 10),
        (BUNDLED, 14, 14),
        (STATEMENT, 13, 13),
        (ATTESTED, 14, 14),
        (REFRESHED, 14, 14),
    ] {
        let good = bench.made.0[file].clone();
        for length in (0..good.len()).step_by(if soak { 1 } else { 3 }) {
            bench.judge(file, &good[..length], &[cut], &|| format!("{length} bytes of {file}"));
        }
        for more in [&b"x"[..], &[0], &[0; 512], &good] {
            bench.judge(file, &[&good, more].concat(), &[grown], &|| format!("{} bytes after {file}", more.len()));
        }
    }
}

/// The entries of a tar: header, body and padding each.
fn entries(tar: &[u8]) -> Vec<Vec<u8>> {
    let places = tar_places(tar);
    places.chunks_exact(3).map(|entry| tar[entry[0].bytes.start..entry[2].bytes.end].to_vec()).collect()
}

fn archive(entries: &[&[u8]]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

/// Members taken away, doubled, put in another order, and exchanged with those of another good bundle.
fn change_members(bench: &mut Bench, other: &Made) {
    let (own, foreign) = (entries(&bench.made.0[TAR]), entries(&other.0[TAR]));
    let own: Vec<&[u8]> = own.iter().map(Vec::as_slice).collect();
    for at in 0..own.len() {
        let mut fewer = own.clone();
        fewer.remove(at);
        bench.judge(TAR, &archive(&fewer), &[17], &|| format!("without member {at}"));
        for to in 0..=own.len() {
            let mut doubled = own.clone();
            doubled.insert(to, own[at]);
            bench.judge(TAR, &archive(&doubled), &[14], &|| format!("member {at} again at {to}"));
        }
        for to in 0..own.len() {
            let mut moved = own.clone();
            moved.swap(at, to);
            bench.judge(TAR, &archive(&moved), &[14], &|| format!("members {at} and {to} in each other's place"));
        }
        for (number, entry) in foreign.iter().enumerate() {
            let mut exchanged = own.clone();
            exchanged[at] = entry;
            // In its own place it is a changed file; anywhere else it is also one too many.
            let codes = if number == at { &[13][..] } else { &[13, 14] };
            bench.judge(TAR, &archive(&exchanged), codes, &|| format!("foreign member {number} for {at}"));
        }
    }
    bench.judge(TAR, &archive(&[]), &[17], &|| "no member".to_owned());
}

/// Files beside the tar taken away, and any mixture of two good bundles of one signer.
fn change_files(bench: &mut Bench, other: &Made) {
    for (file, code) in [(TAR, 17), (SIGNATURE, 11), (BUNDLED, 11)] {
        let path = bench.folder.path().join(file);
        fs::remove_file(&path).unwrap();
        bench.refuse(&[code], &|| format!("without {file}"));
        fs::write(&path, &bench.made.0[file]).unwrap();
    }
    let whole = (1_u32 << BELIEVED.len()) - 1;
    for mixture in 1..whole {
        let from_other = |file: &str| mixture >> BELIEVED.iter().position(|name| *name == file).unwrap() & 1 == 1;
        for file in BELIEVED {
            let made = if from_other(file) { other } else { &bench.made };
            fs::write(bench.folder.path().join(file), &made.0[file]).unwrap();
        }
        let signed = from_other(MANIFEST) == from_other(SIGNATURE) && from_other(MANIFEST) == from_other(BUNDLED);
        bench.refuse(if signed { &[13] } else { &[10] }, &|| format!("mixture {mixture:#b}"));
    }
    bench.made.write(bench.folder.path());
    let foreign = Made::sealed(&bench.made.0[MANIFEST], &bench.made.0[TAR], &FOREIGN);
    // Over the same bytes, so each of them verifies, but under a key that nobody trusts.
    bench.judge(BUNDLED, &foreign.0[BUNDLED], &[12], &|| "foreign bundle".to_owned());
    bench.judge(ATTESTED, &foreign.0[ATTESTED], &[12], &|| "foreign provenance".to_owned());
    let foreign_refresh = bench.made.clone().refreshed_as(&FOREIGN, |_| ());
    bench.judge(REFRESHED, &foreign_refresh.0[REFRESHED], &[12], &|| "foreign refresh".to_owned());
    // Whose a bare signature is only the key that came along can tell, and that is ours.
    bench.judge(SIGNATURE, &foreign.0[SIGNATURE], &[10], &|| "foreign signature".to_owned());
}

/// Packing is nobody's word, so some of its bytes are free; but then nothing else is proven than without the change.
fn change_packing(bench: &mut Bench, soak: bool) {
    let expected = verify(bench.folder.path(), &trusting()).unwrap();
    let order = [MANIFEST, SIGNATURE, BUNDLED, STATEMENT, ATTESTED, REFRESHED, TAR];
    let plain = packed::delivery(&bench.made, &order);
    for (name, packed) in [("tar", plain.clone()), ("tar.zst", packed::zst(&plain))] {
        for at in (0..packed.len()).step_by(if soak { 1 } else { 11 }) {
            let mut bad = packed.clone();
            bad[at] ^= 1 << (at % 8);
            check_packing(bench, &expected, &|| format!("byte {at} of {name}"), &bad);
            check_packing(bench, &expected, &|| format!("{at} bytes of {name}"), &packed[..at]);
        }
    }
    let layout = packed::Layout::of(&bench.made, true);
    let folder = tempfile::tempdir().unwrap();
    layout.write(folder.path());
    for (name, good) in &layout.files {
        for at in (0..good.len()).step_by(if soak { 1 } else { 7 }) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(folder.path().join(name), &bad).unwrap();
            let what = || format!("byte {at} of {name} of a layout");
            let outcome = outcome(&what, || verify(folder.path(), &trusting()));
            bench.judged += 1;
            match outcome {
                Ok(report) if name == "index.json" || name == "oci-layout" => {
                    // Without the manifest that refers to it, neither provenance nor refresh is there.
                    let Report { proven, not_proven, .. } = report.clone();
                    let less = Report { proven, not_proven, confirmed_at: None, fresh_until: None, ..expected.clone() };
                    assert!(report == expected || report == less, "{}: {report:?}", what());
                }
                Ok(report) => panic!("{} passed: {report:?}", what()),
                Err(error) => assert!((10..=17).contains(&error.exit_code()), "{}: {error:?}", what()),
            }
        }
        fs::write(folder.path().join(name), good).unwrap();
    }
}

fn check_packing(bench: &mut Bench, expected: &Report, what: &dyn Fn() -> String, bytes: &[u8]) {
    bench.judged += 1;
    match outcome(what, || verify_stream(bytes, &trusting(), &|_| ())) {
        Ok(report) => {
            let same =
                |report: &Report| (report.bundle_digest.clone(), report.manifest_digest.clone(), report.key_id.clone());
            assert_eq!(same(&report), same(expected), "{}", what());
        }
        Err(error) => {
            assert!((10..=17).contains(&error.exit_code()) || error.exit_code() == 2, "{}: {error:?}", what());
        }
    }
}

/// Peak of resident memory in MiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

/// The same paths as the good bundle has, with other contents.
fn another() -> Made {
    let mut files = files();
    files[0] = File::plain("README.md", b"# Another\n");
    files[1] = File::lines("data/raw/advisories.jsonl.zst", &["{\"id\":\"X\"}\n", "{\"id\":\"Y\"}\n"]);
    files[2] = File::lines("data/raw/vex.jsonl.zst", &["{\"id\":\"Z\"}\n"]);
    Made::of(&files).refreshed()
}

#[test]
fn no_mutation_passes_and_each_is_called_what_it_is() {
    let soak = std::env::var_os("EXPORT_TESTS_SOAK").is_some();
    let mut bench = Bench::of(Made::good().refreshed());
    let other = another();
    verify_once(&other);
    // Making a key takes the memory that scrypt asks for.
    assert_ne!(FOREIGN.public_key(), OURS.public_key());
    // Sets the peak back to what is in use now (proc(5)).
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak();
    change_bytes(&mut bench, soak);
    change_lengths(&mut bench, soak);
    change_members(&mut bench, &other);
    change_files(&mut bench, &other);
    let (signed, grown_by_signed) = (bench.judged, peak() - before);
    change_packing(&mut bench, soak);
    let grown = peak() - before;
    println!(
        "{signed} mutations of what is signed took {grown_by_signed} MiB, {} of its packing {grown} MiB",
        bench.judged - signed
    );
    assert!(signed >= LEAST, "only {signed} mutations");
    assert!(grown_by_signed <= MOST_MIB && grown <= MOST_MIB_PACKED, "{grown_by_signed} MiB, {grown} MiB");
}

fn verify_once(made: &Made) {
    let folder = tempfile::tempdir().unwrap();
    made.write(folder.path());
    verify(Path::new(folder.path()), &trusting()).unwrap();
}
