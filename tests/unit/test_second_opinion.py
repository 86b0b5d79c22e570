"""A second opinion on what we build: ``fhir.resources`` in its R4B part accepts all of it and changes none of it.

R4B is structurally R4 for the types used here; the package's default is R5 and is never used. It knows no codes, so
it is no substitute for the strict check, only an independent reader of the same standard.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest
from fhir.resources.R4B import get_fhir_model_class
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from connector.mappings import r4
from connector.model import Entity, Referral
from tests.unit.fhir_pack import BUILDER, CONCEPTS, REFERRAL, activity, person
from tests.unit.test_fhir import CELLS, MEETING
from tests.unit.test_r4 import VALID

Resource = Mapping[str, Any]
FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def agree(resource: Resource) -> None:
    """Both readers accept the resource, as it stands after a journey as JSON, and the second reads what is there."""
    assert r4.is_valid(resource), r4.problems(resource)
    sent = orjson.loads(orjson.dumps(resource))
    model = get_fhir_model_class(sent["resourceType"]).model_validate(sent)
    read = orjson.loads(model.model_dump_json())
    assert read == sent or read == orjson.loads(orjson.dumps(sent).replace(b"+00:00", b"Z"))  # its spelling of UTC


def test_the_second_opinion_is_r4b_and_can_say_no() -> None:
    assert get_fhir_model_class("Patient").__module__.startswith("fhir.resources.R4B")
    with pytest.raises(ValidationError):
        get_fhir_model_class("Observation").model_validate({"resourceType": "Observation", "status": "final"})


# it drops the milliseconds of an instant, which an AuditEvent has
@pytest.mark.parametrize("resource_type", sorted(set(VALID) - {"AuditEvent"}))
def test_both_accept_the_examples(resource_type: str) -> None:
    agree(VALID[resource_type])


def test_both_accept_what_the_examples_of_the_builder_give() -> None:
    visit = activity(referral=REFERRAL)
    meeting = activity("savings_meeting", MEETING, source="odk", subject="GE-1")
    action = activity("qi_action", {"planned": "2026-08-01", "finished": "2026-08-09"}, source="kobo")
    made = [
        *BUILDER.activity_resources(visit, visit.facts, person_known=True),
        *BUILDER.activity_resources(meeting, meeting.facts, person_known=False),
        *BUILDER.activity_resources(action, action.facts, person_known=False),
        BUILDER.savings_group("odk", "GE-1", "SHARE"),
        BUILDER.measure_report("sec", "S1", "202607", CELLS),
        *BUILDER.entity_resources(Entity("cht", "place", "hh-1", "1", {"role": "household"})),
    ]
    assert {r["resourceType"] for r in made} == {
        "Encounter", "Observation", "Condition", "ServiceRequest", "Task", "QuestionnaireResponse", "Group",
        "MeasureReport",
    }  # fmt: skip
    for resource in made:
        agree(resource)


# ---------------------------------------------------------------- whatever comes

words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=30)
ids = st.text("abcdefghijklmnopqrstuvwxyz0123456789-éà#/|:", min_size=1, max_size=40)
numbers = st.one_of(st.integers(-(2**40), 2**40), st.decimals(-(10**6), 10**6, places=3), st.decimals(0, 200, places=1))
days = st.dates(date(1900, 1, 1), date(2100, 12, 31))
moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
anything = st.one_of(st.none(), st.booleans(), numbers, words, days.map(date.isoformat), st.lists(words, max_size=3))


def of_kind(kind: str, answers: Mapping[str, str]) -> st.SearchStrategy[Any]:
    """Mostly what a fact of this kind holds, sometimes anything."""
    fitting: dict[str, st.SearchStrategy[Any]] = {
        "boolean": st.booleans(),
        "integer": st.integers(-(2**40), 2**40),
        "decimal": numbers,
        "coded": st.sampled_from([*answers, "other"]) | st.lists(st.sampled_from([*answers, "other"])),
        "date": days.map(date.isoformat) | st.sampled_from(["2024", "2024-03"]),
        "text": words,
    }
    return fitting[kind] | anything


facts = st.fixed_dictionaries({}, optional={c.id: of_kind(c.kind, c.answers) for c in CONCEPTS})
referrals = st.builds(
    Referral,
    to=st.none() | ids,
    urgent=st.booleans(),
    reason=st.none() | st.sampled_from(["danger_sign", "newborn"]),
    reasons=st.lists(st.sampled_from(["sign_convulsions", "sign_lethargic", "muac_mm"]), max_size=3).map(tuple),
    note=words,
)


@FAST
@given(
    facts=facts,
    referral=st.none() | referrals,
    at=st.none() | moments,
    shift=st.integers(-1, 1),
    key=ids,
    people=st.tuples(st.none() | ids, st.none() | ids | words, st.none() | ids),
    known=st.booleans(),
    kind=st.sampled_from(["sick_visit", "household_visit"]),
)
def test_both_accept_every_visit(
    facts: dict[str, Any],
    referral: Referral | None,
    at: datetime | None,
    shift: int,
    key: str,
    people: tuple[str | None, str | None, str | None],
    known: bool,
    kind: str,
) -> None:
    subject, worker, place = people
    day = (at or datetime(2026, 7, 4, tzinfo=UTC)).date() + timedelta(days=shift)
    visit = activity(
        kind, facts, referral=referral, at=at, date=day, key=key, subject=subject, worker=worker, place=place
    )
    resources = BUILDER.activity_resources(visit, visit.facts, person_known=known)
    for resource in resources:
        agree(resource)
    assert len({(r["resourceType"], r["id"]) for r in resources}) == len(resources)


flat = st.dictionaries(st.sampled_from(["motif", "amount", "n", "sex"]), anything, max_size=4)
meetings = st.dictionaries(
    st.sampled_from(["amount", "meeting_day", "member_of", "rate", "loans", "topics", "group_type"]),
    anything | st.lists(flat, max_size=3),
    max_size=6,
)


@FAST
@given(facts=meetings, kind=st.sampled_from(["savings_meeting", "stock_report", "supervision"]), worker=words)
def test_both_accept_every_meeting(facts: dict[str, Any], kind: str, worker: str) -> None:
    meeting = activity(kind, facts, source="odk", worker=worker)
    for resource in BUILDER.activity_resources(meeting, facts, person_known=False):
        agree(resource)


@FAST
@given(
    data=st.fixed_dictionaries(
        {},
        optional={
            "name": words, "family": words, "given": words, "sex": st.sampled_from(["female", "male", "unknown", ""]),
            "birth_date": st.sampled_from(["1994", "2024-03"]) | days.map(date.isoformat) | st.none() | words,
        },
    )
)  # fmt: skip
def test_both_accept_every_person(data: dict[str, Any]) -> None:
    [patient] = BUILDER.entity_resources(person(**data))
    agree(patient)


@FAST
@given(
    cells=st.lists(
        st.tuples(
            st.sampled_from(["A04", "B02", "F01", "F02", "G05"]),
            st.sampled_from(["num", "den", "count"]),
            st.sampled_from([(), (("sex", "female"),), (("sex", "male"),)]),
            st.integers(0, 10**6) | st.integers(0, 10**6).map(Decimal) | st.integers(0, 10**6).map(str),
        ),
        max_size=12,
    ),
    period=st.sampled_from(["202607", "2026Q3", "2026", "2026W31"]),
)
def test_both_accept_every_block(cells: list[Any], period: str) -> None:
    agree(BUILDER.measure_report("sec", "ML-KKO-D1-A1-S1", period, cells))
