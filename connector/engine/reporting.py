"""What the pages of monthly reporting ask for, over one engine."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connector import periods
from connector.engine import approving, slip
from connector.engine import completeness as reporting
from connector.engine.engine import Engine


class Reporting:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def completeness(
        self, period: str | None = None, data_set: str | None = None, org_unit: str | None = None
    ) -> Mapping[str, Any]:
        return reporting.completeness(self.engine, period, data_set, org_unit)

    def shares(self, data_set: str, above: str | None = None) -> Mapping[str, Any]:
        return reporting.shares(self.engine, data_set, above)

    def waiting(self, period: str, org_unit: str | None, data_set: str | None) -> Mapping[str, Any]:
        found = approving.waiting(self.engine, period, org_unit, data_set)
        return {
            "seen": approving.seen(found),
            "values": sum(one.leaving for one in found),
            "over": periods.is_over(period, self.engine.today()),
            "units": [
                {
                    "delivery": one.delivery,
                    "data_set": one.block[0],
                    "org_unit": one.block[1],
                    "values": one.leaving,
                    "before": {"by": one.before["by"], "at": one.before["at"]} if one.before else None,
                }
                for one in found
            ],
        }

    def slip_units(self) -> Sequence[str]:
        return slip.slip_units(self.engine)

    def slip(self, period: str, org_unit: str) -> Mapping[str, Any]:
        return next(slip.slips(self.engine, period, org_unit))

    def slip_csv(self, period: str, org_unit: str | None, language: str) -> Iterator[str]:
        """Lines of text, one slip at a time in memory."""
        out = io.StringIO()
        writer = csv.DictWriter(out, slip.COLUMNS, delimiter=";", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for one in slip.slips(self.engine, period, org_unit):
            writer.writerows(slip.csv_rows(self.engine, one, language))
            yield out.getvalue()
            out.seek(0)
            out.truncate()
        yield out.getvalue()
