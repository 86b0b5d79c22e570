"""What leaves for the servers, as lines that an example can expect: a FHIR resource, a figure of DHIS2.

Only what the pack decides stands in a line: identifiers, moments and references are the same for every pack.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from connector.mappings.fhir_terms import CONCEPT, SYSTEMS, Json
from connector.mappings.indicators import element_and_combo
from connector.mappings.pack import Pack
from connector.model import SEEN, Contribution

_NAMES = {url: name for name, url in SYSTEMS}


def resource_lines(resources: Iterable[Json]) -> list[str]:
    """One line per resource::

        Encounter HH sick-visit Patient
        Observation exam fever ciel:140238 snomed:386661006 icd11:MG26 = true
        Condition malaria ciel:116128
        ServiceRequest urgent danger_sign sign_lethargic ciel:117417
        QuestionnaireResponse Group saved_xof = 3750 XOF, loans.amount = 10000 XOF

    A concept is told by its id and its codings, a value by its unit or, where it is coded, by the concept's codings.
    """
    return [" ".join(part for part in _parts(one) if part) for one in resources]


def _parts(one: Json) -> Iterator[str]:
    kind = one["resourceType"]
    yield kind
    if kind == "Encounter":
        yield from (one["class"]["code"], *_codings(one["type"][0]))
    if kind == "Observation":
        yield from (category["coding"][0]["code"] for category in one.get("category", ()))
    if kind == "ServiceRequest":
        yield one["priority"]
        for reason in one.get("reasonCode", ()):
            yield from _codings(reason)
    elif kind in ("Observation", "Condition"):
        yield from _codings(one["code"])
    elif kind == "QuestionnaireResponse":
        yield _about(one.get("subject"))
        yield ", ".join(_items(one.get("item", ())))
    elif kind == "Task" and one["intent"] == "plan":
        yield f"due {one.get('restriction', {}).get('period', {}).get('end', '-')}"
        yield f"done {one.get('executionPeriod', {}).get('end', '-')}"
    else:
        yield _about(one.get("subject") or one.get("for"))
    if kind == "Observation":
        yield f"= {_value(one)}"


def _about(subject: Json | None) -> str:
    """The type of the resource that another is about."""
    return str((subject or {}).get("type") or (subject or {}).get("reference", "").partition("/")[0])


def _codings(code: Json) -> list[str]:
    """Our id of a concept, then its codes at others."""
    found = {one["system"]: one["code"] for one in code["coding"]}
    own = [value for system, value in found.items() if system == CONCEPT or system.startswith("urn:relais:activity")]
    others = [
        f"{_NAMES.get(system, 'who')}:{value}" for system, value in found.items() if not system.startswith("urn:")
    ]
    return [*own, *others]


def _value(one: Mapping[str, Any]) -> str:
    for key, value in one.items():
        if key == "valueQuantity":
            return f"{value['value']} {value.get('code', '(no unit)')}"
        if key == "valueCodeableConcept":
            return " ".join(_codings(value)) or str(value["coding"][0]["code"])
        if key == "valueCoding":
            return str(value["code"])
        if key.startswith("value"):
            return str(value).lower() if isinstance(value, bool) else str(value)
    return ""


def _items(items: Iterable[Json], above: str = "") -> Iterator[str]:
    for item in items:
        name = above + item["linkId"]
        yield from _items(item.get("item", ()), name + ".")
        for answer in item.get("answer", ()):
            yield f"{name} = {_value(answer)}"


def cell_lines(pack: Pack, contributions: Sequence[Contribution]) -> list[str]:
    """One line per figure: data set, period, level (counted with it as org unit), data element, category option
    combination, and what is added::

        MH_SEC 202607 site MH_B01_NUM A3_Y0_4-SEX_F 1
    """
    found = []
    for one in contributions:
        if one.categories != SEEN:
            data_set = pack.data_sets[pack.indicators[one.indicator].data_set]
            element, combo = element_and_combo(pack, one.indicator, one.part, one.categories)
            amount = f"{one.amount.normalize():f}"
            found.append(f"{data_set.code} {one.period} {one.org_unit} {element} {combo} {amount}")
    return found
