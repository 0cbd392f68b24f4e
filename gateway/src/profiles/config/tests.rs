use export_contract::profile::{CROSS_RULES, DistributionKind, ProfileConfig, ProfileKind, config_schema};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{integral, merged, read};

fn faults(document: Value, kind: ProfileKind) -> Vec<(String, String)> {
    let faults = read(document, kind).unwrap().unwrap_err();
    faults.into_iter().map(|fault| (fault.path, fault.problem)).collect()
}

fn paths(document: Value) -> Vec<String> {
    faults(document, ProfileKind::JsonRaw).into_iter().map(|(path, _)| path).collect()
}

#[test]
fn all_faults_are_told_at_once_each_with_its_member_and_what_would_be_right() {
    let document = json!({
        "compresion": {},
        "include": ["advisory", "sbomb"],
        "compression": { "level": 23, "chunkByte": 1, "frames": "many" },
        "distribution": [],
        "keepLast": "three",
        "encryption": { "mode": "rot13", "recipients": ["age1", "pgp:x"] },
        "objectLock": "forever",
        "zzz": 1,
    });
    let found = faults(document, ProfileKind::JsonRaw);
    let told: Vec<(&str, &str)> = found.iter().map(|(path, problem)| (path.as_str(), problem.as_str())).collect();
    for expected in [
        ("config.compresion", "unknown; did you mean `compression`?"),
        ("config.compression.chunkByte", "unknown; did you mean `chunkBytes`?"),
        ("config.compression.frames", "use multi or single"),
        ("config.compression.level", "use 1 to 22"),
        ("config.distribution", "name at least one"),
        ("config.encryption.mode", "use age or aes-gcm"),
        ("config.encryption.recipients[0]", "it is not an age recipient: its length or its check sum is wrong"),
        ("config.encryption.recipients[1]", "use age1…, awskms:KEY or vault:NAME"),
        ("config.include[1]", "use advisory, vex or sbom"),
    ] {
        assert!(told.contains(&expected), "{expected:?} is not among {told:#?}");
    }
    for (path, part) in
        [("config.keepLast", "integer"), ("config.objectLock", "governance or compliance"), ("config.zzz", "known are")]
    {
        assert!(told.iter().any(|(at, text)| *at == path && text.contains(part)), "{path} is not among {told:#?}");
    }
    assert_eq!(told.len(), 12, "{told:#?}");
}

#[test]
fn members_that_need_others_are_told_by_name() {
    let document = json!({
        "objectLock": "governance", "ociRegistry": "registry.example", "refreshWhenUnchanged": true,
        "attestation": false, "encryption": { "mode": "age", "recipients": ["vault:.."] },
    });
    let mut found = paths(document);
    found.sort();
    assert_eq!(
        found,
        [
            "config.attestation",
            "config.encryption.recipients[0]",
            "config.objectLock",
            "config.ociRegistry",
            "config.refreshWhenUnchanged"
        ]
    );
    let encrypted = json!({ "distribution": ["http", "oci"], "encryption": { "mode": "age" } });
    assert_eq!(faults(encrypted, ProfileKind::TrivyDb)[0].0, "config.distribution");
    let data = json!({ "encryption": { "mode": "age", "scope": "data" } });
    assert_eq!(faults(data, ProfileKind::TrivyDb)[0].0, "config.encryption.scope");
}

/// As long as nobody wrote another one, a number is what it says: `3.0` is three.
#[test]
fn a_change_is_laid_over_and_null_brings_the_default_back() {
    let own = merged(
        &ProfileConfig::default(),
        json!({ "compression": { "level": 9.0 }, "keepLast": 3 }),
        ProfileKind::JsonRaw,
    );
    let own = own.unwrap();
    assert_eq!((own.compression.level, own.keep_last), (9, Some(3)));
    let back = merged(
        &own,
        json!({ "compression": { "level": null, "chunkBytes": 65536 }, "keepLast": null }),
        ProfileKind::JsonRaw,
    );
    let back = back.unwrap();
    assert_eq!((back.compression.level, back.compression.chunk_bytes, back.keep_last), (3, 65_536, None));
    let new = merged(&own, json!({ "encryption": { "mode": "age", "scope": null } }), ProfileKind::JsonRaw).unwrap();
    assert_eq!(new.encryption.unwrap().scope, None);
}

