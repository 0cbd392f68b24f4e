// Requests to the API, each with the token and a proof of its own.

import { fromJson } from "./encoding.js";
import { Refused, Unreachable } from "./problem.js";
import { learnTime, prove } from "./proof.js";
import * as session from "./session.js";

/** A path of the API, its names escaped. */
export function at(...names) {
  return `/api/export/${names.map(encodeURIComponent).join("/")}`;
}

/** Sends a request; gives the answer, whatever it is, after what can be mended was mended once. */
export async function send(method, path, { query, body, headers = {}, signal } = {}) {
  let response = await once(method, path, { query, body, headers, signal });
  if (response.status === 401) {
    const challenge = response.headers.get("www-authenticate") ?? "";
    // A nonce that is asked for came with the answer; a clock that is off is set by it; an old token is replaced.
    if (challenge.includes("invalid_dpop_proof")) learnTime(response);
    if (challenge.includes("invalid_token")) await session.renew();
    if (/use_dpop_nonce|invalid_dpop_proof|invalid_token/.test(challenge)) {
      response = await once(method, path, { query, body, headers, signal });
    }
  }
  return response;
}

/** The JSON of a successful answer, or null where it has no body. */
export async function call(method, path, options) {
  const response = await send(method, path, options);
  if (!response.ok) throw await refusedBy(response);
  const text = await response.text();
  return text ? fromJson(text) : null;
}

export async function refusedBy(response) {
  return new Refused(response.status, fromJson(await response.text()), response.headers.get("retry-after"));
}

async function once(method, path, { query, body, headers, signal }) {
  const token = await session.token();
  const address = `${location.origin}${path}`;
  const proof = await prove(session.current().key, { method, address, token, nonce: session.nonce(location.origin) });
  const all = { ...headers, Authorization: `DPoP ${token}`, DPoP: proof };
  if (body !== undefined) all["Content-Type"] = "application/json";
  if (session.current().tenants.length > 1) all["X-Stella-Tenant"] = session.current().tenant;
  const search = query ? `?${new URLSearchParams(Object.entries(query).filter(([, value]) => value))}` : "";
  try {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const response = await fetch(`${address}${search}`, { method, headers: all, body: text, signal, cache: "no-store", redirect: "error" });
    session.learnNonce(response, location.origin);
    return response;
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable("The gateway does not answer. Is it running, and is this machine connected to it?");
  }
}
