"""Metadata of an OpenMRS: what ``openmrs.yaml`` names and the server lacks, and making it by REST. ``ports.Setup``.

What is made has the uuid of ``openmrs.yaml`` (001-032: REST takes it). Two things get a uuid of the server's own: an
appointment service (633) is made, and its uuid is for a person to write down; an identifier source (006) is left to a
person. Concepts of CIEL come with its dictionary. Each row is looked for by its uuid after it was posted, whatever was
answered. Numbers: recordings/openmrs-2.8.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connector.adapters.openmrs_answers import REASONS, short
from connector.adapters.openmrs_rest import Json, Rest, Stop
from connector.errors import TargetRefused, TargetUnreadable
from connector.identity import Names
from connector.model import Finding, Lack, Severity, Survey, Who

#: Fixed by core: data types and the class of concepts (016, 022, 024).
_TEXT, _CODED, _NA = (
    "8d4a4ab4-c2cc-11de-8d13-0010c6dffd0f",
    "8d4a48b6-c2cc-11de-8d13-0010c6dffd0f",
    "8d4a4c94-c2cc-11de-8d13-0010c6dffd0f",
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
#: The identifier that every patient of the reference application has, with its check digit (003).
_OPENMRS_ID = "05a29f94-c0ed-11e2-94be-8c13b969e334"
_OF_ACCOUNT = ("openmrs.credentials", "openmrs.locked", "openmrs.privilege")
_WHY: Mapping[str, tuple[str, str]] = {
    "ciel": (
        "it belongs to the CIEL dictionary: install that, or mend openmrs.yaml",
        "il appartient au dictionnaire CIEL : l'installer, ou corriger openmrs.yaml",
    ),
    "own_uuid": (
        "OpenMRS gives it a uuid of its own: create it there and write that uuid into openmrs.yaml",
        "OpenMRS lui donne son propre uuid : le créer là-bas et écrire cet uuid dans openmrs.yaml",
    ),
    "write": (
        "it is there as {0}: write that into openmrs.yaml",
        "il est là sous {0} : l'écrire dans openmrs.yaml",
    ),
    "role": (
        "Relais does not make it: mend openmrs.yaml",
        "Relais ne le crée pas : corriger openmrs.yaml",
    ),
    "retired": (
        "it is retired there: choose a living one in openmrs.yaml",
        "il est retiré là-bas : en choisir un autre dans openmrs.yaml",
    ),
    "module": (
        "install and start the module, or choose the profile platform2",
        "installer et démarrer le module, ou choisir le profil platform2",
    ),
}


@dataclass(frozen=True, slots=True)
class _Needed:
    """A row of the server's metadata. ``bodies``: what is posted, in order, each to its resource; none: see ``why``."""

    kind: str
    place: str  #: in openmrs.yaml
    path: str
    reference: str
    name: str = ""
    bodies: Sequence[tuple[str, Json]] = ()
    why: str = ""


