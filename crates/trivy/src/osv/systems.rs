//! Packages of distributions: Trivy knows one fixed version of each.

use super::{Affected, Osv};
use crate::ecosystem::{Style, System};
use crate::entry::Fragment;
use crate::ranges::UNREADABLE;
use crate::row::Table;
use crate::rows::{Id, Place, Rows};
use crate::versions::later;

/// What releases of rebuilt modules have in their versions.
const MODULE: &str = ".module";

/// Rows of a distribution's package; `false` where nothing could be said of it, which is reported.
pub(super) fn map(osv: &Osv, affected: &Affected, system: &System, ids: &[Id], rows: &mut Rows<'_>) -> bool {
    let Some(package) = &affected.package else { return false };
    let place = Place { ecosystem: &package.ecosystem, package: &package.name };
    let events = || {
        let ranges = affected.ranges.iter().filter(|range| range.kind != "GIT");
        ranges.flat_map(|range| &range.events).flatten().map(|(kind, version)| (kind.as_str(), version.as_str()))
    };
    let all = |wanted: &'static str| {
        events().filter(move |(kind, version)| *kind == wanted && !version.is_empty()).map(|(_, version)| version)
    };
    if matches!(system.source, "alma" | "rocky") && is_no_vulnerability(osv, ids) {
        rows.lose("an erratum that fixes no vulnerability", &osv.id, place, "");
        return false;
    }
    let fixed = match all("fixed").max_by(|a, b| later(system.source, a, b)) {
        Some(fixed) if fixed.contains(char::is_whitespace) || (system.source == "alpine" && fixed.contains(':')) => {
            rows.lose(UNREADABLE, &osv.id, place, fixed);
            return false;
        }
        Some(fixed) => fixed,
        None if all("last_affected").next().is_some() || events().next().is_none() => {
            rows.lose(
                "a distribution's package with a last affected version or a list of versions",
                &osv.id,
                place,
                "",
            );
            return false;
        }
        None if system.style == Style::MayBeUnfixed => "",
        None => {
            rows.lose("not fixed, and Trivy finds on this system only what has a fix", &osv.id, place, "");
            return false;
        }
    };
    let mut starts = all("introduced");
    let (first, more) = (starts.next().unwrap_or("0"), starts.next().is_some());
    // Only the reader for Alpine knows since when a package is affected.
    let since = if system.source == "alpine" && !more && first != "0" { first } else { "" };
    if since.is_empty() && all("introduced").any(|version| version != "0") {
        rows.lose("versions from before the first affected one are found, too", &osv.id, place, first);
    }
    let mut names = vec![package.name.clone()];
    if matches!(system.source, "alma" | "rocky") && fixed.contains(MODULE) {
        // Trivy looks such packages up as `module:stream::name`, and others of the same name are not rebuilt with them.
        names = streams(&osv.summary).map(|stream| format!("{stream}::{}", package.name)).collect();
        if names.is_empty() {
            rows.lose("a module's package whose stream is not named", &osv.id, place, fixed);
            return false;
        }
    }
    for Id { id, vendor } in ids {
        let fragment = Fragment::System {
            source: system.source.to_owned(),
            severity: super::detail(osv, system.source).severity,
            vendor: vendor.clone(),
            fixed: fixed.to_owned(),
            since: since.to_owned(),
            each: system.style == Style::PerArchitecture,
        };
        for name in &names {
            rows.put(Table::Database, &system.bucket, name, id, &fragment);
        }
    }
    true
}

/// `AlmaLinux` and Rocky Linux publish bug fixes (`ALBA-`, `RLBA-`) and enhancements (`ALEA-`, `RLEA-`), too.
fn is_no_vulnerability(osv: &Osv, ids: &[Id]) -> bool {
    let other = ["ALBA-", "ALEA-", "RLBA-", "RLEA-"].iter().any(|prefix| osv.id.starts_with(prefix));
    other && ids.iter().all(|id| id.id == osv.id)
}

/// The streams of modules that a title names, as in `Moderate: virt:rhel and virt-devel:rhel security update`.
fn streams(title: &str) -> impl Iterator<Item = &str> {
    title.split([' ', ',', '(', ')']).filter(|word| {
        word.split_once(':').is_some_and(|(module, stream)| {
            let named = |text: &str| {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
                text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(plain)
            };
            named(module) && named(stream)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::streams;

    #[test]
    fn the_streams_of_modules_are_read_from_the_title() {
        for (title, expected) in [
            ("Moderate: ruby:3.1 security, bug fix, and enhancement update", vec!["ruby:3.1"]),
            ("Low: virt:rhel and virt-devel:rhel security update", vec!["virt:rhel", "virt-devel:rhel"]),
            ("Important: container-tools:rhel8 security update", vec!["container-tools:rhel8"]),
            ("Important: varnish security update", vec![]),
        ] {
            assert_eq!(streams(title).collect::<Vec<_>>(), expected, "{title}");
        }
    }
}
