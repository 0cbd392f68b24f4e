//! What a scanner looks at.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::json;

use crate::programs::{output, python};

/// A machine with an archive of Java that only an SBOM knows, and that SBOM.
///
/// # Errors
/// When a file cannot be written.
pub fn machine(folder: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let root = folder.join("root");
    let library = root.join("opt/app/lib");
    std::fs::create_dir_all(&library)?;
    let inside = library.join("Payload.class");
    std::fs::write(&inside, "an archive that an SBOM knows")?;
    let archive = library.join("renamed.jar");
    output(python().args(["-m", "zipfile", "-c"]).arg(&archive).arg(&inside))?;
    std::fs::remove_file(inside)?;
    let line = output(Command::new("sha1sum").arg(&archive))?;
    let sha1 = line.split_whitespace().next().context("no digest")?;
    let sbom = folder.join("sbom/app.cdx.json");
    std::fs::create_dir_all(sbom.parent().context("no folder")?)?;
    let document = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "serialNumber": "urn:uuid:6c1c1c5f-0c51-4fd2-8a1f-0a2b9c3d4e5f",
        "metadata": { "component": { "type": "application", "name": "app", "version": "1.0", "purl": "pkg:generic/app@1.0" } },
        "components": [{
            "type": "library", "group": "org.apache.logging.log4j", "name": "log4j-core", "version": "2.14.1",
            "purl": "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1?type=jar",
            "hashes": [{ "alg": "SHA-1", "content": sha1 }]
        }]
    });
    std::fs::write(&sbom, document.to_string())?;
    Ok((root, sbom))
}
