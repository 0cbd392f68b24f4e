//! What a document links to, gathered while it is read.

use std::collections::BTreeSet;

use export_contract::evidence::Linkset;

use super::purl;

/// Addresses kept of one document. The selectors look at purls, never at addresses, so a cut list loses no record.
pub(crate) const MAX_REFERENCES: usize = 1_000;

/// Longest entry of a linkset in bytes; longer ones are no identifiers and stay in the raw document only.
pub(crate) const MAX_ENTRY_BYTES: usize = 2_048;

/// A linkset in the making: entries are trimmed, sorted, unique; blank ones, long ones and those with control
/// characters are left out.
#[derive(Debug, Default)]
pub(crate) struct Links {
    aliases: BTreeSet<String>,
    cpes: BTreeSet<String>,
    purls: BTreeSet<String>,
    references: BTreeSet<String>,
}

fn clean(text: &str) -> Option<&str> {
    let text = text.trim();
    let good = !text.is_empty() && text.len() <= MAX_ENTRY_BYTES && !text.chars().any(char::is_control);
    good.then_some(text)
}

fn add(set: &mut BTreeSet<String>, text: &str) {
    if let Some(text) = clean(text)
        && !set.contains(text)
    {
        set.insert(text.to_owned());
    }
}

impl Links {
    pub(crate) fn alias(&mut self, id: &str) {
        add(&mut self.aliases, id);
    }

    /// Keeps `text` if it is a package URL.
    pub(crate) fn purl(&mut self, text: &str) {
        if purl::is_purl(text.trim()) {
            add(&mut self.purls, text);
        }
    }

    /// Keeps `text` if it is a CPE name of version 2.2 or 2.3.
    pub(crate) fn cpe(&mut self, text: &str) {
        if text.trim_start().starts_with("cpe:") {
            add(&mut self.cpes, text);
        }
    }

    /// Keeps `text` if it is an address of the web.
    pub(crate) fn reference(&mut self, text: &str) {
        let text = text.trim();
        let scheme = text.get(..8).unwrap_or(text).to_ascii_lowercase();
        if scheme.starts_with("http://") || scheme.starts_with("https://") {
            add(&mut self.references, text);
        }
    }

    /// Keeps an identifier of a product under what it is: purl or CPE.
    pub(crate) fn product(&mut self, text: &str) {
        self.purl(text);
        self.cpe(text);
    }

    /// Ecosystems of the purls so far.
    pub(crate) fn ecosystems(&self) -> BTreeSet<String> {
        self.purls.iter().filter_map(|purl| purl::ecosystem(purl)).collect()
    }

    /// The finished linkset of the record whose own id is `own`, which is no alias of itself.
    pub(crate) fn finish(mut self, own: Option<&str>) -> Linkset {
        if let Some(own) = own {
            self.aliases.remove(own);
        }
        Linkset {
            aliases: self.aliases.into_iter().collect(),
            cpes: self.cpes.into_iter().collect(),
            purls: self.purls.into_iter().collect(),
            references: self.references.into_iter().take(MAX_REFERENCES).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Links, MAX_REFERENCES};

    #[test]
    fn entries_are_trimmed_sorted_unique_and_of_the_right_kind() {
        let mut links = Links::default();
        for alias in [" CVE-2026-49977 ", "CVE-2020-1", "CVE-2020-1", "", "  ", "a\u{0}b", "OWN-1"] {
            links.alias(alias);
        }
        for product in ["pkg:npm/a@1", "package-lock.json", "cpe:2.3:a:b:c", "cpe:/a:b"] {
            links.product(product);
        }
        for reference in ["https://b", "HTTP://a", "ftp://c", "git://d", "é"] {
            links.reference(reference);
        }
        let linkset = links.finish(Some("OWN-1"));
        assert_eq!(linkset.aliases, ["CVE-2020-1", "CVE-2026-49977"]);
        assert_eq!(linkset.purls, ["pkg:npm/a@1"]);
        assert_eq!(linkset.cpes, ["cpe:/a:b", "cpe:2.3:a:b:c"]);
        assert_eq!(linkset.references, ["HTTP://a", "https://b"]);
    }

    #[test]
    fn references_are_cut_at_the_documented_number() {
        let mut links = Links::default();
        for n in 0..=MAX_REFERENCES {
            links.reference(&format!("https://example.org/{n:06}"));
        }
        let linkset = links.finish(None);
        assert_eq!(linkset.references.len(), MAX_REFERENCES);
        assert_eq!(linkset.references[0], "https://example.org/000000");
    }
}
