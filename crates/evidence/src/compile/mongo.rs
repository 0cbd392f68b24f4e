//! Selectors as a MongoDB filter, of operators that FerretDB has too.

use std::collections::BTreeSet;

use export_contract::RecordKind;
use export_contract::selectors::{Pattern, Selectors};
use export_mongo::bson::{Bson, Document, doc};

use super::after_prefix;

/// The conditions, all of which hold of a record of `kind` that `selectors` choose; `None` where they choose none.
pub(crate) fn conditions(selectors: &Selectors, kind: RecordKind) -> Option<Vec<Document>> {
    if !selectors.kinds.is_empty() && !selectors.kinds.contains(&kind) {
        return None;
    }
    let mut all = Vec::new();
    if let Some(window) = selectors.window {
        all.extend(window.from.map(|from| doc! { "observed_at": { "$gte": from.as_micros() } }));
        all.extend(window.until.map(|until| doc! { "observed_at": { "$lt": until.as_micros() } }));
    }
    if !selectors.sources.is_empty() {
        all.push(one_of("source", &selectors.sources));
    }
    if !selectors.ecosystems.is_empty() {
        all.push(one_of("ecosystems", &selectors.ecosystems));
    }
    if !selectors.products.is_empty() {
        // Both bounds of a range must hold of one and the same purl. That is `$elemMatch`, which FerretDB takes for two
        // conditions that any two purls may meet; so a list is the one place for a regular expression.
        let products = selectors.products.iter().map(|prefix| doc! { "purls": { "$regex": starts_with(prefix) } });
        all.push(doc! { "$or": products.collect::<Vec<_>>() });
    }
    if kind == RecordKind::Sbom && !selectors.sbom_subjects.is_empty() {
        all.push(one_of("subject", &selectors.sbom_subjects));
    }
    if !selectors.include.is_empty() {
        all.push(doc! { "$or": named(&selectors.include) });
    }
    if !selectors.exclude.is_empty() {
        all.push(doc! { "$nor": named(&selectors.exclude) });
    }
    Some(all)
}

/// Equality with one of `texts`; of a list field: of one of its entries.
fn one_of(field: &str, texts: &BTreeSet<String>) -> Document {
    doc! { field: { "$in": texts.iter().map(Bson::from).collect::<Vec<_>>() } }
}

fn range(prefix: &str) -> Document {
    match after_prefix(prefix) {
        Some(end) => doc! { "$gte": prefix, "$lt": end },
        None => doc! { "$gte": prefix },
    }
}

/// A regular expression that finds exactly the texts which start with `prefix`, in the dialects of PCRE (MongoDB) and RE2
/// (FerretDB): a backslash before a punctuation mark means that mark, and a code says what must not stand plainly.
fn starts_with(prefix: &str) -> String {
    let mut pattern = String::from("^");
    for character in prefix.chars() {
        match character {
            '\0'..' ' | '\u{7f}' => pattern.extend(["\\x{", &format!("{:x}", u32::from(character)), "}"]),
            mark if mark.is_ascii_punctuation() => pattern.extend(['\\', mark]),
            plain => pattern.push(plain),
        }
    }
    pattern
}

fn named(patterns: &BTreeSet<Pattern>) -> Vec<Document> {
    let fields = ["subject", "document_id"];
    let mut whole = BTreeSet::new();
    let mut ways = Vec::new();
    for pattern in patterns {
        match pattern.0.strip_suffix('*') {
            Some(prefix) => ways.extend(fields.map(|field| doc! { field: range(prefix) })),
            None => _ = whole.insert(pattern.0.clone()),
        }
    }
    if !whole.is_empty() {
        ways.extend(fields.map(|field| one_of(field, &whole)));
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::starts_with;

    #[test]
    fn nothing_in_a_prefix_has_a_meaning_of_its_own() {
        assert_eq!(starts_with("pkg:npm/%40é/a_b"), r"^pkg\:npm\/\%40é\/a\_b");
        assert_eq!(starts_with("\\E.*(\n\0"), r"^\\E\.\*\(\x{a}\x{0}");
        assert_eq!(starts_with(""), "^");
    }
}
