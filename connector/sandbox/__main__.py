"""``python -m connector.sandbox serve | expected | compare``: the sandbox without the connector."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from connector.sandbox import metadata, oracle, serve


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 fine, 1 could not start, 3 differences."""
    parser = argparse.ArgumentParser(
        prog="python -m connector.sandbox", description="The sandbox without the connector."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, about in (
        ("serve", "start the simulators on loopback"),
        ("expected", "the true figures"),
        ("compare", "the true figures against running simulators"),
    ):
        command = commands.add_parser(name, help=about)
        command.add_argument("--seed", type=int, default=7)
        command.add_argument("--start", default="2026-07", help="first month")
        command.add_argument("--months", type=int, default=3)
        command.add_argument("--sites", type=int, default=12)
        command.add_argument("--chws", type=int, default=24)
        command.add_argument("--env-file", type=Path, required=name == "compare")
        if name != "compare":
            command.add_argument("--zone", default="Africa/Bamako")
            command.add_argument("--indicators", choices=metadata.COVERED, default="all")
        if name == "serve":
            command.add_argument("--dhis2", choices=("legacy", "v43"), default="legacy")
            command.add_argument("--openmrs", choices=("o3", "platform2"), default="o3")
            command.add_argument("--ports-from", type=int, default=9100, help="0: any free ports")
            command.add_argument("--org-units", type=Path, help="org_units.csv whose units DHIS2 has too")
            command.add_argument("--folder", type=Path, help="where the files go; else a temporary folder")
    settings = vars(parser.parse_args(arguments))
    match settings.pop("command"):
        case "serve":
            try:
                serve.serve(**settings)
            except (OSError, ValueError) as error:
                print(f"The simulators did not start: {error}", file=sys.stderr)
                return 1
        case "expected":
            print(json.dumps(serve.expected(**settings), ensure_ascii=False))
        case "compare":
            block = serve.compare(**settings)
            for difference in block.pop("differences"):
                print(json.dumps(difference, ensure_ascii=False), file=sys.stderr)
            print(json.dumps(block))
            return 0 if oracle.same(block) else 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
