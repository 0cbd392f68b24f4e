"""Who comes in, how, and who does not."""

import http.client
import http.server
import json
import pathlib
import threading
import urllib.parse

from playwright.sync_api import expect

from person import FOLDER, SECONDS, SERVER, SET, asked, faults, sign_in, visit, watched


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
            asked.discard(endpoint)
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        visit(page, "profiles")
        expect(page.locator("tbody")).to_contain_text("json-raw")
        assert named in asked, asked
        asked.discard(named)
        page.context.close()
        forbidden = [fault for fault in faults if "connect-src" in fault and "http://localhost:1/" in fault]
        assert forbidden, faults
        faults[:] = [fault for fault in faults if "http://localhost:1/" not in fault]
    finally:
        server.shutdown()
        server.server_close()
