//! The settings of what bundles are handed over to, beside the gateway.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How object storage encrypts what it is given, on its side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sse {
    /// As the bucket says.
    #[default]
    #[serde(rename = "")]
    Bucket,
    /// With keys of the storage's own.
    #[serde(rename = "AES256")]
    Aes256,
    /// With a key at KMS.
    #[serde(rename = "aws:kms")]
    AwsKms,
}

/// The bucket of distribution `object`. Another one than staging's: its objects stay, and may be locked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Object {
    /// Address of the S3 server; not set: Amazon's.
    pub(crate) endpoint: String,
    /// Bucket.
    pub(crate) bucket: String,
    /// Region; not set: `us-east-1`.
    pub(crate) region: String,
    /// Prefix of every key in the bucket.
    pub(crate) prefix: String,
    /// Secret at the authority with the access key, in the place of the two below.
    pub(crate) secret: String,
    /// Access key id; not set: the machine's role.
    pub(crate) access_key_id: String,
    /// File with the secret access key.
    pub(crate) secret_access_key_file: PathBuf,
    /// PEM file with the certificates that the server's own must come from; not set: those that the system trusts.
    pub(crate) ca_file: PathBuf,
    /// Encryption at the storage: `AES256`, `aws:kms`, or as the bucket says.
    pub(crate) sse: Sse,
    /// Key at KMS for `aws:kms`; not set: the storage's default.
    pub(crate) sse_kms_key: String,
}

impl Object {
    pub(super) fn faults(&self, wanted: bool) -> Vec<String> {
        let mut faults = Vec::new();
        if wanted && self.bucket.is_empty() {
            faults.push("object.bucket: name one, distribution `object` is allowed".to_owned());
        }
        let endpoint = &self.endpoint;
        if !endpoint.is_empty() && !["http://", "https://"].iter().any(|scheme| endpoint.starts_with(scheme)) {
            faults.push(format!("object.endpoint: `{endpoint}` must start with `https://` or `http://`"));
        }
        if !self.access_key_id.is_empty() && self.secret_access_key_file.as_os_str().is_empty() {
            faults.push("object.secret_access_key_file: an access key id needs the file with its secret".to_owned());
        }
        if !self.sse_kms_key.is_empty() && self.sse != Sse::AwsKms {
            faults.push("object.sse: use `aws:kms`, or leave out object.sse_kms_key".to_owned());
        }
        faults
    }
}

/// The folder of distribution `directory`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Directory {
    /// The folder; every distribute role must see the same one.
    pub(crate) folder: PathBuf,
}

impl Directory {
    pub(super) fn faults(&self, wanted: bool) -> Vec<String> {
        if wanted && !self.folder.is_absolute() {
            vec!["directory.folder: name one by its whole path, distribution `directory` is allowed".to_owned()]
        } else {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    #[test]
    fn faults_of_targets_are_named_once_they_are_allowed() {
        let allow = "[allow]\ndistribution = ['http', 'object', 'directory']\n";
        let faults = load(allow, &[]).unwrap_err();
        assert!(faults.contains("object.bucket") && faults.contains("directory.folder"), "{faults}");
        let faults =
            load("[object]\nendpoint = 's3.example'\naccess_key_id = 'x'\nsse_kms_key = 'k'\n", &[]).unwrap_err();
        for name in ["object.endpoint", "object.secret_access_key_file", "object.sse"] {
            assert!(faults.contains(name), "{faults}");
        }
        let good = format!("{allow}[object]\nbucket = 'b'\nsse = 'aws:kms'\n[directory]\nfolder = '/srv/exports'\n");
        load(&good, &[]).unwrap();
    }
}
