"""What every system should hold in the end, from the input log alone: slow, obvious, and sharing nothing with the
connector, not even its pack. ``documents`` replays the log; the rest looks at the living documents."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

from tests.sim.plan import Doc, Event

UNITS = {"site-1": "ML-KKO-D1-A1-S1", "site-2": "ML-KKO-D1-A1-S2"}
EXPECTED_WORKERS = {"ML-KKO-D1-A1-S1": {"asc-001", "asc-013"}, "ML-KKO-D1-A1-S2": {"asc-002"}}
Cell = tuple[str, str, str, str]


def documents(log: list[Event]) -> dict[str, Doc]:
    """The living documents; one that was archived after it had been received stays counted."""
    living: dict[str, Doc] = {}
    for event in log:
        if event.what in ("put", "flip"):
            living[event.id] = event.doc
        elif event.what == "delete":
            living.pop(event.id, None)
    return living


def visits(living: dict[str, Doc]) -> dict[str, Doc]:
    return {key: doc for key, doc in living.items() if doc.get("form") == "assessment"}


def years(born: str, day: str) -> int:
    b, d = date.fromisoformat(born), date.fromisoformat(day)
    return d.year - b.year - ((d.month, d.day) < (b.month, b.day))


def cells(living: dict[str, Doc]) -> dict[Cell, int]:
    found: Counter[Cell] = Counter()
    for doc in visits(living).values():
        who = living[doc["fields"]["patient_id"]]
        day = doc["fields"]["visit_date"]
        unit, period = UNITS[doc["contact"]["parent"]["_id"]], day[:4] + day[5:7]
        age = years(who["date_of_birth"], day)
        sex = "SEX_F" if who["sex"] == "female" else "SEX_M"
        a2 = "A2_Y1_4" if age < 5 else "A2_Y5_9"
        a3 = "A3_Y0_4" if age < 5 else "A3_Y5_9"
        result = doc["fields"]["group_fever"]["mrdt_result"]
        if age < 5:
            found["MH_A04", unit, period, f"{a2}-{sex}"] += 1
        found["MH_B01_DEN", unit, period, f"{a3}-{sex}"] += 1
        if result != "not_done":
            found["MH_B01_NUM", unit, period, f"{a3}-{sex}"] += 1
            found["MH_B02_DEN", unit, period, a3] += 1
        if result == "positive":
            found["MH_B02_NUM", unit, period, a3] += 1
        if "referral" in doc["fields"]:
            found["MH_C01", unit, period, f"REASON_DANGER_SIGN-{sex}"] += 1
    return dict(found)


def completions(living: dict[str, Doc]) -> set[tuple[str, str]]:
    """(org unit, period) where every deployed worker has a living record."""
    seen: dict[tuple[str, str], set[str]] = {}
    for doc in visits(living).values():
        day = doc["fields"]["visit_date"]
        where = (UNITS[doc["contact"]["parent"]["_id"]], day[:4] + day[5:7])
        seen.setdefault(where, set()).add(doc["contact"]["_id"])
    return {where for where, workers in seen.items() if workers >= EXPECTED_WORKERS[where[0]]}


def resources(living: dict[str, Doc]) -> dict[tuple[str, str], Any]:
    """(type, first identifier) -> what the FHIR resource says."""
    found: dict[tuple[str, str], Any] = {}
    for key, doc in living.items():
        if doc.get("contact_type") == "person":
            found["Patient", key] = {"gender": doc["sex"], "birthDate": doc["date_of_birth"], "name": doc["name"]}
    for key, doc in visits(living).items():
        fields = doc["fields"]
        day, result = fields["visit_date"], fields["group_fever"]["mrdt_result"]
        found["Encounter", key] = {"day": day, "class": "HH"}
        found["Observation", f"{key}#fever"] = {"day": day, "value": True}
        if result != "not_done":
            found["Observation", f"{key}#malaria_rdt"] = {"day": day, "value": result}
        if result == "positive":
            found["Condition", f"{key}#malaria"] = {"day": day}
        if "referral" in fields:
            priority = "urgent" if fields["referral"]["urgency"] == "urgent" else "routine"
            found["ServiceRequest", f"{key}#referral"] = {"day": day, "priority": priority}
            found["Task", f"{key}#referral-task"] = {"day": day, "priority": priority}
    for (element, unit, period, _), n in cells(living).items():
        name = element.removeprefix("MH_")
        part = f"{name[:-4]}.{name[-3:].lower()}" if name.endswith(("_NUM", "_DEN")) else f"{name}.count"
        figures = found.setdefault(("MeasureReport", f"MH_SEC/{unit}/{period}"), {"figures": {}})["figures"]
        figures[part] = figures.get(part, 0) + n
    return found


def referrals(living: dict[str, Doc]) -> dict[str, Any]:
    return {
        key: {
            "patient": doc["fields"]["patient_id"],
            "day": doc["fields"]["visit_date"],
            "urgency": doc["fields"]["referral"]["urgency"],
        }
        for key, doc in visits(living).items()
        if "referral" in doc["fields"]
    }


def answers(living: dict[str, Doc], staff: dict[str, str]) -> dict[str, Any]:
    there = referrals(living)
    return {
        number: {"patient": there[number]["patient"], "status": status}
        for number, status in staff.items()
        if number in there
    }


def tracked(living: dict[str, Doc]) -> dict[str, Any]:
    """Person -> her attributes and her events in the program: each visit from August on is one."""
    found: dict[str, Any] = {}
    for doc in visits(living).values():
        fields = doc["fields"]
        key, day, result = fields["patient_id"], fields["visit_date"], fields["group_fever"]["mrdt_result"]
        if day < "2026-08-01":
            continue
        who = living[key]
        person = {"TR_ID": key, "TR_NAME": who["name"], "TR_BIRTH": who["date_of_birth"], "TR_SEX": who["sex"]}
        values = {"TR_FEVER": "true"} | ({"TR_RDT": result[:3].upper()} if result != "not_done" else {})
        event = (day, UNITS[doc["contact"]["parent"]["_id"]], tuple(sorted(values.items())))
        found.setdefault(key, {"person": person, "events": []})["events"].append(event)
    for one in found.values():
        one["events"].sort()
    return found


def days(log: list[Event]) -> dict[str, set[str]]:
    """Person -> every day on which she was said to be seen."""
    found: dict[str, set[str]] = {}
    for event in log:
        if event.what in ("put", "flip") and event.doc.get("form") == "assessment":
            fields = event.doc["fields"]
            found.setdefault(fields["patient_id"], set()).add(fields["visit_date"])
    return found
