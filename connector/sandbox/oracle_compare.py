"""The comparison of what should be with what the simulators hold: the ``expected`` block and its differences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from connector.sandbox import oracle_figures as oracle
from connector.sandbox.oracle_fhir import expected_resources, held_resources
from connector.sandbox.oracle_records import Truth
from connector.sandbox.oracle_referrals import (
    answer_of,
    awaited,
    expected_answers,
    expected_referrals,
    held_answers,
    held_referrals,
)

if TYPE_CHECKING:
    from connector.sandbox.district import District

Json = dict[str, Any]
#: Most differences that are told.
SHOWN = 20


def expected_from(
    docs: Iterable[Mapping[str, Any]], files: Mapping[str, str], district: District, today: date | None = None,
    clinic: Mapping[str, Any] | None = None,
) -> Json:  # fmt: skip
    """Everything that should be, from the records as they are now. ``today``, ``clinic``: see ``oracle.truth_of``."""
    today = today or datetime.now(UTC).astimezone(district.calendar.zone).date()
    truth = oracle.truth_of(docs, files, district, today, clinic)
    referrals = expected_referrals(truth, district, clinic)
    return {
        "truth": truth,
        "values": oracle.expected_values(truth, district),
        "completions": oracle.expected_completions(truth, district, today),
        "referrals": referrals,
        "answers": expected_answers(referrals, district),
        "resources": expected_resources(truth, district),
        "attention": oracle.expected_attention(truth, district),
    }


def compare(
    district: District, *, cht: Json, dhis2: Json, openmrs: Json, fhir: Json,
    attention: Mapping[str, Any] | None = None, quarantine_codes: Mapping[str, int] | None = None,
    files: Mapping[str, str] | None = None, openmrs_log: Iterable[Mapping[str, Any]] = (), today: date | None = None,
) -> Json:  # fmt: skip
    """The block ``expected`` of the demo's summary, with ``differences``: the first 20, both sides.

    ``cht`` ... ``fhir``: the states of the simulators. The figures are counted anew from the documents CHT holds now,
    so an edit through a control plane moves what is expected. ``attention``: what the connector says needs a person;
    None leaves that out of the comparison. ``openmrs_log``: the plane's log, so that referrals which people voided at
    the clinic by hand are known; a referral the connector alone made disappear is a difference.

    A value of 0 where nothing is counted is the same as no value.
    """
    docs = cht["docs"]
    should = expected_from(docs, district.files if files is None else files, district, today, openmrs)
    differences: list[Json] = []

    def differ(where: str, key: Any, wanted: Any, there: Any) -> None:
        differences.append({"where": where, "key": key, "expected": wanted, "there": there})

    block: Json = {"dhis2": _values(should, dhis2, differ)}
    referrals = should["referrals"]
    by_hand = {entry.get("number") for entry in openmrs_log if entry.get("act") in ("void", "voided")}
    withdrawn = [
        number for number in referrals
        if answer_of(openmrs, number, None)[0] == "voided"
        and (number in by_hand or (district.staff(number) or {}).get("act") == "voided")
    ]  # fmt: skip
    held = held_referrals(openmrs, district.calendar.zone, withdrawn)
    total, equal = _match("openmrs", referrals, held, differ)
    block["openmrs"] = {"referrals": total, "equal": equal}
    total, equal = _match("fhir", should["resources"], held_resources(fhir), differ)
    block["fhir"] = {"resources": total, "equal": equal}
    # A referral that was withdrawn after its answer keeps that answer: nobody takes a message back.
    gone = {doc["_id"] for doc in docs} - set(referrals)
    answers = {number: said for number, said in held_answers(docs).items() if number not in gone}
    due = expected_answers(referrals, district, openmrs)
    answers = awaited(answers, due, referrals, today or datetime.now(UTC).astimezone(district.calendar.zone).date())
    total, equal = _match("answers", due, answers, differ)
    block["answers"] = {"due": total, "equal": equal}
    block["attention"] = {"equal": _attention(should["attention"], attention, quarantine_codes, differ)}
    block["differences"] = [_told(one) for one in _mixed(differences)[:SHOWN]]
    return block


def same(block: Mapping[str, Any]) -> bool:
    """Is everything exactly as it should be?"""
    values = block["dhis2"]
    return bool(
        values["values"] == values["equal"]
        and not values["missing"] and not values["different"] and not values["extra"]
        and values["completions"]["equal"] == values["completions"]["due"]
        and block["openmrs"]["equal"] == block["openmrs"]["referrals"]
        and block["fhir"]["equal"] == block["fhir"]["resources"]
        and block["answers"]["equal"] == block["answers"]["due"] and block["attention"]["equal"]
    )  # fmt: skip


def _values(should: Json, state: Json, differ: Any) -> Json:
    wanted: dict[oracle.Key, str] = should["values"]
    there = {
        (v["dataElement"], v["orgUnit"], v["period"], v["categoryOptionCombo"]): v["value"]
        for v in state["values"] if v["attributeOptionCombo"] == "default"
    }  # fmt: skip
    counts = {"values": len(wanted), "equal": 0, "missing": 0, "different": 0, "extra": 0}
    for key, figure in sorted(wanted.items()):
        kind = "missing"
        if key in there:
            kind = "equal" if there[key] == figure else "different"
        counts[kind] += 1
        if kind != "equal":
            differ("dhis2", "/".join(key), figure, there.get(key))
    for key, figure in sorted(there.items()):
        if key not in wanted and figure != "0":
            counts["extra"] += 1
            differ("dhis2", "/".join(key), None, figure)
    for v in state["values"]:
        if v["attributeOptionCombo"] != "default":
            counts["extra"] += 1
            key = (v["dataElement"], v["orgUnit"], v["period"], v["attributeOptionCombo"])
            differ("dhis2", "/".join(key), None, v["value"])
    done = {(c["dataSet"], c["orgUnit"], c["period"]): True for c in state["completions"] if c["completed"]}
    total, equal = _match("completion", dict.fromkeys(should["completions"], True), done, differ)
    return {**counts, "completions": {"due": total, "equal": equal}}


def _match(where: str, wanted: Mapping[Any, Any], there: Mapping[Any, Any], differ: Any) -> tuple[int, int]:
    """(how many keys on either side, how many are the same)."""
    keys = sorted(set(wanted) | set(there), key=str)
    equal = 0
    for key in keys:
        if key in wanted and key in there and wanted[key] == there[key]:
            equal += 1
        else:
            differ(where, "/".join(key) if isinstance(key, tuple) else key, wanted.get(key), there.get(key))
    return len(keys), equal


def _attention(wanted: Json, said: Mapping[str, Any] | None, codes: Mapping[str, int] | None, differ: Any) -> bool:
    if said is None:
        return True
    total = {**wanted, "quarantined": sum(wanted["quarantined"].values())}
    given = {name: said.get(name, 0) for name in total}
    if total != given:
        differ("attention", "counts", total, given)
    good = total == given
    if codes is not None:
        counted = {code: n for code, n in codes.items() if n}
        if counted != wanted["quarantined"]:
            differ("attention", "quarantined", wanted["quarantined"], counted)
            good = False
    return good


def _mixed(differences: list[Json]) -> list[Json]:
    """In turn from each place, so that many of one kind do not hide the others."""
    seen: dict[str, int] = {}
    turns = []
    for n, one in enumerate(differences):
        seen[one["where"]] = seen.get(one["where"], 0) + 1
        turns.append((seen[one["where"]], n))
    return [differences[n] for _, n in sorted(turns)]


def _told(one: Json) -> Json:
    """Both sides as text that fits a line."""
    return {**one, "expected": str(one["expected"])[:300], "there": str(one["there"])[:300]}


def figures(truth: Truth, district: District, today: date) -> Json:
    """The true figures for people and scripts: every value with its address, and the counts of the rest."""
    referrals = expected_referrals(truth, district)
    resources = expected_resources(truth, district)
    kinds: dict[str, int] = {}
    for kind, _ in resources:
        kinds[kind] = kinds.get(kind, 0) + 1
    answers = expected_answers(referrals, district)
    statuses: dict[str, int] = {}
    for answer in answers.values():
        statuses[answer["status"]] = statuses.get(answer["status"], 0) + 1
    values = oracle.expected_values(truth, district)
    return {
        "dhis2": [
            {"dataElement": e, "orgUnit": u, "period": p, "categoryOptionCombo": c, "value": value}
            for (e, u, p, c), value in sorted(values.items())
        ],
        "completions": [list(block) for block in sorted(oracle.expected_completions(truth, district, today))],
        "openmrs": {"referrals": len(referrals), "numbers": sorted(referrals)},
        "answers": {"due": len(answers), "by_status": dict(sorted(statuses.items()))},
        "fhir": {"resources": len(resources), "by_type": dict(sorted(kinds.items()))},
        "attention": oracle.expected_attention(truth, district),
        "planted": district.planted,
    }  # fmt: skip
