"""What the pages promise."""

import re

from .observed import alerts
from .tools import ROOT, expect


def runbooks():
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", page, re.M)}
    for alert in alerts():
        for member in ["summary", "description", "runbook_url"]:
            expect(alert["annotations"].get(member), f"{alert['alert']} has no {member}")
        expect(alert["labels"].get("severity") in {"critical", "warning"}, f"{alert['alert']} has no severity")
        file, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        expect(file == "docs/operations.md", f"{alert['alert']}: its runbook is not docs/operations.md")
        expect(anchor == alert["alert"].lower() and anchor in anchors, f"{alert['alert']}: docs/operations.md has no section #{anchor}")
    of_alerts = set(re.findall(r"^### (Export\w+)$", page, re.M))
    strange = sorted(of_alerts - {alert["alert"] for alert in alerts()})
    expect(not strange, f"docs/operations.md has runbooks of no alert: {', '.join(strange)}")


def compliance():
    """Each test that docs/compliance.md names is there, and each line of the checklist has its section."""
    page = (ROOT / "docs/compliance.md").read_text(encoding="utf-8")
    there = set()
    for top in ["crates", "stages", "gateway", "exportd", "exportctl", "jetstream", "tests"]:
        for path in (ROOT / top).rglob("*.rs"):
            there |= set(re.findall(r"\bfn ([a-z0-9_]+)", path.read_text(encoding="utf-8")))
    missing = sorted(set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+){3,})`", page)) - there)
    expect(not missing, f"docs/compliance.md names tests that are not there: {', '.join(missing)}")
    sections = re.findall(r"^## (.+)$", page, re.M)
    expect(len(sections) == 6, "docs/compliance.md: the checklist has six lines")
    for section in re.split(r"^## ", page, flags=re.M)[1:]:
        for row in re.findall(r"^\| (?!claim|---)(.+)$", section, re.M):
            expect("`" in row, f"docs/compliance.md: nothing shows `{row}`")
