use super::{ProfileConfig, ProfileKind};

#[test]
fn built_in_ids_are_the_names_with_a_hyphen() {
    let ids: Vec<String> = ProfileKind::ALL.iter().map(|kind| kind.built_in_id().to_string()).collect();
    assert_eq!(ids, ["json-raw", "json-policy", "trivy-db", "trivy-java-db", "mirror-full", "mirror-delta"]);
}

/// Every member and its default stand in docs/profiles.md.
#[test]
fn every_option_is_documented_with_its_default() {
    let page = include_str!("../../../../docs/profiles.md");
    let config = ProfileConfig {
        mirror_sboms: super::MirrorSboms::Lines,
        schema_version: Some(2),
        package_summary: true,
        attestation: false,
        retention_days: Some(1),
        keep_last: Some(1),
        fresh_for_hours: Some(1),
        refresh_when_unchanged: true,
        provenance: super::ProvenanceDetail::Full,
        object_lock: Some(super::ObjectLock::Governance),
        oci_registry: Some("registry.example".to_owned()),
        encryption: serde_json::from_str(r#"{"mode":"age","scope":"data","strict":true}"#).ok(),
        ..ProfileConfig::default()
    };
    let serde_json::Value::Object(members) = serde_json::to_value(&config).unwrap() else { panic!("no object") };
    let nested = ["compression", "encryption"];
    let mut names: Vec<String> = members.keys().filter(|name| !nested.contains(&name.as_str())).cloned().collect();
    for member in nested {
        names.extend(members[member].as_object().unwrap().keys().map(|name| format!("{member}.{name}")));
    }
    for name in &names {
        assert!(page.contains(&format!("\n| `{name}` |")), "{name}");
    }
    let rows = page.lines().filter(|line| line.starts_with("| `")).count() - 1;
    assert_eq!(rows, names.len(), "a row for what is no option");
    let default = ProfileConfig::default();
    for (name, value) in [
        ("compression.level", default.compression.level.to_string()),
        ("compression.chunkBytes", default.compression.chunk_bytes.to_string()),
        ("partitionRecords", default.partition_records.to_string()),
        ("allowEmpty", default.allow_empty.to_string()),
        ("attestation", default.attestation.to_string()),
        ("refreshWhenUnchanged", default.refresh_when_unchanged.to_string()),
    ] {
        assert!(page.contains(&format!("| `{name}` | `{value}` |")), "{name} is {value}");
    }
}

#[test]
fn a_configuration_out_of_bounds_names_each_member() {
    let mut config = ProfileConfig::default();
    assert!(config.check().is_ok());
    config.compression.level = 23;
    config.partition_records = 0;
    config.include.clear();
    let faults = config.check().unwrap_err();
    let paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(paths, ["config.include", "config.compression.level", "config.partitionRecords"]);
}

#[test]
fn a_refresh_needs_a_freshness_that_it_extends() {
    let mut config = ProfileConfig { refresh_when_unchanged: true, ..ProfileConfig::default() };
    let faults = config.check().unwrap_err();
    assert_eq!(
        faults[0].to_string(),
        "config.refreshWhenUnchanged: set freshForHours too, which is what a refresh extends"
    );
    config.fresh_for_hours = Some(36);
    assert!(config.check().is_ok());
    let at = "2026-01-31T12:00:00.5Z".parse().unwrap();
    assert_eq!(config.fresh_until(at).unwrap().to_string(), "2026-02-02T00:00:00.5Z");
    assert_eq!(config.fresh_until("9999-12-30T12:00:00Z".parse().unwrap()), None);
    let default = serde_json::to_value(ProfileConfig::default()).unwrap();
    assert!(default.get("refreshWhenUnchanged").is_none(), "{default}");
}

#[test]
fn an_attestation_is_the_default_and_written_only_when_it_is_not_wanted() {
    let default = serde_json::to_value(ProfileConfig::default()).unwrap();
    assert!(default.get("attestation").is_none(), "{default}");
    let without: ProfileConfig = serde_json::from_str(r#"{"attestation":false}"#).unwrap();
    assert_eq!(serde_json::to_value(&without).unwrap()["attestation"], false);
    assert!(serde_json::from_value::<ProfileConfig>(default).unwrap().attestation && !without.attestation);
}

#[test]
fn an_unknown_member_is_refused() {
    let error = serde_json::from_str::<ProfileConfig>(r#"{"compresion":{}}"#).unwrap_err();
    assert!(error.to_string().contains("compresion"), "{error}");
}

#[test]
fn encryption_is_checked_by_member_and_by_kind_and_absent_it_leaves_digests_as_they_were() {
    assert!(serde_json::to_value(ProfileConfig::default()).unwrap().get("encryption").is_none());
    let config = |text: &str| serde_json::from_str::<ProfileConfig>(text).unwrap();
    let paths = |faults: Vec<super::ProfileError>| faults.into_iter().map(|fault| fault.path).collect::<Vec<_>>();
    let bad = config(r#"{"attestation":false,"encryption":{"mode":"age","recipients":["age1x","vault:k"]}}"#);
    assert_eq!(paths(bad.check().unwrap_err()), ["config.attestation", "config.encryption.recipients[0]"]);
    let data = config(r#"{"distribution":["oci"],"encryption":{"mode":"age","scope":"data"}}"#);
    assert!(data.check().is_ok() && data.check_for(ProfileKind::JsonRaw).is_ok());
    let faults = paths(data.check_for(ProfileKind::TrivyDb).unwrap_err());
    assert_eq!(faults, ["config.encryption.scope", "config.distribution"]);
    let again: ProfileConfig = serde_json::from_value(serde_json::to_value(&data).unwrap()).unwrap();
    assert_eq!(again, data);
}
