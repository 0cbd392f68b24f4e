//! What fuzzers feed: the readers of what callers send, with what must hold of any input.
//!
//! `fuzz/` calls these under libFuzzer; a test calls the very same on the corpus and on changes of it, without any special toolchain.

#![expect(clippy::missing_panics_doc, reason = "each of them panics when what must hold of any input does not")]

use export_contract::TenantId;
use export_contract::Timestamp;
use export_contract::profile::ProfileKind;
use export_contract::selectors::{MAX_LIST, SelectorRequest, Selectors};

use crate::profiles::config;
use crate::range::{Wanted, wanted};

/// A target: takes any bytes.
pub type Target = fn(&[u8]);

/// The targets by name; `fuzz/corpus` has a folder of that name for each.
pub const TARGETS: [(&str, Target); 3] =
    [("selectors", selectors), ("range", range), ("profile_config", profile_config)];

/// Selectors: those that are taken keep their meaning when they are written and read again, and are within bounds; a refusal names
/// members.
pub fn selectors(bytes: &[u8]) {
    let Ok(request) = serde_json::from_slice::<SelectorRequest>(bytes) else { return };
    let (Ok(tenant), Ok(now)) = ("acme".parse::<TenantId>(), "2026-01-10T00:00:00Z".parse::<Timestamp>()) else {
        return;
    };
    match request.resolve(&tenant, now) {
        Ok(selectors) => {
            let text = serde_json::to_string(&selectors).unwrap_or_default();
            let again: Option<Selectors> = serde_json::from_str(&text).ok();
            assert_eq!(again.as_ref(), Some(&selectors), "{text}");
            assert_eq!(request.resolve(&tenant, now).as_ref(), Ok(&selectors));
            for list in [&selectors.sources, &selectors.ecosystems, &selectors.products, &selectors.severities] {
                assert!(list.len() <= MAX_LIST && !list.contains("") && !list.iter().any(|entry| entry.contains('\0')));
            }
            if let Some(window) = selectors.window {
                assert!(window.from.is_none_or(|from| window.until.is_none_or(|until| from < until)));
            }
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            assert!(faults.iter().all(|fault| fault.path.starts_with("selectors.") && !fault.problem.is_empty()));
        }
    }
}

/// `LENGTH` of a file, a line feed, and a `Range` header: a part has bytes, and lies in the file.
pub fn range(bytes: &[u8]) {
    let Some((length, header)) = std::str::from_utf8(bytes).ok().and_then(|text| text.split_once('\n')) else { return };
    let Ok(length) = length.parse::<u64>() else { return };
    match wanted(Some(header), length) {
        Wanted::Whole => {}
        Wanted::Part(part) => {
            assert!(part.start < part.end && part.end <= length, "{part:?} of {length}");
            let whole = format!("bytes={}-{}", part.start, part.end - 1);
            assert_eq!(wanted(Some(&whole), length), Wanted::Part(part), "the part is named in one way");
        }
        Wanted::Unsatisfiable => assert!(header.trim_start().starts_with("bytes=")),
    }
}

/// Configurations: the schema and the type never disagree, what is taken is read again as the same, and a refusal names members.
pub fn profile_config(bytes: &[u8]) {
    let Ok(document) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    for kind in ProfileKind::ALL {
        let outcome = config::read(document.clone(), kind);
        match outcome.unwrap_or_else(|problem| panic!("{problem:?}")) {
            Ok(taken) => {
                let text = serde_json::to_value(&taken).unwrap_or_default();
                let again = config::read(text, kind).ok().and_then(Result::ok);
                assert_eq!(again.as_ref(), Some(&taken));
            }
            Err(faults) => {
                assert!(!faults.is_empty());
                assert!(faults.iter().all(|fault| fault.path.starts_with("config") && !fault.problem.is_empty()));
            }
        }
    }
}
