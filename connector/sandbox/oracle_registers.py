"""The figures that come from registers: households, persons, deployed workers, ASACO. Rules:
docs/indicator-definitions.md, 1.1.

Register cells are there for every period in which anything happened anywhere: a site that reported nothing still has
its households and its workers.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from connector.sandbox.oracle_count import Count, Patient, first_day, next_period, period_of, sex_code
from connector.sandbox.oracle_records import Rec, Truth

if TYPE_CHECKING:
    from connector.sandbox.district import District

HOME_VISITS = ("follow_up", "pregnancy_visit", "postnatal_visit", "household_visit")
HOMES = {"village": "MENAGE_VILLAGE", "hameau": "MENAGE_HAMEAU", "nomade": "MENAGE_NOMADE"}
REPORTS = (("monthly_report", "RAPPORT_MENSUEL"), ("stock_report", "RAPPORT_STOCK"))


def open_periods(truth: Truth, period_type: str) -> list[str]:
    return sorted({period_of(rec.day, period_type) for rec in truth.records})


def last_day(period: str) -> date:
    return next_period(period) - timedelta(days=1)


def count_registers(count: Count, truth: Truth, district: District) -> None:
    _visited(count, truth)
    for month in open_periods(truth, "Monthly"):
        _households(count, truth, month)
        _children(count, truth, month)
        _workers(count, truth, district, month)
    for year in open_periods(truth, "Yearly"):
        for area, since in truth.areas.items():
            unit = count.unit("cht", area, "cscom")
            if unit is not None and since is not None and since <= last_day(year):
                count.put("MH_I04_DEN", unit, year, "default")


# ---------------------------------------------------------------- households and children


def household_of(truth: Truth, rec: Rec) -> str | None:
    """The registered household a home visit was made to."""
    if rec.kind == "household_visit":
        home = rec.subject
    else:
        person = truth.persons.get(rec.subject or "")
        home = person.household if person is not None else None
    return home if home in truth.homes else None


def _visited(count: Count, truth: Truth) -> None:
    times: dict[tuple[str, str, str], int] = {}
    for rec in truth.records:
        home = household_of(truth, rec) if rec.kind in HOME_VISITS else None
        unit = count.unit(rec.source, rec.place, "site")
        if home is None or unit is None:
            continue
        count.once(rec, home, "MH_A01_NUM", HOMES.get(truth.homes[home].kind or "", "MENAGE_UNK"))
        key = (home, unit, period_of(rec.day, "Monthly"))
        times[key] = times.get(key, 0) + 1
    for (_, unit, month), n in times.items():
        if n >= 2:
            count.put("MH_A02_NUM", unit, month, "default")


def _households(count: Count, truth: Truth, month: str) -> None:
    for home in truth.homes.values():
        unit = count.unit("cht", home.place or "", "site")
        if unit is not None and home.since is not None and home.since <= last_day(month):
            count.put("MH_A01_DEN", unit, month, HOMES.get(home.kind or "", "MENAGE_UNK"))
            count.put("MH_A02_DEN", unit, month, "default")


def _children(count: Count, truth: Truth, month: str) -> None:
    end = last_day(month)
    for person in truth.persons.values():
        unit = count.unit("cht", person.place or "", "site")
        if unit is None or person.since is None or person.since > end:
            continue
        months = Patient(Rec("cht", "", "", end, None, "", None, None, {}), person).months
        if months is not None and 6 <= months < 60:
            count.put("MH_E04_DEN", unit, month, sex_code(person.sex))


# ---------------------------------------------------------------- workers


def _workers(count: Count, truth: Truth, district: District, month: str) -> None:
    deployed = set()
    for row in district.deployment_rows():
        if row["kind"] != "worker" or row["group"] != "asc":
            continue
        gone = row["valid_to"] and date.fromisoformat(row["valid_to"]) < first_day(month)
        if not gone and date.fromisoformat(row["valid_from"]) <= last_day(month):
            deployed.add((row["reporter"], row["org_unit"]))
    of_the_month = [r for r in truth.records if r.source == "cht" and period_of(r.day, "Monthly") == month]
    for worker, unit in sorted(deployed):
        sex = sex_code(truth.workers.get(worker))
        active = any(rec.worker == worker for rec in of_the_month)
        supervised = any(rec.kind == "supervision" and rec.a.get("supervised") == worker for rec in of_the_month)
        count.put("MH_A05_DEN", unit, month, sex)
        count.put("MH_A07_DEN", unit, month, sex)
        if active:
            count.put("MH_A05_NUM", unit, month, sex)
            count.put("MH_A06_DEN", unit, month, "default")
        if supervised:
            count.put("MH_A07_NUM", unit, month, sex)
        for kind, report in REPORTS:
            theirs = [r for r in of_the_month if r.kind == kind and r.worker == worker]
            sent = [r.sent for r in theirs if r.sent is not None]
            count.put("MH_A08_DEN", unit, month, report)
            count.put("MH_A09_DEN", unit, month, report)
            if theirs:
                count.put("MH_A08_NUM", unit, month, report)
            if sent and min(sent).date() <= next_period(month) + timedelta(days=4):
                count.put("MH_A09_NUM", unit, month, report)
