//! Records of FriendsOfPHP's security-advisories (<https://github.com/FriendsOfPHP/security-advisories>): for each branch the
//! versions that are vulnerable, as comparisons that must all hold.

use serde_json::Value;

use crate::ecosystem::COMPOSER;
use crate::entry::Detail;
use crate::interval::Set;
use crate::mapper::Record;
use crate::ranges::{Told, UNREADABLE};
use crate::requirement;
use crate::rows::{Rows, Said, ids, time};

const SOURCE: &str = "php-security-advisories";

pub(crate) fn map(record: &Record<'_>, rows: &mut Rows<'_>) -> Result<(), serde_json::Error> {
    let document: Value = serde_json::from_slice(record.raw)?;
    let text = |name: &str| document[name].as_str().map(str::trim).unwrap_or_default();
    let reference = text("reference");
    let package = reference.strip_prefix("composer://").unwrap_or(reference);
    if package.is_empty() {
        rows.report("no package is named", record.subject, reference);
        return Ok(());
    }
    // A record has no id of its own: those without a CVE are called by package and file, as in the ledger.
    let ids = ids(record.subject, std::iter::once(text("cve")), std::iter::empty());
    let mut told = Told::default();
    let mut set = Set::none();
    let branches = document["branches"].as_object().into_iter().flatten();
    let times: Vec<String> = branches.clone().filter_map(|(_, branch)| time(branch["time"].as_str()?)).collect();
    for (name, branch) in branches {
        let comparisons =
            branch["versions"].as_array().into_iter().flatten().map(|one| one.as_str().unwrap_or_default());
        match requirement::composer(comparisons) {
            Some(versions) => set = set.or(versions),
            None => told.lost.push((UNREADABLE, format!("{name}: {}", branch["versions"]))),
        }
    }
    (told.vulnerable, told.patched) = set.groups();
    let detail = Detail {
        source: SOURCE.to_owned(),
        title: text("title").to_owned(),
        references: Some(text("link")).filter(|link| !link.is_empty()).map(str::to_owned).into_iter().collect(),
        published: times.iter().min().cloned(),
        ..Detail::default()
    };
    let said = Said { source: SOURCE, language: COMPOSER, name: package, severity: 0, told };
    if rows.language(record.subject, &ids, said) {
        rows.details(&ids, detail);
    }
    Ok(())
}
