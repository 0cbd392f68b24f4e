// Who is signed in: client, key and token, in memory only. Leaving or reloading the page signs out.

import { base64url, fromBase64, fromJson, fromUtf8 } from "./encoding.js";
import { Told, Unreachable } from "./problem.js";
import { learnTime, makeKey, prove } from "./proof.js";

/** Seconds before its end at which a token is renewed. */
const EARLY = 60;

let session = null;
let renewing = null;
/** The last nonce of each origin that asks for them. */
const nonces = new Map();

export function isSignedIn() {
  return session !== null;
}

export function current() {
  return session;
}

/** Whether the token has all of these scopes: what it has not is not offered. */
export function may(...scopes) {
  return session !== null && scopes.every((scope) => session.scopes.has(scope));
}

export function chooseTenant(tenant) {
  session.tenant = tenant;
}

export function signOut() {
  session = null;
  renewing = null;
}

/** Fetches the first token. */
export async function signIn({ endpoint, clientId, clientSecret, tenant }) {
  const made = { endpoint: endpoint || `${location.origin}/authority/token`, clientId, clientSecret, key: await makeKey() };
  await learnFrom("/health/live");
  await fetchToken(made);
  if (tenant && (made.tenants.length === 0 || made.tenants.includes(tenant))) made.tenant = tenant;
  session = made;
  return made;
}

/** A token that is good for some time yet. */
export async function token() {
  if (!session) throw new Told("You are signed out.");
  if (Date.now() > session.renewAt) await renew();
  return session.token;
}

/** Fetches another token; whoever wants one meanwhile waits for the same. */
export async function renew() {
  const mine = session;
  renewing ??= fetchToken(mine).finally(() => {
    renewing = null;
  });
  await renewing;
}

export function nonce(origin) {
  return nonces.get(origin);
}

/** Keeps the nonce that an answer offers. */
export function learnNonce(response, origin) {
  const offered = response.headers.get("dpop-nonce");
  if (offered) nonces.set(origin, offered);
}

async function learnFrom(path) {
  try {
    learnTime(await fetch(path, { cache: "no-store" }));
  } catch {
    throw new Unreachable("The gateway does not answer. Is it running, and is this machine connected to it?");
  }
}

async function fetchToken(wanted) {
  const form = new URLSearchParams({
    grant_type: "client_credentials", client_id: wanted.clientId, client_secret: wanted.clientSecret,
  });
  let response = await ask(wanted, form);
  let answer = fromJson(await response.text()) ?? {};
  if (response.status === 400 && answer.error === "use_dpop_nonce") {
    response = await ask(wanted, form);
    answer = fromJson(await response.text()) ?? {};
  }
  if (!response.ok) throw new Told(refusal(response, answer));
  if (typeof answer.access_token !== "string") throw new Told("The token endpoint answered without a token.");
  take(wanted, answer);
}

async function ask(wanted, form) {
  const address = wanted.endpoint.split(/[?#]/)[0];
  const origin = new URL(address).origin;
  const proof = await prove(wanted.key, { method: "POST", address, nonce: nonces.get(origin) });
  try {
    const response = await fetch(wanted.endpoint, { method: "POST", body: form, headers: { DPoP: proof }, cache: "no-store", redirect: "error" });
    learnNonce(response, origin);
    return response;
  } catch {
    const hint = origin === location.origin ? "" : " It is of another origin: `console.authorities` must name it, and it must let pages of this gateway ask it.";
    throw new Unreachable(`The token endpoint at ${origin} does not answer.${hint}`);
  }
}

function refusal(response, answer) {
  const why = typeof answer.error_description === "string" ? ` (${answer.error_description})` : "";
  const wait = response.headers.get("retry-after");
  switch (answer.error) {
    case "invalid_client": return "The client id is not known, or that is not its secret.";
    case "invalid_dpop_proof": return `The proof was not taken${why}. Is this page at the address that the gateway knows (public_url)?`;
    case "invalid_scope": return "The client lacks a scope that was asked for.";
    default:
  }
  if (response.status === 429) return `Too many attempts.${wait ? ` Try again in ${wait} s.` : ""}`;
  if (response.status === 404) return "This gateway issues no tokens: its authority is elsewhere. Name its token endpoint.";
  return `The token endpoint answered ${response.status}${why}.`;
}

/** What a token says of itself decides what is offered; what may be done the gateway decides, whatever stands here. */
function take(wanted, answer) {
  const text = fromUtf8(fromBase64(answer.access_token.split(".")[1] ?? "") ?? new Uint8Array());
  const claims = fromJson(text ?? "") ?? {};
  const seconds = Number(answer.expires_in) || 300;
  const listed = [claims.tenant, claims.tenants].flat().filter((entry) => typeof entry === "string");
  wanted.token = answer.access_token;
  wanted.renewAt = Date.now() + Math.max(seconds - EARLY, seconds / 2) * 1000;
  wanted.scopes = new Set(String(answer.scope ?? claims.scope ?? "").split(" "));
  wanted.tenants = Array.from(new Set(listed)).sort();
  wanted.tenant ??= wanted.tenants[0];
}

/** A name for a request that may come twice and is to count once. */
export function newKey() {
  return base64url(crypto.getRandomValues(new Uint8Array(18)));
}
