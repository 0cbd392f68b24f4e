//! Synthetic advisories, as OSV.

use serde_json::{Value, json};

use super::packages::{Package, version};
use super::random::Random;

const VECTORS: [&str; 4] = [
    "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
    "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N",
    "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:N/A:N",
    "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
];

pub(super) fn document(random: &mut Random, number: u64) -> Value {
    let published = random.below(600_000);
    let affected: Vec<Value> = (0..=random.below(3)).map(|_| affected(random)).collect();
    let paragraphs: Vec<String> = (0..=random.below(5))
        .map(|_| {
            let words = 40 + random.below(60);
            random.sentence(words)
        })
        .collect();
    let id = format!("SYN-2099-{number:07}");
    let mut document = json!({
        "schema_version": "1.7.4",
        "id": id,
        "published": super::time(published),
        "modified": super::time(published + random.below(60_000)),
        "aliases": [super::cve(number)],
        "summary": random.sentence(7),
        "details": paragraphs.join("\n\n"),
        "affected": affected,
        "references": [
            {"type": "ADVISORY", "url": format!("https://advisories.example.org/{id}")},
            {"type": "WEB", "url": format!("https://blog.example.org/{}", random.below(100_000))},
        ],
    });
    if random.below(4) > 0 {
        let vector = *random.one_of(&VECTORS);
        let kind = if vector.starts_with("CVSS:4") { "CVSS_V4" } else { "CVSS_V3" };
        document["severity"] = json!([{"type": kind, "score": vector}]);
    }
    if random.below(25) == 0 {
        document["withdrawn"] = json!(super::time(published + 70_000));
    }
    document
}

fn affected(random: &mut Random) -> Value {
    let package = Package::any(random);
    let events = match random.below(6) {
        0 => json!([{"introduced": "0"}]),
        1 => json!([{"introduced": version(random)}, {"last_affected": version(random)}]),
        _ => json!([{"introduced": "0"}, {"fixed": version(random)}]),
    };
    let versions: Vec<String> = (0..random.below(40)).map(|_| version(random)).collect();
    json!({
        "package": {"ecosystem": package.ecosystem, "name": package.name, "purl": package.purl},
        "ranges": [{"type": package.range_type(), "events": events}],
        "versions": versions,
    })
}
