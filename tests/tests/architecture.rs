//! Who may import whom, and which crate owns which vendor: the table of ARCHITECTURE.md, kept true.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

struct Row {
    may_import: BTreeSet<String>,
    owns: BTreeSet<String>,
}

/// The rows of the map in ARCHITECTURE.md by crate path.
fn map() -> BTreeMap<String, Row> {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let words = |cell: &str| {
        cell.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    page.lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, path, _, imports, owns, _] = cells.as_slice() else { return None };
            let path = path.strip_prefix('`')?.strip_suffix('`')?;
            Some((path.to_owned(), Row { may_import: words(imports), owns: words(owns) }))
        })
        .collect()
}

/// Normal (not dev, not build) dependencies of every workspace crate, by crate path.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata");
    let root = root();
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
            let path = manifest.parent().unwrap().strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let names = package["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
                .collect();
            (path, names)
        })
        .collect()
}

#[test]
fn every_crate_imports_only_what_its_row_names() {
    let map = map();
    let everything = ["exportd", "tests", "benches"];
    let mut violations = Vec::new();
    for (path, dependencies) in dependencies() {
        let Some(row) = map.get(&path) else {
            if path != "benches" {
                violations.push(format!("`{path}` has no row in ARCHITECTURE.md"));
            }
            continue;
        };
        if everything.contains(&path.as_str()) {
            continue;
        }
        for dependency in dependencies.iter().filter_map(|name| name.strip_prefix("export-")) {
            if !row.may_import.contains(dependency) {
                violations.push(format!("`{path}` imports `{dependency}`, its row does not"));
            }
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn every_vendor_has_one_owner() {
    let map = map();
    let owner_of: BTreeMap<&str, Vec<&str>> =
        map.iter().fold(BTreeMap::new(), |mut owners: BTreeMap<&str, Vec<&str>>, (path, row)| {
            for vendor in &row.owns {
                owners.entry(vendor).or_default().push(path);
            }
            owners
        });
    assert!(owner_of.contains_key("async-nats"), "the map lost its vendors");
    let mut violations = Vec::new();
    for (path, dependencies) in dependencies() {
        for dependency in &dependencies {
            if let Some(owners) = owner_of.get(dependency.as_str())
                && !owners.contains(&path.as_str())
                && !["tests", "benches"].contains(&path.as_str())
            {
                violations.push(format!("`{path}` uses `{dependency}`, which `{}` owns", owners.join("`, `")));
            }
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn stages_know_no_other_stage_and_nothing_imports_the_binaries() {
    for (path, dependencies) in dependencies() {
        for stage in ["plan", "resolve", "adapt", "manifest", "sign", "distribute"] {
            if path.starts_with("stages/") {
                assert!(!dependencies.contains(&format!("export-{stage}")), "{path} imports stage {stage}");
            }
        }
        assert!(!dependencies.contains("exportd") && !dependencies.contains("exportctl"), "{path} imports a binary");
        if path == "crates/contract" || path == "crates/canon" {
            assert!(!dependencies.contains("tokio"), "{path} must build without tokio");
        }
    }
}

#[test]
fn the_offline_verifier_brings_neither_an_async_runtime_nor_a_network() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "-p", "export-verify", "-e", "normal", "--prefix", "none"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let crates: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains("export-canon"), "{tree}");
    for unwanted in ["tokio", "hyper", "reqwest", "sigstore", "rustls"] {
        assert!(!crates.contains(unwanted), "export-verify brings {unwanted}");
    }
}

#[test]
fn no_drawer_is_opened() {
    let forbidden = ["common", "core", "shared", "util", "utils", "helpers", "types", "misc"];
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if ["target", ".git", ".tools", ".venv", "demo-data"].contains(&name.as_str()) {
                continue;
            }
            let stem = name.strip_suffix(".rs").unwrap_or(&name);
            assert!(!forbidden.contains(&stem), "{}", entry.path().display());
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut sources = String::new();
    let mut folders: Vec<PathBuf> = ["crates", "stages", "jetstream", "gateway", "exportd", "exportctl", "tests"]
        .iter()
        .map(|name| root().join(name))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.path().extension().is_some_and(|e| e == "rs") {
                sources.push_str(&std::fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    let invariants: Vec<&str> = page.lines().filter(|line| line.starts_with("- **I-")).collect();
    assert!(invariants.len() >= 10, "the page lost its invariants");
    for line in invariants {
        let tests: Vec<&str> = line.split('`').skip(1).step_by(2).filter(|word| word.contains('_')).collect();
        assert!(!tests.is_empty(), "names no test: {line}");
        for test in tests {
            assert!(sources.contains(&format!("fn {test}(")), "{test} does not exist: {line}");
        }
    }
}

#[test]
fn every_metric_is_on_its_page() {
    let page = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let told: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
        .filter(|name| name.starts_with("exporter_"))
        .collect();
    let mut made = BTreeSet::new();
    let mut folders: Vec<PathBuf> =
        ["exportd/src", "gateway/src", "jetstream/src"].map(|path| root().join(path)).into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(path).unwrap();
                // A name that is a string of its own is that of a metric.
                let names = text.split('"').filter(|word| word.starts_with("exporter_"));
                let plain = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                made.extend(names.filter(plain).map(str::to_owned));
            }
        }
    }
    assert!(made.len() > 20, "{made:?}");
    assert_eq!(made, told, "docs/metrics.md");
}
