"""Write ``org_units.csv`` and ``deployments.csv`` of a pack from the sandbox's district: its places never change.

python scripts/make_district_tables.py [config/mali-health]
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from connector.sandbox.district import District


def write(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """A CSV with a header and Unix line ends."""
    listed = list(rows)
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, fieldnames=list(listed[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(listed)


def main(folder: Path) -> None:
    district = District()
    write(folder / "org_units.csv", district.org_unit_rows())
    write(folder / "deployments.csv", district.deployment_rows())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "config/mali-health"))
