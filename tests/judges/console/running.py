"""Runs from their start to their bundle."""

import json
import re
import subprocess

from playwright.sync_api import expect

from person import FOLDER, SECONDS, SERVER, SET, ctl, sign_in, start_by_hand, status, visit, watched


SEEN = """() => {
  window.seen = [];
  const look = () => document.querySelectorAll('[data-stage=adapt]').forEach((one) => window.seen.push(one.className));
  new MutationObserver(look).observe(document.getElementById('main'), { childList: true, subtree: true });
}"""


def a_run_is_started_and_watched_to_its_end(browser):
    page = watched(browser)
    sign_in(page)
    page.evaluate(SEEN)
    run = start_by_hand(page)
    expect(page.locator(".live")).to_contain_text("Live")
    expect(status(page)).to_have_text("succeeded", timeout=60 * SECONDS)
    for stage in ["plan", "resolve", "adapt", "manifest", "sign", "distribute"]:
        expect(page.locator(f"[data-stage={stage}]")).to_have_class(re.compile("is-done"))
    # It was seen at work, without anybody loading the page again.
    seen = page.evaluate("window.seen")
    assert "stage is-pending" in seen and "stage is-running" in seen and seen[-1] == "stage is-done", seen
    expect(page.locator("progress")).to_be_visible()
    expect(page.locator(".stages")).to_contain_text("records")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    # Whoever comes later sees the same.
    visit(page, "runs")
    page.get_by_role("link", name=re.compile(f"^{run[:10]}")).click()
    expect(page.locator("[data-stage=adapt]")).to_have_class(re.compile("is-done"))
    expect(page.locator("[data-stage=adapt] .took")).to_be_visible()
    visit(page, "runs?status=succeeded&profile=json-raw")
    expect(page.locator("tbody tr")).to_have_count(1)
    visit(page, "runs?status=failed")
    expect(page.get_by_text("No run is like that.")).to_be_visible()
    page.context.close()


def a_stream_that_broke_is_taken_up_behind_the_last_event(browser):
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
    start_by_hand(page)
    expect(page.locator(".live")).to_contain_text("asking again")
    expect(status(page)).to_have_text("succeeded", timeout=60 * SECONDS)
    assert resumed[:3] == [None, "1", "1"], resumed
    page.context.close()


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
    # One run at a time: the last waits for its turn, so there is time for a person, also on a machine that is busy.
    *others, last = [json.loads(ctl("run", "start", "json-raw", "-o", "json"))["id"] for _ in range(12)]
    posted = []
    page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)
    visit(page, f"runs/{last}")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Keep it as it is").click()
    page.get_by_role("button", name="Cancel").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert not posted, posted
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the run").click()
    expect(status(page)).to_have_text("aborted")
    for other in reversed(others):
        # Where its end was faster, there is nothing to cancel.
        subprocess.run([SET["exportctl"], "--credentials", SET["credentials"], "run", "cancel", other], capture_output=True, timeout=60)
    page.get_by_role("button", name="Replay").click()
    expect(status(page)).to_have_text("succeeded", timeout=60 * SECONDS)
    expect(page.locator(".page")).to_contain_text("Generation")
    page.context.close()
