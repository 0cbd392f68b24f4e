// The first page: who calls.

import { el, field, fill, heading } from "./dom.js";
import { fromJson } from "./encoding.js";
import { Told, problemBox } from "./problem.js";
import { isPossible } from "./proof.js";
import { signIn } from "./session.js";

const MAX_FILE = 64 << 10;

/** Shows the form; `done` is called once somebody is signed in. */
export function show(view, done) {
  view.append(heading("Sign in"));
  if (!isPossible()) {
    view.append(insecure());
    return;
  }
  const file = el("input", { type: "file", accept: ".json,application/json" });
  const id = el("input", { autocomplete: "off", spellcheck: "false" });
  const secret = el("input", { type: "password", autocomplete: "off" });
  const endpoint = el("input", { type: "url", autocomplete: "off", placeholder: `${location.origin}/authority/token` });
  const trouble = el("div");
  const submit = el("button", { type: "submit", class: "primary" }, "Sign in");
  let tenant;
  const form = el("form", { class: "card sign-in", novalidate: true },
    field("Credentials file", file, { hint: "credentials.json, which exportd all and exportd client put write" }),
    el("p", { class: "or quiet" }, "or"),
    field("Client id", id), field("Client secret", secret),
    el("details", {}, el("summary", {}, "Tokens from elsewhere"), field("Token endpoint", endpoint, { hint: "Where the gateway issues no tokens itself" })),
    trouble, el("div", { class: "actions" }, submit),
    el("p", { class: "quiet" }, "Nothing is stored: the secret, the token and its key are in the memory of this page. Leaving or reloading it signs you out."));

  file.addEventListener("change", async () => {
    fill(trouble);
    try {
      const found = await read(file.files[0]);
      if (!found) return;
      id.value = found.clientId;
      secret.value = found.clientSecret;
      endpoint.value = found.tokenEndpoint ?? "";
      ({ tenant } = found);
      // A secret goes to the server that it is for: whether another address is the same server only the person knows.
      if (found.server && originOf(found.server) !== location.origin) {
        fill(trouble, el("p", { class: "notice", role: "alert" }, `These credentials are for ${found.server}, and this page is at ${location.origin}. If that is the same gateway, press “Sign in”.`));
        submit.focus();
        return;
      }
      await enter();
    } catch (error) {
      fill(trouble, problemBox(error, "This file cannot be used"));
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    enter();
  });

  async function enter() {
    fill(trouble);
    if (!id.value.trim() || !secret.value) {
      fill(trouble, problemBox(new Told("Choose a credentials file, or type client id and secret."), "Nobody can be signed in yet"));
      id.focus();
      return;
    }
    if (endpoint.value && !originOf(endpoint.value)) {
      fill(trouble, problemBox(new Told("The token endpoint is no address."), "You are not signed in"));
      return;
    }
    submit.disabled = true;
    try {
      await signIn({ endpoint: endpoint.value.trim(), clientId: id.value.trim(), clientSecret: secret.value, tenant });
      secret.value = "";
      done();
    } catch (error) {
      fill(trouble, problemBox(error, "You are not signed in"));
    } finally {
      submit.disabled = false;
    }
  }
  view.append(form, el("p", {}, "To look into a bundle nobody needs to sign in: ", el("a", { href: "#/open" }, "open a bundle"), "."));
}

async function read(file) {
  if (!file) return null;
  if (file.size > MAX_FILE) throw new Told("It is too large for a credentials file.");
  const found = fromJson(await file.text());
  if (typeof found?.clientId !== "string" || typeof found?.clientSecret !== "string") {
    throw new Told("It has no clientId and clientSecret. exportd all writes credentials.json into its data folder.");
  }
  return found;
}

function originOf(address) {
  try {
    return new URL(address).origin;
  } catch {
    return null;
  }
}

function insecure() {
  return el("div", { class: "problem", role: "alert" }, el("strong", {}, "This page came over plain HTTP from another machine"),
    el("p", {}, "Browsers allow no keys there, and without one no request can be signed. Any of these helps:"),
    el("ul", {}, el("li", {}, "Give the gateway a certificate (tls.certificate_file), or put it behind a proxy with one, and come over HTTPS."),
      el("li", {}, "Open the console on the gateway's own machine, at localhost."),
      el("li", {}, "Forward a port: ", el("code", {}, `ssh -L 8480:${location.host} ${location.hostname}`), ", then open localhost:8480.")));
}
