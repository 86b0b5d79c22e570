"""Records of the shipped pack's forms: what they become, and what becomes of records that cannot be used."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.errors import MappingError
from connector.mappings.codec import activity_from, activity_to
from connector.mappings.config import load_pack
from connector.mappings.forms import MAX_ITEMS, Mapper
from connector.mappings.indicators import Counter
from connector.mappings.pack import Concept, FactRule, Pack, Plausible
from connector.model import Activity, Mapped, Record

PACK = Path(__file__).parents[2] / "config" / "mali-health"
JULY_23 = 1784800000000  # 2026-07-23 09:46:40 UTC


def pack(zone: str = "Africa/Bamako") -> Pack:
    return load_pack(PACK, {"RELAIS_ZONE": zone}, strict=False)[0]


MAPPER = Mapper(pack())


def report(form: str = "assessment", /, key: str = "r1", **fields: Any) -> Record:
    body = {
        "_id": key,
        "form": form,
        "reported_date": JULY_23,
        "contact": {"_id": "asc-1", "parent": {"_id": "site-1"}},
        "fields": {"patient_id": "p-1", **fields},
    }
    return Record("cht", "reports", key, "1-a", form, body)


def without(record: Record, *path: str) -> Record:
    body: dict[str, Any] = copy.deepcopy(dict(record.body))
    inner = body
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return Record(record.source, record.stream, record.key, record.revision, record.form, body)


def activity(record: Record, mapper: Mapper = MAPPER) -> Activity:
    mapped = mapper.apply(record).activity
    assert mapped is not None
    return mapped


def test_an_activity_says_where_it_comes_from() -> None:
    found = activity(report(group_fever={"patient_fever": "yes"}))
    assert (found.id, found.kind, found.form) == ("cht/reports/r1", "sick_visit", "assessment")
    assert (found.place, found.worker, found.subject) == ("site-1", "asc-1", "p-1")
    assert found.mapping == "forms/cht/assessment.yaml"
    assert len(found.version) == 16
    assert found.facts == {"fever": True}


def test_not_asked_is_absent_beside_no() -> None:
    assert "fever" not in activity(report()).facts
    assert activity(report(group_fever={"patient_fever": "no"})).facts["fever"] is False
    assert "fever" not in activity(report(group_fever={"patient_fever": None})).facts
    assert "fever" not in activity(report(group_fever={"patient_fever": ""})).facts
    assert "fever" not in activity(report(group_fever=None)).facts


def test_a_treatment_counts_as_given_only_when_it_was_that_one() -> None:
    def act(**group: Any) -> Any:
        return activity(report(group_fever=group)).facts.get("act_given")

    assert act(malaria_treatment_given="yes", malaria_treatment="act") is True
    assert act(malaria_treatment_given="yes", malaria_treatment="other") is False
    assert act(malaria_treatment_given="yes") is False
    assert act(malaria_treatment_given="no") is False
    assert act(malaria_treatment="act") is None


@pytest.mark.parametrize("signs", ["convulsions lethargic", ["convulsions", "lethargic"]])
def test_a_multi_select_comes_as_text_or_as_a_list(signs: Any) -> None:
    facts = activity(report(group_danger_signs={"danger_signs": signs})).facts
    assert facts["danger_signs"] == ["sign_convulsions", "sign_lethargic"]
    assert [name for name in facts if name.startswith("sign_") and facts[name]] == [
        "sign_convulsions",
        "sign_lethargic",
    ]
    assert facts["sign_unconscious"] is False


# ---------------------------------------------------------------- days


@pytest.mark.again
@pytest.mark.parametrize(
    ("zone", "day"),
    [("Africa/Bamako", date(2026, 7, 31)), ("Africa/Nairobi", date(2026, 8, 1)), ("Europe/Paris", date(2026, 8, 1))],
)
def test_the_day_is_that_of_the_packs_zone(zone: str, day: date) -> None:
    late = report()
    late.body["reported_date"] = 1785540600000  # 31 July 23:30 UTC
    found = activity(late, Mapper(pack(zone)))
    assert found.date == day
    assert found.at == datetime(2026, 7, 31, 23, 30, tzinfo=UTC)


def test_the_hour_is_kept_only_on_the_day_of_service() -> None:
    same = activity(report(visit_date="2026-07-23"))
    assert (same.date, same.at) == (date(2026, 7, 23), datetime(2026, 7, 23, 9, 46, 40, tzinfo=UTC))
    other = activity(report(visit_date="2026-07-22"))
    assert (other.date, other.at) == (date(2026, 7, 22), None)


def test_a_version_changes_with_the_zone_as_days_do() -> None:
    assert activity(report()).version != activity(report(), Mapper(pack("Africa/Nairobi"))).version


# ---------------------------------------------------------------- quarantine


@pytest.mark.parametrize(
    ("record", "code", "path"),
    [
        (without(report(), "reported_date"), "date.missing", "fields.visit_date | reported_date"),
        (report(visit_date="2026-02-30"), "date.invalid", "fields.visit_date | reported_date"),
        (report(visit_date=True), "date.invalid", "fields.visit_date | reported_date"),
        (without(report(), "contact", "parent"), "place.missing", "contact.parent._id"),
        (report("delivery"), "date.missing", "fields.delivery_date"),
        (report("questionnaire_2019"), "form.unknown", "questionnaire_2019"),
        (report(key=""), "key.missing", ""),
        (
            Record(
                "odk",
                "reunion_groupe_epargne",
                "x",
                "1",
                "reunion_groupe_epargne",
                {"groupe": {"code": "GE-1", "date_reunion": "2026-07-01"}},
            ),
            "key.missing",
            "__id",
        ),
    ],
)
def test_what_cannot_be_placed_says_why_and_where(record: Record, code: str, path: str) -> None:
    with pytest.raises(MappingError) as refused:
        MAPPER.apply(record)
    assert (refused.value.code, refused.value.path) == (code, path)
    if code != "form.unknown":
        assert refused.value.file.startswith("forms/")
        assert refused.value.line >= 1


def test_the_line_of_a_refusal_is_the_line_of_the_rule() -> None:
    with pytest.raises(MappingError) as refused:
        MAPPER.apply(without(report(), "contact", "parent"))
    line = (PACK / refused.value.file).read_text().splitlines()[refused.value.line - 1]
    assert line.startswith("place:")


def test_what_the_pack_ignores_is_nothing_and_no_error() -> None:
    for form in ("referral_answer", None):
        mapped = MAPPER.apply(Record("cht", "reports", "r1", "1", form, {}))
        assert (mapped.activity, mapped.entity, mapped.flags) == (None, None, ())


# ---------------------------------------------------------------- facts that fail


@pytest.mark.parametrize(
    ("fields", "fact", "code"),
    [
        ({"group_fever": {"patient_fever": "SECRET"}}, "fever", "fact.failed"),
        ({"group_fever": {"mrdt_result": "SECRET"}}, "malaria_rdt", "code.unknown"),
        ({"group_breathing": {"breath_count": "12.5"}}, "breath_count", "fact.type"),
        ({"group_breathing": {"breath_count": "SECRET"}}, "breath_count", "fact.failed"),
        ({"group_danger_signs": {"danger_signs": "SECRET"}}, "danger_signs", "code.unknown"),
        ({"referral": {"is_referred": "SECRET"}}, "referral.when", "fact.failed"),
    ],
)
def test_a_failing_fact_is_absent_and_flagged_and_the_rest_stays(fields: Any, fact: str, code: str) -> None:
    mapped = MAPPER.apply(report(hours_since_onset=5, **fields))
    assert mapped.activity is not None
    assert mapped.activity.facts["hours_since_onset"] == 5
    assert fact not in mapped.activity.facts
    assert [(flag.code, flag.fact) for flag in mapped.flags] == [(code, fact)]
    assert mapped.activity.flags == mapped.flags
    assert all("SECRET" not in flag.detail for flag in mapped.flags), "a flag never shows a value of the record"


def test_an_option_nobody_knows_does_not_hide_the_danger_sign_beside_it() -> None:
    """And alone it is not "none of them" either."""
    mapped = MAPPER.apply(report(group_danger_signs={"danger_signs": "convulsions SECRET"}))
    assert mapped.activity is not None
    assert mapped.activity.facts["danger_signs"] == ["sign_convulsions"]
    assert [(flag.code, flag.fact) for flag in mapped.flags] == [("code.unknown", "danger_signs")]


def test_a_list_has_a_bound() -> None:
    loans = [{"objet": "sante", "montant_xof": 1}] * (MAX_ITEMS + 5)
    mapped = MAPPER.apply(savings(prets=loans))
    assert mapped.activity is not None
    assert len(mapped.activity.facts["loans"]) == MAX_ITEMS
    assert [flag.code for flag in mapped.flags] == ["fact.too_long"]


def savings(**parts: Any) -> Record:
    body = {"__id": "u1", "groupe": {"code": "GE-A1-01", "date_reunion": "2026-07-09"}, **parts}
    return Record("odk", "reunion_groupe_epargne", "u1", "0", "reunion_groupe_epargne", body)


def test_items_of_a_list_keep_what_can_be_read() -> None:
    mapped = MAPPER.apply(savings(prets=[{"objet": "sante", "motif": "voyage", "montant_xof": "10 000"}, "?", {}]))
    assert mapped.activity is not None
    assert mapped.activity.facts["loans"] == [{"objet": "sante", "amount": Decimal(10000)}]
    assert [(flag.code, flag.fact) for flag in mapped.flags] == [("fact.answer", "loans.motif"), ("fact.type", "loans")]


def test_money_is_never_a_binary_float() -> None:
    facts = activity(savings(epargne={"montant_xof": "3750,10"})).facts
    assert facts["saved_xof"] == Decimal("3750.10")
    assert isinstance(facts["saved_xof"], Decimal)


def test_rows_that_were_not_filled_in_are_left_out() -> None:
    stock = activity(report("stock_count", tdr={"on_hand": 0}, zinc={"stockout_days": "2"}, sro={})).facts["stock"]
    assert stock == [{"product": "tdr", "on_hand": 0}, {"product": "zinc", "stockout_days": 2}]


def loaned(counts: bool, *amounts: int) -> Mapped:
    """Loans of these amounts, of which 1,000 to 50,000 are plausible."""
    whole = pack()
    amount = replace(whole.concepts["amount"], plausible=Plausible(Decimal(1000), Decimal(50_000), counts))
    loans = [{"objet": "sante", "montant_xof": str(one)} for one in amounts]
    return Mapper(replace(whole, concepts={**whole.concepts, "amount": amount})).apply(savings(prets=loans))


def test_an_implausible_value_is_kept_and_flagged_where_nothing_counts_it() -> None:
    mapped = loaned(False, 999, 1000, 50_000, 50_001)
    assert mapped.activity is not None
    assert mapped.activity.facts["loans"] == [
        {"objet": "sante", "implausible": {"amount": 999}}, {"objet": "sante", "amount": 1000},
        {"objet": "sante", "amount": 50_000}, {"objet": "sante", "implausible": {"amount": 50_001}},
    ]  # fmt: skip
    assert {(flag.code, flag.fact) for flag in mapped.flags} == {("fact.implausible", "loans.amount")}
    assert activity_from(activity_to(mapped.activity)) == mapped.activity
    counted = Counter(pack()).contributions(mapped.activity, mapped.activity.facts, lambda level: "ML-KKO")
    assert [one.amount for one in counted if one.indicator == "G07_XOF"] == [1000, 50_000]


def test_an_implausible_value_counts_where_the_pack_says_so() -> None:
    mapped = loaned(True, 999)
    assert mapped.activity is not None and mapped.activity.facts["loans"] == [{"objet": "sante", "amount": 999}]
    assert [(flag.code, flag.fact) for flag in mapped.flags] == [("fact.implausible_counted", "loans.amount")]


def test_a_row_that_says_something_implausible_is_a_row() -> None:
    whole = pack()
    on_hand = replace(whole.concepts["on_hand"], plausible=Plausible(None, Decimal(500)))
    changed = replace(whole, concepts={**whole.concepts, "on_hand": on_hand})
    mapped = Mapper(changed).apply(report("stock_count", tdr={"on_hand": 501}, sro={}))
    assert mapped.activity is not None
    assert mapped.activity.facts["stock"] == [{"product": "tdr", "implausible": {"on_hand": 501}}]


# ---------------------------------------------------------------- referrals


def test_a_referral_goes_with_its_facts() -> None:
    record = report(
        group_danger_signs={"danger_signs": "convulsions"},
        referral={
            "is_referred": "yes",
            "referred_to": "area-1",
            "urgency": "urgent",
            "reason": "danger_sign",
            "note": "n",
        },
    )
    found = activity(record)
    assert found.referral is not None
    assert (found.referral.to, found.referral.urgent, found.referral.reason) == ("area-1", True, "danger_sign")
    assert (found.referral.reasons, found.referral.note) == (("sign_convulsions",), "n")
    assert (found.facts["referred"], found.facts["referral_reason"]) == (True, "danger_sign")


def test_no_referral_is_not_the_same_as_not_asked() -> None:
    refused = activity(report(referral={"is_referred": "no", "referred_to": "area-1", "reason": "other"}))
    assert refused.referral is None
    assert refused.facts == {"referred": False}
    assert "referred" not in activity(report()).facts


# ---------------------------------------------------------------- people, places, workers


def test_contacts_register() -> None:
    body = {
        "_id": "p-9",
        "name": "Exemple Un Deux",
        "sex": "male",
        "date_of_birth": "2024-03",
        "parent": {"_id": "h-1"},
    }
    entity = MAPPER.apply(Record("cht", "contacts", "p-9", "3-b", "person", body)).entity
    assert entity is not None
    assert (entity.kind, entity.key, entity.revision, entity.mapping) == (
        "person",
        "p-9",
        "3-b",
        "forms/cht/person.yaml",
    )
    assert entity.data == {
        "name": "Exemple Un Deux",
        "given": "Exemple",
        "family": "Un Deux",
        "sex": "male",
        "birth_date": "2024-03",
        "parent": "h-1",
    }


@pytest.mark.parametrize(
    ("form", "kind"), [("chw", "worker"), ("site", "place"), ("household", "place"), ("area", "place")]
)
def test_every_contact_type_has_its_kind(form: str, kind: str) -> None:
    entity = MAPPER.apply(Record("cht", "contacts", "x", "1", form, {"name": "X", "parent": {"_id": "y"}})).entity
    assert entity is not None
    assert (entity.kind, entity.data["parent"]) == (kind, "y")


def test_a_birth_date_that_is_none_is_flagged() -> None:
    mapped = MAPPER.apply(Record("cht", "contacts", "p", "1", "person", {"name": "X", "date_of_birth": "2024-15"}))
    assert mapped.entity is not None
    assert "birth_date" not in mapped.entity.data
    assert [flag.fact for flag in mapped.flags] == ["birth_date"]


@pytest.mark.parametrize(
    ("kind", "text", "facts"),
    [
        ("boolean", "true", {"x": True}),
        ("boolean", "false", {"x": False}),
        ("boolean", "yes", {}),
        ("integer", "12", {"x": 12}),
        ("decimal", "12", {"x": Decimal(12)}),
        ("text", "12", {"x": "12"}),
        ("text", "true", {"x": "true"}),
    ],
)
def test_a_constant_is_what_its_concept_says(kind: str, text: str, facts: dict[str, Any]) -> None:
    whole, key = pack(), ("cht", "assessment")
    form = replace(whole.forms[key], facts=(FactRule("x", None, constant=text),))
    changed = replace(whole, concepts={"x": Concept("x", kind, {}, {})}, forms={**whole.forms, key: form})
    mapped = Mapper(changed).apply(report())
    assert mapped.activity is not None
    assert dict(mapped.activity.facts) == facts
    assert [flag.fact for flag in mapped.flags] == ([] if facts else ["x"])


# ---------------------------------------------------------------- whatever comes

junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(MAPPER.pack.forms)),
    st.dictionaries(
        st.sampled_from(
            [
                "fields",
                "contact",
                "reported_date",
                "groupe",
                "prets",
                "epargne",
                "normes",
                "date_seance",
                "aire",
                "name",
                "date_of_birth",
                "date",
                "__id",
                "meta/rootUuid",
                "reunion/date",
            ]
        ),
        junk,
        max_size=8,
    ),
)
def test_any_document_maps_or_is_refused(form: tuple[str, str], body: dict[str, Any]) -> None:
    """No document of any shape escapes as another exception."""
    source, name = form
    try:
        MAPPER.apply(Record(source, "s", "k", "1", name, body))
    except MappingError as error:
        assert error.code in {"date.missing", "date.invalid", "place.missing", "key.missing"}


@pytest.mark.again
@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(["group_fever", "group_danger_signs", "referral", "group_nutrition"]), junk))
def test_mapping_is_a_function_of_the_record(fields: dict[str, Any]) -> None:
    record = report(**fields)
    before = copy.deepcopy(dict(record.body))
    assert MAPPER.apply(record) == Mapper(MAPPER.pack).apply(record)
    assert record.body == before
