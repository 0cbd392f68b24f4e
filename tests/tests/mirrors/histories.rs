//! Random histories of a ledger: whatever happens in it, a full mirror and the chain of deltas lead to the same bytes.

use export_tests::{Deployment, heavy, soak};
use serde_json::json;

use crate::world::{Evidence, applied, assert_same_as_full, delta, forget, full, plain, recipient};

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn number(&mut self, sides: u64) -> u32 {
        u32::try_from(self.roll(sides)).unwrap_or(0)
    }
}

/// One import's worth of history: adds, changes, statements that turn, SBOMs that come and change, and what retention takes.
fn go_on(dice: &mut Dice, snapshot: u32, evidence: &Evidence, deployment: &Deployment) {
    for _ in 0..dice.roll(25) {
        evidence.advisory(dice.number(150), dice.number(9));
    }
    for _ in 0..dice.roll(6) {
        let status = ["affected", "fixed", "under_investigation"][usize::try_from(dice.roll(3)).unwrap_or(0)];
        evidence.vex(dice.number(30), status);
    }
    for _ in 0..dice.roll(4) {
        evidence.sbom(dice.number(8), dice.number(9));
    }
    if dice.roll(2) == 0 {
        let statuses = ["blocked", "warned", "passed"];
        let findings: Vec<(u32, &str, &str)> = (0..150)
            .filter(|_| dice.roll(3) == 0)
            .map(|number| (number, statuses[usize::try_from(number % 3).unwrap_or(0)], "high"))
            .collect();
        evidence.policy(snapshot, &findings);
    }
    evidence.import(deployment);
    if dice.roll(2) == 0 {
        forget(deployment, "advisory", &format!("TEST-{:03}%", dice.roll(15))).unwrap();
    }
    if dice.roll(3) == 0 {
        forget(deployment, "sbom", &format!("%app-{}@1", dice.roll(8))).unwrap();
    }
    if dice.roll(4) == 0 {
        forget(deployment, "vex", "%").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_mirror_is_its_base_and_the_deltas_whatever_the_history() {
    let _turn = heavy().await;
    let (histories, steps) = if soak() { (12, 8) } else { (2, 4) };
    for history in 0..histories {
        let mut dice = Dice(4_242 + history);
        let mut deployment = Deployment::all().await.unwrap();
        let client = deployment.client().unwrap();
        // Small parts and frames, so that a history crosses many bounds; SBOMs as lines in every other one.
        let sboms = if history % 2 == 0 { "documents" } else { "lines" };
        let mut config = json!({
            "partitionRecords": 8, "compression": { "chunkBytes": 65_536 }, "mirrorSboms": sboms, "allowEmpty": true,
            "policySnapshotMode": "optional",
        });
        // And every other one is encrypted on its way; what is compared is what comes out at the site.
        if history % 2 == 1 {
            config["encryption"] = json!({ "mode": "aes-gcm", "recipients": [recipient(&deployment)] });
        }
        for (id, kind) in [("whole", "mirror:full"), ("steps", "mirror:delta")] {
            client.create_profile(&json!({ "id": id, "name": id, "kind": kind, "config": config })).await.unwrap();
        }
        let evidence = Evidence::new(&deployment);
        go_on(&mut dice, 0, &evidence, &deployment);
        let site = deployment.folder().join("site");
        let (mut base, first) = full(&mut deployment, "whole").await;
        applied(&deployment, first.folder(), &site);
        for step in 0..steps {
            go_on(&mut dice, step + 1, &evidence, &deployment);
            let (next, changes) = delta(&mut deployment, "steps", base.run.id.as_str()).await;
            let (_, whole) = full(&mut deployment, "whole").await;
            applied(&deployment, changes.folder(), &site);
            assert_same_as_full(&site, &plain(&deployment, &whole));
            // Now and then the chain goes on from a full mirror instead of from a delta.
            base = if dice.roll(3) == 0 { full(&mut deployment, "whole").await.0 } else { next };
        }
    }
}