class OpenmrsSetup:
    """``rest``: the account that makes; ``titles``: place of ``openmrs.yaml`` -> its name, for new locations."""

    def __init__(
        self,
        rest: Rest,
        *,
        name: str,
        openmrs: Mapping[str, Any],
        profile: str,
        titles: Mapping[str, str],
        names: Names,
    ) -> None:
        self.rest, self.name, self.openmrs, self.profile = rest, name, openmrs, profile
        self.titles, self.names = titles, names
        self._missing: list[_Needed] = []

    # ------------------------------------------------------------ the port

    async def survey(self) -> Survey:
        """What is missing. The package: what would be posted, by resource."""
        try:
            found = [one async for one in self._lacks()]
        except Stop as stop:
            raise _trouble(self.name, stop) from None
        self._missing = [one for one, lack in found if lack.makeable]
        package: dict[str, list[Json]] = {}
        for one in self._missing:
            for path, body in one.bodies:
                package.setdefault(path, []).append(body)
        return Survey(tuple(lack for _, lack in found), package)

    async def make(self, survey: Survey) -> Sequence[Finding]:
        findings = []
        for one in self._missing:
            try:
                for path, body in one.bodies:
                    refused = await self._post(path, body)
                    if refused:
                        findings.append(_finding(f"{one.place}: {refused}"))
                        break
            except Stop as stop:
                raise _trouble(self.name, stop) from None
        return findings

    async def _post(self, path: str, body: Json) -> str:
        """What OpenMRS refused, in its words. A lost answer is no refusal: the next survey says what was made."""
        if "uuid" in body and await self.rest.get(f"{path}/{body['uuid']}") is not None:
            return ""  # a part that an earlier try made
        said = await self.rest.write("POST", path, json=body)
        if said is None or said.code is None:
            return ""
        if said.code in _OF_ACCOUNT:
            raise said.stop()
        return short(said.body) or f"OpenMRS answered {said.status}"

    # ------------------------------------------------------------ looking

    async def _lacks(self) -> AsyncIterator[tuple[_Needed, Lack]]:
        modules = await self.rest.get("module", v="custom:(moduleId,started)", limit="100")
        rows = (modules or {}).get("results")
        started = {str(m.get("moduleId")) for m in rows if isinstance(m, Mapping)} if isinstance(rows, list) else set()
        for module in ("idgen", *(["appointments"] if self.profile == "o3" else [])):
            if module not in started:
                yield _lack(_Needed("module", module, "module", module, module, why="module"))
        seen: set[str] = set()
        for one in self._needed():
            if one.reference in seen:
                continue
            seen.add(one.reference)
            row = await self.rest.get(f"{one.path}/{one.reference}")
            if row is None:
                yield _lack(one)
            elif row.get("retired"):
                yield _lack(_Needed(one.kind, one.place, one.path, one.reference, one.name, why="retired"))
        if self.profile == "o3" and "appointments" in started:
            async for lack in self._services():
                yield lack

    async def _services(self) -> AsyncIterator[tuple[_Needed, Lack]]:
        """A service is known by the uuid of openmrs.yaml; one made by us is found again by its name."""
        there = await self.rest.list("appointmentService/all/default")
        for area, place in (self.openmrs.get("places") or {}).items():
            uuid = str(place.get("service") or "")
            if not uuid or any(str(one.get("uuid")) == uuid for one in there):
                continue
            name = f"Consultation {self.titles.get(area, area)}"
            where = f"places.{area}.service"
            made = next((one for one in there if one.get("name") == name), None)
            if made is not None:
                row = _Needed("appointment_service_uuid", where, "", uuid, name, why="write")
                yield _lack(row, str(made.get("uuid")))
                continue
            body = {"name": name, "description": name, "durationMins": 15, "locationUuid": place["location"]}
            yield _lack(_Needed("appointment_service", where, "", uuid, name, [("appointmentService", body)]))

    def _needed(self) -> Iterator[_Needed]:
        """Every row that ``openmrs.yaml`` names, each after those it refers to."""
        openmrs = self.openmrs
        for key, uuid in (openmrs.get("identifier_types") or {}).items():
            yield self._identifier_type(key, str(uuid))
        source = str(openmrs.get("idgen_source") or "")
        if source:
            yield _Needed("identifier_source", "idgen_source", "idgen/identifiersource", source, why="own_uuid")
        yield _named(
            "encounter_type", "encounter_type", "encountertype", openmrs.get("encounter_type"), "Community Referral"
        )
        for uuid in openmrs.get("clinical_encounter_types") or ():
            yield _named("encounter_type", "clinical_encounter_types", "encountertype", uuid, "Consultation")
        if openmrs.get("provider"):
            yield self._provider(str(openmrs["provider"]))
        if openmrs.get("encounter_role"):
            yield _Needed(
                "encounter_role", "encounter_role", "encounterrole", str(openmrs["encounter_role"]), why="role"
            )
        for area, place in (openmrs.get("places") or {}).items():
            title = self.titles.get(area, area)
            yield _named("location", f"places.{area}.location", "location", place.get("location"), title)
        yield from self._concepts()

    def _identifier_type(self, key: str, uuid: str) -> _Needed:
        body: Json = {"uuid": uuid, "name": "CHW Patient ID", "description": "id in the app of the CHW"}
        body |= {"required": False, "uniquenessBehavior": "UNIQUE"}
        if key == "national":  # typed by hand at the clinic, and read only by us
            body = {"uuid": uuid, "name": "National identifier", "required": False, "locationBehavior": "NOT_USED"}
            body |= {"description": "the number of the identity card", "uniquenessBehavior": "NON_UNIQUE"}
        if uuid == _OPENMRS_ID:
            body |= {
                "name": "OpenMRS ID", "description": "OpenMRS patient identifier, with check-digit", "required": True,
                "validator": "org.openmrs.module.idgen.validator.LuhnMod30IdentifierValidator",
                "locationBehavior": "NOT_USED",
            }  # fmt: skip
        where = f"identifier_types.{key}"
        path = "patientidentifiertype"
        return _Needed("identifier_type", where, path, uuid, str(body["name"]), [(path, body)])

    def _provider(self, uuid: str) -> _Needed:
        """A provider needs a person (011, 012); this one stands for all CHWs."""
        person = self.names.uuid("openmrs", "provider", uuid)
        name = "Community health worker"
        bodies: list[tuple[str, Json]] = [
            (
                "person",
                {"uuid": person, "names": [{"givenName": "Community", "familyName": "Health Worker"}], "gender": "U"},
            ),
            ("provider", {"uuid": uuid, "person": person, "identifier": "ASC"}),
        ]
        return _Needed("provider", "provider", "provider", uuid, name, bodies)

    def _concepts(self) -> Iterator[_Needed]:
        """Answers first: a coded question names them."""
        answers = self.openmrs.get("answers") or {}
        for question, options in answers.items():
            for option, reference in options.items():
                title = f"Referral {question}: {str(option).replace('_', ' ')}"
                yield _concept(f"answers.{question}.{option}", str(reference), title, _NA)
        for key, reference in (self.openmrs.get("concepts") or {}).items():
            title, datatype = _CONCEPTS.get(key, (str(key).replace("_", " ").capitalize(), _TEXT))
            options = [str(one) for one in answers.get(key, {}).values()]
            yield _concept(f"concepts.{key}", str(reference), title, datatype, options)
        for name, rule in (self.openmrs.get("observations") or {}).items():
            for place, reference in (
                ("concept", rule["concept"]),
                *([("value", rule["value"])] if "value" in rule else []),
                *((f"answers.{option}", one) for option, one in (rule.get("answers") or {}).items()),
            ):
                yield _Needed("concept", f"observations.{name}.{place}", "concept", str(reference), why="ciel")


