"""What an OpenMRS must hold for ``openmrs.yaml`` to be true, as rows to be posted: pure functions.

Numbers: recordings/openmrs-2.8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.adapters.openmrs_rest import Json
from connector.adapters.openmrs_rows import CHARACTERS, LUHN_MOD_30
from connector.identity import Names

#: The name of the role Relais makes for its own account.
ROLE = "Relais"
#: Fixed by core: data types and the class of concepts (016, 022, 024, 026).
_TEXT, _CODED, _NA, _NUMERIC = (
    "8d4a4ab4-c2cc-11de-8d13-0010c6dffd0f",
    "8d4a48b6-c2cc-11de-8d13-0010c6dffd0f",
    "8d4a4c94-c2cc-11de-8d13-0010c6dffd0f",
    "8d4a4488-c2cc-11de-8d13-0010c6dffd0f",
)
_QUESTION = "8d491e50-c2cc-11de-8d13-0010c6dffd0f"
#: concepts of openmrs.yaml -> name there, data type
_CONCEPTS = {
    "number": ("Referral number", _TEXT),
    "reason": ("Referral reason", _CODED),
    "urgency": ("Referral urgency", _CODED),
    "note": ("Referral note", _TEXT),
    "treatment": ("Treatment given before referral", _CODED),
    "diagnosis": ("Visit diagnosis", _CODED),
    "counter_referral_note": ("Counter-referral note", _TEXT),
}

_CIEL = "CIEL:"


@dataclass(frozen=True, slots=True)
class Needed:
    """A row of the server's metadata. ``bodies``: what is posted, in order, each to its resource; none: see ``why``.
    ``ciel``: its number in the dictionary CIEL, by which it must be found there."""

    kind: str
    place: str  #: in openmrs.yaml
    path: str
    reference: str
    name: str = ""
    bodies: Sequence[tuple[str, Json]] = ()
    why: str = ""
    words: Sequence[str] = ()
    ciel: str = ""


@dataclass(frozen=True, slots=True)
class Meant:
    """What the pack says of a number of CIEL: its name in English, and what kind of value it is (``Concept.kind``)."""

    name: str
    kind: str = "boolean"


def needed(
    openmrs: Mapping[str, Any], titles: Mapping[str, str], names: Names, ciel: Mapping[str, Meant]
) -> Iterator[Needed]:
    """Every row that ``openmrs.yaml`` names, each after those it refers to, but for what the server gives a uuid of
    its own (identifier source, appointment services).

    ``titles``: place -> its name, for new locations; ``ciel``: number -> what the pack says it is.
    """
    for key, uuid in (openmrs.get("identifier_types") or {}).items():
        yield identifier_type(key, str(uuid))
    yield _named(
        "encounter_type", "encounter_type", "encountertype", openmrs.get("encounter_type"), "Community Referral"
    )
    for uuid in openmrs.get("clinical_encounter_types") or ():
        yield _named("encounter_type", "clinical_encounter_types", "encountertype", uuid, "Consultation")
    if openmrs.get("provider"):
        yield _provider(str(openmrs["provider"]), names)
    if openmrs.get("encounter_role"):
        yield Needed("encounter_role", "encounter_role", "encounterrole", str(openmrs["encounter_role"]), why="role")
    for area, place in (openmrs.get("places") or {}).items():
        title = titles.get(area, area)
        yield _named("location", f"places.{area}.location", "location", place.get("location"), title)
    yield from _concepts(openmrs, ciel)


def identifier_type(key: str, uuid: str) -> Needed:
    """``key``: openmrs_id | chw | national."""
    body: Json = {"uuid": uuid, "name": "CHW Patient ID", "description": "id in the app of the CHW"}
    body |= {"required": False, "uniquenessBehavior": "UNIQUE"}
    if key == "national":  # typed by hand at the clinic, and read only by us
        body = {"uuid": uuid, "name": "National identifier", "required": False, "locationBehavior": "NOT_USED"}
        body |= {"description": "the number of the identity card", "uniquenessBehavior": "NON_UNIQUE"}
    if key == "openmrs_id":  # that of the reference application (003)
        body |= {
            "name": "OpenMRS ID", "description": "OpenMRS patient identifier, with check-digit", "required": True,
            "validator": LUHN_MOD_30, "locationBehavior": "NOT_USED",
        }  # fmt: skip
    path = "patientidentifiertype"
    return Needed("identifier_type", f"identifier_types.{key}", path, uuid, str(body["name"]), [(path, body)])


def identifier_source(kind: str, validator: str | None) -> Json:
    """``POST /idgen/identifiersource`` (006): the generator appends the digit that its type's validator asks for."""
    body: Json = {
        "sourceType": "SequentialIdentifierGenerator", "name": "Generator for OpenMRS ID", "identifierType": kind,
        "baseCharacterSet": CHARACTERS, "firstIdentifierBase": "100000",
    }  # fmt: skip
    return {**body, "minLength": "7", "maxLength": "7"} if validator else body


