//! The machine may stop before any step that a site takes on its disk.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use export_site::{Change, Disk, Site};

use crate::made::{Mirror, terms};

/// A disk that works for so many steps and then never again.
fn failing_after(steps: u64) -> (Disk, Arc<AtomicU64>) {
    let taken = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&taken);
    let disk = Disk::watched(move |_| {
        if count.fetch_add(1, Ordering::Relaxed) >= steps {
            return Err(io::Error::other("the machine has stopped"));
        }
        Ok(())
    });
    (disk, taken)
}

fn apply(site: &Path, disk: Disk, bundle: &Path) -> Result<Change, export_site::SiteError> {
    Ok(Site::open(site, disk)?.apply(bundle, &terms(), &|_| ())?.change)
}

#[test]
fn a_machine_that_stops_before_any_step_leaves_the_old_mirror_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let before = Mirror::of(&(0..24).map(|subject| (subject, 0)).collect(), 1);
    let after = Mirror::of(&(3..27).map(|subject| (subject, u16::from(subject == 9))).collect(), 2);
    let whole = before.bundle(&folder.path().join("whole"));
    let delta = after.delta_from(&before, &folder.path().join("delta"));
    let site = folder.path().join("site");

    // How many steps it takes where nothing stops it.
    apply(&site, Disk::default(), &whole).unwrap();
    let (disk, taken) = failing_after(u64::MAX);
    assert_eq!(apply(&site, disk, &delta).unwrap(), Change::Delta);
    let steps = taken.load(Ordering::Relaxed);
    assert!(steps > 40, "{steps}");

    let mut seen = [0, 0];
    for stop in 0..=steps {
        std::fs::remove_dir_all(&site).unwrap();
        apply(&site, Disk::default(), &whole).unwrap();
        let outcome = apply(&site, failing_after(stop).0, &delta);
        let now = Site::open(&site, Disk::default()).unwrap().current().unwrap().unwrap();
        let new = now.digest == after.digest();
        assert!(new || now.digest == before.digest(), "stopped before step {stop}");
        assert!(outcome.is_err() || new, "stopped before step {stop}");
        seen[usize::from(new)] += 1;
        // Whichever it is, it is whole; and the next call does what this one should have done.
        export_verify::verify(&now.folder, &terms().policy).unwrap();
        let again = apply(&site, Disk::default(), &delta).unwrap();
        assert_eq!(again, if new { Change::Nothing } else { Change::Delta }, "stopped before step {stop}");
        let left = std::fs::read_dir(site.join("states")).unwrap().count();
        assert!(left <= 2, "{left} states are left");
    }
    assert!(seen[0] > 20 && seen[1] > 1, "{seen:?}");
}

#[test]
fn a_first_mirror_is_there_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::of(&(0..20).map(|subject| (subject, 0)).collect(), 1);
    let whole = mirror.bundle(&folder.path().join("whole"));
    for stop in 0..400 {
        let site = folder.path().join(format!("site-{stop}"));
        let stopped = apply(&site, failing_after(stop).0, &whole).is_err();
        let now = Site::open(&site, Disk::default()).unwrap().current().unwrap();
        assert!(now.is_none_or(|now| now.digest == mirror.digest()));
        if !stopped {
            return;
        }
    }
    panic!("it never came through");
}
