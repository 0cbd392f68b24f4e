"""Uses the console in a real Chromium as a person would: each story is a function, and they run in their order.

What it needs comes as JSON in EXPORT_CONSOLE: `server`, `credentials`, `reader` (a client that may only read), `both` (one of two tenants),
`elsewhere` (the origin of another token endpoint, to be listened at),
`key`, `exportctl` and a `folder` to write to. Names of stories as arguments run only those.
"""

import http.client
import http.server
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import traceback
import urllib.parse

from playwright.sync_api import expect, sync_playwright

SET = json.loads(os.environ["EXPORT_CONSOLE"])
SERVER = SET["server"]
FOLDER = pathlib.Path(SET["folder"])
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


def visit(page, name):
    page.evaluate("(name) => { location.hash = `#/${name}`; }", name)
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


def a_failed_sign_in_names_its_cause(browser):
    page = watched(browser)
    page.goto(f"{SERVER}/")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("type client id and secret")
    page.get_by_label("Client id").fill("local")
    page.get_by_label("Client secret").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("that is not its secret")
    other = FOLDER / "other.json"
    for text, says in [("no json", "has no clientId"), ("[]", "has no clientId")]:
        other.write_text(text)
        page.get_by_label("Credentials file").set_input_files([])
        page.get_by_label("Credentials file").set_input_files(other)
        expect(page.get_by_role("alert")).to_contain_text(says)
    # A secret is not sent to a server that it is not for, unless the person says so.
    document = json.loads(pathlib.Path(SET["credentials"]).read_text())
    tokens = []
    page.on("request", lambda request: tokens.append(request) if "/authority/token" in request.url else None)
    other.write_text(json.dumps({**document, "server": "https://elsewhere.example"}))
    page.get_by_label("Credentials file").set_input_files([])
    page.get_by_label("Credentials file").set_input_files(other)
    expect(page.get_by_role("alert")).to_contain_text("https://elsewhere.example")
    assert not tokens
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    stored = page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]")
    assert stored == [0, 0, ""], stored
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.context.close()


def without_keys_of_the_browser_it_says_what_to_do(browser):
    page = watched(browser)
    # Another name of this machine, over plain HTTP: no secure context. The browser was told where that name leads.
    port = urllib.parse.urlsplit(SERVER).port
    page.goto(f"http://gateway.test:{port}/")
    expect(page.get_by_role("alert")).to_contain_text("plain HTTP from another machine")
    expect(page.get_by_role("alert")).to_contain_text("tls.certificate_file")
    asked.discard(f"http://gateway.test:{port}")
    page.context.close()


def a_run_is_started_and_watched_to_its_end_and_its_stream_is_taken_up_again(browser):
    page = watched(browser)
    sign_in(page)
    resumed = []

    def break_off(route):
        """The first answer ends behind its first event, as a connection that breaks, and then nobody answers for a while."""
        resumed.append(route.request.headers.get("last-event-id"))
        if len(resumed) == 1:
            event = {"ordinal": 1, "eventType": "run.pending", "message": "taken", "at": "2026-01-01T00:00:00Z", "metrics": {}}
            route.fulfill(status=200, content_type="application/x-ndjson", body=json.dumps(event) + "\n")
        elif len(resumed) == 2:
            route.abort()
        else:
            route.continue_()

    page.route("**/events", break_off)
    run = start_by_hand(page)
    expect(page.locator(".live")).to_contain_text("asking again")
    page.wait_for_selector("[data-stage=adapt].is-running")
    expect(page.locator(".live")).to_contain_text("Live")
    expect(page.locator("progress")).to_be_visible()
    expect(status(page)).to_have_text("succeeded", timeout=60 * SECONDS)
    for stage in ["plan", "resolve", "adapt", "manifest", "sign", "distribute"]:
        expect(page.locator(f"[data-stage={stage}]")).to_have_class(re.compile("is-done"))
    assert resumed[:3] == [None, "1", "1"], resumed
    expect(page.locator(".stages")).to_contain_text("records")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    # Whoever comes later sees the same.
    page.unroute("**/events")
    visit(page, "runs")
    page.get_by_role("link", name=re.compile(f"^{run[:10]}")).click()
    expect(page.locator("[data-stage=adapt]")).to_have_class(re.compile("is-done"))
    expect(page.locator("[data-stage=adapt] .took")).to_be_visible()
    visit(page, "runs?status=succeeded&profile=json-raw")
    expect(page.locator("tbody tr")).not_to_have_count(0)
    visit(page, "runs?status=failed")
    expect(page.get_by_text("No run is like that.")).to_be_visible()
    page.context.close()
    return run


