//! One bundle in every container, and what containers may not hold.

use std::io::Read;
use std::process::Command;

use export_signing::Signer as _;
use export_verify::{Policy, Report, VerifyError, inspect, verify, verify_stream};
use serde_json::{Value, json};

use crate::made::{FOREIGN, Made, trusting};
use crate::packed::{Layout, ORDER, delivery, ended, header, member, zst};

fn stream(bytes: &[u8], policy: &Policy) -> Result<Report, VerifyError> {
    verify_stream(bytes, policy, &|_| ())
}

fn file(name: &str, bytes: &[u8], policy: &Policy) -> Result<Report, VerifyError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    verify(&path, policy)
}

fn refused(code: u8, name: &str, bytes: &[u8]) {
    for (way, outcome) in [
        ("stream", stream(bytes, &trusting())),
        ("zst stream", stream(&zst(bytes), &trusting())),
        ("file", file("d.tar", bytes, &trusting())),
    ] {
        let error = outcome.map(|_| ()).expect_err(name);
        // What is no delivery is taken for a tar without companions.
        let plausible = error.exit_code() == code || way == "file" && error.exit_code() == 14;
        assert!(plausible, "{name} as {way}: {error:?}");
    }
}

fn check_layout(layout: &Layout) -> Result<Report, VerifyError> {
    let folder = tempfile::tempdir().unwrap();
    layout.write(folder.path());
    verify(folder.path(), &trusting())
}

#[test]
fn every_container_proves_the_same() {
    let made = Made::good();
    let expected = made.verify(&trusting()).unwrap();
    let tar = delivery(&made, &ORDER);
    let mut backwards = ORDER;
    backwards.reverse();
    let bundle_first = delivery(&made, &backwards);
    let in_folder = ended(
        &[
            vec![header("./", 0, b'5'), header("./bundle/", 0, b'5')],
            ORDER.iter().map(|name| member(&format!("./bundle/{name}"), &made.0[name])).collect(),
        ]
        .concat(),
    );
    for (name, report) in [
        ("stream", stream(&tar, &trusting())),
        ("zst stream", stream(&zst(&tar), &trusting())),
        ("tar", file("d.tar", &tar, &trusting())),
        ("tar.zst", file("d.tar.zst", &zst(&tar), &trusting())),
        ("tar, bundle first", file("d.tar", &bundle_first, &trusting())),
        ("tar.zst, bundle first", file("d.tar.zst", &zst(&bundle_first), &trusting())),
        ("tar of a folder", stream(&in_folder, &trusting())),
        ("layout", check_layout(&Layout::of(&made, false))),
        ("layout with a referrer", check_layout(&Layout::of(&made, true))),
    ] {
        assert_eq!(report.unwrap(), expected, "{name}");
    }

    let folder = tempfile::tempdir().unwrap();
    made.clone().without(&["bundle.tar"]).write(folder.path());
    std::fs::write(folder.path().join("bundle.tar.zst"), zst(&made.0["bundle.tar"])).unwrap();
    assert_eq!(verify(folder.path(), &trusting()).unwrap(), expected);
    assert_eq!(verify(&folder.path().join("bundle.tar.zst"), &trusting()).unwrap(), expected);
    std::fs::rename(folder.path().join("bundle.tar.zst"), folder.path().join("bundle.tar")).unwrap();
    assert_eq!(verify(folder.path(), &trusting()).unwrap_err().exit_code(), 14, "compressed under the name of a tar");
}

