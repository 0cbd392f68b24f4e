//! `exportctl bundle kit`: a bundle with all that a place without a network needs to verify it and take it in.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use export_canon::digesting::DigestingReader;
use export_canon::jcs;
use serde_json::json;

use crate::cli::{Global, KitArguments};
use crate::exit::{Exit, Failure};
use crate::{output, verify};

/// Verifies the kit with nothing but what is in it.
const SCRIPT: &str = "#!/bin/sh
# Verifies this kit with no network: its files by their digests, the bundle by its signatures.
# Compare the keys in keys/ with what you know of the exporter from elsewhere: a kit cannot vouch for its own keys.
set -eu
cd \"$(dirname \"$0\")\"
sha256sum -c SHA256SUMS
set --
for key in keys/*.pub; do set -- \"$@\" --key \"$key\"; done
bin/exportctl bundle verify \"$@\" bundle
";

/// What the kit is, for who opens it.
const README: &str = "# Offline kit

`sh verify.sh` verifies everything with no network. `bundle/` is the bundle as it was downloaded, `bin/exportctl` the verifier,
`keys/` the public keys that may have signed it, `kit.json` and `SHA256SUMS` the list of all files.

To take a mirror in: `bin/exportctl bundle apply --key keys/0.pub --into /srv/mirror bundle`, the full one first, then each delta in its order.
";

/// Verifies the bundle and lays out the kit.
pub(crate) fn kit(global: &Global, arguments: &KitArguments) -> Result<Exit, Failure> {
    let source = arguments.verify.path.as_path();
    if !source.is_dir() {
        return Err(Failure::Usage(format!("`{}` is not a folder that `bundle download` wrote", source.display())));
    }
    let policy = verify::policy(&arguments.verify)?;
    let bar = verify::bar(global, verify::length(source));
    let report = export_verify::verify_watched(source, &policy, &|bytes| bar.set_position(bytes));
    bar.finish_and_clear();
    let report = report.map_err(verify::failed)?;

    let out = arguments.out.as_path();
    for folder in ["", "bin", "bundle", "keys"].map(|name| out.join(name)) {
        fs::create_dir(&folder).map_err(|cause| Failure::File { act: "make", path: folder, cause })?;
    }
    let mut files = Vec::new();
    let mut names: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(source).map_err(failed("read", source))? {
        let path = entry.map_err(failed("read", source))?.path();
        if path.is_file() {
            names.push(path);
        }
    }
    names.sort();
    for path in names {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.push(copy(&path, out, &format!("bundle/{name}"))?);
    }
    for (number, key) in arguments.verify.key.iter().enumerate() {
        files.push(copy(key, out, &format!("keys/{number}.pub"))?);
    }
    let own = std::env::current_exe().map_err(Failure::Start)?;
    files.push(copy(arguments.program.as_deref().unwrap_or(&own), out, "bin/exportctl")?);
    let program = out.join("bin/exportctl");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).map_err(failed("mark", &program))?;
    for (name, text) in [("README.md", README), ("verify.sh", SCRIPT)] {
        files.push(write(out, name, text.as_bytes())?);
    }
    let manifest = json!({
        "schema": "urn:export-center:kit",
        "version": "1.0",
        "tenant": report.tenant,
        "profile": report.profile,
        "manifestDigest": report.manifest_digest,
        "files": files
            .iter()
            .map(|(path, hex, bytes)| json!({ "path": path, "digest": format!("sha256:{hex}"), "bytes": bytes }))
            .collect::<Vec<_>>(),
    });
    let text = jcs::to_vec(&manifest).map_err(|cause| failed("write", out)(io::Error::other(cause)))?;
    files.push(write(out, "kit.json", &text)?);
    let sums: String = files.iter().map(|(path, hex, _)| format!("{hex}  {path}\n")).collect();
    write(out, "SHA256SUMS", sums.as_bytes())?;
    output::document(global, &manifest, |_| format!("the kit is in {}; sh verify.sh there verifies it", out.display()));
    Ok(Exit::Ok)
}

/// Path in the kit, digest and length.
type Entry = (String, String, u64);

fn failed(act: &'static str, path: &Path) -> impl Fn(io::Error) -> Failure + use<> {
    let path = path.to_owned();
    move |cause| Failure::File { act, path: path.clone(), cause }
}

fn copy(from: &Path, out: &Path, name: &str) -> Result<Entry, Failure> {
    let to = out.join(name);
    let mut reader = DigestingReader::new(File::open(from).map_err(failed("read", from))?);
    let mut writer = File::create_new(&to).map_err(failed("write", &to))?;
    let bytes = io::copy(&mut reader, &mut writer).map_err(failed("write", &to))?;
    Ok((name.to_owned(), reader.finish().1.sha256.hex(), bytes))
}

fn write(out: &Path, name: &str, text: &[u8]) -> Result<Entry, Failure> {
    let to = out.join(name);
    fs::write(&to, text).map_err(failed("write", &to))?;
    Ok((name.to_owned(), export_canon::digesting::sha256(text).hex(), text.len() as u64))
}
