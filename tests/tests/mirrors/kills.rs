//! `kill -9` while a delta is taken in: the old mirror or the new one, and never anything between.

use std::process::Stdio;
use std::time::Duration;

use export_tests::{Deployment, light, output};

use crate::world::{Evidence, applied, current, delta, exportctl, full, state};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_apply_leaves_the_old_mirror_or_the_new_one() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    let evidence = Evidence::new(&deployment);
    for number in 0..200 {
        evidence.advisory(number, 1);
    }
    for number in 0..20 {
        evidence.sbom(number, 1);
    }
    evidence.import(&deployment);
    let (first, whole) = full(&mut deployment, "mirror-full").await;
    for number in 0..50 {
        evidence.advisory(number * 3, 2);
    }
    evidence.sbom(3, 2).sbom(30, 1).import(&deployment);
    let (second, changes) = delta(&mut deployment, "mirror-delta", first.run.id.as_str()).await;
    let site = deployment.folder().join("site");
    let (old, new) = (state(&first), state(&second));
    let mut kept = 0;
    for attempt in 0..40_u64 {
        if !site.exists() {
            applied(&deployment, whole.folder(), &site);
        }
        let mut command = exportctl(&deployment, &["apply", changes.folder().to_str().unwrap()]);
        command.arg("--into").arg(&site).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(3 * attempt)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let found = current(&site);
        assert!(found == old || found == new, "{found}");
        // Whichever it is, it is whole.
        output(exportctl(&deployment, &["verify"]).arg(site.join("current"))).unwrap();
        if found == new {
            std::fs::remove_dir_all(&site).unwrap();
        } else {
            kept += 1;
        }
    }
    assert!(kept > 0, "no kill came before the switch");
    if !site.exists() {
        applied(&deployment, whole.folder(), &site);
    }
    // And the next call goes through, whatever the last one left.
    applied(&deployment, changes.folder(), &site);
    assert_eq!(current(&site), new);
}
