//! The rows of one record, as they are made.

use serde::Serialize;

use crate::ecosystem::Language;
use crate::entry::{Detail, Fragment};
use crate::mapper::Record;
use crate::merge::VULNERABILITY;
use crate::names;
use crate::ranges::Told;
use crate::report::Example;
use crate::row::{Key, Row, Table};

/// Longest name in bytes: bbolt takes keys of 32,768.
const MAX_NAME: usize = 32_000;
/// Longest text of an example, in characters.
const MAX_EXAMPLE: usize = 200;

/// Rows of one record.
pub(crate) struct Rows<'a> {
    origin: String,
    ordinal: u32,
    out: &'a mut dyn FnMut(Row),
}

/// What one record says of a package of a language.
pub(crate) struct Said<'a> {
    /// Id of the data source.
    pub(crate) source: &'a str,
    pub(crate) language: Language,
    /// The name as it is written.
    pub(crate) name: &'a str,
    /// The severity that the record itself gives.
    pub(crate) severity: u8,
    pub(crate) told: Told,
}

/// The package that something could not be expressed for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place<'a> {
    pub(crate) ecosystem: &'a str,
    pub(crate) package: &'a str,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(record: &Record<'_>, out: &'a mut dyn FnMut(Row)) -> Self {
        let origin = format!("{}\u{1}{}", record.source, record.document_id).replace('\0', "\u{fffd}");
        Self { origin, ordinal: 0, out }
    }

    pub(crate) fn put(&mut self, table: Table, bucket: &str, package: &str, id: &str, value: &impl Serialize) {
        let nested = table == Table::Database && bucket != VULNERABILITY;
        if [bucket, package, id].iter().any(|name| name.contains('\0')) {
            return self.report("a name with a NUL", id, package);
        }
        if [package, id].iter().any(|name| name.len() > MAX_NAME) || id.is_empty() || nested && package.is_empty() {
            return self.report("a name that is empty or longer than a database key", id, package);
        }
        // All are structures of ours, which always have a JSON text.
        let Ok(value) = serde_json::to_vec(value) else { return };
        let origin = format!("{}\u{1}{:08}", self.origin, self.ordinal);
        self.ordinal = self.ordinal.saturating_add(1);
        let key = Key { table, bucket: bucket.to_owned(), package: package.to_owned(), id: id.to_owned(), origin };
        (self.out)(Row { key, value });
    }

    /// Something is not expressed.
    pub(crate) fn report(&mut self, reason: &str, id: &str, detail: &str) {
        self.lose(reason, id, Place::default(), detail);
    }

    /// Something is not expressed for a package.
    pub(crate) fn lose(&mut self, reason: &str, id: &str, place: Place<'_>, detail: &str) {
        let short = |text: &str| text.replace('\0', "\u{fffd}").chars().take(MAX_EXAMPLE).collect::<String>();
        let (ecosystem, package) = (short(place.ecosystem), short(place.package));
        let example = Example { id: short(id), ecosystem, package, detail: short(detail) };
        let id = if example.id.is_empty() { "-".to_owned() } else { example.id.clone() };
        self.put(Table::Report, reason, "", &id, &example);
    }

    /// Rows of a package of a language, one for each id and name that Trivy may look it up under; `false` where no version is
    /// known that Trivy could compare, which is reported.
    pub(crate) fn language(&mut self, document: &str, ids: &[Id], said: Said<'_>) -> bool {
        let Said { source, language, name, severity, told } = said;
        let place = Place { ecosystem: language.ecosystem, package: name };
        for (reason, what) in &told.lost {
            self.lose(reason, document, place, what);
        }
        if told.vulnerable.is_empty() {
            self.lose("no version is named that Trivy could compare", document, place, "");
            return false;
        }
        let keys = names::keys(language.prefix, name);
        for Id { id, vendor } in ids {
            let fragment = Fragment::Language {
                source: source.to_owned(),
                github: language.github.to_owned(),
                name: name.to_owned(),
                severity,
                vendor: vendor.clone(),
                vulnerable: told.vulnerable.clone(),
                patched: told.patched.clone(),
            };
            for key in &keys {
                self.put(Table::Database, language.prefix, key, id, &fragment);
            }
        }
        true
    }

    /// What is said of the vulnerabilities themselves.
    pub(crate) fn details(&mut self, ids: &[Id], detail: Detail) {
        let fragment = Fragment::Detail(Box::new(detail));
        for Id { id, .. } in ids {
            self.put(Table::Database, VULNERABILITY, "", id, &fragment);
        }
    }
}

