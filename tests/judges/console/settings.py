"""Profiles, schedules, webhooks, dead letters, and who may change them."""

import json
import re
import urllib.parse

from playwright.sync_api import expect

from person import PAGES, PLANTED, SET, ctl, sign_in, visit, watched


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
    page.get_by_role("button", name="Rotate secret").click()
    page.get_by_role("dialog").get_by_role("button", name="Rotate the secret").click()
    expect(page.locator(".notice")).to_contain_text("whsec_")
    page.get_by_role("button", name="I have it").click()
    expect(page.locator(".page")).not_to_contain_text("whsec_")
    expect(page.locator(".page")).to_contain_text("signs as well until")
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
