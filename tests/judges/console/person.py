"""Who sits before the browser, and what is watched meanwhile."""

import json
import os
import pathlib
import subprocess
import urllib.parse

from playwright.sync_api import expect

SET = json.loads(os.environ["EXPORT_CONSOLE"])
SERVER = SET["server"]
FOLDER = pathlib.Path(SET["folder"])
# What would do something if it became markup.
PLANTED = '<img src=x onerror="window.hurt=1">'
PAGES = ["runs", "new", "profiles", "profiles/json-raw", "schedules", "webhooks", "letters", "audit", "quota", "open"]
SECONDS = 1000

# What nothing may lead to, in any story: filled by listeners, looked at behind each story.
asked = set()
faults = []


def ctl(*arguments):
    command = [SET["exportctl"], "--credentials", SET["credentials"], *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


def watched(browser, **options):
    """A page whose requests, errors and violations are noted."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, accept_downloads=True, **options)
    context.expose_binding("violated", lambda _, what: faults.append(f"policy: {what}"))
    context.add_init_script(
        "document.addEventListener('securitypolicyviolation', (e) => window.violated(e.violatedDirective + ' ' + e.blockedURI));"
    )
    context.on("request", lambda request: asked.add("{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(request.url))))

    def said(message):
        # The browser says so of every refusal, and some are part of a story (a nonce is asked for, a secret is wrong).
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            faults.append(f"console: {message.text}")

    context.on("console", said)
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(f"page: {error}"))
    page.set_default_timeout(20 * SECONDS)
    return page


def sign_in(page, credentials=None):
    page.goto(f"{SERVER}/")
    page.get_by_label("Credentials file").set_input_files(credentials or SET["credentials"])
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


GO = """(name) => new Promise((resolve) => {
  const target = `#/${name}`;
  if (location.hash === target) return resolve();
  // The console's own listener was there first: when this one is called the new page has begun.
  addEventListener('hashchange', () => resolve(), { once: true });
  location.hash = target;
})"""


def visit(page, name):
    page.evaluate(GO, name)
    expect(page.locator(".page")).not_to_have_attribute("aria-busy", "true")
    expect(page.locator("main h1")).to_have_count(1)


def status(page):
    return page.locator("main h1 .badge")


def start_by_hand(page, profile="json-raw"):
    visit(page, "new")
    page.get_by_label("Profile", exact=True).select_option(profile)
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url("**/#/runs/*")
    return page.url.rsplit("/", 1)[1]
