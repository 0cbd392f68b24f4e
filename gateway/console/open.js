// Opens a bundle that lies on this machine: what it says of itself, and what of that is proven.

import { MAX_HASHED, check } from "./bundle.js";
import { el, facts, field, fill, heading, row, table } from "./dom.js";
import { bytes, command, digest, number, time } from "./format.js";
import { Told, problemBox } from "./problem.js";
import { isPossible } from "./proof.js";
import { told as selectorsTold } from "./selectors.js";

const SOURCES = ["Source", "Kind", "Records", "State"];
const CONTENTS = ["File", "Size", "Records", "Digest", "Checked"];
const MARKS = { proven: "proven", wrong: "WRONG", open: "not proven" };

export async function show({ view }) {
  view.append(heading("Open a bundle"),
    el("p", {}, "Choose a bundle.tar, or all files of a bundle at once. They are read in this page and sent nowhere; no sign-in is needed."));
  if (!isPossible()) {
    view.append(el("p", { class: "problem" }, "Digests cannot be computed here: this page came over plain HTTP from another machine. Open it over HTTPS, or on the machine itself."));
    return;
  }
  const chosen = el("input", { type: "file", multiple: true });
  const key = el("input", { type: "file", accept: ".pub,.pem" });
  const progress = el("p", { role: "status", class: "quiet" });
  const place = el("div");
  const submit = el("button", { type: "submit", class: "primary" }, "Check");
  let turn = 0;
  const form = el("form", { class: "card", onsubmit: start },
    el("div", { class: "columns" },
      field("Bundle", chosen, { hint: "bundle.tar, and with it export.json.sig to see who made it" }),
      field("Public key", key, { hint: "cosign.pub, from elsewhere than the bundle" })),
    el("div", { class: "actions" }, submit), progress);
  chosen.addEventListener("change", start);
  key.addEventListener("change", start);
  view.append(form, place);

  async function start(event) {
    event.preventDefault();
    const mine = (turn += 1);
    const files = Array.from(chosen.files);
    fill(place);
    if (files.length === 0) {
      progress.textContent = "Choose a bundle first.";
      return;
    }
    const told = (text) => {
      if (mine === turn) progress.textContent = text;
    };
    told("Reading …");
    try {
      const report = await check(files, key.files[0] ?? null, told);
      if (mine !== turn) return;
      progress.textContent = "";
      fill(place, shown(report));
      place.querySelector("h2").focus();
    } catch (error) {
      if (mine !== turn) return;
      progress.textContent = "";
      fill(place, problemBox(readable(error), "This cannot be checked"));
    }
  }
}

/** A file that is gone or changed while it is read is an error of the browser's. */
function readable(error) {
  return error instanceof DOMException ? new Told("The file cannot be read. Was it moved, or changed, after it was chosen?") : error;
}

function shown({ manifest, findings, contents, digest: ownDigest }) {
  const isWrong = findings.some((finding) => finding.state === "wrong");
  const isOpen = findings.some((finding) => finding.state === "open");
  const verdict = isWrong ? "This bundle is not what it should be" : isOpen ? "What was checked is right, and not all was checked" : "Proven: the files are what the key signed";
  const { profile } = manifest;
  return [
    el("section", { class: `card verdict is-${isWrong ? "wrong" : isOpen ? "open" : "proven"}` }, el("h2", { tabindex: "-1" }, verdict),
      el("ul", { class: "findings" }, findings.map(({ state, text }) => el("li", { class: `finding is-${state}` }, el("span", { class: `badge is-${state}` }, MARKS[state]), " ", text))),
      el("p", { class: "quiet" }, `Not looked at here: provenance, confirmations, the records within the files, keys of earlier times, and files above ${MAX_HASHED >> 20} MiB. This proves all of it, offline:`),
      command("exportctl bundle verify --key trusted.pub .", "command that verifies")),
    el("section", { class: "card" }, el("h2", {}, "What it says of itself"), facts(
      ["Profile", `${profile.kind}:${profile.variant} “${profile.name}”, revision ${profile.revision}`], ["Tenant", manifest.tenant],
      ["As of", manifest.asOf ? time(String(manifest.asOf)) : null], ["Fresh until", manifest.freshUntil ? time(String(manifest.freshUntil)) : null],
      ["Selectors", selectorsTold(manifest.selectors)], ["Adapter", `${manifest.adapter.name} ${manifest.adapter.version}`],
      ["Rerun hash", digest(manifest.rerunHash, "rerun hash")], ["export.json", digest(ownDigest, "digest of export.json")],
      ["Encrypted", manifest.encryption ? String(manifest.encryption.mode) : null],
      ["Base", manifest.delta ? String(manifest.delta.baseExportId) : null])),
    el("section", { class: "card" }, el("h2", {}, "Sources"), table("What was looked at", SOURCES, manifest.sources.slice(0, 2000).map((source) => row(SOURCES, [
      el("span", { class: "breaks" }, source.name), source.kind, number(Number(source.records)), String(source.state)])))),
    el("section", { class: "card" }, el("h2", {}, "Contents"), table("Files that export.json lists", CONTENTS, contents.slice(0, 2000).map(({ content, state, why }) => row(CONTENTS, [
      el("span", { class: "breaks" }, content.path), bytes(content.bytes), Number.isInteger(content.records) ? number(content.records) : "", digest(content.digest, `digest of ${content.path}`),
      [el("span", { class: `badge is-${state}` }, MARKS[state]), " ", why]], { class: `is-${state}` })))),
  ];
}
