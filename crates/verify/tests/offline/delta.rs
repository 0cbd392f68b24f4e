//! The chain that a delta stands in.

use export_canon::jcs;
use export_contract::manifest::{DIFF_PATH, TARGET_PATH, TOMBSTONES_PATH};
use export_signing::Signer as _;
use export_signing::bundle::{Bundle, to_base64};
use serde_json::{Value, json};

use crate::made::{FOREIGN, File, Made, OURS, digest, files, manifest, sign, trusting};
use crate::refuses::check;

const TARGET: &[u8] = b"{\"the\":\"new mirror\"}";

fn contents() -> Vec<File> {
    let mut files = files();
    files.push(File::plain(TARGET_PATH, TARGET));
    files.push(File::plain(DIFF_PATH, b"{}"));
    files.push(File::lines(TOMBSTONES_PATH, &["{}\n"]));
    files
}

/// A bundle of a delta whose chain says this.
fn delta(chain: Option<Value>, variant: &str) -> Made {
    let mut text = serde_json::to_value(manifest(&contents())).unwrap();
    text["profile"]["variant"] = variant.into();
    if let Some(chain) = chain {
        text["delta"] = chain;
    }
    Made::with_text(&contents(), &jcs::to_vec(&text).unwrap())
}

fn good() -> Value {
    let base = digest(b"base");
    json!({
        "baseExportId": base.hex(), "baseManifestDigest": base, "targetManifestDigest": digest(TARGET),
        "added": ["a", "b"], "changed": [], "removed": ["c"], "tombstones": 1,
    })
}

fn with(change: impl FnOnce(&mut Value)) -> Made {
    let mut chain = good();
    change(&mut chain);
    delta(Some(chain), "delta")
}

#[test]
fn the_chain_of_a_delta_is_checked_for_form_and_told_as_not_proven() {
    let base = digest(b"base").to_string();
    let report = with(|_| ()).verify(&trusting()).unwrap();
    let told = report.not_proven.join("\n");
    assert!(told.contains(&base) && told.contains("who vouches for the mirror"), "{told}");
    assert_eq!(report.base.unwrap().manifest_digest.to_string(), base);
    let reset = with(|chain| {
        chain["resetBaseline"] = true.into();
        chain["baseExportId"] = "".into();
        _ = chain.as_object_mut().unwrap().remove("baseManifestDigest");
    });
    assert!(reset.verify(&trusting()).unwrap().base.is_none());
    assert!(Made::good().verify(&trusting()).unwrap().base.is_none());
    check(
        14,
        vec![
            ("a delta without a base", delta(None, "delta")),
            ("a base without a delta", delta(Some(good()), "raw")),
            ("no chain", delta(Some(json!(null)), "delta")),
            ("no name", with(|chain| chain["baseExportId"] = "".into())),
            ("another name", with(|chain| chain["baseExportId"] = "run-0".into())),
            ("no digest", with(|chain| chain["baseManifestDigest"] = "run-0".into())),
            ("a base that is dropped", with(|chain| chain["resetBaseline"] = true.into())),
            ("another target", with(|chain| chain["targetManifestDigest"] = json!(digest(b"x")))),
            ("no tombstones", with(|chain| _ = chain.as_object_mut().unwrap().remove("tombstones"))),
            ("too few tombstones", with(|chain| chain["tombstones"] = 0.into())),
            ("more than there are", with(|chain| chain["tombstones"] = 2.into())),
            ("not sorted", with(|chain| chain["added"] = json!(["b", "a"]))),
            ("twice", with(|chain| chain["added"] = json!(["a", "a"]))),
            ("added and removed", with(|chain| chain["added"] = json!(["c"]))),
        ],
    );
}

#[test]
fn the_new_mirror_is_vouched_for_by_a_signature_of_its_own() {
    let signed = |signer: &export_signing::FileSigner, text: &[u8]| {
        let signature = sign(signer, text);
        let bundle = Bundle::of_message(signer.public_key(), text, &signature);
        let mut made = with(|_| ());
        made.0.insert("target.json.sig", to_base64(&signature).into_bytes());
        made.0.insert("target.json.sigstore.json", serde_json::to_vec(&bundle).unwrap());
        made
    };
    let report = signed(&OURS, TARGET).verify(&trusting()).unwrap();
    assert!(report.proven.iter().any(|line| line.contains("the mirror that the delta leads to")), "{report:?}");
    check(10, vec![("over another text", signed(&OURS, b"{}"))]);
    check(11, vec![("in one form only", signed(&OURS, TARGET).without(&["target.json.sig"]))]);
    check(12, vec![("by a key that nobody trusts", signed(&FOREIGN, TARGET))]);
}
