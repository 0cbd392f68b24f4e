//! Which keys sign, and which public ones are shown.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use export_canon::digesting::Digester;
use export_contract::{Digest, LogEvent};
use export_gateway::PublicKey;
use export_sign::{BuilderIdentity, OnFailure};
use export_signing::awskms::{KmsError, KmsSettings, KmsSigner};
use export_signing::vault::{VaultError, VaultSettings, VaultSigner};
use export_signing::{FileSigner, Rule, SignError, Signer, Signers};
use prometheus::{IntCounterVec, Opts, Registry};

use super::opened;
use crate::config::{Config, SigningDriver, SigningKey};
use crate::secrets;

/// Makes the default key on first use, where it is a file that no setting names.
pub(crate) fn make_key(config: &Config) -> anyhow::Result<()> {
    if config.signing.driver != SigningDriver::File || !config.signing.key_file.as_os_str().is_empty() {
        return Ok(());
    }
    let password_file = config.path_or(&config.signing.password_file, "keys/cosign.password");
    secrets::make_password(&password_file)?;
    let folder = config.data_dir.join("keys");
    Ok(export_signing::generate_key_pair(&folder, &secrets::password(&password_file)?)?)
}

/// Who builds here, where the configuration names it: the program by its digest is looked at once, at start.
pub(crate) async fn builder(config: &Config) -> anyhow::Result<Option<BuilderIdentity>> {
    let id = config.signing.builder_id.clone();
    if id.is_empty() {
        return Ok(None);
    }
    let digest = tokio::task::spawn_blocking(|| -> std::io::Result<Digest> {
        let mut program = std::fs::File::open(std::env::current_exe()?)?;
        let mut digester = Digester::new();
        let mut piece = vec![0; 1 << 20];
        loop {
            match program.read(&mut piece)? {
                0 => return Ok(Digest::from_bytes(*digester.finish().sha256.as_bytes())),
                read => digester.update(piece.get(..read).unwrap_or_default()),
            }
        }
    });
    let program = digest.await?.context("cannot read this program to name it in provenance")?;
    Ok(Some(BuilderIdentity { id, program }))
}

/// Every key that signs.
pub(crate) async fn signers(config: &Config) -> anyhow::Result<Signers> {
    let signing = &config.signing;
    let default = SigningKey {
        name: "default".to_owned(),
        driver: signing.driver,
        key_file: config.path_or(&signing.key_file, "keys/cosign.key"),
        password_file: config.path_or(&signing.password_file, "keys/cosign.password"),
        vault_key: signing.vault_key.clone(),
        vault_key_version: signing.vault_key_version,
        kms_key: signing.kms_key.clone(),
        ..SigningKey::default()
    };
    let default = signer(config, &default).await?;
    let mut rules = Vec::new();
    for key in &signing.keys {
        rules.push(Rule {
            tenants: key.tenants.iter().map(ToString::to_string).collect(),
            profiles: key.profiles.iter().map(ToString::to_string).collect(),
            signer: signer(config, key).await?,
        });
    }
    Ok(Signers::new(default, rules))
}

async fn signer(config: &Config, key: &SigningKey) -> anyhow::Result<Arc<dyn Signer>> {
    let key = &super::kept::signing_key(config, key).await?;
    let told = || format!("the signing key `{}` cannot be used", key.name);
    let signer: Arc<dyn Signer> = match key.driver {
        SigningDriver::File => {
            let password = secrets::password(&key.password_file).with_context(told)?;
            Arc::new(FileSigner::open(&key.key_file, &password).with_context(told)?)
        }
        SigningDriver::Vault => {
            let settings = vault(config, key);
            let signer = opened(async || VaultSigner::open(&settings).await, VaultError::is_transient).await;
            Arc::new(signer.with_context(told)?)
        }
        SigningDriver::AwsKms => {
            let settings = kms(config, key)?;
            let signer = opened(async || Box::pin(KmsSigner::open(&settings)).await, KmsError::is_transient).await;
            Arc::new(signer.with_context(told)?)
        }
    };
    tracing::info!(event = %LogEvent::KeyReady, name = key.name, key_id = signer.public_key().key_id(), "a signing key is at hand");
    Ok(signer)
}

fn vault(config: &Config, key: &SigningKey) -> VaultSettings {
    let signing = &config.signing;
    let mount = if key.vault_mount.is_empty() { &signing.vault_mount } else { &key.vault_mount };
    VaultSettings {
        address: signing.vault_address.clone(),
        mount: mount.clone(),
        key: key.vault_key.clone(),
        version: Some(key.vault_key_version).filter(|version| *version > 0),
        namespace: signing.vault_namespace.clone(),
        token_file: signing.vault_token_file.clone(),
        ca_file: Some(signing.vault_ca_file.clone()).filter(|path| !path.as_os_str().is_empty()),
        timeout: Duration::from_secs(signing.vault_timeout_seconds),
    }
}

fn kms(config: &Config, key: &SigningKey) -> anyhow::Result<KmsSettings> {
    let signing = &config.signing;
    let secret_access_key = match signing.kms_access_key_id.as_str() {
        "" => String::new(),
        _ => secrets::read(&signing.kms_secret_access_key_file)?,
    };
    Ok(KmsSettings {
        key: key.kms_key.clone(),
        region: signing.kms_region.clone(),
        endpoint: signing.kms_endpoint.clone(),
        access_key_id: signing.kms_access_key_id.clone(),
        secret_access_key,
        timeout: Duration::from_secs(signing.kms_timeout_seconds),
    })
}

