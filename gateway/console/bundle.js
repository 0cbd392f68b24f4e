// What a bundle proves of itself, with nothing but its files and a key. Nothing of it leaves this page.

import { fromJson, fromUtf8, sha256 } from "./encoding.js";
import { Told } from "./problem.js";
import { isSignedBy, readKey } from "./signature.js";
import { entries } from "./tar.js";

const MANIFEST = "manifests/export.json";
const MAX_MANIFEST = 64 << 20;
const MAX_SMALL = 1 << 20;
/** WebCrypto takes a file whole, in memory. */
export const MAX_HASHED = 512 << 20;
const MAX_FILES = 500;

/** Finds the parts of a bundle among chosen files: the tar, what lies beside it, and also a delivery that has all in one tar. */
export async function sorted(files) {
  if (files.length > MAX_FILES) throw new Told(`These are more than ${MAX_FILES} files; choose those of one bundle.`);
  const beside = new Map();
  let tar = null;
  for (const file of files) {
    if (!/\.tar$/.test(file.name)) beside.set(file.name, file);
    else if (tar) throw new Told("These are two tars; choose one bundle at a time.");
    else tar = file;
  }
  if (!tar) return { tar: null, beside };
  const inside = await entries(tar);
  const delivered = inside.find((entry) => entry.path === "bundle.tar");
  if (!delivered) return { tar: inside, beside };
  for (const entry of inside) beside.set(entry.path, entry.body);
  return { tar: await entries(delivered.body), beside };
}

/** Checks a bundle: `told(text)` says how far it is. Gives the manifest and the findings, each proven, wrong, or open. */
export async function check(files, key, told) {
  const { tar, beside } = await sorted(files);
  const inside = tar?.find((entry) => entry.path === MANIFEST);
  const outside = beside.get("export.json");
  if (!inside && !outside) throw new Told("There is no export.json: choose a bundle.tar, or the files of a bundle.");
  const bytes = await whole(inside?.body ?? outside, MAX_MANIFEST, "export.json");
  const manifest = parsed(bytes);
  const findings = [];
  if (inside && outside) findings.push(await sameManifest(bytes, outside));
  findings.push(await signed(bytes, beside, key));
  findings.push(await rerun(manifest));
  const contents = tar ? await hashed(manifest, tar, told) : manifest.contents.map((content) => ({ content, state: "open", why: "the tar was not chosen" }));
  findings.push(...summed(contents, tar, manifest), ...ofItself(manifest));
  return { manifest, findings, contents, digest: await sha256(bytes) };
}

async function whole(body, most, name) {
  if (body.size > most) throw new Told(`${name} is larger than ${most >> 20} MiB: that is none.`);
  return new Uint8Array(await body.arrayBuffer());
}

/** Only as much of its form as is shown or relied upon here. */
function parsed(bytes) {
  const text = fromUtf8(bytes);
  const manifest = text === null ? null : fromJson(text);
  const isText = (value) => typeof value === "string" && value.length <= 4096;
  const isContent = (one) => isText(one?.path) && /^sha256:[0-9a-f]{64}$/.test(one.digest) && Number.isSafeInteger(one.bytes);
  const isOne = manifest?.schema === "urn:export-center:manifest" && isText(manifest.tenant) && isText(manifest.rerunHash)
    && Array.isArray(manifest.contents) && manifest.contents.every(isContent)
    && new Set(manifest.contents.map((one) => one.path)).size === manifest.contents.length
    && Array.isArray(manifest.sources) && manifest.sources.every((source) => isText(source?.name) && isText(source?.kind))
    && [manifest.profile, manifest.adapter].every((part) => part && typeof part === "object" && Object.values(part).every(isText));
  if (!isOne) throw new Told("export.json is not the manifest of a bundle, or one of a later form.");
  return manifest;
}

async function sameManifest(bytes, outside) {
  const other = await whole(outside, MAX_MANIFEST, "export.json");
  const isSame = (await sha256(bytes)) === (await sha256(other));
  return isSame
    ? { state: "proven", text: "export.json in the tar and beside it are the same." }
    : { state: "wrong", text: "export.json beside the tar is another one than in it." };
}

