// Proofs of possession (RFC 9449): each request is signed by a key that was made in this page and cannot leave it.

import { base64url } from "./encoding.js";

const CURVE = { name: "ECDSA", namedCurve: "P-256" };

/** Seconds by which the gateway's clock is ahead of ours: a proof is judged by the gateway's. */
let ahead = 0;

/** Whether the browser lets this page use cryptography: over HTTPS, or plain HTTP on this machine. */
export function isPossible() {
  return Boolean(globalThis.crypto?.subtle);
}

/** Takes the gateway's time from an answer, where ours is far from it. */
export function learnTime(response) {
  const told = Date.parse(response.headers.get("date") ?? "");
  if (Number.isNaN(told)) return;
  const difference = Math.round((told - Date.now()) / 1000);
  // The header has whole seconds and took its way: a small difference means nothing.
  ahead = Math.abs(difference) > 3 ? difference : 0;
}

/** A key whose private half nobody can read, not even this page. */
export async function makeKey() {
  const pair = await crypto.subtle.generateKey(CURVE, false, ["sign", "verify"]);
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  return { sign: pair.privateKey, jwk: { kty, crv, x, y } };
}

/** A proof for one request. `address` is without query and fragment. */
export async function prove(key, { method, address, token, nonce }) {
  const claims = { jti: base64url(crypto.getRandomValues(new Uint8Array(16))), htm: method, htu: address };
  claims.iat = Math.floor(Date.now() / 1000) + ahead;
  if (token) claims.ath = base64url(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(token)));
  if (nonce) claims.nonce = nonce;
  const head = { typ: "dpop+jwt", alg: "ES256", jwk: key.jwk };
  const message = `${base64url(JSON.stringify(head))}.${base64url(JSON.stringify(claims))}`;
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key.sign, new TextEncoder().encode(message));
  return `${message}.${base64url(signature)}`;
}
