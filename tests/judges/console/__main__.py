"""Uses the console in a real Chromium as a person would: each story is a function, and they run in their order.

What it needs comes as JSON in EXPORT_CONSOLE: `server`, `credentials`, `reader` (a client that may only read), `both` (one of two tenants),
`elsewhere` (the origin of another token endpoint, to be listened at), `key`, `exportctl` and a `folder` to write to. Names of stories as
arguments run only those.
"""

import os
import shutil
import sys
import time
import traceback

from playwright.sync_api import expect, sync_playwright

import bundles
import looks
import running
import settings
import signing_in
from person import SERVER, asked, faults

STORIES = [
    signing_in.a_failed_sign_in_names_its_cause,
    signing_in.without_keys_of_the_browser_it_says_what_to_do,
    running.a_run_is_started_and_watched_to_its_end,
    running.a_stream_that_broke_is_taken_up_behind_the_last_event,
    running.the_bundle_comes_through_the_page_and_verifies,
    bundles.a_bundle_is_opened_in_the_page_and_what_is_wrong_is_named,
    bundles.hostile_files_are_refused_in_words,
    running.faults_stand_beside_their_fields_and_a_failure_names_its_code,
    running.a_run_is_cancelled_after_a_question_and_replayed,
    settings.what_is_planted_in_names_stays_text,
    settings.a_client_that_may_only_read_is_offered_nothing_else,
    settings.a_schedule_and_a_webhook_are_made_and_changed,
    settings.dead_letters_are_shown_and_lead_back_to_their_run,
    signing_in.a_token_is_renewed_before_it_ends_and_a_tenant_can_be_chosen,
    signing_in.a_token_endpoint_elsewhere_is_asked_where_it_is_named_and_no_other,
    looks.every_control_has_a_name_text_can_be_read_and_nothing_is_wider_than_a_telephone,
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
    # Long enough for a machine that is busy; what comes is not waited for any longer.
    expect.set_options(timeout=20_000)
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
