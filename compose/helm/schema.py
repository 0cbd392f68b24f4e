"""Keeps the settings in the chart's values.schema.json those of docs/configuration.md.

    schema.py            fails and says what differs
    schema.py --write    writes them

Settings whose values the chart itself gives (paths of mounted Secrets, listeners, drivers) are not to be set there.
"""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "compose/helm/export-center/values.schema.json"
GIVEN = {
    "data_dir", "listen", "admin_listen", "log.form", "workers.scratch_dir", "nats.password_file", "nats.server_program",
    "store.driver", "store.uri_file", "staging.driver", "staging.folder", "staging.secret_access_key_file",
    "object.secret_access_key_file", "authority.folder", "links.key_file", "webhooks.key_file",
}
# Several values, which the table does not tell from texts by their defaults.
LISTS = {
    "local_hosts", "registry.anonymous", "webhooks.allow_http_hosts", "webhooks.allow_private_hosts", "peer.sboms", "peer.advisories",
    "peer.vex", "peer.streams", "allow.profiles", "allow.distribution", "cors.origins", "console.authorities",
}
# Numbers by name.
NUMBERS = {"limits.profile_active_runs"}
# Tables of tables, whose members exportd itself checks.
TABLES = {"signing.keys", "signing.former_keys", "encryption.tenants", "oci.registries", "limits.tenants", "cross_tenant.approvers"}


def kind(setting, default):
    if setting in TABLES:
        return {"type": "array", "items": {"type": "object"}}
    if setting in NUMBERS:
        return {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}
    if setting in LISTS:
        return {"type": "array", "items": {"type": "string"}}
    if default in ("true", "false"):
        return {"type": "boolean"}
    if re.fullmatch(r"\d+", default):
        return {"type": "integer", "minimum": 0}
    return {"type": "string"}


def settings():
    """The schema of `config`."""
    properties = {}
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    for names, default in re.findall(r"^\| (`[a-z_.]+`(?:, `[a-z_.]+`)*) \| (.*?) \|", page, re.M):
        for name in re.findall(r"`([a-z_.]+)`", names):
            if name in GIVEN:
                continue
            section, _, key = name.rpartition(".")
            place = properties
            if section:
                closed = {"type": "object", "additionalProperties": False, "properties": {}}
                place = properties.setdefault(section, closed)["properties"]
            place[key] = kind(name, default.strip().strip("`"))
    return {"type": "object", "additionalProperties": False, "properties": properties}


def main():
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    wanted = settings()
    wanted["description"] = schema["properties"]["config"]["description"]
    if schema["properties"]["config"] == wanted:
        return
    if "--write" in sys.argv[1:]:
        schema["properties"]["config"] = wanted
        SCHEMA.write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
        return
    sys.exit("values.schema.json does not have the settings of docs/configuration.md: run compose/helm/schema.py --write")


main()
