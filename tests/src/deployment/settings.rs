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
                std::fs::write(&uri, ferret.uri()).context("cannot write the connection string")?;
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
                    bucket.endpoint,
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
        // Short times, so that what waits for a dead process waits seconds.
        let text = format!(
            "data_dir = \"{data}\"\nlisten = \"127.0.0.1:0\"\n{keys}\n\n[nats]\n{nats}\n\n[store]\n{store}\n\n[staging]\n{staging}\n\n\
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
