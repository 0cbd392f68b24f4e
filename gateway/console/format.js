// How values are shown: times in local time with UTC on hover, digests short with a button that copies them whole.

import { button, el, say } from "./dom.js";

const NUMBER = new Intl.NumberFormat("en-GB");
const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export function number(value) {
  return NUMBER.format(value ?? 0);
}

/** A time as an element. */
export function time(at) {
  if (!at) return null;
  const when = new Date(at);
  if (Number.isNaN(when.getTime())) return el("span", {}, String(at));
  return el("time", { datetime: at, title: `${when.toISOString().replace("T", " ").slice(0, 19)} UTC` }, DAY.format(when));
}

export function bytes(count) {
  if (count === null || count === undefined) return null;
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? NUMBER.format(value) : value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

export function duration(millis) {
  if (millis === null || millis === undefined || Number.isNaN(millis)) return null;
  if (millis < 1000) return `${Math.round(millis)} ms`;
  if (millis < 60_000) return `${(millis / 1000).toFixed(1)} s`;
  const minutes = Math.floor(millis / 60_000);
  const seconds = Math.round((millis % 60_000) / 1000);
  return minutes < 60 ? `${minutes} min ${seconds} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A state with a colour of its own, and never by the colour alone. */
export function badge(state) {
  const known = /^[a-z-]+$/.test(state) ? state : "other";
  return el("span", { class: `badge is-${known}` }, state);
}

export function copyButton(text, what) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      say(`${what} copied`);
    } catch {
      say(`${what} cannot be copied here; select it instead`);
    }
  };
  return button("Copy", copy, { class: "small", "aria-label": `Copy ${what}` });
}

/** A digest: the first digits, all of them on hover and in the copy. */
export function digest(text, what = "digest") {
  if (!text) return null;
  const short = text.length > 24 ? `${text.slice(0, 19)}…` : text;
  return el("span", { class: "digest" }, el("code", { title: text }, short), copyButton(text, what));
}

/** A command as it is typed. */
export function command(text, what) {
  return el("div", { class: "command" }, el("pre", { tabindex: "0" }, el("code", {}, text)), copyButton(text, what));
}