/// An id that an advisory is found under, and the others that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    pub(crate) id: String,
    pub(crate) vendor: Vec<String>,
}

/// The ids that an advisory is found under: the CVEs among `candidates` and itself, else its own. `others` are further names.
pub(crate) fn ids<'a>(
    own: &'a str,
    candidates: impl Iterator<Item = &'a str>,
    others: impl Iterator<Item = &'a str>,
) -> Vec<Id> {
    let mut cves: Vec<&str> = std::iter::once(own).chain(candidates).map(str::trim).filter(|id| is_cve(id)).collect();
    cves.sort_unstable();
    cves.dedup();
    if cves.is_empty() {
        cves.push(own.trim());
    }
    let mut names: Vec<&str> = std::iter::once(own).chain(others).map(str::trim).collect();
    names.retain(|name| !name.is_empty() && !is_cve(name) && !name.contains('\0'));
    names.sort_unstable();
    names.dedup();
    let vendor = |id: &str| names.iter().filter(|name| **name != id).map(|name| (*name).to_owned()).collect();
    cves.into_iter().map(|id| Id { id: id.to_owned(), vendor: vendor(id) }).collect()
}

fn is_cve(id: &str) -> bool {
    id.strip_prefix("CVE-").and_then(|rest| rest.split_once('-')).is_some_and(|(year, number)| {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        year.len() == 4 && number.len() >= 4 && digits(year) && digits(number)
    })
}

/// `text` in RFC 3339, if it is a time; a time without zone is taken for UTC, a date for its midnight. Year 1 is how Go writes
/// that there is no time.
pub(crate) fn time(text: &str) -> Option<String> {
    let text = text.trim();
    let (date, clock) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let zone = if clock.contains(['Z', 'z', '+', '-']) { "" } else { "Z" };
    let time = format!("{date}T{clock}{zone}").parse::<export_contract::Timestamp>().ok()?.to_string();
    (!time.starts_with("0001-")).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::{Id, ids, time};

    #[test]
    fn an_advisory_is_found_under_each_of_its_cves_and_else_under_its_own_id() {
        let id = |id: &str, vendor: &[&str]| Id {
            id: id.to_owned(),
            vendor: vendor.iter().map(|name| (*name).to_owned()).collect(),
        };
        let aliases = [" CVE-2026-49977 ", "GHSA-aaaa-bbbb-cccc", "CVE-2020-0001", "CVE-2020-0001", "CVE-x"];
        let found = ids("PYSEC-1", aliases.into_iter(), aliases.into_iter());
        let vendor = ["CVE-x", "GHSA-aaaa-bbbb-cccc", "PYSEC-1"];
        assert_eq!(found, [id("CVE-2020-0001", &vendor), id("CVE-2026-49977", &vendor)]);
        assert_eq!(ids("PYSEC-1", ["GHSA-a"].into_iter(), ["GHSA-a"].into_iter()), [id("PYSEC-1", &["GHSA-a"])]);
        assert_eq!(ids("CVE-2020-0001", [].into_iter(), [].into_iter()), [id("CVE-2020-0001", &[])]);
    }

    #[test]
    fn times_of_every_spelling_become_rfc_3339() {
        for (text, expected) in [
            ("2024-01-31T08:07:21.00Z", Some("2024-01-31T08:07:21")),
            ("2022-11-16T00:00:00", Some("2022-11-16T00:00:00")),
            ("2020-06-16 20:55:00", Some("2020-06-16T20:55:00")),
            ("2017-10-24", Some("2017-10-24T00:00:00")),
            ("0001-01-01T00:00:00Z", None),
            ("yesterday", None),
            ("", None),
        ] {
            let found = time(text);
            assert_eq!(found.as_deref().and_then(|time| time.get(..19)), expected, "{text}");
            assert!(found.is_none_or(|time| time.ends_with('Z')), "{text}");
        }
    }
}
