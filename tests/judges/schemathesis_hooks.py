"""Hooks for schemathesis: who calls, and with which names that there are.

Settings are variables: EXPORT_JUDGE has the server, the credentials, the kind of token (`valid`, `none` or `invalid`), names that the
server knows, and the file to which the counts of requests go.

A token that is bound to a key (it says `cnf`, RFC 9449) is sent as `DPoP` with a proof for each request, any other as `Bearer`.
"""

import atexit
import base64
import collections
import hashlib
import json
import os
import threading
import time
import urllib.parse
import uuid

import jwt
import requests
import schemathesis
from cryptography.hazmat.primitives.asymmetric import ec

SETTINGS = json.loads(os.environ["EXPORT_JUDGE"])
SERVER = SETTINGS["server"].rstrip("/")
NAMES = SETTINGS["names"]
KEY = ec.generate_private_key(ec.SECP256R1())
JWK = {
    name: value
    for name, value in json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key())).items()
    if name in ("kty", "crv", "x", "y")
}
LOCK = threading.Lock()
STATE = {"token": None, "until": 0.0, "nonce": None}
COUNTS = collections.Counter()


def proof(method, url, token=None):
    """A DPoP proof (RFC 9449 section 4.2)."""
    claims = {"jti": str(uuid.uuid4()), "htm": method, "htu": url, "iat": int(time.time())}
    if token is not None:
        digest = hashlib.sha256(token.encode()).digest()
        claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    if STATE["nonce"]:
        claims["nonce"] = STATE["nonce"]
    return jwt.encode(claims, KEY, algorithm="ES256", headers={"typ": "dpop+jwt", "jwk": JWK})


def remember_nonce(response):
    nonce = response.headers.get("DPoP-Nonce")
    if nonce:
        nonce = nonce[0] if isinstance(nonce, list) else nonce
        STATE["nonce"] = nonce


def fetched():
    """A token of the authority; for the first time with a proof, which an authority that binds nothing does not look at."""
    with open(SETTINGS["credentials"], encoding="utf-8") as file:
        credentials = json.load(file)
    url = f"{SERVER}/authority/token"
    form = {
        "grant_type": "client_credentials",
        "client_id": credentials["clientId"],
        "client_secret": credentials["clientSecret"],
    }
    for _ in range(3):
        response = requests.post(url, data=form, headers={"DPoP": proof("POST", url)}, timeout=30)
        remember_nonce(response)
        if response.ok:
            answer = response.json()
            return answer["access_token"], time.time() + answer["expires_in"] - 60
        if "DPoP-Nonce" not in response.headers:
            break
    raise RuntimeError(f"the authority refuses: {response.status_code} {response.text}")


def token():
    with LOCK:
        if STATE["token"] is None or time.time() > STATE["until"]:
            STATE["token"], STATE["until"] = fetched()
        return STATE["token"]


def is_bound(text):
    return "cnf" in jwt.decode(text, options={"verify_signature": False})


def credentials_for(method, url):
    kind = SETTINGS["token"]
    if kind == "none":
        return {}
    text = token()
    bound = is_bound(text)
    if kind == "invalid":
        # Signed by somebody else, and well formed.
        text = jwt.encode(jwt.decode(text, options={"verify_signature": False}), KEY, algorithm="ES256", headers={"kid": "x"})
    if bound:
        return {"Authorization": f"DPoP {text}", "DPoP": proof(method, url, text)}
    return {"Authorization": f"Bearer {text}"}


def chance(value, of):
    """The same for the same value, so that a seed gives the same requests."""
    digest = hashlib.sha256(repr(value).encode()).digest()
    return digest[0] % of == 0


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Names that there are, more often than chance would have it."""
    if not path_parameters:
        return path_parameters
    path = context.operation.path
    given = dict(path_parameters)
    if path.endswith("/events") or not chance(given, 3):
        for name in list(given):
            known = NAMES.get(f"{path} {name}", NAMES.get(name))
            if known is not None:
                given[name] = known
    return given


@schemathesis.hook
def map_query(context, query):
    if query and "signature" in query and not chance(query, 2):
        return {**query, **NAMES["link"]}
    return query


@schemathesis.hook
def map_body(context, body):
    """Profiles that there are; seldom for a run, which would be made."""
    of = {"/api/export/runs": 4, "/api/export/schedules": 2}.get(context.operation.path)
    if of and isinstance(body, dict) and isinstance(body.get("profileId"), str) and chance(body, of):
        return {**body, "profileId": "json-raw"}
    return body


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.operation.path == "/authority/token":
        return
    url = SERVER + case.formatted_path
    url = urllib.parse.urlsplit(url)._replace(query="", fragment="").geturl()
    case.headers = case.headers or {}
    for name in list(case.headers):
        if name.lower() in ("authorization", "dpop", "x-stella-tenant"):
            del case.headers[name]
    for name, value in credentials_for(case.method.upper(), url).items():
        case.headers[name] = value


@schemathesis.hook
def after_call(context, case, response):
    remember_nonce(response)
    COUNTS[str(response.status_code)] += 1
    COUNTS[f"{response.status_code} {case.operation.method.upper()} {case.operation.path}"] += 1


@atexit.register
def report():
    with open(SETTINGS["counts"], "w", encoding="utf-8") as file:
        json.dump(COUNTS, file)