#[test]
fn archives_of_real_tar_programs_are_read() {
    let made = Made::good();
    let expected = made.verify(&trusting()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("bundle");
    std::fs::create_dir(&inside).unwrap();
    made.write(&inside);
    for format in ["gnu", "pax", "ustar"] {
        for (from, what) in [(inside.as_path(), "."), (folder.path(), "bundle")] {
            let out = Command::new("tar")
                .arg(format!("--format={format}"))
                .arg("-C")
                .arg(from)
                .args(["-cf", "-", what])
                .output();
            let Ok(out) = out.map_err(|error| println!("no tar on this machine: {error}")) else { return };
            assert!(out.status.success(), "{out:?}");
            assert_eq!(file("d.tar", &out.stdout, &trusting()).unwrap(), expected, "{format} of {what}");
        }
    }
}

#[test]
fn a_stream_with_its_tar_first_is_told_how_to_come() {
    let made = Made::good();
    let bundle_first = |rest: &[&str]| delivery(&made, &[&["bundle.tar"], rest].concat());
    let error = stream(&bundle_first(&["export.json", "export.json.sig", "export.json.sigstore.json"]), &trusting())
        .unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error:?}");
    assert!(error.to_string().contains("tar -c"), "{error}");
    let code = |rest: &[&str]| stream(&bundle_first(rest), &trusting()).unwrap_err().exit_code();
    assert_eq!(code(&["export.json", "export.json.sig"]), 11);
    assert_eq!(code(&["export.json.sig", "export.json.sigstore.json"]), 17);
    let after = delivery(
        &made,
        &[
            "export.json",
            "export.json.sig",
            "export.json.sigstore.json",
            "bundle.tar",
            "provenance.json",
            "provenance.sigstore.json",
        ],
    );
    let demanding = Policy { require_provenance: true, ..trusting() };
    stream(&after, &demanding).unwrap();
    let without = delivery(&made, &["export.json", "export.json.sig", "export.json.sigstore.json", "bundle.tar"]);
    assert_eq!(stream(&without, &demanding).unwrap_err().exit_code(), 11);
}

#[test]
fn faults_inside_a_container_keep_their_class() {
    let changed = |name: &'static str, at: usize| delivery(&Made::good().with(name, |bytes| bytes[at] ^= 1), &ORDER);
    refused(13, "a changed file", &changed("bundle.tar", 512));
    refused(14, "a changed header", &changed("bundle.tar", 3));
    refused(10, "a changed manifest", &changed("export.json", 30));
    refused(10, "a changed signature", &changed("export.json.sig", 20));
    let good = delivery(&Made::good(), &ORDER);
    let short: Vec<&str> = ORDER.iter().copied().filter(|name| *name != "export.json.sig").collect();
    refused(11, "no signature", &delivery(&Made::good(), &short));
    refused(17, "no tar", &delivery(&Made::good(), &ORDER[..6]));
    // The last kilobyte before the padding belongs to the end of the inner tar.
    for cut in [513, good.len() / 2, good.len() - 10_240, good.len() - 10_240 + 512] {
        assert_eq!(stream(&good[..cut], &trusting()).unwrap_err().exit_code(), 17, "cut at {cut}");
    }
    let compressed = zst(&good);
    for cut in [5, compressed.len() / 2, compressed.len() - 1] {
        assert_eq!(stream(&compressed[..cut], &trusting()).unwrap_err().exit_code(), 17, "zst cut at {cut}");
    }
    let mut damaged = compressed.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(stream(&damaged, &trusting()).unwrap_err().exit_code(), 14, "checksum of zst");
    assert_eq!(stream(&[], &trusting()).unwrap_err().exit_code(), 17);
}

