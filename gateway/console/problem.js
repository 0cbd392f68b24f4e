// What went wrong, as the API tells it (RFC 9457), and how it is shown: what, why, where, its code, and the trace to search logs for.

import { el } from "./dom.js";
import { copyButton } from "./format.js";

/** The API said no. */
export class Refused extends Error {
  constructor(status, problem, retryAfter) {
    super(problem?.title ?? `the gateway answered ${status}`);
    this.status = status;
    this.problem = problem ?? {};
    this.retryAfter = retryAfter;
  }

  get code() {
    return this.problem.code;
  }
}

/** Nobody answered. */
export class Unreachable extends Error {}

/** Something that a person is to be told in these words. */
export class Told extends Error {}

/** A box with everything that is known of an error. */
export function problemBox(error, title) {
  if (error instanceof Refused) return refusedBox(error, title);
  const known = error instanceof Unreachable || error instanceof Told;
  const text = known ? error.message : "The console made a mistake. Load the page again; if it comes back, tell whoever runs the gateway.";
  return el("div", { class: "problem", role: "alert" }, el("strong", {}, title ?? "That did not work"), el("p", {}, text));
}

function refusedBox(error, title) {
  const { detail, errors, code, traceId } = error.problem;
  const list = Array.isArray(errors) && errors.length > 0
    ? el("ul", {}, errors.map((fault) => el("li", {}, el("code", {}, fault.path), ` ${fault.problem}`)))
    : null;
  const wait = error.retryAfter ? el("p", {}, `Try again in ${error.retryAfter} s.`) : null;
  const trace = traceId ? el("span", { class: "digest" }, el("span", {}, "trace "), el("code", {}, traceId), copyButton(traceId, "trace id")) : null;
  const name = error.message.charAt(0).toUpperCase() + error.message.slice(1);
  return el("div", { class: "problem", role: "alert" },
    el("strong", {}, title ? `${title}: ${error.message}` : name),
    detail ? el("p", {}, detail) : null, list, wait,
    el("p", { class: "quiet" }, el("code", {}, code ?? `HTTP ${error.status}`), " ", trace));
}

/** Puts the faults of fields beside their fields; gives those that belong to none of them. */
export function placeFaults(form, error) {
  for (const place of form.querySelectorAll(".wrong")) place.textContent = "";
  for (const control of form.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
  const faults = error instanceof Refused && Array.isArray(error.problem.errors) ? error.problem.errors : [];
  let first = null;
  const left = faults.filter((fault) => {
    const boxes = Array.from(form.querySelectorAll("[data-path]"));
    const box = boxes.find((one) => isOf(String(fault.path), one.dataset.path));
    if (!box) return true;
    const place = box.querySelector(".wrong");
    place.textContent = place.textContent ? `${place.textContent}; ${fault.problem}` : fault.problem;
    const control = box.querySelector("input, select, textarea");
    control?.setAttribute("aria-invalid", "true");
    first ??= control;
    return false;
  });
  first?.focus();
  return left;
}

/** `selectors.kinds[0]` and `selectors.kinds.0` are of `selectors.kinds`. */
function isOf(path, name) {
  return path === name || (path.startsWith(name) && /^[.[]/.test(path.slice(name.length)));
}
