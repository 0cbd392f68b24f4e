"""Checks what deploys Export Center, with no server and no container engine: rules and their tests, dashboards, the compose files, the chart.

    check.py            everything
    check.py NAME...    of it: rules, metrics, dashboards, runbooks, compliance, compose, nats, chart, settings

Needs promtool, compose-spec, helm, kube-decode and nats-server (tools/install.sh test), and PyYAML. Where the variable EXPORTD names the
server's program, `settings` also has it read every configuration.
"""

import sys

from checks.charted import chart
from checks.composed import compose, nats
from checks.observed import dashboards, metrics, rules
from checks.settings import settings
from checks.tools import Fault
from checks.written import compliance, runbooks

CHECKS = [rules, metrics, dashboards, runbooks, compliance, compose, nats, chart, settings]


def main():
    wanted = sys.argv[1:] or [check.__name__ for check in CHECKS]
    by_name = {check.__name__: check for check in CHECKS}
    failed = False
    for name in wanted:
        if name not in by_name:
            sys.exit(f"there is no check `{name}`; there are {', '.join(by_name)}")
        try:
            by_name[name]()
            print(f"{name}: ok")
        except Fault as fault:
            failed = True
            print(f"{name}: {fault}", file=sys.stderr)
    sys.exit(1 if failed else 0)


main()