#[test]
fn deliveries_that_no_tar_would_unpack_to_what_was_proven_are_refused() {
    let made = Made::good();
    let good: Vec<Vec<u8>> = ORDER.iter().map(|name| member(name, &made.0[name])).collect();
    let with = |at: usize, extra: Vec<u8>| {
        let mut all = good.clone();
        all.insert(at, extra);
        ended(&all)
    };
    let link = |kind: u8| header("z", 0, kind);
    for (name, bytes) in [
        ("a second tar", with(7, good[6].clone())),
        ("a second manifest", with(2, good[1].clone())),
        ("a second manifest in other case", with(2, member("EXPORT.json", b"{}"))),
        ("a symbolic link", with(0, link(b'2'))),
        ("a hard link", with(7, link(b'1'))),
        ("a device", with(0, link(b'3'))),
        ("a sparse file", with(0, link(b'S'))),
        ("a GNU long name", with(0, link(b'L'))),
        ("a global header", with(0, link(b'g'))),
        ("a way out", with(0, member("../x", b""))),
        ("a way out inside", with(0, member("a/../x", b""))),
        ("an absolute path", with(0, member("/etc/passwd", b""))),
        ("a path of Windows", with(0, member("C:\\x", b""))),
        ("two folders", with(0, [member("a/x", b""), member("b/y", b"")].concat())),
        ("a tree", with(0, member("a/b/c", b""))),
        ("a control character", with(0, member("\u{1b}[2J", b""))),
        ("a folder with bytes", with(0, header("d/", 512, b'5'))),
        ("bytes after the end", [ended(&good), vec![1]].concat()),
        ("too many zeros after the end", [ended(&good), vec![0; 2 << 20]].concat()),
        ("too many members", with(0, (0..300).flat_map(|n| member(&format!("m{n}"), b"")).collect())),
        ("a huge manifest", with(0, [header("provenance.json", 17 << 20, b'0'), vec![0; 512]].concat())),
        ("not a tar", vec![7; 4096]),
    ] {
        if name == "a huge manifest" {
            // Refused for its length before anything of it is read, or because it is there twice.
            assert_eq!(stream(&bytes, &trusting()).unwrap_err().exit_code(), 14, "{name}");
            continue;
        }
        refused(14, name, &bytes);
    }
}

#[test]
fn what_else_a_delivery_holds_is_told_and_not_believed() {
    let made = Made::good();
    let mut members: Vec<Vec<u8>> = ORDER.iter().map(|name| member(name, &made.0[name])).collect();
    members.insert(0, member("VERIFY.md", b"how to"));
    members.push(member("notes.txt", b"trust me"));
    for report in [stream(&ended(&members), &trusting()), file("d.tar.zst", &zst(&ended(&members)), &trusting())] {
        let told = report.unwrap().not_proven.join("\n");
        assert!(told.contains("VERIFY.md, notes.txt"), "{told}");
    }
}

#[test]
fn little_that_decompresses_to_very_much_is_given_up() {
    struct Zeros(u64);
    impl Read for Zeros {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let got = usize::try_from(self.0).unwrap_or(usize::MAX).min(buffer.len());
            buffer[..got].fill(0);
            self.0 -= got as u64;
            Ok(got)
        }
    }
    let mut encoder = export_canon::zst::StreamEncoder::new(1, 3 << 30).unwrap();
    let mut bomb = Vec::new();
    let mut first = header("notes.txt", (3 << 30) - 512, b'0');
    first.resize(1 << 20, 0);
    bomb.extend(encoder.write(&first).unwrap());
    let mut zeros = Zeros((3 << 30) - (1 << 20));
    let mut piece = vec![0; 1 << 20];
    loop {
        let got = zeros.read(&mut piece).unwrap();
        if got == 0 {
            break;
        }
        bomb.extend(encoder.write(&piece[..got]).unwrap());
    }
    bomb.extend(encoder.finish().unwrap());
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    let error = stream(&bomb, &trusting()).unwrap_err();
    assert_eq!(error.exit_code(), 14, "{error:?}");
    assert!(format!("{error:?}").contains("far more"), "{error:?}");
}