def _named(kind: str, place: str, path: str, uuid: Any, name: str) -> _Needed:
    body = {"uuid": str(uuid), "name": name, "description": name}
    return _Needed(kind, place, path, str(uuid), name, [(path, body)])


def _concept(place: str, reference: str, name: str, datatype: str, answers: Sequence[str] = ()) -> _Needed:
    if ":" in reference:
        return _Needed("concept", place, "concept", reference, name, why="ciel")
    body: Json = {
        "uuid": reference,
        "names": [{"name": name, "locale": "en", "localePreferred": True, "conceptNameType": "FULLY_SPECIFIED"}],
        "datatype": datatype,
        "conceptClass": _QUESTION,
        "descriptions": [{"description": name, "locale": "en"}],
    }
    if answers:
        body["answers"] = list(answers)
    return _Needed("concept", place, "concept", reference, name, [("concept", body)])


def _lack(one: _Needed, *words: str) -> tuple[_Needed, Lack]:
    en, fr = _WHY[one.why] if one.why else ("", "")
    name = one.name or one.reference
    return one, Lack(one.kind, one.place, name, en.format(*words), fr.format(*words))


def _finding(text: str) -> Finding:
    return Finding(
        "openmrs.metadata_refused",
        Severity.ERROR,
        f"OpenMRS refused {text}",
        who=Who.TARGET_ADMIN,
        french=(f"OpenMRS a refusé {text}", "", ""),
    )


def _trouble(name: str, stop: Stop) -> TargetRefused | TargetUnreadable:
    why = REASONS[stop.code]
    if stop.code in _OF_ACCOUNT:
        return TargetRefused.after(f"{name} : {why.fr}", f"{name}: {why.en}")
    return TargetUnreadable.because(stop.code, why, name)
