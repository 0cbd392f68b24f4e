//! What a site does not take, and what it does then: nothing, but for a note in quarantine.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use export_site::{Change, Disk, Site, SiteError, Terms};

use crate::made::{Mirror, terms};

fn records(count: u16, content: u16) -> BTreeMap<u16, u16> {
    (0..count).map(|subject| (subject, content)).collect()
}

fn site(folder: &Path) -> Site {
    Site::open(&folder.join("site"), Disk::default()).unwrap()
}

fn take(site: &Site, bundle: &Path) -> Result<Change, SiteError> {
    site.apply(bundle, &terms(), &|_| ()).map(|applied| applied.change)
}

#[test]
fn deltas_are_taken_in_their_order_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let states: Vec<Mirror> =
        (0..4).map(|state| Mirror::of(&records(20 + state, state), u64::from(state) + 1)).collect();
    let at = |name: &str| folder.path().join(name);
    let whole = states[0].bundle(&at("whole"));
    let deltas: Vec<_> = (1..4).map(|to| states[to].delta_from(&states[to - 1], &at(&format!("delta-{to}")))).collect();
    let site = site(folder.path());
    assert!(matches!(take(&site, &deltas[0]), Err(SiteError::NoBase(_))));
    assert_eq!(take(&site, &whole).unwrap(), Change::Full);
    assert_eq!(take(&site, &whole).unwrap(), Change::Nothing);
    let error = take(&site, &deltas[1]).unwrap_err();
    assert!(matches!(error, SiteError::WrongBase { .. }) && error.exit_code() == 16);
    for delta in &deltas {
        assert_eq!(take(&site, delta).unwrap(), Change::Delta);
    }
    assert_eq!(site.current().unwrap().unwrap().digest, states[3].digest());
    for old in [&deltas[0], &whole] {
        let error = take(&site, old).unwrap_err();
        assert!(matches!(error, SiteError::Rollback { .. }), "{error}");
    }
    // One step back, and no further: older states are gone.
    assert_eq!(site.roll_back().unwrap().mirror, states[2].digest());
    assert!(matches!(site.roll_back(), Err(SiteError::NoEarlierState)));
    let forced = Terms { allow_rollback: true, ..terms() };
    assert_eq!(site.apply(&whole, &forced, &|_| ()).unwrap().mirror, states[0].digest());
}

#[test]
fn what_is_refused_changes_nothing_and_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    let (before, after) = (Mirror::of(&records(30, 0), 1), Mirror::of(&records(31, 0), 2));
    let whole = before.bundle(&folder.path().join("whole"));
    let site = site(folder.path());
    take(&site, &whole).unwrap();
    let bad = |name: &str, spoil: &dyn Fn(&Path)| {
        let delta = after.delta_from(&before, &folder.path().join(name));
        spoil(&delta);
        let error = take(&site, &delta).unwrap_err();
        assert_eq!(site.current().unwrap().unwrap().digest, before.digest(), "{name}");
        error.exit_code()
    };
    let flip = |path: &Path, at: usize| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[at] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    assert_eq!(bad("signature", &|delta| flip(&delta.join("export.json.sig"), 20)), 10);
    assert_eq!(bad("target's signature", &|delta| flip(&delta.join("target.json.sig"), 20)), 10);
    assert_eq!(
        bad("no target's signature", &|delta| {
            std::fs::remove_file(delta.join("target.json.sig")).unwrap();
            std::fs::remove_file(delta.join("target.json.sigstore.json")).unwrap();
        }),
        11
    );
    assert_eq!(bad("a byte of the tar", &|delta| flip(&delta.join("bundle.tar"), 600)), 13);
    assert_eq!(
        bad("a cut tar", &|delta| {
            let bytes = std::fs::read(delta.join("bundle.tar")).unwrap();
            std::fs::write(delta.join("bundle.tar"), &bytes[..bytes.len() / 2]).unwrap();
        }),
        17
    );
    let quarantine = folder.path().join("site/quarantine");
    assert_eq!(std::fs::read_dir(&quarantine).unwrap().count(), 5);
    assert!(!folder.path().join("site/.incoming").exists());
    assert!(std::fs::read_to_string(quarantine.join("000001/reason.json")).unwrap().contains("\"exitCode\": 10"));
}

#[test]
fn a_damaged_state_is_not_built_upon() {
    let folder = tempfile::tempdir().unwrap();
    let (before, after) = (Mirror::of(&records(64, 0), 1), Mirror::of(&records(65, 0), 2));
    let whole = before.bundle(&folder.path().join("whole"));
    let delta = after.delta_from(&before, &folder.path().join("delta"));
    let site = site(folder.path());
    take(&site, &whole).unwrap();
    let lines = folder.path().join("site/current/tree/data/raw/advisories.jsonl.zst");
    let mut bytes = std::fs::read(&lines).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&lines, bytes).unwrap();
    let error = take(&site, &delta).unwrap_err();
    assert_eq!(error.exit_code(), 13, "{error}");
    assert_eq!(site.current().unwrap().unwrap().digest, before.digest());
}

#[test]
fn the_source_may_be_read_only_and_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::of(&records(10, 0), 1);
    let whole = mirror.bundle(&folder.path().join("whole"));
    let listing = |folder: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.file_name(), entry.metadata().unwrap().modified().unwrap())
            })
            .collect();
        names.sort();
        names
    };
    let before = listing(&whole);
    std::fs::set_permissions(&whole, std::fs::Permissions::from_mode(0o555)).unwrap();
    take(&site(folder.path()), &whole).unwrap();
    assert_eq!(listing(&whole), before);
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (before, after) = (Mirror::of(&records(30, 0), 1), Mirror::of(&records(31, 0), 2));
    let whole = before.bundle(&folder.path().join("whole"));
    let delta = after.delta_from(&before, &folder.path().join("delta"));
    let site = site(folder.path());
    take(&site, &whole).unwrap();
    let dry = Terms { dry_run: true, ..terms() };
    let applied = site.apply(&delta, &dry, &|_| ()).unwrap();
    assert_eq!((applied.change, applied.mirror), (Change::Delta, after.digest()));
    assert_eq!(site.current().unwrap().unwrap().digest, before.digest());
}