#[test]
fn layouts_that_are_damaged_or_unclear_are_refused() {
    let made = Made::good();
    let good = Layout::of(&made, true);
    let check = |code: u8, name: &str, layout: &Layout| {
        let error = check_layout(layout).map(|_| ()).expect_err(name);
        assert_eq!(error.exit_code(), code, "{name}: {error:?}");
    };
    let changed = |change: &dyn Fn(&mut Layout)| {
        let mut layout = Layout { files: good.files.clone() };
        change(&mut layout);
        layout
    };
    for path in good.files.keys().filter(|path| path.starts_with("blobs/")) {
        // The tar is streamed: damage in it shows by its own rules first.
        let is_tar = good.files[path] == made.0["bundle.tar"];
        check(if is_tar { 14 } else { 13 }, path, &changed(&|layout| layout.files.get_mut(path).unwrap()[0] ^= 1));
        check(13, path, &changed(&|layout| layout.files.get_mut(path).unwrap().push(b' ')));
        check(17, path, &changed(&|layout| _ = layout.files.remove(path)));
    }
    check(17, "no index", &changed(&|layout| _ = layout.files.remove("index.json")));
    let marker =
        |text: &'static str| changed(&move |layout| _ = layout.files.insert("oci-layout".to_owned(), text.into()));
    check(14, "another version", &marker(r#"{"imageLayoutVersion":"2.0.0"}"#));
    check(14, "no version", &marker("{}"));
    let index = |change: &dyn Fn(&mut Value)| {
        changed(&|layout| {
            let mut index: Value = serde_json::from_slice(&layout.files["index.json"]).unwrap();
            change(&mut index);
            layout.files.insert("index.json".to_owned(), serde_json::to_vec(&index).unwrap());
        })
    };
    check(
        14,
        "an index in the index",
        &index(&|index| index["manifests"][0]["mediaType"] = "application/vnd.oci.image.index.v1+json".into()),
    );
    check(14, "another schema", &index(&|index| index["schemaVersion"] = 1.into()));
    check(14, "another digest", &index(&|index| index["manifests"][0]["digest"] = "sha512:00".into()));
    check(14, "a path for a digest", &index(&|index| index["manifests"][0]["digest"] = "sha256:../../x".into()));
    check(13, "another length", &index(&|index| index["manifests"][0]["size"] = 3.into()));
    check(14, "a huge length", &index(&|index| index["manifests"][0]["size"] = (5_u64 << 20).into()));
    check(17, "no manifest", &index(&|index| index["manifests"] = json!([])));
    check(11, "no referrer", &index(&|index| _ = index["manifests"].as_array_mut().unwrap().pop()));
    let twice = |title: &str, bytes: &[u8]| {
        changed(&|layout| {
            let main: Value =
                serde_json::from_slice::<Value>(&layout.files["index.json"]).unwrap()["manifests"][0].clone();
            let referrer = layout.manifest(&[(title, bytes)], Some(&main));
            let mut index: Value = serde_json::from_slice(&layout.files["index.json"]).unwrap();
            index["manifests"].as_array_mut().unwrap().push(referrer);
            layout.files.insert("index.json".to_owned(), serde_json::to_vec(&index).unwrap());
        })
    };
    check_layout(&twice("export.json", &made.0["export.json"])).unwrap();
    check(14, "two signatures", &twice("export.json.sig", b"x"));
    check(14, "two bundles", &twice("bundle.tar", b"x"));
    let told = check_layout(&twice("notes.txt", b"trust me")).unwrap().not_proven.join("\n");
    assert!(told.contains("notes.txt"), "{told}");
}

#[test]
fn a_layout_of_another_signer_is_of_another_signer() {
    let made = Made::good();
    let foreign = Made::sealed(&made.0["export.json"], &made.0["bundle.tar"], &FOREIGN);
    assert_eq!(check_layout(&Layout::of(&foreign, true)).unwrap_err().exit_code(), 12);
    assert_ne!(FOREIGN.public_key().key_id(), made.verify(&trusting()).unwrap().key_id);
}

#[test]
fn inspection_looks_into_every_container() {
    let made = Made::good();
    let folder = tempfile::tempdir().unwrap();
    let (tar, layout) = (folder.path().join("d.tar"), folder.path().join("layout"));
    let mut backwards = ORDER;
    backwards.reverse();
    Layout::of(&made, true).write(&layout);
    let mut seen = vec![inspect(&layout).unwrap()];
    for order in [ORDER, backwards] {
        std::fs::write(&tar, delivery(&made, &order)).unwrap();
        seen.push(inspect(&tar).unwrap());
    }
    for inspection in seen {
        assert_eq!(inspection.files.len(), 6);
        assert_eq!(inspection.bundle_bytes, made.0["bundle.tar"].len() as u64);
        assert!(!inspection.verified);
    }
}