async function signed(bytes, beside, keyFile) {
  const signature = beside.get("export.json.sig");
  if (!signature) return { state: "open", text: "Who made it: choose export.json.sig together with the bundle." };
  if (!keyFile) {
    const own = beside.has("cosign.pub") ? " The cosign.pub that came with it proves nothing." : "";
    return { state: "open", text: `Who made it: choose the public key, which you got elsewhere than the bundle.${own}` };
  }
  const key = await readKey(fromUtf8(await whole(keyFile, MAX_SMALL, "the key file")) ?? "");
  const text = fromUtf8(await whole(signature, MAX_SMALL, "export.json.sig")) ?? "";
  return (await isSignedBy(key, text, bytes))
    ? { state: "proven", text: "export.json was signed by the key that you gave." }
    : { state: "wrong", text: "export.json was not signed by the key that you gave: another key, or another export.json." };
}

async function rerun(manifest) {
  const digests = manifest.contents.map((content) => content.digest).sort();
  const found = await sha256(new TextEncoder().encode(digests.join("\n")));
  return found === manifest.rerunHash
    ? { state: "proven", text: "The rerun hash is that of the digests of the contents." }
    : { state: "wrong", text: "The rerun hash is not that of the digests of the contents." };
}

async function hashed(manifest, tar, told) {
  const there = new Map(tar.map((entry) => [entry.path, entry]));
  const found = [];
  for (const content of manifest.contents) {
    told(`Checking ${found.length + 1} of ${manifest.contents.length}: ${content.path}`);
    found.push({ content, ...(await hashOne(content, there, manifest)) });
  }
  return found;
}

async function hashOne(content, there, manifest) {
  const entry = there.get(content.path);
  if (!entry) {
    const isSealed = manifest.encryption && [".age", ".enc"].some((end) => there.has(content.path + end));
    return isSealed ? { state: "open", why: "encrypted: only its plain text has this digest" } : { state: "wrong", why: "not in the tar" };
  }
  if (entry.size !== content.bytes) return { state: "wrong", why: `${entry.size} bytes instead of ${content.bytes}` };
  if (entry.size > MAX_HASHED) return { state: "open", why: "larger than 512 MiB: not computed here" };
  const digest = await sha256(await entry.body.arrayBuffer());
  return digest === content.digest ? { state: "proven", why: "as listed" } : { state: "wrong", why: "other bytes than listed" };
}

function summed(contents, tar, manifest) {
  if (!tar) return [{ state: "open", text: "The contents: choose the tar as well." }];
  const count = (state) => contents.filter((one) => one.state === state).length;
  const wrong = contents.filter((one) => one.state === "wrong").map((one) => `${one.content.path} (${one.why})`);
  const listed = new Set(contents.map((one) => one.content.path));
  const isSealed = (path) => manifest.encryption && /\.(age|enc)$/.test(path) && listed.has(path.replace(/\.(age|enc)$/, ""));
  const others = tar.map((entry) => entry.path).filter((path) => path !== MANIFEST && !listed.has(path) && !isSealed(path));
  const findings = [];
  if (count("proven") > 0) findings.push({ state: "proven", text: `${count("proven")} of ${contents.length} files have the digests that export.json lists.` });
  if (wrong.length > 0) findings.push({ state: "wrong", text: `Not as listed: ${wrong.slice(0, 12).join(", ")}${wrong.length > 12 ? " and more" : ""}` });
  if (others.length > 0) findings.push({ state: "wrong", text: `In the tar and not listed: ${others.slice(0, 12).join(", ")}` });
  if (count("open") > 0) findings.push({ state: "open", text: `${count("open")} files were not computed.` });
  return findings;
}

/** What the manifest itself says against the bundle: its maker could not read a source, or its time is over. */
function ofItself(manifest) {
  const failed = manifest.sources.filter((source) => source.state === "failed").map((source) => `${source.name} (${source.kind})`);
  const findings = [];
  if (failed.length > 0) findings.push({ state: "wrong", text: `Evidence is missing, since these sources could not be read: ${failed.slice(0, 12).join(", ")}` });
  if (manifest.freshUntil && !(Date.parse(manifest.freshUntil) > Date.now())) {
    findings.push({ state: "wrong", text: "It is no longer fresh by this machine's clock. A later run may have confirmed it: exportctl looks at refresh.sigstore.json." });
  }
  return findings;
}
