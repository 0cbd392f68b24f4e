"""How every check reads, runs programs, and says what is wrong."""

import os
import pathlib
import shutil
import subprocess

import yaml

HERE = pathlib.Path(__file__).resolve().parents[1]
ROOT = HERE.parent
CHART = HERE / "helm/export-center"
ROLES = ["adapt", "distribute", "gateway", "manifest", "orchestrator", "plan", "resolve", "sign"]

class Fault(Exception):
    """What is wrong, in words."""


def expect(good, text):
    if not good:
        raise Fault(text)


def program(name):
    own = ROOT / ".tools/bin" / name
    found = str(own) if own.is_file() else shutil.which(name)
    expect(found, f"no {name}: run tools/install.sh test")
    return found


def run(name, *arguments, text=None, fails=False, environment=None):
    done = subprocess.run(
        [program(name), *map(str, arguments)], input=text, capture_output=True, text=True, env={**os.environ, **(environment or {})}, check=False
    )
    if fails:
        expect(done.returncode != 0, f"{name} {arguments} should have failed")
    else:
        expect(done.returncode == 0, f"{name} {arguments} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout + done.stderr if fails else done.stdout


def read(path):
    return yaml.safe_load((HERE / path).read_text(encoding="utf-8"))
