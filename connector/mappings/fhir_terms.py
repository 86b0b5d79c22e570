"""The words FHIR resources are written with: code systems, codings of concepts, references, numbers, days."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from connector.identity import Names
from connector.mappings.pack import Concept, Pack, Text

#: A resource or a part of one. Constant parts are shared between resources: change none in place.
Json = dict[str, Any]

#: Systems in the order codings are written; servers take the first coding they can resolve.
SYSTEMS = (
    ("loinc", "http://loinc.org"),
    ("ciel", "https://cielterminology.org"),
    ("snomed", "http://snomed.info/sct"),
    ("icd11", "http://id.who.int/icd/release/11/mms"),
)
CONCEPT = "urn:relais:concept"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
UCUM = "http://unitsofmeasure.org"
CURRENCY = "urn:iso:std:iso:4217"
CURRENCIES = ("XOF",)
MAX_INTEGER = 2**31 - 1
_DAY = re.compile(r"\d{4}(?:-\d\d(?:-\d\d(?=T|$))?)?(?=T|$)", re.ASCII)
#: The two variant bits of a UUID (RFC 9562) laid over the first digit of its fourth group.
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))

#: Words for codes that need no entry in the pack's dictionary.
FIXED: Mapping[str, Text] = {
    "household": {"fr": "Ménage", "en": "Household"},
    "savings-group": {"fr": "Groupe d'épargne", "en": "Savings group"},
    "group-type": {"fr": "Type de groupe", "en": "Group type"},
    "referral": {"fr": "Référence vers un centre de santé", "en": "Referral to a health centre"},
    "qi-action": {"fr": "Action d'amélioration de la qualité", "en": "Quality improvement action"},
}


class Ids:
    """Resource ids: what ``names.uuid`` gives (UUIDv5 of the parts), three times as fast."""

    def __init__(self, names: Names) -> None:
        self._root = hashlib.sha1(names.namespace.bytes, usedforsecurity=False)

    def __call__(self, kind: str, *parts: str) -> str:
        hashed = self._root.copy()
        hashed.update("|".join((kind, *parts)).encode())
        h = hashed.hexdigest()
        return f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{_VARIANT[h[16]]}{h[17:20]}-{h[20:32]}"


class Terms:
    """CodeableConcepts of one pack, each built once. Texts are in the pack's first language."""

    def __init__(self, pack: Pack) -> None:
        self.language = pack.languages[0] if pack.languages else "en"
        self._codes = {id: self._of_concept(concept) for id, concept in pack.concepts.items()}

    def words(self, name: Text) -> str:
        return name.get(self.language) or next(iter(name.values()), "")

    def code(self, id: str) -> Json:
        """The codings of a concept; of what is no concept of the pack, our own coding alone."""
        known = self._codes.get(id)
        if known is None:
            known = coded(CONCEPT, id, self.words(FIXED.get(id, {})))
        return known

    def _of_concept(self, concept: Concept) -> Json:
        codings = concept.codings
        systems = [(name, system) for name, system in SYSTEMS if codings.get(name)]
        if who := codings.get("who"):
            systems.append(("who", _who_system(who)))
        coding = [
            {"system": system, "code": codings[name]}
            | ({"version": version} if (version := concept.versions.get(name)) else {})
            for name, system in systems
        ]
        code: Json = {"coding": [*coding, {"system": CONCEPT, "code": concept.id}]}
        if text := self.words(concept.name):
            code["text"] = text
        return code


def _who_system(code: str) -> str:
    """The code systems of WHO's SMART guidelines: antenatal care has its own, child care the other."""
    if code.startswith("ANC."):
        return "http://fhir.org/guides/who/anc-cds/CodeSystem/anc-custom-codes"
    return "https://smart.who.int/ccc/CodeSystem/Ccc-custom-codes"


def coded(system: str, code: str, text: str = "") -> Json:
    """A CodeableConcept of one coding."""
    out: Json = {"coding": [{"system": system, "code": code}]}
    if text:
        out["text"] = text
    return out


def source_system(source: str) -> str:
    return f"urn:relais:{source}"


def logical(resource_type: str, system: str, value: str) -> Json:
    """A reference by identifier: it names what is meant and asks no server to hold it."""
    return {"type": resource_type, "identifier": {"system": system, "value": value}, "display": value}


def canonical_number(value: int | float | Decimal) -> int | float:
    """The JSON number without trailing zeros: 39.10 is 39.1, 38.0 is 38. ValueError when it is not finite."""
    if isinstance(value, int):
        return value
    try:
        whole = int(value)
    except OverflowError:
        raise ValueError("not a finite number") from None
    return whole if whole == value else float(value)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def quantity(number: int | float, unit: str | None) -> Json:
    """``unit``: a UCUM code, or a currency of ISO 4217."""
    if not unit:
        return {"value": number}
    return {"value": number, "unit": unit, "system": CURRENCY if unit in CURRENCIES else UCUM, "code": unit}


def partial_day(value: Any) -> str | None:
    """An ISO day, month or year (of a moment, its day); None for anything else."""
    if isinstance(value, date):
        return value.isoformat()[:10]
    if not isinstance(value, str):
        return None
    found = _DAY.match(value)
    return found[0] if found else None
