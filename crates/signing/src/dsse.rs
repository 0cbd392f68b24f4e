//! DSSE envelopes (secure-systems-lab/dsse, version 1).

use serde::{Deserialize, Serialize};

use crate::bundle::{from_base64, to_base64};

/// Media type of in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// An envelope with exactly one signature. It has no `keyid`: Go's verifier refuses one that is not its own kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// The payload, base64.
    pub payload: String,
    /// Its media type.
    pub payload_type: String,
    /// The signature over [`pre_authentication`] of the two.
    pub signatures: [EnvelopeSignature; 1],
}

/// A signature of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeSignature {
    /// DER, base64.
    pub sig: String,
}

impl Envelope {
    /// An envelope around `payload` with the signature of its pre-authentication encoding.
    #[must_use]
    pub fn new(payload_type: &str, payload: &[u8], signature: &[u8]) -> Self {
        Self {
            payload: to_base64(payload),
            payload_type: payload_type.to_owned(),
            signatures: [EnvelopeSignature { sig: to_base64(signature) }],
        }
    }

    /// Payload and signature; `None` when one is not base64.
    pub fn open(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let [signature] = &self.signatures;
        Some((from_base64(&self.payload)?, from_base64(&signature.sig)?))
    }
}

/// What is signed: `DSSEv1 SP len(type) SP type SP len(body) SP body`.
#[must_use]
pub fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut encoded = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    encoded.extend_from_slice(payload);
    encoded
}

#[cfg(test)]
mod tests {
    use super::pre_authentication;

    #[test]
    fn the_encoding_is_the_one_of_the_protocol_page() {
        assert_eq!(
            pre_authentication("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }
}
