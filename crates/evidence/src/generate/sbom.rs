//! Synthetic SBOMs, as CycloneDX.

use serde_json::{Value, json};

use super::packages::{Package, version};
use super::random::Random;

pub(super) fn document(random: &mut Random, number: u64) -> Value {
    let main = Package::any(random);
    let main = component(random, &main, "application");
    let components: Vec<Value> = (0..15 + random.below(70))
        .map(|_| {
            let package = Package::any(random);
            component(random, &package, "library")
        })
        .collect();
    let (high, low) = (random.next(), random.next());
    let serial = format!(
        "urn:uuid:{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    );
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial,
        "version": 1,
        "metadata": {"timestamp": super::time(number), "component": main},
        "components": components,
    })
}

fn component(random: &mut Random, package: &Package, kind: &str) -> Value {
    let version = version(random);
    let purl = format!("{}@{version}", package.purl);
    let sha1 = format!("{:016x}{:016x}{:08x}", random.next(), random.next(), random.next() >> 32);
    json!({
        "type": kind,
        "bom-ref": purl,
        "name": package.name,
        "version": version,
        "purl": purl,
        "hashes": [{"alg": "SHA-1", "content": sha1}],
    })
}