/// The public halves of the keys that sign, then the former keys.
pub(crate) fn public_keys(config: &Config, signers: &Signers) -> anyhow::Result<Vec<PublicKey>> {
    let shown = |key: &export_signing::PublicKey, current| PublicKey {
        key_id: key.key_id(),
        pem: key.pem().to_owned(),
        current,
        not_before: None,
        not_after: None,
    };
    let mut keys: Vec<PublicKey> = signers.all().into_iter().map(|signer| shown(signer.public_key(), true)).collect();
    for former in &config.signing.former_keys {
        let told = || format!("signing.former_keys: `{}` cannot be used", former.file.display());
        let pem = std::fs::read_to_string(&former.file).with_context(told)?;
        let key = export_signing::PublicKey::from_pem(&pem).with_context(told)?;
        anyhow::ensure!(
            keys.iter().all(|known| known.key_id != key.key_id()),
            "signing.former_keys: `{}` signs still, or is named twice",
            former.file.display()
        );
        keys.push(PublicKey { not_before: former.not_before, not_after: former.not_after, ..shown(&key, false) });
    }
    Ok(keys)
}

/// Counts failures to sign; each kind is there from the start, at 0.
///
/// # Errors
/// When `registry` has a metric of this name.
pub(crate) fn failure_counter(registry: &Registry) -> Result<OnFailure, prometheus::Error> {
    let failures = IntCounterVec::new(
        Opts::new("exporter_signing_failures_total", "Attempts to sign that gave no signature that verifies."),
        &["kind"],
    )?;
    registry.register(Box::new(failures.clone()))?;
    for kind in SignError::KINDS {
        failures.with_label_values(&[kind]).inc_by(0);
    }
    Ok(Arc::new(move |error| failures.with_label_values(&[error.kind()]).inc()))
}

#[cfg(test)]
mod tests {
    use export_signing::{Password, SignError, generate_key_pair};
    use prometheus::{Encoder as _, Registry, TextEncoder};

    use super::{failure_counter, make_key, public_keys, signers};
    use crate::config::{Config, FormerKey, SigningKey};

    #[test]
    fn failures_to_sign_are_counted_by_kind_and_none_is_missing_before_the_first() {
        let registry = Registry::new();
        let on_failure = failure_counter(&registry).unwrap();
        let page = || {
            let mut page = Vec::new();
            TextEncoder::new().encode(&registry.gather(), &mut page).unwrap();
            String::from_utf8(page).unwrap()
        };
        for kind in ["unavailable", "refused", "invalid"] {
            let line = format!("exporter_signing_failures_total{{kind=\"{kind}\"}} 0\n");
            assert!(page().contains(&line), "{kind}");
        }
        let cause = || Box::new(std::io::Error::other("away"));
        on_failure(&SignError::Unavailable(cause()));
        on_failure(&SignError::Unavailable(cause()));
        on_failure(&SignError::Refused(cause()));
        for (kind, count) in [("unavailable", 2), ("refused", 1), ("invalid", 0)] {
            let line = format!("exporter_signing_failures_total{{kind=\"{kind}\"}} {count}\n");
            assert!(page().contains(&line), "{}", page());
        }
    }

    #[tokio::test]
    async fn keys_of_tenants_are_opened_and_shown_and_former_ones_after_them() {
        let folder = tempfile::tempdir().unwrap();
        let made = |name: &str| {
            let at = folder.path().join(name);
            generate_key_pair(&at, &Password::new(b"password".to_vec())).unwrap();
            std::fs::write(at.join("cosign.password"), "password\n").unwrap();
            at
        };
        let (of_two, former) = (made("two"), made("former"));
        let mut config = Config { data_dir: folder.path().join("data"), ..Config::default() };
        config.signing.keys.push(SigningKey {
            name: "two".to_owned(),
            tenants: ["two".parse().unwrap()].into(),
            key_file: of_two.join("cosign.key"),
            password_file: of_two.join("cosign.password"),
            ..SigningKey::default()
        });
        let not_after = Some("2026-01-01T00:00:00Z".parse().unwrap());
        config.signing.former_keys.push(FormerKey { file: former.join("cosign.pub"), not_before: None, not_after });
        make_key(&config).unwrap();
        let signers = signers(&config).await.unwrap();
        let pem = |tenant: &str| signers.of(tenant, "json-raw").public_key().pem().to_owned();
        let file = |at: &std::path::Path| std::fs::read_to_string(at.join("cosign.pub")).unwrap();
        assert_eq!(pem("one"), file(&config.data_dir.join("keys")));
        assert_eq!(pem("two"), file(&of_two));

        let shown = serde_json::to_value(public_keys(&config, &signers).unwrap()).unwrap();
        let pems: Vec<&str> = shown.as_array().unwrap().iter().map(|key| key["pem"].as_str().unwrap()).collect();
        assert_eq!(pems, [pem("one"), pem("two"), file(&former)]);
        let current: Vec<bool> = (0..3).map(|at| shown[at]["current"].as_bool().unwrap()).collect();
        assert_eq!(current, [true, true, false]);
        assert!(shown[0].get("notAfter").is_none() && shown[2].get("notBefore").is_none());
        assert!(shown[2]["notAfter"].as_str().unwrap().starts_with("2026-01-01T00:00:00"));

        config.signing.former_keys[0].file = of_two.join("cosign.pub");
        assert!(public_keys(&config, &signers).unwrap_err().to_string().contains("signs still"));
    }
}