def taken(page, name, target):
    with page.expect_download() as download:
        page.get_by_role("button", name=name, exact=True).click()
    download.value.save_as(target)


def the_bundle_comes_through_the_page_and_verifies(browser):
    page = watched(browser)
    sign_in(page)
    page.locator("tbody tr", has=page.locator(".badge.is-succeeded")).first.get_by_role("link").click()
    folder = FOLDER / "taken"
    folder.mkdir()
    expect(page.get_by_text("How to verify")).to_be_visible()
    taken(page, "Download bundle.tar", folder / "bundle.tar")
    page.get_by_text("Files beside the bundle").click()
    names = page.locator(".downloads li button.link").all_inner_texts()
    assert {"export.json", "export.json.sig", "provenance.sigstore.json"} <= set(names), names
    for name in names:
        taken(page, f"Download {name}", folder / name)
    ctl("bundle", "verify", str(folder), "--key", SET["key"])
    page.get_by_role("button", name="Make a link to share").click()
    link = page.get_by_label("Whoever has this link").input_value()
    assert link.startswith(f"{SERVER}/api/export/links/"), link
    page.context.close()


def chosen(page, files, key=None):
    page.get_by_label("Public key").set_input_files([key] if key else [])
    page.get_by_label("Bundle").set_input_files([str(file) for file in files])
    expect(page.locator(".verdict h2, .problem").first).to_be_visible()
    return page.locator(".page").inner_text()


