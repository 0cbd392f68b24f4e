//! The configuration file that all processes of a deployment share.

use std::path::PathBuf;

use anyhow::Context as _;
use export_targets::registries::{PASSWORD, USER};

use super::Deployment;

impl Deployment {
    pub(super) fn settings(&self) -> PathBuf {
        self.folder.path().join("export.toml")
    }

    pub(super) fn write_settings(&self) -> anyhow::Result<()> {
        let nats = match &self.broker {
            Some(broker) => format!("url = \"{}\"", broker.url()),
            // A bare name is looked for by exportd itself.
            None if Self::broker_program().is_absolute() => {
                format!("server_program = \"{}\"", Self::broker_program().display())
            }
            None => String::new(),
        };
        let store = match &self.ferret {
            None => "driver = \"sqlite\"".to_owned(),
            Some(ferret) => {
                let uri = self.folder.path().join("mongodb.uri");
                let text = match (self.curtains.get("store"), &self.certificates) {
                    (Some(curtain), Some(certificates)) => format!(
                        "mongodb://{}/?serverSelectionTimeoutMS=1000&tls=true&tlsCAFile={}",
                        curtain.address(),
                        certificates.ca().display()
                    ),
                    _ => ferret.uri().to_owned(),
                };
                std::fs::write(&uri, text).context("cannot write the connection string")?;
                format!("driver = \"mongodb\"\nuri_file = \"{}\"\ndatabase = \"export_tests\"", uri.display())
            }
        };
        let staging = match &self.bucket {
            None => "driver = \"folder\"".to_owned(),
            Some((_, bucket)) => {
                let secret = self.folder.path().join("s3.secret");
                std::fs::write(&secret, &bucket.secret_access_key).context("cannot write the secret of the bucket")?;
                format!(
                    "driver = \"s3\"\nendpoint = \"{}\"\nbucket = \"{}\"\naccess_key_id = \"{}\"\n\
                     secret_access_key_file = \"{}\"",
                    self.curtains
                        .get("staging")
                        .map_or(bucket.endpoint.clone(), |curtain| format!("https://{}", curtain.address())),
                    bucket.bucket,
                    bucket.access_key_id,
                    secret.display(),
                )
            }
        };
        let pushes = match &self.pushed {
            None => String::new(),
            Some((_, proxy)) => {
                let secret = self.folder.path().join("registry.password");
                std::fs::write(&secret, PASSWORD).context("cannot write the password for the registry")?;
                format!(
                    "\n[allow]\ndistribution = [\"http\", \"oci\"]\n\n[[oci.registries]]\nhost = \"{}\"\nplain_http = true\n\
                     user = \"{USER}\"\npassword_file = \"{}\"\nprefix = \"exports\"\n",
                    proxy.address(),
                    secret.display(),
                )
            }
        };
        let (in_nats, in_staging, tls) = match &self.certificates {
            None => Default::default(),
            Some(made) => (
                format!(
                    "ca_file = \"{}\"\ncertificate_file = \"{}\"\nkey_file = \"{}\"",
                    made.ca().display(),
                    made.certificate("client").display(),
                    made.key("client").display()
                ),
                format!("ca_file = \"{}\"", made.ca().display()),
                format!(
                    "[tls]\ncertificate_file = \"{}\"\nkey_file = \"{}\"",
                    made.certificate("server").display(),
                    made.key("server").display()
                ),
            ),
        };
        // Short times, so that what waits for a dead process waits seconds.
        let text = format!(
            "data_dir = \"{data}\"\nlisten = \"127.0.0.1:0\"\n{keys}\n\n{tls}\n\n[nats]\n{nats}\n{in_nats}\n\n[store]\n{store}\n\n[staging]\n{staging}\n{in_staging}\n\n\
             [workers]\nadapt_threads = {threads}\nack_wait_seconds = 3\nreconcile_seconds = 1\nsilent_seconds = 3\n\n\
             [log]\nform = \"json\"\n\n[registry]\nanonymous = {anonymous:?}\n\n\
             [schedules]\ncheck_seconds = 1\n\n\
             [webhooks]\ncheck_seconds = 1\ntimeout_seconds = 2\nallow_http_hosts = [\"127.0.0.1\"]\n\
             allow_private_hosts = [\"127.0.0.1\"]\n{pushes}\n{sections}\n",
            keys = self.extra.0,
            sections = self.extra.1,
            data = self.data().display(),
            threads = self.setup.adapt_threads,
            anonymous = self.setup.anonymous,
        );
        std::fs::write(self.settings(), text).context("cannot write the configuration")
    }
}
