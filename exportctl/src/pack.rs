//! `exportctl bundle pack`: a bundle and its signatures in one file.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

use export_canon::tar::{END_OF_ARCHIVE, header_bytes, padding};
use export_contract::refresh;

use crate::exit::{Exit, Failure};

/// What is packed, in the order that a verifier of a stream needs: the signed manifest before the tar that it is about.
pub(crate) const FILES: [&str; 10] = [
    "cosign.pub",
    "export.json",
    "export.json.sig",
    "export.json.sigstore.json",
    "provenance.json",
    "provenance.sigstore.json",
    "target.json.sig",
    "target.json.sigstore.json",
    refresh::FILE,
    "bundle.tar",
];
/// What no bundle is without.
const NEEDED: [&str; 4] = ["export.json", "export.json.sig", "export.json.sigstore.json", "bundle.tar"];

/// Packs `folder` into `out`, `-` for standard output. The same files make the same bytes; a file is whole or not there.
pub(crate) fn pack(folder: &Path, out: &Path) -> Result<Exit, Failure> {
    if out == Path::new("-") {
        write(folder, BufWriter::new(io::stdout().lock()), out)?;
        return Ok(Exit::Ok);
    }
    let partial = PathBuf::from(format!("{}.partial", out.display()));
    let failed = |act, path: &Path| {
        let path = path.to_owned();
        move |cause| Failure::File { act, path, cause }
    };
    let file = File::create(&partial).map_err(failed("create", &partial))?;
    let written = write(folder, BufWriter::new(file), &partial)
        .and_then(|writer| writer.into_inner().map_err(|error| failed("write", &partial)(error.into_error())))
        .and_then(|file| file.sync_all().map_err(failed("write", &partial)))
        .and_then(|()| std::fs::rename(&partial, out).map_err(failed("rename", &partial)));
    if let Err(failure) = written {
        std::fs::remove_file(&partial).map_err(failed("remove", &partial))?;
        return Err(failure);
    }
    Ok(Exit::Ok)
}

fn write<W: Write>(folder: &Path, mut writer: W, out: &Path) -> Result<W, Failure> {
    let unwritten = |cause| Failure::File { act: "write", path: out.to_owned(), cause };
    for name in FILES {
        let path = folder.join(name);
        let unread = |cause| Failure::File { act: "read", path: path.clone(), cause };
        let file = match File::open(&path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound && !NEEDED.contains(&name) => continue,
            opened => opened.map_err(unread)?,
        };
        let size = file.metadata().map_err(unread)?.len();
        let header = header_bytes(name, size).map_err(|cause| Failure::File {
            act: "name in a tar",
            path: path.clone(),
            cause: io::Error::other(cause),
        })?;
        writer.write_all(&header).map_err(unwritten)?;
        let copied = io::copy(&mut file.take(size), &mut writer).map_err(unwritten)?;
        if copied != size {
            return Err(unread(io::ErrorKind::UnexpectedEof.into()));
        }
        writer.write_all(padding(size)).map_err(unwritten)?;
    }
    writer.write_all(&END_OF_ARCHIVE).and_then(|()| writer.flush()).map_err(unwritten)?;
    Ok(writer)
}
