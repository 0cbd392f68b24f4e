//! Names what a text is that is no JSON, so that its refusal says what to do.

use super::refusal::RefusalCode;

/// How much of a text is looked at.
const LOOKED_AT: usize = 4_096;

const TO_JSON: &str = "is not JSON; convert it with `cyclonedx convert --output-format json`";
const SPDX_TO_JSON: &str = "is not JSON; convert it with `pyspdxtools --outfile sbom.spdx.json`";

/// The code and reason for a text that does not begin like JSON, if it is something known.
pub(crate) fn name(bytes: &[u8]) -> Option<(RefusalCode, String)> {
    let head = bytes.get(..bytes.len().min(LOOKED_AT)).unwrap_or_default();
    if head.starts_with(b"PK\x03\x04") || head.starts_with(&[0x1f, 0x8b]) || head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
    {
        let reason =
            "it is compressed, but its name does not say so; name it .zip, .json.zst or .jsonl.zst, or unpack it";
        return Some((RefusalCode::UnsupportedFormat, reason.to_owned()));
    }
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let line_begins = |word: &str| text.lines().any(|line| line.trim_start().starts_with(word));
    if text.starts_with("version https://git-lfs.github.com/spec/") {
        let reason = "a Git LFS pointer stands where the document should be; fetch it with `git lfs pull`";
        return Some((RefusalCode::GitLfsPointer, reason.to_owned()));
    }
    let (format, advice) = if text.starts_with('<') {
        if text.contains("cyclonedx.org/schema/bom") {
            ("CycloneDX XML", TO_JSON)
        } else if text.contains("spdx.org/rdf") {
            ("SPDX RDF/XML", SPDX_TO_JSON)
        } else {
            ("XML", "is not JSON; convert it with the tool that made it")
        }
    } else if line_begins("SPDXVersion:") {
        ("SPDX tag-value", SPDX_TO_JSON)
    } else if line_begins("spdxVersion:") || line_begins("SPDXID:") {
        ("SPDX YAML", SPDX_TO_JSON)
    } else if (line_begins("@prefix") || line_begins("<http")) && text.contains("spdx.org/rdf") {
        ("SPDX RDF", SPDX_TO_JSON)
    } else {
        return None;
    };
    Some((RefusalCode::UnsupportedFormat, format!("format {format} {advice}")))
}

#[cfg(test)]
mod tests {
    use super::name;
    use crate::import::refusal::RefusalCode;

    #[test]
    fn foreign_formats_are_called_by_name() {
        let cases: [(&str, &str); 6] = [
            ("<?xml version=\"1.0\"?>\n<bom xmlns=\"http://cyclonedx.org/schema/bom/1.4\"/>", "CycloneDX XML"),
            ("<rdf:RDF xmlns:spdx=\"http://spdx.org/rdf/terms#\">", "SPDX RDF/XML"),
            ("# comment\nSPDXVersion: SPDX-2.3\nDataLicense: CC0-1.0", "SPDX tag-value"),
            ("---\nSPDXID: SPDXRef-DOCUMENT\nspdxVersion: SPDX-2.2", "SPDX YAML"),
            ("<html>", "XML"),
            ("PK\u{3}\u{4}", "compressed"),
        ];
        for (text, expected) in cases {
            let (code, reason) = name(text.as_bytes()).unwrap();
            assert_eq!(code, RefusalCode::UnsupportedFormat);
            assert!(reason.contains(expected), "{reason}");
        }
        let pointer = name(b"version https://git-lfs.github.com/spec/v1\noid sha256:1").unwrap();
        assert_eq!(pointer.0, RefusalCode::GitLfsPointer);
        assert!(name(b"{\"spdxVersion\": 1").is_none() && name(b"broken").is_none());
    }
}
