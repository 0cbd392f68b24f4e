//! Synthetic VEX, as OpenVEX.

use serde_json::{Value, json};

use super::packages::{Package, version};
use super::random::Random;

pub(super) fn document(random: &mut Random, number: u64) -> Value {
    let product = Package::any(random);
    let product = format!("{}@{}", product.purl, version(random));
    let statements: Vec<Value> = (0..4 + random.below(10)).map(|_| statement(random, number, &product)).collect();
    json!({
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": format!("https://vex.example.org/synthetic/{number}"),
        "author": "Synthetic Evidence",
        "timestamp": super::time(random.below(700_000)),
        "version": 1 + random.below(3),
        "statements": statements,
    })
}

fn statement(random: &mut Random, number: u64, product: &str) -> Value {
    let component = Package::any(random);
    let mut statement = json!({
        "vulnerability": {"name": super::cve(random.below(number.max(1)))},
        "products": [{
            "@id": product,
            "identifiers": {"purl": product},
            "subcomponents": [{"@id": format!("{}@{}", component.purl, version(random))}],
        }],
    });
    match random.below(10) {
        0 => {
            statement["status"] = json!("affected");
            statement["action_statement"] = json!(random.sentence(9));
        }
        1 => statement["status"] = json!("fixed"),
        2 => statement["status"] = json!("under_investigation"),
        _ => {
            statement["status"] = json!("not_affected");
            statement["justification"] = json!("vulnerable_code_not_in_execute_path");
        }
    }
    statement
}
