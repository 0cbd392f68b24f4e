//! What a bundle's README says of encryption.

use export_contract::encryption::{EncryptionMode, EncryptionScope};
use export_contract::profile::Profile;

/// A paragraph for the person who opens an encrypted bundle; empty where nothing is encrypted, so that other bundles keep their bytes.
pub(crate) fn note(profile: &Profile) -> String {
    let Some(wanted) = &profile.config.encryption else { return String::new() };
    let which = match wanted.scope.unwrap_or_else(|| EncryptionScope::of(profile.kind)) {
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
    use export_contract::profile::Profile;

    use super::note;

    #[test]
    fn the_readme_says_how_files_are_called_and_read_and_nothing_where_none_is_encrypted() {
        let sample = include_str!("../../../crates/contract/tests/wire/profile.v1.json");
        let mut profile: Profile = serde_json::from_str(sample).unwrap();
        assert_eq!(note(&profile), "");
        profile.config.encryption = serde_json::from_str(r#"{"mode":"age"}"#).ok();
        assert!(
            note(&profile).contains("PATH.age") && note(&profile).contains("All files but this one"),
            "{}",
            note(&profile)
        );
        profile.config.encryption = serde_json::from_str(r#"{"mode":"aes-gcm","scope":"data"}"#).ok();
        assert!(
            note(&profile).contains("PATH.enc") && note(&profile).contains("under `data/` are"),
            "{}",
            note(&profile)
        );
    }
}
