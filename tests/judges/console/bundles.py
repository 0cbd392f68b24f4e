"""Bundles that are opened in the page, good ones and others."""

import io
import json
import os
import subprocess
import tarfile

from playwright.sync_api import expect

from person import FOLDER, PLANTED, SERVER, SET, ctl, watched


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
    over = {**manifest, "freshUntil": "2026-01-01T00:00:00Z"}
    lacking = {**manifest, "sources": [{**manifest["sources"][0], "state": "failed"}]}
    again = {**manifest, "contents": manifest["contents"] * 2}
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
        ("over", hostile([("manifests/export.json", json.dumps(over).encode(), regular)]), "no longer fresh"),
        ("lacking", hostile([("manifests/export.json", json.dumps(lacking).encode(), regular)]), "could not be read"),
        ("again", hostile([("manifests/export.json", json.dumps(again).encode(), regular)]), "not the manifest"),
        ("unlisted", hostile([("manifests/export.json", json.dumps(manifest).encode(), regular), ("evil", b"x", regular)]), "not listed: evil"),
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
