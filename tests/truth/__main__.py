"""``python -m tests.truth [--server dhis2-2.42]``: one line per server, and every difference that is not known.

Exit code 1 when a difference is not in ``differences.tsv``, or one that is there no longer differs. With the address of
a running server (``--dhis2-url``, ``--openmrs-url``, ``--fhir-url``) that server is asked instead: see ``live``.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tests.truth import live, recorded
from tests.truth.recorded import NOT_SPOKEN, NOT_YET, SPOKEN
from tests.truth.replay import Difference, replay
from tests.truth.speakers import SPEAKERS

_COLUMNS = ("recorded", "not yet", "not spoken", "spoken", "equal", "different")


Known = set[tuple[str, str, str]]


def judged(server: str, found: list[Difference], known: Known) -> tuple[list[Difference], Known]:
    """(differences that are not known, known ones that are none any more)."""
    named = {(server, one.recording, one.where) for one in found}
    new = [one for one in found if (server, one.recording, one.where) not in known]
    return new, {one for one in known if one[0] == server} - named


def _share(counts: Counter[str], of: str, *names: str) -> str:
    return ", ".join(f"{name} {100 * counts[name] / max(1, counts[of]):.1f} %" for name in names)


def main() -> int:
    ask = argparse.ArgumentParser(prog="make truth", description=__doc__)
    ask.add_argument("--server", help="this one only")
    ask.add_argument("--all", action="store_true", help="show known differences too")
    for server in live.scripts():
        ask.add_argument(f"--{server}-url", help=f"ask this running {server} server")
    given = ask.parse_args()
    urls = {server: vars(given)[f"{server}_url"] for server in live.scripts()}
    if any(urls.values()):
        return live.main(urls)
    lines, known = recorded.manifest(), recorded.differences()
    servers = [given.server] if given.server else list(dict.fromkeys(line.server for line in lines))
    total: Counter[str] = Counter()
    told: list[str] = []
    bad = False
    print(f"{'':20}" + "".join(f"{name:>12}" for name in _COLUMNS))
    for server in servers:
        marks = Counter(line.mark for line in lines if line.server == server)
        found = replay(SPEAKERS[server](), recorded.exchanges(server)) if server in SPEAKERS else []
        new, gone = judged(server, found, known)
        bad = bad or bool(new or gone)
        different = len({one.recording for one in found})
        row = Counter(
            {
                "recorded": marks.total(), "not yet": marks[NOT_YET], "not spoken": marks[NOT_SPOKEN],
                "spoken": marks[SPOKEN], "equal": marks[SPOKEN] - different, "different": different,
            }
        )  # fmt: skip
        total += row
        print(f"{server:20}" + "".join(f"{row[name]:12}" for name in _COLUMNS))
        shown = found if given.all else new
        told += [f"{server} {one.recording} {one.where}: {one.ours}, recorded {one.theirs}" for one in shown]
        told += [f"{server} {name} {where}: no longer differs; take it off differences.tsv" for _, name, where in gone]
    if not given.server:
        print(f"{'all':20}" + "".join(f"{total[name]:12}" for name in _COLUMNS))
        print(f"of what was recorded: {_share(total, 'recorded', 'spoken', 'not spoken', 'not yet')}")
        print(f"of what is spoken: {_share(total, 'spoken', 'equal', 'different')}")
    print("\n".join(told), end="\n" if told else "")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