/// Words, numbers and forms that are right somewhere.
fn leaf() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "advisory",
        "vex",
        "sbom",
        "http",
        "oci",
        "object",
        "directory",
        "multi",
        "single",
        "required",
        "optional",
        "none",
        "documents",
        "lines",
        "governance",
        "compliance",
        "standard",
        "full",
        "age",
        "aes-gcm",
        "data",
        "payload",
        "registry.example:5000",
        "",
        "vault:k",
        "vault:..",
        "awskms:alias/x",
        "Advisory",
        "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
    ])
    .prop_map(Value::from);
    let numbers =
        prop::sample::select(vec![-1_i64, 0, 1, 2, 3, 22, 23, 36, 65_536, 100_000, 100_001, 67_108_865, 4_294_967_296]);
    prop_oneof![
        4 => words,
        4 => numbers.clone().prop_map(Value::from),
        1 => numbers.prop_map(|number| { #[expect(clippy::cast_precision_loss, reason = "small")] let float = number as f64; json!(float) }),
        1 => Just(json!(2.5)),
        2 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

fn member(name: &'static str) -> BoxedStrategy<Value> {
    match name {
        "include" | "distribution" | "recipients" => {
            prop_oneof![5 => prop::collection::vec(leaf(), 0..4).prop_map(Value::from), 1 => leaf()].boxed()
        }
        "compression" => prop_oneof![5 => object(&["level", "frames", "chunkBytes", "codec"]), 1 => leaf()].boxed(),
        "encryption" => {
            prop_oneof![5 => object(&["mode", "recipients", "scope", "strict", "key"]), 1 => leaf()].boxed()
        }
        _ => leaf().boxed(),
    }
}

/// Some of the members, right ones more often than chance would have it.
fn object(names: &'static [&'static str]) -> BoxedStrategy<Value> {
    let members: Vec<BoxedStrategy<Option<(String, Value)>>> = names
        .iter()
        .map(|name| {
            prop::option::weighted(0.3, member(name)).prop_map(|value| Some(((*name).to_owned(), value?))).boxed()
        })
        .collect();
    members.prop_map(|members| Value::Object(members.into_iter().flatten().collect::<Map<_, _>>())).boxed()
}

const MEMBERS: &[&str] = &[
    "include",
    "compression",
    "distribution",
    "allowEmpty",
    "partitionRecords",
    "policySnapshotMode",
    "mirrorSboms",
    "schemaVersion",
    "packageSummary",
    "attestation",
    "retentionDays",
    "keepLast",
    "objectLock",
    "ociRegistry",
    "freshForHours",
    "refreshWhenUnchanged",
    "provenance",
    "encryption",
    "unknown",
];

/// Whether the type takes a document, but for the rules between members.
fn parses(document: &Value, kind: ProfileKind) -> bool {
    let Ok(config) = serde_json::from_value::<ProfileConfig>(integral(document.clone())) else { return false };
    let faults = [config.check(), config.check_for(kind)].into_iter().filter_map(Result::err).flatten();
    let is_cross = |path: &str| match path {
        "config.ociRegistry" => !config.distribution.contains(&DistributionKind::Oci) && well_named(&config),
        "config.distribution" => !config.distribution.is_empty(),
        recipient if recipient.starts_with("config.encryption.recipients[") => {
            let text = config.encryption.iter().flat_map(|encryption| &encryption.recipients);
            text.clone().all(|text| {
                text.len() == 62 && text.starts_with("age1")
                    || text.starts_with("vault:")
                    || text.starts_with("awskms:")
            })
        }
        other => CROSS_RULES.iter().any(|rule| rule.path == other),
    };
    let mut faults = faults;
    faults.all(|fault| is_cross(&fault.path))
}

fn well_named(config: &ProfileConfig) -> bool {
    let host = config.oci_registry.as_deref().unwrap_or("x");
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever the schema accepts the type accepts, and the other way round; rules between members aside, which have names.
    #[test]
    fn schema_and_type_accept_the_same(document in object(MEMBERS), kind in prop::sample::select(ProfileKind::ALL.to_vec())) {
        let schema = config_schema(kind);
        let valid = jsonschema::draft202012::is_valid(&schema, &document);
        prop_assert_eq!(valid, parses(&document, kind), "{} for {}", document, kind);
    }

    /// And the endpoint accepts what both do and no rule forbids.
    #[test]
    fn what_is_taken_is_what_schema_type_and_rules_take(document in object(MEMBERS), kind in prop::sample::select(ProfileKind::ALL.to_vec())) {
        let taken = read(document.clone(), kind).unwrap().is_ok();
        let parsed = serde_json::from_value::<ProfileConfig>(integral(document.clone()));
        let good = parsed.is_ok_and(|config| config.check().is_ok() && config.check_for(kind).is_ok());
        prop_assert_eq!(taken, good, "{}", document);
    }
}

/// The members that are generated are those that there are.
#[test]
fn every_member_is_tried() {
    let schema = config_schema(ProfileKind::JsonRaw);
    let members: std::collections::BTreeSet<&str> =
        schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let tried: std::collections::BTreeSet<&str> = MEMBERS.iter().copied().filter(|name| *name != "unknown").collect();
    assert_eq!(members, tried);
}
