//! Under which names Trivy looks a package up.

use std::collections::BTreeSet;

/// The keys of a package in the buckets of `prefix`: Trivy normalises names in its own way, which differs from the registries'.
pub(crate) fn keys(prefix: &str, name: &str) -> BTreeSet<String> {
    let lower = || name.to_lowercase();
    match prefix {
        // Trivy turns `_` into `-` and leaves `.`: a package installed as `a.b` is looked up as `a.b`, one installed under its
        // PEP 503 name as `a-b`.
        "pip" => [lower().replace('_', "-"), pep503(&lower())].into(),
        // 0.59 looks names up as they are written, later ones in lower case.
        "nuget" => [name.to_owned(), lower()].into(),
        "go" | "julia" | "cocoapods" => [name.to_owned()].into(),
        "swift" => {
            let name = name.strip_prefix("https://").unwrap_or(name);
            [name.strip_suffix(".git").unwrap_or(name).to_owned()].into()
        }
        _ => [lower()].into(),
    }
}

/// Runs of `-`, `_` and `.` become one `-`.
fn pep503(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for character in name.chars() {
        if !matches!(character, '-' | '_' | '.') {
            out.push(character);
        } else if !out.ends_with('-') {
            out.push('-');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::keys;

    #[test]
    fn names_are_written_as_trivy_looks_them_up() {
        for (prefix, name, expected) in [
            ("pip", "Ruamel.Yaml_x", vec!["ruamel-yaml-x", "ruamel.yaml-x"]),
            ("pip", "Flask_Admin", vec!["flask-admin"]),
            ("npm", "@Scope/Name", vec!["@scope/name"]),
            ("nuget", "Newtonsoft.Json", vec!["Newtonsoft.Json", "newtonsoft.json"]),
            ("go", "github.com/A/b", vec!["github.com/A/b"]),
            ("swift", "https://github.com/apple/swift-nio.git", vec!["github.com/apple/swift-nio"]),
            ("cargo", "some_crate", vec!["some_crate"]),
        ] {
            assert_eq!(keys(prefix, name).into_iter().collect::<Vec<_>>(), expected, "{prefix} {name}");
        }
    }
}
