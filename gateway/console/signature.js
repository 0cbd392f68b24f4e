// Verifies ECDSA P-256 signatures as cosign and openssl write them: ASN.1 DER, in base64.

import { fromBase64 } from "./encoding.js";
import { Told } from "./problem.js";

const CURVE = { name: "ECDSA", namedCurve: "P-256" };
const MAX_PEM = 64 << 10;

/** A public key out of PEM (SPKI). */
export async function readKey(text) {
  const found = /-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----/.exec(text.slice(0, MAX_PEM));
  const bytes = found ? fromBase64(found[1]) : null;
  if (!bytes) throw new Told("The key file holds no public key in PEM (BEGIN PUBLIC KEY).");
  try {
    return await crypto.subtle.importKey("spki", bytes, CURVE, false, ["verify"]);
  } catch {
    throw new Told("The key is none of ECDSA P-256, the kind that signs bundles.");
  }
}

/** Whether `signature`, the text of an `export.json.sig`, is one of `key` over `message`. */
export async function isSignedBy(key, signature, message) {
  const der = fromBase64(signature);
  const raw = der ? rawOf(der) : null;
  if (!raw) return false;
  return crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, raw, message);
}

/** `SEQUENCE { INTEGER r, INTEGER s }` as the 64 bytes that WebCrypto takes; null where it is not exactly that. */
export function rawOf(der) {
  if (der.length < 8 || der.length > 72 || der[0] !== 0x30 || der[1] !== der.length - 2) return null;
  const raw = new Uint8Array(64);
  let at = 2;
  for (const end of [32, 64]) {
    if (der[at] !== 0x02) return null;
    const length = der[at + 1];
    let value = der.subarray(at + 2, at + 2 + length);
    const isMinimal = length > 0 && value.length === length && !(value[0] === 0 && length > 1 && value[1] < 0x80) && value[0] < 0x80;
    if (!isMinimal) return null;
    if (value[0] === 0 && length > 1) value = value.subarray(1);
    if (value.length > 32) return null;
    raw.set(value, end - value.length);
    at += 2 + length;
  }
  return at === der.length ? raw : null;
}
