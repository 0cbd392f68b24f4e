//! RFC 8785 against the `rfc8785` package.

use export_canon::jcs;
use serde_json::{Value, json};

use crate::python;

const SCRIPT: &str = r#"
import json, sys, rfc8785
count = 0
for line in sys.stdin.buffer:
    source, ours = line.rstrip(b"\n").split(b"\t")
    theirs = rfc8785.dumps(json.loads(source))
    if theirs != ours:
        sys.exit(f"source {source!r}\nours   {ours!r}\ntheirs {theirs!r}")
    count += 1
print(count)
"#;

/// Floats from a fixed sequence of bits, so of every magnitude.
fn floats() -> Vec<f64> {
    let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        bits
    };
    let edges = [
        0.0,
        -0.0,
        1.0,
        0.1,
        1e21,
        1e20,
        1e-6,
        1e-7,
        5e-324,
        f64::MAX,
        f64::MIN_POSITIVE,
        9_007_199_254_740_993.0,
        123.456e10,
    ];
    edges.into_iter().chain((0..20_000).map(|_| f64::from_bits(next()))).filter(|float| float.is_finite()).collect()
}

fn documents() -> Vec<Value> {
    let strings: Vec<String> = (0..0x300_u32)
        .chain(0xffe0..0x1_0010)
        .chain([0x1f600, 0x10_ffff])
        .filter_map(char::from_u32)
        .map(|c| format!("x{c}"))
        .collect();
    let object: serde_json::Map<String, Value> = strings.iter().map(|name| (name.clone(), json!(name))).collect();
    let mut documents = vec![
        json!([]),
        json!({}),
        json!([null, true, false, "", 0, -1, 9_007_199_254_740_991_i64, -9_007_199_254_740_991_i64]),
        json!({"b": {"d": [], "c": {}}, "a": [{"z": 1, "y": 2}]}),
        Value::Object(object),
    ];
    documents.extend(floats().chunks(100).map(|chunk| json!(chunk)));
    documents
}

#[test]
fn our_documents_are_those_of_the_rfc8785_package() {
    let documents = documents();
    let count = python::run(&["rfc8785"], SCRIPT, &[], |out| {
        for document in &documents {
            // The source form of serde_json writes every float so that it is read back exactly.
            writeln!(
                out,
                "{}\t{}",
                serde_json::to_string(document).unwrap(),
                String::from_utf8(jcs::canonicalize_value(document).unwrap()).unwrap()
            )
            .unwrap();
        }
    });
    assert_eq!(count.trim(), documents.len().to_string());
}
