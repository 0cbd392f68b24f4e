//! What a bundle's README says of encryption.

use export_contract::encryption::{EncryptionMode, EncryptionScope};
use export_contract::message::RunPlanned;

/// A paragraph for the person who opens an encrypted bundle; empty where nothing is encrypted, so that other bundles keep their bytes.
pub(crate) fn note(plan: &RunPlanned) -> String {
    let Some(wanted) = &plan.profile.config.encryption else { return String::new() };
    let which = match wanted.scope.unwrap_or_else(|| EncryptionScope::of(plan.profile.kind)) {
        EncryptionScope::Data => "The files under `data/`",
        EncryptionScope::Payload => "All files but this one and those under `manifests/`",
    };
    let alone = match wanted.mode {
        EncryptionMode::Age => "; `age -d -i FILE PATH.age` reads one of them",
        EncryptionMode::AesGcm => "",
    };
    format!(
        "\n{which} are encrypted and handed over as `PATH{suffix}`; what is said here and in `manifests/export.json` is said of the plain \
         ones. `exportctl bundle decrypt DIR --key cosign.pub --identity FILE --out PLAIN` proves and decrypts them all{alone}.\n",
        suffix = wanted.mode.suffix(),
    )
}

#[cfg(test)]
mod tests {
    use export_contract::message::RunPlanned;

    use super::note;

    #[test]
    fn the_readme_says_how_files_are_called_and_read_and_nothing_where_none_is_encrypted() {
        let sample = include_str!("../../../crates/contract/tests/wire/run_planned.v1.json");
        let mut plan: RunPlanned = serde_json::from_str(sample).unwrap();
        assert_eq!(note(&plan), "");
        plan.profile.config.encryption = serde_json::from_str(r#"{"mode":"age"}"#).ok();
        assert!(note(&plan).contains("PATH.age") && note(&plan).contains("All files but this one"), "{}", note(&plan));
        plan.profile.config.encryption = serde_json::from_str(r#"{"mode":"aes-gcm","scope":"data"}"#).ok();
        assert!(note(&plan).contains("PATH.enc") && note(&plan).contains("under `data/` are"), "{}", note(&plan));
    }
}
