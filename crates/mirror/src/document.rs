//! Reading our own documents: bounded, of the schema that was asked for, in a version that this build reads.

use std::io::Read;

use serde::de::DeserializeOwned;

use crate::error::MirrorError;

/// Longest document that is read: an index of some 200,000 frames, or of 50,000 documents.
pub const MAX_BYTES: u64 = 64 << 20;

/// What every document of ours says of itself.
pub(crate) trait Document: DeserializeOwned {
    /// What it is.
    const SCHEMA: &'static str;

    /// The schema and the `major.minor` version that it names.
    fn says(&self) -> (&str, &str);
}

/// Reads a document that is called `name`; any version `1.x` is taken.
pub(crate) fn read<T: Document>(name: &str, text: impl Read) -> Result<T, MirrorError> {
    let mut bytes = Vec::new();
    text.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|cause| MirrorError::Io {
        act: "read",
        path: name.to_owned(),
        cause,
    })?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(MirrorError::rule(name, "it is longer than 64 MiB"));
    }
    let document: T =
        serde_json::from_slice(&bytes).map_err(|cause| MirrorError::Document { path: name.to_owned(), cause })?;
    let (schema, version) = document.says();
    let minor = version.strip_prefix("1.").is_some_and(|minor| minor.parse::<u32>().is_ok());
    if schema == T::SCHEMA && minor {
        return Ok(document);
    }
    let (schema, version) = (schema.to_owned(), version.to_owned());
    Err(MirrorError::Version { path: name.to_owned(), schema, version })
}
