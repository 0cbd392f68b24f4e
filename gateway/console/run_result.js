// What a run made: its bundle, where it was handed over, and how anybody verifies it.

import { at, call } from "./api.js";
import { button, el, facts, field, fill, row, say, table } from "./dom.js";
import { bytes, command, copyButton, digest, number, time } from "./format.js";
import { problemBox } from "./problem.js";
import { may } from "./session.js";

const COLUMNS = ["Way", "Where", "Size", "Digest", "State"];
const BUNDLE = "bundle.tar";

export function result(run) {
  const { bundle } = run;
  if (!bundle) return null;
  return [
    el("section", { class: "card" }, el("h2", {}, "Bundle"), facts(
      ["Digest", digest(bundle.digest, "digest of the bundle")],
      ["export.json", digest(bundle.manifestDigest, "digest of export.json")],
      ["Rerun hash", digest(bundle.rerunHash, "rerun hash")],
      ["Size", bytes(bundle.bytes)], ["Records", number(bundle.records)],
      ["As of", time(bundle.asOf)], ["Key", digest(bundle.keyId, "key id")],
      ["Confirms", bundle.refreshes ? el("a", { href: `#/runs/${encodeURIComponent(bundle.refreshes)}` }, bundle.refreshes) : null]),
      downloads(run)),
    distributions(run), verification(run),
  ];
}

/** Files are had by signed links: so the browser itself takes them, of any size, and goes on after a break. */
function downloads(run) {
  if (run.expiry) return el("p", { class: "notice" }, "Its retention is over: what it made can no longer be had.");
  if (!may("export:download")) return el("p", { class: "quiet" }, "This client may not download (scope export:download).");
  const trouble = el("div");
  const take = async (file) => {
    try {
      const link = await call("POST", at("runs", run.id, "links"), { body: { file, expiresInSeconds: 600 } });
      el("a", { href: link.path, download: file }).click();
      say(`The download of ${file} begins`);
      fill(trouble);
    } catch (error) {
      fill(trouble, problemBox(error, "It cannot be downloaded"));
    }
  };
  const share = async () => {
    try {
      const link = await call("POST", at("runs", run.id, "links"), { body: { file: BUNDLE, expiresInSeconds: 86_400 } });
      const address = link.url ?? `${location.origin}${link.path}`;
      const shown = el("input", { value: address, readonly: true });
      fill(trouble, field("Whoever has this link has the bundle, until tomorrow", shown), copyButton(address, "link"), " until ", time(link.expiresAt));
    } catch (error) {
      fill(trouble, problemBox(error, "There is no link"));
    }
  };
  const beside = Object.keys(run.bundle.sidecars ?? {}).sort();
  return el("div", { class: "downloads" },
    el("div", { class: "actions" }, button("Download bundle.tar", () => take(BUNDLE), { class: "primary" }), button("Make a link to share", share)),
    el("details", {}, el("summary", {}, `Files beside the bundle (${beside.length})`),
      el("ul", { class: "plain" }, beside.map((name) => el("li", {}, button(name, () => take(name), { class: "link", "aria-label": `Download ${name}` }), " ", digest(run.bundle.sidecars[name], `digest of ${name}`))))),
    trouble);
}

function distributions(run) {
  const rows = (run.distributions ?? []).map((one) => row(COLUMNS, [
    one.type, el("span", { class: "breaks" }, one.location, one.tags?.length ? ` (${one.tags.join(", ")})` : ""), bytes(one.sizeBytes), digest(one.sha256, "digest"),
    one.prunedAt ? ["removed ", time(one.prunedAt)] : one.lockedUntil ? ["locked until ", time(one.lockedUntil)] : one.expiresAt ? ["until ", time(one.expiresAt)] : "there",
  ]));
  if (rows.length === 0) return null;
  return el("section", { class: "card" }, el("h2", {}, "Handed over"), table("Where the bundle can be had", COLUMNS, rows));
}

function verification(run) {
  const commands = run.bundle.verification?.commands ?? [];
  return el("section", { class: "card" }, el("h2", {}, "How to verify"),
    el("p", {}, "Put the files into one folder, with the public key as ", el("code", {}, "trusted.pub"), ". Take the key from elsewhere than the bundle: a bundle that brings its own key proves nothing. No command needs a network."),
    command(`exportctl bundle download ${run.id} --dir .`, "command that downloads"),
    commands.map(({ proves, command: line }) => el("div", {}, el("p", { class: "quiet" }, `Proves: ${proves}`), command(line, "command"))),
    el("p", {}, "Or ", el("a", { href: "#/open" }, "open the bundle"), " in this page, which sends it nowhere."));
}
