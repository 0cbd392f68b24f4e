//! The chain that a delta stands in.

use export_canon::jcs;
use export_contract::Digest;
use serde_json::json;

use crate::made::{Made, files, manifest, trusting};
use crate::refuses::check;

/// A bundle of a delta whose chain says this.
fn delta(chain: Option<serde_json::Value>, variant: &str) -> Made {
    let mut text = serde_json::to_value(manifest(&files())).unwrap();
    text["profile"]["variant"] = variant.into();
    if let Some(chain) = chain {
        text["delta"] = chain;
    }
    Made::with_text(&files(), &jcs::to_vec(&text).unwrap())
}

#[test]
fn the_chain_of_a_delta_is_checked_for_form_and_told_as_not_proven() {
    let base = Digest::from_bytes([7; 32]).to_string();
    let good = json!({
        "baseExportId": "run-0", "baseManifestDigest": base, "added": ["a", "b"], "changed": [], "removed": ["c"], "tombstones": 1,
    });
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut chain = good.clone();
        change(&mut chain);
        delta(Some(chain), "delta")
    };
    for made in [with(&|_| ()), with(&|chain| chain["tombstones"] = json!([{"path": "c"}]))] {
        let report = made.verify(&trusting()).unwrap();
        let told = report.not_proven.join("\n");
        assert!(told.contains("run-0") && told.contains(&base), "{told}");
        assert_eq!(report.base.unwrap().manifest_digest.to_string(), base);
    }
    assert!(Made::good().verify(&trusting()).unwrap().base.is_none());
    check(
        14,
        vec![
            ("a delta without a base", delta(None, "delta")),
            ("a base without a delta", delta(Some(good.clone()), "raw")),
            ("no chain", delta(Some(json!(null)), "delta")),
            ("no name", with(&|chain| chain["baseExportId"] = "".into())),
            ("no digest", with(&|chain| chain["baseManifestDigest"] = "run-0".into())),
            ("no tombstones", with(&|chain| _ = chain.as_object_mut().unwrap().remove("tombstones"))),
            ("too few tombstones", with(&|chain| chain["tombstones"] = 0.into())),
            ("too few listed", with(&|chain| chain["tombstones"] = json!([]))),
            ("not sorted", with(&|chain| chain["added"] = json!(["b", "a"]))),
            ("twice", with(&|chain| chain["added"] = json!(["a", "a"]))),
            ("added and removed", with(&|chain| chain["added"] = json!(["c"]))),
        ],
    );
}