def a_bundle_is_opened_in_the_page_and_what_is_wrong_is_named(browser):
    page = watched(browser)
    sent = []
    page.goto(f"{SERVER}/#/open")
    expect(page.get_by_role("heading", name="Open a bundle")).to_be_visible()
    page.on("request", lambda request: sent.append(request.url))
    folder = FOLDER / "taken"
    files = sorted(folder.iterdir())
    text = chosen(page, files, SET["key"])
    assert page.locator(".verdict h2").inner_text().startswith("Proven: "), text
    assert "signed by the key that you gave" in text and "advisories.jsonl.zst" in text and "WRONG" not in text
    text = chosen(page, files)
    assert "not all was checked" in text and "The cosign.pub that came with it proves nothing" in text, text
    text = chosen(page, [folder / "bundle.tar"], SET["key"])
    assert "choose export.json.sig" in text, text
    # One archive with everything.
    delivery = FOLDER / "delivery.tar"
    ctl("bundle", "pack", str(folder), "--out", str(delivery))
    text = chosen(page, [delivery], SET["key"])
    assert page.locator(".verdict h2").inner_text().startswith("Proven: "), text
    changed = FOLDER / "changed"
    changed.mkdir()
    plain = (folder / "bundle.tar").read_bytes()
    with tarfile.open(folder / "bundle.tar") as archive:
        member = archive.getmember("data/raw/advisories.jsonl.zst")
    spoilt = bytearray(plain)
    spoilt[member.offset_data + member.size // 2] ^= 1
    (changed / "bundle.tar").write_bytes(spoilt)
    text = chosen(page, [changed / "bundle.tar", folder / "export.json.sig"], SET["key"])
    assert "data/raw/advisories.jsonl.zst (other bytes than listed)" in text and "is not what it should be" in text, text
    # Another manifest is not what was signed.
    (changed / "export.json").write_bytes((folder / "export.json").read_bytes().replace(b'"tenant":"demo"', b'"tenant":"evil"'))
    text = chosen(page, [changed / "export.json", folder / "export.json.sig"], SET["key"])
    assert "was not signed by the key" in text, text
    other = FOLDER / "other.pub"
    subprocess.run(f"openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout -out {other}", shell=True, check=True, capture_output=True)
    text = chosen(page, files, str(other))
    assert "was not signed by the key" in text, text
    assert not sent, sent
    page.context.close()


def hostile(names):
    """A tar with these files, as Python writes them."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, body, kind in names:
            member = tarfile.TarInfo(name)
            member.type = kind
            member.size = len(body) if kind == tarfile.REGTYPE else 0
            member.linkname = "/etc/passwd" if kind == tarfile.SYMTYPE else ""
            archive.addfile(member, io.BytesIO(body))
    return made.getvalue()


def hostile_files_are_refused_in_words(browser):
    page = watched(browser)
    page.goto(f"{SERVER}/#/open")
    regular = tarfile.REGTYPE
    good = (FOLDER / "taken/bundle.tar").read_bytes()
    manifest = json.loads((FOLDER / "taken/export.json").read_text())
    planted = {**manifest, "tenant": PLANTED, "sources": [{**manifest["sources"][0], "name": PLANTED}]}
    deep = b'{"schema":"urn:export-center:manifest","contents":' + b"[" * 100_000
    rows = [
        ("noise", os.urandom(4096), "This is no tar."),
        ("empty", b"", "This is no tar."),
        ("cut", good[: len(good) // 2], "ends"),
        ("behind", good + b"x" * 512, "behind the end"),
        ("up", hostile([("../../up", b"x", regular)]), "leads elsewhere"),
        ("root", hostile([("/etc/passwd", b"x", regular)]), "leads elsewhere"),
        ("link", hostile([("a", b"", tarfile.SYMTYPE)]), "no plain file"),
        ("twice", hostile([("a", b"1", regular), ("a", b"2", regular)]), "twice"),
        ("nothing", hostile([("a", b"1", regular)]), "There is no export.json"),
        ("deep", hostile([("manifests/export.json", deep, regular)]), "not the manifest"),
        ("number", hostile([("manifests/export.json", b"7", regular)]), "not the manifest"),
        ("huge", good[:124] + b"77777777777\0" + good[136:], "checksum"),
        ("planted", hostile([("manifests/export.json", json.dumps(planted).encode(), regular)]), PLANTED),
    ]
    for name, body, says in rows:
        file = FOLDER / f"{name}.tar"
        file.write_bytes(body)
        text = chosen(page, [file])
        assert says in text, f"{name}: {text}"
        assert "The console made a mistake" not in text, f"{name}: {text}"
        assert page.evaluate("window.hurt") is None and page.locator("main img").count() == 0, name
    key = FOLDER / "no.pub"
    key.write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    text = chosen(page, sorted((FOLDER / "taken").iterdir()), str(key))
    assert "none of ECDSA P-256" in text, text
    page.context.close()


def faults_stand_beside_their_fields_and_a_failure_names_its_code(browser):
    page = watched(browser)
    sign_in(page)
    visit(page, "new")
    page.get_by_label("Profile", exact=True).select_option("json-raw")
    page.get_by_label("Observed within").fill("a while")
    page.get_by_role("button", name="Start the run").click()
    box = page.locator("[data-path^='selectors.window']", has=page.locator(".wrong:not(:empty)")).first
    expect(box).to_be_visible()
    assert "#/new" in page.url
    page.get_by_label("Observed within").fill("")
    page.get_by_label("Ecosystems").fill("no-such-ecosystem")
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url("**/#/runs/*")
    expect(status(page)).to_have_text("failed")
    expect(page.locator(".problem")).to_contain_text("ERR_EXPORT_EMPTY")
    expect(page.locator(".problem")).to_contain_text("replay the run")
    expect(page.locator(".page")).to_contain_text("no-such-ecosystem")
    visit(page, "runs/01kdvdna000000000000000007")
    expect(page.get_by_role("alert")).to_contain_text("ERR_EXPORT_RUN_NOT_FOUND")
    expect(page.get_by_role("alert")).to_contain_text("trace")
    page.context.close()


def a_run_is_cancelled_after_a_question_and_replayed(browser):
    page = watched(browser)
    sign_in(page)
    # One run at a time: the second waits for its turn, so there is time for a person.
    first = json.loads(ctl("run", "start", "json-raw", "-o", "json"))["id"]
    second = json.loads(ctl("run", "start", "json-raw", "-o", "json"))["id"]
    posted = []
    page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)
    visit(page, f"runs/{second}")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Keep it as it is").click()
    page.get_by_role("button", name="Cancel").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert not posted, posted
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the run").click()
    expect(status(page)).to_have_text("aborted")
    assert ctl("run", "show", first, "-o", "json")
    page.get_by_role("button", name="Replay").click()
    expect(status(page)).to_have_text("succeeded", timeout=60 * SECONDS)
    expect(page.locator(".page")).to_contain_text("Generation")
    page.context.close()


def what_is_planted_in_names_stays_text(browser):
    page = watched(browser)
    sign_in(page)
    visit(page, "profiles")
    page.get_by_role("button", name="New profile").click()
    page.get_by_label("Name", exact=True).fill(PLANTED)
    page.get_by_label("Id", exact=True).fill("planted")
    page.get_by_label("Description").fill(f"d{PLANTED}")
    page.get_by_label("Configuration").fill('{"partitionRecords": -1}')
    page.get_by_role("button", name="Make it").click()
    expect(page.locator("[data-path=config] .wrong")).not_to_be_empty()
    page.get_by_label("Configuration").fill('{"allowEmpty": true}')
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("heading", name="Profile planted")).to_be_visible()
    visit(page, "new?profile=planted")
    page.get_by_label("Only these documents").fill(f"{PLANTED}*")
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url("**/#/runs/*")
    run = page.url.rsplit("/", 1)[1]
    expect(page.locator(".page")).to_contain_text(f"{PLANTED}*")
    for name in [f"runs/{run}", "profiles", "profiles/planted", "new?profile=planted", "runs", "audit", f"runs?profile={urllib.parse.quote(PLANTED)}"]:
        visit(page, name)
        page.wait_for_timeout(150)
        assert page.evaluate("window.hurt") is None, name
        assert page.locator("main img").count() == 0, name
    visit(page, "profiles/planted")
    expect(page.locator(".page")).to_contain_text(f"d{PLANTED}")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete it").click()
    expect(page.get_by_role("heading", name="Profiles")).to_be_visible()
    expect(page.locator("main")).not_to_contain_text("planted")
    page.context.close()


def a_client_that_may_only_read_is_offered_nothing_else(browser):
    page = watched(browser)
    sign_in(page, SET["reader"])
    expect(page.locator("#nav")).not_to_contain_text("Audit log")
    allowed = re.compile("^(Copy.*|Sign out|Show.*|Try again)$")
    failed = json.loads(ctl("run", "list", "--status", "failed", "-o", "json"))[0]["id"]
    running = json.loads(ctl("run", "start", "json-raw", "-o", "json"))["id"]
    for name in [*PAGES, "runs?status=succeeded", f"runs/{running}", f"runs/{failed}"]:
        if name == "open":
            continue
        visit(page, name)
        names = [button.get_attribute("aria-label") or button.inner_text() for button in page.get_by_role("button").all()]
        assert all(allowed.match(button) for button in names), f"{name}: {names}"
        assert page.get_by_role("link", name=re.compile("^(New run|Run|Run it)$")).count() == 0, name
    visit(page, "runs?status=succeeded")
    page.locator("tbody a").first.click()
    expect(page.get_by_text("may not download")).to_be_visible()
    visit(page, "audit")
    expect(page.locator(".page")).to_contain_text("may not see this")
    page.context.close()


def a_schedule_and_a_webhook_are_made_and_changed(browser):
    page = watched(browser)
    sign_in(page)
    visit(page, "schedules")
    page.get_by_role("button", name="New schedule").click()
    page.get_by_label("Id", exact=True).fill("nightly")
    page.get_by_label("Profile", exact=True).select_option("json-raw")
    page.get_by_label("When", exact=True).fill("at night")
    page.get_by_role("button", name="Make it").click()
    expect(page.locator("[data-path=cron] .wrong")).not_to_be_empty()
    page.get_by_label("When", exact=True).fill("0 3 1 1 *")
    page.get_by_label("Time zone").fill("UTC")
    page.get_by_role("button", name="When would it run?").click()
    expect(page.locator("form")).to_contain_text("1 Jan")
    expect(page.locator("[data-schedule]")).to_have_count(0)
    page.get_by_role("button", name="Make it").click()
    page.get_by_role("button", name="Pause nightly").click()
    expect(page.locator("[data-schedule=nightly] .badge")).to_have_text("paused")
    page.get_by_role("button", name="Resume nightly").click()
    expect(page.locator("[data-schedule=nightly] .badge")).to_have_text("active")
    visit(page, "webhooks")
    page.get_by_role("button", name="New webhook").click()
    page.get_by_label("Address").fill("hooks.example")
    page.get_by_role("button", name="Make it").click()
    expect(page.locator("[data-path=url] .wrong")).not_to_be_empty()
    page.get_by_label("Address").fill("https://hooks.example/export")
    page.get_by_label("Description").fill(PLANTED)
    page.get_by_role("button", name="Make it").click()
    expect(page.locator("form")).to_contain_text("whsec_")
    page.get_by_role("button", name="I have it").click()
    expect(page.locator(".page")).not_to_contain_text("whsec_")
    expect(page.locator(".page")).to_contain_text(PLANTED)
    page.get_by_role("button", name="Send a test").click()
    expect(page.locator("tbody")).to_contain_text("webhook.test")
    page.get_by_role("button", name="Send again").click()
    visit(page, "quota")
    expect(page.locator("tbody")).to_contain_text("runs per day")
    visit(page, "audit?action=webhook.created")
    expect(page.locator("tbody tr", has_text="allowed")).to_have_count(1)
    page.get_by_label("What was done").select_option("schedule.created")
    expect(page.locator("tbody")).to_contain_text("schedules/nightly")
    visit(page, "schedules")
    page.get_by_role("button", name="Delete nightly").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete it").click()
    expect(page.get_by_text("There are no schedules.")).to_be_visible()
    page.context.close()


def dead_letters_are_shown_and_lead_back_to_their_run(browser):
    """The letters are planted in the answer: how they come to be, and what a replay does, other tests show."""
    page = watched(browser)
    sign_in(page)
    run = json.loads(ctl("run", "list", "--status", "failed", "-o", "json"))[0]["id"]
    letter = {"consumer": "sign", "subject": f"export.demo.{run}.g1.sign.retry.1", "deliveries": 6, "code": "ERR_EXPORT_POISONED",
              "reason": f"schema version 7 {PLANTED}", "payload": PLANTED, "at": "2026-01-01T00:00:00Z", "sequence": 7, "v": 1}
    one = {"id": 7, "runId": run, "generation": 1, "phase": "sign", "letter": letter}
    pages = iter([{"letters": [one], "nextCursor": "more"}, {"letters": [{**one, "id": 8, "phase": "adapt", "part": 3}], "nextCursor": None}])
    page.route("**/api/export/dead-letters*", lambda route: route.fulfill(json=next(pages)))
    posted = []
    page.on("request", lambda request: posted.append(urllib.parse.urlsplit(request.url).path) if request.method == "POST" else None)
    visit(page, "letters")
    page.get_by_role("button", name="Show more").click()
    expect(page.get_by_role("heading", name="adapt, part 3")).to_be_visible()
    page.get_by_text("What it said").first.click()
    expect(page.locator("pre").first).to_have_text(PLANTED)
    assert page.evaluate("window.hurt") is None
    page.get_by_role("button", name="Replay its run").first.click()
    expect(page.get_by_role("alert")).to_contain_text("It was not replayed")
    assert posted[-1] == "/api/export/dead-letters/7/replay", posted
    page.context.close()


def a_token_is_renewed_before_it_ends_and_a_tenant_can_be_chosen(browser):
    page = watched(browser)
    answers = []

    def shortened(route):
        answer = route.fetch()
        document = json.loads(answer.text())
        answers.append(document)
        if "expires_in" in document:
            document["expires_in"] = 3
        route.fulfill(response=answer, json=document)

    page.route("**/authority/token", shortened)
    sign_in(page, SET["both"])
    first = sum("access_token" in answer for answer in answers)
    expect(page.get_by_label("Tenant")).to_have_value("demo")
    visit(page, "quota")
    expect(page.locator(".page")).to_contain_text("Of the tenant demo")
    page.get_by_label("Tenant").select_option("other")
    visit(page, "quota")
    expect(page.locator(".page")).to_contain_text("Of the tenant other")
    page.wait_for_timeout(2 * SECONDS)
    visit(page, "profiles")
    expect(page.locator("tbody")).to_contain_text("json-raw")
    assert sum("access_token" in answer for answer in answers) > first
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.context.close()


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """A token endpoint of another origin: it hands on to the gateway's, under its own name, and lets pages of the gateway ask."""

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in {**headers, "Access-Control-Allow-Origin": SERVER, "Access-Control-Expose-Headers": "DPoP-Nonce"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_OPTIONS(self):
        self.answer(204, {"Access-Control-Allow-Headers": "dpop", "Access-Control-Allow-Methods": "POST"}, b"")

    def do_POST(self):
        gateway = http.client.HTTPConnection(urllib.parse.urlsplit(SERVER).netloc, timeout=20)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name: self.headers[name] for name in ["Host", "Content-Type", "DPoP"]}
        gateway.request("POST", "/authority/token", body, headers)
        answer = gateway.getresponse()
        kept = {name: value for name, value in answer.getheaders() if name.lower() in ("content-type", "dpop-nonce")}
        self.answer(answer.status, kept, answer.read())
        gateway.close()

    def log_message(self, *_):
        pass


def a_token_endpoint_elsewhere_is_asked_where_it_is_named_and_no_other(browser):
    named = SET["elsewhere"]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", urllib.parse.urlsplit(named).port), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    document = json.loads(pathlib.Path(SET["credentials"]).read_text())
    file = FOLDER / "elsewhere.json"
    try:
        page = watched(browser)
        page.goto(f"{SERVER}/")
        for endpoint in ["http://localhost:1", named]:
            file.write_text(json.dumps({**document, "tokenEndpoint": f"{endpoint}/authority/token"}))
            page.get_by_label("Credentials file").set_input_files([])
            page.get_by_label("Credentials file").set_input_files(file)
            if endpoint == named:
                break
            # The policy of the page forbids it before anything is sent.
            expect(page.get_by_role("alert")).to_contain_text("console.authorities")
            assert faults and all("Content Security Policy" in fault or "connect-src" in fault for fault in faults), faults
            faults.clear()
            asked.discard(endpoint)
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        visit(page, "profiles")
        expect(page.locator("tbody")).to_contain_text("json-raw")
        assert named in asked, asked
        asked.discard(named)
        page.context.close()
    finally:
        server.shutdown()
        server.server_close()


UNNAMED = """() => {
  const found = [];
  for (const one of document.querySelectorAll('input, select, textarea, button, a, progress, meter')) {
    const label = one.getAttribute('aria-label') || (one.labels && one.labels.length ? one.labels[0].textContent : '') || one.textContent;
    if (!label.trim()) found.push(one.outerHTML);
  }
  const ids = Array.from(document.querySelectorAll('[id]'), (one) => one.id);
  if (new Set(ids).size !== ids.length) found.push('an id is there twice');
  for (const one of document.querySelectorAll('img:not([alt])')) found.push(one.outerHTML);
  for (const one of document.querySelectorAll('[aria-describedby]')) {
    for (const id of one.getAttribute('aria-describedby').split(' ')) if (!document.getElementById(id)) found.push(`no ${id}`);
  }
  if (document.querySelectorAll('h1').length !== 1) found.push('not one h1');
  if (document.querySelectorAll('main').length !== 1 || !document.documentElement.lang) found.push('no landmark or language');
  return found;
}"""


def every_control_has_a_name_and_nothing_is_wider_than_a_telephone(browser):
    for scheme in ["light", "dark"]:
        page = watched(browser, color_scheme=scheme)
        page.set_viewport_size({"width": 360, "height": 740})
        page.goto(f"{SERVER}/")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        run = None
        for name in [None, *PAGES, "run"]:
            if name == "runs":
                sign_in(page)
            if name == "run":
                name = f"runs/{json.loads(ctl('run', 'list', '--status', 'succeeded', '-o', 'json'))[0]['id']}"
            if name:
                visit(page, name)
            page.wait_for_timeout(150)
            unnamed = page.evaluate(UNNAMED)
            assert not unnamed, f"{name}: {unnamed}"
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= 360, f"{name} is {width} wide"
            focused = page.evaluate("document.activeElement.tagName")
            assert focused in ("H1", "BODY"), f"{name}: {focused} has the focus"
        page.context.close()


STORIES = [
    a_failed_sign_in_names_its_cause,
    without_keys_of_the_browser_it_says_what_to_do,
    a_run_is_started_and_watched_to_its_end_and_its_stream_is_taken_up_again,
    the_bundle_comes_through_the_page_and_verifies,
    a_bundle_is_opened_in_the_page_and_what_is_wrong_is_named,
    hostile_files_are_refused_in_words,
    faults_stand_beside_their_fields_and_a_failure_names_its_code,
    a_run_is_cancelled_after_a_question_and_replayed,
    what_is_planted_in_names_stays_text,
    a_client_that_may_only_read_is_offered_nothing_else,
    a_schedule_and_a_webhook_are_made_and_changed,
    dead_letters_are_shown_and_lead_back_to_their_run,
    a_token_is_renewed_before_it_ends_and_a_tenant_can_be_chosen,
    a_token_endpoint_elsewhere_is_asked_where_it_is_named_and_no_other,
    every_control_has_a_name_and_nothing_is_wider_than_a_telephone,
]


def tell(browser, story):
    began = time.monotonic()
    try:
        story(browser)
        assert asked == {SERVER}, f"others were asked: {asked}"
        assert not faults, faults
    except Exception:
        for context in browser.contexts:
            for page in context.pages:
                print(f"{page.url}\n{page.locator('body').inner_text()[:3000]}", file=sys.stderr)
        traceback.print_exc()
        sys.exit(f"failed: {story.__name__}")
    print(f"{time.monotonic() - began:5.1f} s  {story.__name__}")


def main():
    wanted = [story for story in STORIES if len(sys.argv) < 2 or story.__name__ in sys.argv[1:]]
    flags = ["--host-resolver-rules=MAP gateway.test 127.0.0.1"]
    # Its sandbox needs what root in a container has not.
    if os.geteuid() == 0:
        flags.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        try:
            for story in wanted:
                tell(browser, story)
        finally:
            browser.close()


main()