def _provider(uuid: str, names: Names) -> Needed:
    """A provider needs a person (011, 012); this one stands for all CHWs."""
    person = names.uuid("openmrs", "provider", uuid)
    bodies: list[tuple[str, Json]] = [
        (
            "person",
            {"uuid": person, "names": [{"givenName": "Community", "familyName": "Health Worker"}], "gender": "U"},
        ),
        ("provider", {"uuid": uuid, "person": person, "identifier": "ASC"}),
    ]
    return Needed("provider", "provider", "provider", uuid, "Community health worker", bodies)


@dataclass(slots=True)
class _Asked:
    """A concept as far as ``openmrs.yaml`` tells of it."""

    place: str
    name: str
    datatype: str
    answers: dict[str, None] = field(default_factory=dict)  #: in order


def _concepts(openmrs: Mapping[str, Any], ciel: Mapping[str, Meant]) -> Iterator[Needed]:
    """Answers first: a coded question names them."""
    answers = openmrs.get("answers") or {}
    found: dict[str, _Asked] = {}
    for question, options in answers.items():
        for option, reference in options.items():
            title = f"Referral {question}: {str(option).replace('_', ' ')}"
            found.setdefault(str(reference), _Asked(f"answers.{question}.{option}", title, _NA))
    rules = (openmrs.get("observations") or {}).items()
    for name, rule in rules:
        for option, reference in (
            *((("value", rule["value"]),) if "value" in rule else ()),
            *((f"answers.{option}", one) for option, one in (rule.get("answers") or {}).items()),
        ):
            found.setdefault(str(reference), _Asked(f"observations.{name}.{option}", "", _NA))
    for key, reference in (openmrs.get("concepts") or {}).items():
        title, datatype = _CONCEPTS.get(key, (str(key).replace("_", " ").capitalize(), _TEXT))
        one = found.setdefault(str(reference), _Asked(f"concepts.{key}", title, datatype))
        one.answers |= dict.fromkeys(map(str, (answers.get(key) or {}).values()))
    for name, rule in rules:
        said = [str(rule["value"])] if "value" in rule else [str(one) for one in (rule.get("answers") or {}).values()]
        kind = ciel.get(str(rule["concept"]).removeprefix(_CIEL), Meant("")).kind
        datatype = _CODED if said else _NUMERIC if kind in ("integer", "decimal") or "factor" in rule else _TEXT
        one = found.setdefault(str(rule["concept"]), _Asked(f"observations.{name}.concept", "", datatype))
        one.answers |= dict.fromkeys(said)
    for reference, one in found.items():
        yield _concept(reference, one, ciel)


def _concept(reference: str, asked: _Asked, ciel: Mapping[str, Meant]) -> Needed:
    code = reference.removeprefix(_CIEL) if reference.startswith(_CIEL) else ""
    meant = ciel.get(code)
    name = (meant.name if meant else "") or asked.name
    if not name or (code and meant is None):  # what nobody says the meaning of is not made
        return Needed("concept", asked.place, "concept", reference, name, why="ciel", ciel=code)
    body: Json = {
        "uuid": uuid_of_ciel(reference),
        "names": [{"name": name, "locale": "en", "localePreferred": True, "conceptNameType": "FULLY_SPECIFIED"}],
        "datatype": asked.datatype,
        "conceptClass": _QUESTION,
        "descriptions": [{"description": name, "locale": "en"}],
    }
    if asked.datatype == _NUMERIC:
        body["allowDecimal"] = True  # else a value with a fraction is refused (246)
    if asked.answers:
        body["answers"] = [uuid_of_ciel(one) for one in asked.answers]
    return Needed("concept", asked.place, "concept", reference, name, [("concept", body)], ciel=code)


def uuid_of_ciel(reference: str) -> str:
    """The uuid a concept of CIEL has wherever its dictionary is installed (016, 026); another reference as it is."""
    return reference.removeprefix(_CIEL).ljust(36, "A") if reference.startswith(_CIEL) else reference


def _named(kind: str, place: str, path: str, uuid: Any, name: str) -> Needed:
    body = {"uuid": str(uuid), "name": name, "description": name}
    return Needed(kind, place, path, str(uuid), name, [(path, body)])
