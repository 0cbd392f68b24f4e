// Which page is shown, and the frame around it. The address behind # names the page, so pages can be linked.

import * as audit from "./audit.js";
import { button, el, fill, say } from "./dom.js";
import * as letters from "./letters.js";
import * as newRun from "./new_run.js";
import * as open from "./open.js";
import { problemBox } from "./problem.js";
import * as profile from "./profile.js";
import * as profiles from "./profiles.js";
import * as quota from "./quota.js";
import * as run from "./run.js";
import * as runs from "./runs.js";
import * as schedules from "./schedules.js";
import * as session from "./session.js";
import * as signIn from "./sign_in.js";
import * as webhooks from "./webhooks.js";

const READ = "export:read";
const MANAGE = "export:profile:manage";
/** Pages with the scopes that they need; without them they are not offered. */
const PAGES = {
  runs: { label: "Runs", view: runs, one: run, needs: [READ] },
  new: { view: newRun, needs: [READ], within: "runs" },
  profiles: { label: "Profiles", view: profiles, one: profile, needs: [READ] },
  schedules: { label: "Schedules", view: schedules, needs: [READ] },
  webhooks: { label: "Webhooks", view: webhooks, needs: [READ] },
  letters: { label: "Dead letters", view: letters, needs: [READ] },
  audit: { label: "Audit log", view: audit, needs: [READ, MANAGE] },
  quota: { label: "Quota", view: quota, needs: [READ] },
  open: { label: "Open a bundle", view: open, needs: [], isOpen: true },
};

let leaving = new AbortController();

/** Goes to a page; what is left empty does not stand in its address. */
function go(page, query = {}) {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
  const target = `#/${page}${search ? `?${search}` : ""}`;
  if (location.hash === target) route();
  else location.hash = target;
}

function wanted() {
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, ...names] = path.split("/").filter(Boolean).map(decoded);
  return { page: page || "runs", names, query: Object.fromEntries(new URLSearchParams(search ?? "")) };
}

function decoded(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

async function route() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const { page, names, query } = wanted();
  const known = PAGES[page];
  const view = el("div", { class: `page page-${known ? page : "none"}` });
  fill(document.getElementById("main"), view);
  frame(known?.within ?? page);
  say("");
  try {
    if (!known) {
      view.append(el("h1", { tabindex: "-1" }, "There is no such page"), el("p", {}, el("a", { href: "#/runs" }, "To the runs")));
    } else if (!known.isOpen && !session.isSignedIn()) {
      signIn.show(view, route);
    } else if (!session.may(...known.needs) && !known.isOpen) {
      view.append(el("h1", { tabindex: "-1" }, known.label ?? "New run"), el("p", { class: "notice" }, `This client may not see this (scopes ${known.needs.join(" and ")}).`));
    } else {
      view.setAttribute("aria-busy", "true");
      await (names.length > 0 && known.one ? known.one : known.view).show({ view, names, query, go, signal });
    }
  } catch (error) {
    if (signal.aborted) return;
    if (!view.querySelector("h1")) view.append(el("h1", { tabindex: "-1" }, known?.label ?? "Export Center"));
    view.append(problemBox(error), button("Try again", route));
  }
  if (signal.aborted) return;
  view.removeAttribute("aria-busy");
  const title = view.querySelector("h1");
  document.title = `${title?.textContent ?? "Console"} · Export Center`;
  title?.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function frame(page) {
  const nav = document.getElementById("nav");
  const isIn = session.isSignedIn();
  const shown = Object.entries(PAGES).filter(([, one]) => one.label && (one.isOpen || (isIn && session.may(...one.needs))));
  nav.hidden = !isIn && page !== "open";
  if (!isIn) shown.unshift(["runs", { label: "Sign in" }]);
  fill(nav, el("ul", {}, shown.map(([name, one]) => el("li", {}, el("a", { href: `#/${name}`, "aria-current": name === page ? "page" : null }, one.label)))));
  fill(document.getElementById("who"), isIn ? who() : null);
}

function who() {
  const { tenants, tenant, clientId } = session.current();
  const leave = () => {
    session.signOut();
    route();
  };
  const choose = () => {
    session.chooseTenant(select.value);
    go("runs");
  };
  const select = el("select", { "aria-label": "Tenant", onchange: choose }, tenants.map((name) => el("option", { value: name, selected: name === tenant }, name)));
  return [tenants.length > 1 ? select : el("span", {}, tenant ?? ""), el("span", { class: "quiet" }, clientId), button("Sign out", leave, { class: "small" })];
}

window.addEventListener("hashchange", route);
route();
