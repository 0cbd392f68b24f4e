//! A Vault behind TLS, with certificates of an authority of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use export_signing::suite;
use export_signing::vault::{VaultError, VaultSettings, VaultSigner};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::server::VaultServer;
use crate::settings;

fn openssl(folder: &Path, arguments: &str) {
    let done = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

/// An authority `<name>.pem` in `folder`.
fn authority(folder: &Path, name: &str) -> PathBuf {
    let new_key = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    openssl(folder, &format!("{new_key} -subj /CN={name} -keyout {name}.key -out {name}.pem"));
    folder.join(format!("{name}.pem"))
}

/// Passes on what comes over TLS, with a certificate of authority `ours`; gives the address.
async fn terminator(folder: &Path, plain: String) -> String {
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    let new_key = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(folder, &format!("{new_key} -subj /CN=vault -keyout vault.key -out vault.csr"));
    let signed = "x509 -req -in vault.csr -CA ours.pem -CAkey ours.key -CAcreateserial -days 2";
    openssl(folder, &format!("{signed} -extfile names -out vault.pem"));
    let chain = CertificateDer::pem_file_iter(folder.join("vault.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("vault.key")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, plain) = (acceptor.clone(), plain.trim_start_matches("http://").to_owned());
            tokio::spawn(async move {
                // A client that does not trust us breaks off here.
                let Ok(mut outside) = acceptor.accept(stream).await else { return };
                let mut inside = TcpStream::connect(plain).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut outside, &mut inside).await);
            });
        }
    });
    address
}

#[tokio::test]
async fn a_vault_is_believed_under_the_authority_that_is_named_and_no_other() {
    // Other crates in the same build may bring a second provider; rustls wants to be told.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let server = VaultServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (ours, foreign) = (authority(folder.path(), "ours"), authority(folder.path(), "foreign"));
    let address = terminator(folder.path(), server.address()).await;
    let trusting = |ca_file| VaultSettings { address: address.clone(), ca_file, ..settings(&server) };

    let signer = VaultSigner::open(&trusting(Some(ours.clone()))).await.unwrap();
    suite::conformance(&signer).await;
    let seen = server.requests().len();
    for (what, ca_file) in [("another authority", Some(foreign)), ("those of the system", None)] {
        let error = VaultSigner::open(&trusting(ca_file)).await.unwrap_err();
        assert!(matches!(error, VaultError::Exchange(_)), "{what}: {error}");
    }
    assert_eq!(server.requests().len(), seen, "no token went to a server that is not trusted");
    let no_certificates = VaultSigner::open(&trusting(Some(folder.path().join("ours.key")))).await;
    assert!(no_certificates.is_err(), "a key is no certificate");
    assert!(VaultSigner::open(&trusting(Some(ours.with_extension("gone")))).await.is_err());
}
