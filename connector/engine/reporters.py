"""Who is expected to report: ``deployments.csv`` of the pack, by data set and period, at the level it is entered at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from connector import periods
from connector.engine.engine import stamp
from connector.engine.places import OrgUnits
from connector.mappings.pack import DataSet, DeploymentRow, Pack


class Reporters:
    """Made once for a pass over a pack; looking a reporter up costs nothing then."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.places = OrgUnits(pack)
        self._groups: dict[str, list[DeploymentRow]] = {}
        for row in pack.deployments:
            self._groups.setdefault(row.group, []).append(row)
        self._expected: dict[tuple[str, str], dict[str, list[DeploymentRow]]] = {}

    def expected(self, data_set: DataSet, period: str) -> Mapping[str, Sequence[DeploymentRow]]:
        """Org unit of the data set's level -> reporters of its group deployed there on a day of the period."""
        key = (data_set.id, period)
        if key not in self._expected:
            if len(self._expected) > 50:
                self._expected.clear()
            self._expected[key] = self._find(data_set, period)
        return self._expected[key]

    def _find(self, data_set: DataSet, period: str) -> dict[str, list[DeploymentRow]]:
        first, last = periods.bounds(period)
        found: dict[str, dict[str, DeploymentRow]] = {}
        for row in self._groups.get(data_set.complete or "", ()):
            if row.valid_from > last or (row.valid_to is not None and row.valid_to < first):
                continue
            day = min(last, row.valid_to or last)
            # Deployed above the level it is entered at: expected, and shown where he is.
            unit = self.places.entered_at(row.org_unit, data_set.level, day) or row.org_unit
            found.setdefault(unit, {}).setdefault(row.reporter, row)
        return {unit: list(rows.values()) for unit, rows in sorted(found.items())}

    def who_reported(self, unit: Any, rows: Sequence[DeploymentRow], period: str) -> set[tuple[str, str]]:
        """(kind, reporter) of those with a record of the period, wherever it was made."""
        return self._asked(rows, lambda kind, names: unit.who_reported(kind, names, *_days(period)))

    def who_was_on_time(
        self, unit: Any, data_set: DataSet, rows: Sequence[DeploymentRow], period: str
    ) -> set[tuple[str, str]]:
        """Those with a record of the period that was received before the deadline was over."""
        by = self.deadline(data_set, period)
        if by is None:
            return set()
        end = datetime.combine(by + timedelta(days=1), time(), tzinfo=ZoneInfo(self.pack.zone))
        return self._asked(rows, lambda kind, names: unit.who_was_on_time(kind, names, *_days(period), stamp(end)))

    @staticmethod
    def _asked(rows: Sequence[DeploymentRow], ask: Any) -> set[tuple[str, str]]:
        return {(kind, one) for kind, names in by_kind(rows) for one in ask(kind, names)}

    def missing(self, unit: Any, data_set: DataSet, period: str) -> dict[str, list[DeploymentRow]]:
        """Org unit -> those who were expected there and have not reported; units with nobody missing are left out."""
        expected = self.expected(data_set, period)
        reported = self.who_reported(unit, [row for rows in expected.values() for row in rows], period)
        gone = {u: [r for r in rows if (r.kind, r.reporter) not in reported] for u, rows in expected.items()}
        return {u: rows for u, rows in gone.items() if rows}

    @staticmethod
    def deadline(data_set: DataSet, period: str) -> date | None:
        """The last day on time."""
        return None if data_set.deadline is None else periods.bounds(period)[1] + timedelta(days=data_set.deadline)

    @staticmethod
    def gaps_from(data_set: DataSet, period: str) -> date | None:
        """The day from which the data set is completed although reporters are missing; None: never."""
        if data_set.gaps_after is None:
            return None
        return periods.bounds(period)[1] + timedelta(days=data_set.gaps_after + 1)


def by_kind(rows: Sequence[DeploymentRow]) -> Iterator[tuple[str, set[str]]]:
    """(kind, ids of its reporters), for the kinds there are."""
    for kind in ("worker", "place"):
        names = {row.reporter for row in rows if row.kind == kind}
        if names:
            yield kind, names


def _days(period: str) -> tuple[str, str]:
    first, last = periods.bounds(period)
    return first.isoformat(), last.isoformat()
