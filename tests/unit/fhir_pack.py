"""A small pack, and activities of it, for the tests of what becomes FHIR."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from connector.identity import Names
from connector.mappings.fhir import FhirBuilder
from connector.mappings.pack import ActivityKind, Category, Concept, DataSet, Indicator, Pack, PartRule
from connector.model import Activity, Entity, Referral

NAMES = Names("test-pack")
KEY = "5f0e2c7e-visit"
PERSON = "0b7d-person"


def concept(
    id: str,
    kind: str = "boolean",
    *,
    unit: str | None = None,
    answers: Mapping[str, str] | None = None,
    category: str | None = "exam",
    codings: Mapping[str, str] | None = None,
    observed: bool = True,
    **fhir: Any,
) -> Concept:
    if observed:
        fhir |= {"resource": "Observation"}
        if category:
            fhir |= {"category": category}
    name = {"fr": f"le {id}", "en": f"the {id}"}
    return Concept(id, kind, name, codings or {}, unit=unit, answers=answers or {}, fhir=fhir)


CONCEPTS = [
    concept("fever", codings={"snomed": "386661006", "ciel": "140238", "icd11": "MG26"}),
    concept(
        "malaria_rdt",
        "coded",
        category="laboratory",
        answers={"positive": "rdt_positive", "negative": "negative"},
        codings={"ciel": "1643", "loinc": "70569-9"},
        condition="malaria",
        when="positive",
    ),
    concept("rdt_positive", "coded", observed=False, codings={"ciel": "703"}),
    concept("malaria", observed=False, codings={"ciel": "116128", "icd11": "1F45", "who": "CHE.X"}),
    concept("sam", observed=False),
    concept("breath_count", "integer", unit="/min", category="vital-signs", codings={"loinc": "9279-1"}),
    concept("muac_mm", "integer", unit="mm", codings={"ciel": "1343"}, condition="sam", below="115"),
    concept("oedema", condition="sam"),
    concept("diarrhoea", condition="diarrhoea"),
    concept("doses_taken", "integer", category="therapy", condition="malaria", when=["77", "78"]),
    concept("weight_kg", "decimal", unit="kg", category="vital-signs"),
    concept("lmp_date", "date", category="survey"),
    concept("visit_topic", "text", category=None),
    concept("danger_signs", "coded", answers={"convulsions": "sign_convulsions", "lethargic": "sign_lethargic"}),
    concept("sign_convulsions", observed=False, codings={"ciel": "113054"}),
    concept("sign_lethargic", observed=False),
    concept("amount", "decimal", unit="XOF", observed=False),
    concept("meeting_day", "date", observed=False),
    concept("member_of", "coded", observed=False, answers={"a": "club_a"}),
]

KINDS = [
    ActivityKind("sick_visit", {"fr": "Enfant malade"}, {"shape": "encounter", "class": "HH", "subject": "person"}),
    ActivityKind("household_visit", {}, {"shape": "encounter", "class": "HH", "subject": "group", "type": "home"}),
    ActivityKind("savings_meeting", {}, {"shape": "questionnaire_response", "subject": "group"}),
    ActivityKind("stock_report", {}, {"shape": "questionnaire_response", "subject": "place"}),
    ActivityKind("supervision", {}, {"shape": "questionnaire_response", "subject": "worker"}),
    ActivityKind("qi_action", {}, {"shape": "task", "due": "planned", "done": "finished"}),
    ActivityKind("silent", {}, {"shape": "none"}),
]


def indicator(id: str, aggregate: str = "count", by: tuple[str, ...] = ()) -> Indicator:
    return Indicator(
        id=id,
        name={"fr": f"indicateur {id}"},
        counts=("sick_visit",),
        parts={},
        rules={"count": PartRule(("sick_visit",), aggregate, each="items" if aggregate == "distinct" else None, by=by)},
        data_set="sec",
        elements={},
        chis=None,
        area="sec",
    )


SEX = Category(
    "sex",
    {},
    "sex",
    {"female": "SEX_F", "male": "SEX_M", "unknown": "SEX_UNK"},
    {"female": {"fr": "féminin"}, "male": {"fr": "masculin"}},
)

PACK = Pack(
    id="test-pack",
    version="1",
    folder=Path("."),
    name={"fr": "essai"},
    zone="Africa/Nairobi",
    languages=("fr", "en"),
    sources={},
    targets={},
    concepts={c.id: c for c in CONCEPTS},
    activities={k.id: k for k in KINDS},
    forms={},
    ignore={},
    categories={"sex": SEX},
    indicators={
        i.id: i
        for i in (
            indicator("A04", by=("sex",)),
            indicator("B02", by=("sex",)),
            indicator("F02", "distinct"),
            indicator("F01", "distinct", by=("sex",)),
            indicator("G05", "sum"),
        )
    },
    data_sets={"sec": DataSet("sec", "MH_SEC", {}, "Monthly", "site", None)},
    openmrs={},
    retention={},
    org_units=(),
    deployments=(),
)

BUILDER = FhirBuilder(PACK, NAMES)

SICK_FACTS: dict[str, Any] = {
    "fever": True,
    "malaria_rdt": "positive",
    "breath_count": 44,
    "muac_mm": 112,
    "oedema": False,
    "diarrhoea": False,
    "doses_taken": 3,
    "weight_kg": Decimal("11.50"),
    "lmp_date": "2026-05-01",
    "visit_topic": " moustiquaires ",
    "danger_signs": ["convulsions"],
    "referred": True,
}
REFERRAL = Referral("area-1", True, "danger_sign", ("sign_convulsions",), "Voir vite ")


def activity(kind: str = "sick_visit", facts: Mapping[str, Any] | None = None, **more: Any) -> Activity:
    given: dict[str, Any] = {
        "source": "cht",
        "stream": "reports",
        "key": KEY,
        "revision": "1-a",
        "kind": kind,
        "form": "assessment",
        "mapping": "forms/cht/assessment.yaml",
        "version": "0123",
        "date": date(2026, 7, 4),
        "at": datetime(2026, 7, 3, 22, 30, tzinfo=UTC),
        "place": "site-1",
        "worker": "asc-001",
        "subject": PERSON,
        "facts": SICK_FACTS if facts is None else facts,
    }
    return Activity(**(given | more))


def person(**data: Any) -> Entity:
    return Entity("cht", "person", PERSON, "1-a", data)
