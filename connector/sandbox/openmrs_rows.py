"""The rows the sandbox's OpenMRS holds, and the identifiers it makes.

Rows are dicts with ``_kind`` whose keys are the REST property names, so that a representation is a projection.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from connector.sandbox.openmrs_metadata import CIEL, PRIVILEGES, ROOT, SAME_AS, own_uuid
from connector.sandbox.openmrs_shapes import Json, write_date, zone_of

#: The alphabet of OpenMRS IDs: no B, I, O, Q, S, Z (006).
ALPHABET = "0123456789ACDEFGHJKLMNPRTUVWXY"
_ADDRESS = (
    "latitude", "longitude", "cityVillage", "stateProvince", "country", "postalCode", "countyDistrict",
    *(f"address{n}" for n in range(1, 16)),
)  # fmt: skip


_LUHN_MOD_30 = "org.openmrs.module.idgen.validator.LuhnMod30IdentifierValidator"


def luhn_mod_30(base: str) -> str:
    """The check digit the idgen module appends. 070, 071: 100000 -> Y, 100001 -> W."""
    total, factor = 0, 2
    for character in reversed(base):
        product = factor * ALPHABET.index(character)
        total += product // 30 + product % 30
        factor = 3 - factor
    return ALPHABET[-total % 30]


def valid_openmrs_id(identifier: str) -> bool:
    # 808: lower case is accepted.
    text = identifier.upper()
    return len(text) > 1 and all(c in ALPHABET for c in text) and luhn_mod_30(text[:-1]) == text[-1]


class Rows:
    """Everything one server holds. ``now`` gives the server's time."""

    def __init__(self, metadata: Mapping[str, Any], now: Callable[[], datetime]) -> None:
        self.metadata = metadata
        self.now = now
        self.zone = zone_of(metadata.get("zone", "+0300"))
        self.patients: dict[str, Json] = {}
        self.encounters: dict[str, Json] = {}
        self.obs: dict[str, Json] = {}
        self.appointments: dict[str, Json] = {}
        self.conditions: dict[str, Json] = {}  #: of the problem list, and diagnoses of encounters (591, 853)
        self._made = 0
        self.locations = {row["uuid"]: location_row(row) for row in metadata["locations"]}
        self.people: dict[str, Json] = {}  #: made apart from patients, for providers
        self.attribute_types = {
            row["uuid"]: metadatum("personattributetype", row) for row in metadata.get("attribute_types", ())
        }
        self.encounter_types = {row["uuid"]: metadatum("encountertype", row) for row in metadata["encounter_types"]}
        self.roles = {row["uuid"]: metadatum("encounterrole", row) for row in metadata["encounter_roles"]}
        self.identifier_types = {row["uuid"]: identifier_type_row(row) for row in metadata["identifier_types"]}
        self.providers = {
            row["uuid"]: {
                **metadatum("provider", row),
                "display": f"{row['identifier']} - {row['name']}",
                "identifier": row["identifier"],
                "person": None,
                "providerRole": None,
                "attributes": [],
            }
            for row in metadata["providers"]
        }
        self.services = {row["uuid"]: dict(row) for row in metadata["services"]}
        self.concepts = {row["uuid"]: concept_row(row) for row in metadata["concepts"]}
        self.ciel = {row["ciel"]: row["uuid"] for row in metadata["concepts"] if row.get("ciel")}
        for concept in self.concepts.values():
            concept["answers"] = [self.concepts[u] for u in concept["answers"] if u in self.concepts]
        self.idgen: dict[str, Json] = {row["uuid"]: {**row, "next": row["first"]} for row in metadata["idgen"]}
        self.map_types = {SAME_AS: metadatum("conceptmaptype", {"uuid": SAME_AS, "name": "SAME-AS"})}  # 014
        ciel = metadatum("conceptsource", {"uuid": CIEL, "name": "CIEL"}, hl7Code="CIEL", uniqueId=None)
        self.concept_sources = {CIEL: ciel} if self.ciel else {}
        terms = [term_row({"name": row["name"], "code": row["ciel"]}, ciel)
                 for row in metadata["concepts"] if row.get("ciel")]  # fmt: skip
        self.concept_terms = {term["uuid"]: term for term in terms}
        privileges = metadata.get("privileges") or {own_uuid("privilege", name): name for name in PRIVILEGES}
        self.privileges = {key: metadatum("privilege", {"uuid": key, "name": name}) for key, name in privileges.items()}
        self.user_roles: dict[str, Json] = {}  #: made here; what users had from the beginning is in their own rows

    # ------------------------------------------------------------ metadata

    def by_uuid_or_name(self, table: Mapping[str, Json], reference: Any) -> Json | None:
        """Metadata may be given by uuid or by name (113, 206, 280)."""
        key = reference.get("uuid") if isinstance(reference, dict) else reference
        if not isinstance(key, str):
            return None
        return table.get(key) or next((row for row in table.values() if row["name"] == key), None)

    def concept(self, reference: Any) -> Json | None:
        """By uuid or ``CIEL:116128`` (210, 250, 254), never by name (249)."""
        key = reference.get("uuid") if isinstance(reference, dict) else reference
        if not isinstance(key, str):
            return None
        source, _, code = key.partition(":")
        return self.concepts.get(self.ciel.get(code, "") if code and source == "CIEL" else key)

    # ------------------------------------------------------------ making rows

    def new_uuid(self) -> str:
        self._made += 1
        return str(uuid.uuid5(ROOT, f"row|{self._made}"))

    def next_identifier(self, source: str) -> str:
        """The next of a generator, with the check digit where its type asks for one; of a pool what was put into it."""
        row = self.idgen[source]
        if "pool" in row:
            return str(row["pool"].pop(0))
        alphabet: str = row.get("alphabet", ALPHABET)
        base: str = row["next"]
        digits = [alphabet.index(c) for c in base]
        for place in range(len(digits) - 1, -1, -1):
            digits[place] = (digits[place] + 1) % len(alphabet)
            if digits[place]:
                break
        row["next"] = "".join(alphabet[d] for d in digits)
        kind = self.identifier_types.get(row["identifier_type"])
        return base if kind and not kind["validator"] else base + luhn_mod_30(base)

    def audit(self) -> Json:
        at = write_date(self.now(), self.zone)
        return {"dateCreated": at, "dateChanged": None, "dateVoided": None, "voidReason": None}

    def new_identifier(self, value: str, kind: Json, location: Json | None, preferred: bool, given: str | None) -> Json:
        return {
            "_kind": "identifier",
            "uuid": given or self.new_uuid(),
            "display": f"{kind['name']} = {value}",
            "identifier": value,
            "identifierType": kind,
            "location": location,
            "preferred": preferred,
            "voided": False,
            "auditInfo": self.audit(),
        }

    def new_person(self, uuid_: str | None, person: Mapping[str, Any]) -> Json:
        """``person``: names, gender, birthdate (instant or None), birthdateEstimated, addresses, attributes."""
        key = uuid_ or self.new_uuid()
        born: datetime | None = person.get("birthdate")
        names = [
            {
                "_kind": "name",
                "uuid": n.get("uuid") or self.new_uuid(),
                "display": " ".join(filter(None, (n.get("givenName"), n.get("middleName"), n.get("familyName")))),
                "givenName": n.get("givenName"),
                "middleName": n.get("middleName"),
                "familyName": n.get("familyName"),
                "familyName2": None,
                "preferred": bool(n.get("preferred")),
                "voided": False,
            }
            for n in person["names"]
        ]
        addresses = [
            {
                "_kind": "address",
                "uuid": self.new_uuid(),
                "display": a.get("address1") or a.get("cityVillage") or "",
                "preferred": bool(a.get("preferred")),
                **{name: a.get(name) for name in (*_ADDRESS, "startDate", "endDate")},
                "voided": False,
            }
            for a in person.get("addresses") or []
        ]
        attributes = [
            {
                "_kind": "attribute",
                "uuid": self.new_uuid(),
                "display": str(a.get("value")),
                "value": a.get("value"),
                "attributeType": self.attribute_types.get(str(a.get("attributeType")), a.get("attributeType")),
                "voided": False,
            }
            for a in {str(a.get("attributeType")): a for a in person.get("attributes") or []}.values()  # 801: the last
        ]
        return {
            "_kind": "person",
            "uuid": key,
            "display": names[0]["display"],
            "gender": person.get("gender"),
            "age": self._age(born),
            "born": born,
            "day": born.astimezone(self.zone).date().isoformat() if born else None,
            # Midnight in the server's zone: the day before in UTC (105).
            "birthdate": born.astimezone(self.zone).strftime("%Y-%m-%dT00:00:00.000%z") if born else None,
            "birthdateEstimated": bool(person.get("birthdateEstimated")),
            "dead": False,
            "deathDate": None,
            "causeOfDeath": None,
            "causeOfDeathNonCoded": None,
            "names": names,
            "preferredName": names[0],
            "addresses": addresses,
            "preferredAddress": addresses[0] if addresses else None,
            "attributes": attributes,
            "voided": False,
            "birthtime": None,
            "deathdateEstimated": False,
        }

    def new_patient(self, uuid_: str | None, person: Mapping[str, Any], identifiers: list[Json]) -> Json:
        """``person``: as for ``new_person``, or one that was made before (129)."""
        made = person if "_kind" in person else self.new_person(uuid_, person)
        row: Json = {
            "_kind": "patient",
            "uuid": made["uuid"],
            "identifiers": identifiers,
            "voided": False,
            "auditInfo": self.audit(),
            "person": made,
        }
        self.refresh_display(row)
        self.patients[row["uuid"]] = row
        return row

    def _age(self, born: datetime | None) -> int | None:
        """Whole years today in the server's zone (079)."""
        if born is None:
            return None
        now, then = self.now().astimezone(self.zone), born.astimezone(self.zone)
        return now.year - then.year - ((now.month, now.day) < (then.month, then.day))

    def refresh_display(self, patient: Json) -> None:
        living = [i for i in patient["identifiers"] if not i["voided"]]
        first = next((i for i in living if i["preferred"]), living[0] if living else None)
        patient["display"] = f"{first['identifier']} - {patient['person']['display']}" if first else ""

    def new_obs(self, concept: Json, value: Any, at: datetime, patient: Json, **more: Any) -> Json:
        shown = value["display"] if isinstance(value, dict) else value
        if isinstance(value, float) and not concept["allowDecimal"]:
            shown = int(value)  # 247
        row: Json = {
            "_kind": "obs",
            "uuid": more.get("uuid") or self.new_uuid(),
            "display": f"{concept['display']}: {shown}",
            "concept": concept,
            "person": patient,
            "obsDatetime": write_date(at, self.zone),
            "value": value,
            "voided": False,
            "location": more.get("location"),
            "encounter": more.get("encounter"),
            "comment": more.get("comment"),
        }
        row.update(status="FINAL", interpretation=None, referenceRange=None)
        if concept["datatype"]["name"] == "Numeric":
            row["referenceRange"] = self._range(concept)
            high = concept["hiCritical"]
            row["interpretation"] = "CRITICALLY_HIGH" if high is not None and value > high else None  # 245
        for name in (
            "accessionNumber",
            "obsGroup",
            "valueCodedName",
            "groupMembers",
            "order",
            "valueModifier",
            "formFieldPath",
            "formFieldNamespace",
        ):
            row[name] = None
        self.obs[row["uuid"]] = row
        return row

    def _range(self, concept: Json) -> Json:
        """Of each numeric observation (236)."""
        bounds = {name: concept[name] for name in ("lowAbsolute", "hiAbsolute", "hiCritical")}
        numbers = {name: None if value is None else float(value) for name, value in bounds.items()}
        row = {"_kind": "referencerange", "uuid": self.new_uuid(), "display": "", "hiNormal": None, "lowNormal": None}
        return {**row, "lowCritical": None, **numbers}

    def new_encounter(
        self, uuid_: str | None, patient: Json, kind: Json, at: datetime, location: Json | None, providers: list[Json]
    ) -> Json:
        at = at.replace(microsecond=0)  # 304, 308
        row: Json = {
            "_kind": "encounter",
            "uuid": uuid_ or self.new_uuid(),
            "encounterDatetime": write_date(at, self.zone),
            "at": at,
            "patient": patient,
            "location": location,
            "form": None,
            "encounterType": kind,
            "obs": [],
            "orders": [],
            "voided": False,
            "visit": None,
            "encounterProviders": providers,
            "diagnoses": [],
            "auditInfo": self.audit(),
        }
        row["display"] = self.encounter_display(row)
        self.encounters[row["uuid"]] = row
        return row

    def new_condition(self, patient: Json, what: Json | str | None, **more: Any) -> Json:
        """``what``: a concept, words, or nothing (590). ``encounter``: a diagnosis written there, with a ``rank``; such
        a one is recorded when the encounter was (853). ``clinical``, ``verification``: codes of FHIR."""
        encounter, at = more.get("encounter"), more.get("created") or self.now()
        row: Json = {
            "uuid": more.get("uuid") or self.new_uuid(),
            "patient": patient,
            "concept": what if isinstance(what, dict) else None,
            "words": what if isinstance(what, str) else None,
            "clinical": more.get("clinical") or ("unknown" if encounter else "active"),
            "verification": more.get("verification") or ("confirmed" if encounter else None),
            "onset": more.get("onset"),
            "encounter": encounter,
            "rank": more.get("rank", 1) if encounter else None,
            "recorder": more.get("recorder"),
            "recorded": encounter["at"] if encounter else at,
            "created": at,
            "voided": False,
        }
        self.conditions[row["uuid"]] = row
        return row

    def encounter_display(self, row: Mapping[str, Any]) -> str:
        return f"{row['encounterType']['name']} {row['at'].astimezone(self.zone):%m/%d/%Y}"

    def void(self, row: Json, reason: str) -> None:
        """A voided patient loses identifiers and display (185) and takes its encounters along (openmrs-core,
        ``PatientDataVoidHandler``, since 1.9); a voided encounter its obs (322)."""
        if row["voided"]:
            return
        row["voided"] = True
        row["auditInfo"].update(dateVoided=write_date(self.now(), self.zone), voidReason=reason)
        if row["_kind"] == "patient":
            for identifier in row["identifiers"]:
                identifier["voided"] = True
            person = row["person"]
            for one in (person, *person["names"], *person["addresses"]):
                one["voided"] = True
            person["names"] = []  # 195
            person["attributes"] = []  # 185
            row["display"] = ""
            for encounter in self.encounters.values():
                if encounter["patient"] is row:
                    self.void(encounter, reason)
        elif row["_kind"] == "encounter":
            for obs in row["obs"]:
                obs["voided"] = True

    # ------------------------------------------------------------ canonical state

    def state(self) -> Json:
        """What a comparison needs, sorted; see ``OpenMRSSim.state``."""
        return {
            "patients": sorted(
                (
                    {
                        "uuid": p["uuid"],
                        "identifiers": sorted(
                            [i["identifierType"]["name"], i["identifier"]]
                            for i in p["identifiers"]
                            if not i["voided"] or p["voided"]
                        ),
                        "name": p["person"]["display"],
                        "gender": p["person"]["gender"],
                        "birthdate": p["person"]["day"],
                        "voided": p["voided"],
                    }
                    for p in self.patients.values()
                ),
                key=lambda p: p["uuid"],
            ),
            "encounters": sorted(
                (
                    {
                        "uuid": e["uuid"],
                        "patient": e["patient"]["uuid"],
                        "type": e["encounterType"]["uuid"],
                        "location": e["location"]["uuid"] if e["location"] else None,
                        "datetime": e["at"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                        "voided": e["voided"],
                        "obs": sorted(
                            ({"concept": o["concept"]["uuid"], "value": plain(o["value"])} for o in e["obs"]),
                            key=lambda o: (o["concept"], o["value"]),
                        ),
                    }
                    for e in self.encounters.values()
                ),
                key=lambda e: e["uuid"],
            ),
            "appointments": sorted(
                (
                    {
                        "uuid": a["uuid"],
                        "number": a["number"],
                        "patient": a["patient"]["uuid"],
                        "service": a["service"]["uuid"],
                        "location": a["location"]["uuid"] if a["location"] else None,
                        "start": a["start"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if a["start"] else None,
                        "status": a["status"],
                        "comments": a["comments"],
                        "voided": a["voided"],
                    }
                    for a in self.appointments.values()
                ),
                key=lambda a: (a["number"] or "", a["uuid"]),
            ),
        }


def find(table: Mapping[str, Json], uuid: Any) -> Json | None:
    """uuids compare without case (815, 816)."""
    if not isinstance(uuid, str):
        return None
    return table.get(uuid) or next((row for key, row in table.items() if key.lower() == uuid.lower()), None)


def reference(value: Any) -> Any:
    """A reference may be the uuid or an object that holds it."""
    return value.get("uuid") if isinstance(value, Mapping) else value


def plain(value: Any) -> str:
    """A value of an obs as text: coded ones by uuid, whole numbers without a fraction."""
    if isinstance(value, dict):
        return str(value["uuid"])
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return str(value)


def metadatum(kind: str, row: Mapping[str, Any], **more: Any) -> Json:
    return {
        "_kind": kind,
        "uuid": row["uuid"],
        "display": row["name"],
        "name": row["name"],
        "description": row.get("description"),
        "retired": bool(row.get("retired")),
        **more,
    }


def location_row(row: Mapping[str, Any]) -> Json:
    more = {"tags": [], "parentLocation": None, "childLocations": [], "attributes": []}
    return metadatum("location", row, **more, **dict.fromkeys(_ADDRESS))


def identifier_type_row(row: Mapping[str, Any]) -> Json:
    return metadatum(
        "patientidentifiertype",
        row,
        format=row.get("format"),
        formatDescription=row.get("formatDescription"),
        required=row["required"],
        validator=_LUHN_MOD_30 if row["check_digit"] is True else row["check_digit"] or None,
        locationBehavior=None if row["needs_location"] else "NOT_USED",
        uniquenessBehavior="UNIQUE" if row["unique"] else "NON_UNIQUE",
    )


#: Fixed by core (016, 022, 024, 030-033).
DATATYPES = {
    "Text": "8d4a4ab4-c2cc-11de-8d13-0010c6dffd0f", "Coded": "8d4a48b6-c2cc-11de-8d13-0010c6dffd0f",
    "N/A": "8d4a4c94-c2cc-11de-8d13-0010c6dffd0f", "Numeric": "8d4a4488-c2cc-11de-8d13-0010c6dffd0f",
    "Date": "8d4a505e-c2cc-11de-8d13-0010c6dffd0f", "Datetime": "8d4a5af4-c2cc-11de-8d13-0010c6dffd0f",
    "Boolean": "8d4a5cca-c2cc-11de-8d13-0010c6dffd0f",
}  # fmt: skip


def _thing(kind: str, name: str, of: str = "") -> Json:
    return {"_kind": kind, "uuid": str(uuid.uuid5(ROOT, f"{kind}|{of}|{name}")), "display": name}


def term_row(row: Mapping[str, Any], source: Json) -> Json:
    """015."""
    made = {"uuid": row.get("uuid") or own_uuid("term", row["code"]), "name": row.get("name") or row["code"]}
    more = {"code": row["code"], "conceptSource": source, "version": None}
    shown = f"{source['name']}: {row['code']} ({made['name']})"
    term = metadatum("conceptreferenceterm", {**made, "description": row.get("description")}, **more)
    return {**term, "display": shown}


def concept_row(row: Mapping[str, Any]) -> Json:
    datatype = row["datatype"]
    return metadatum(
        "concept",
        row,
        datatype={"_kind": "datatype", "uuid": DATATYPES[datatype], "display": datatype, "name": datatype},
        conceptClass=_thing("conceptclass", row.get("class", "Misc")),
        set=bool(row.get("set")),
        version=None,
        names=[
            {
                **_thing("conceptName", row["name"], row["uuid"]),
                "name": row["name"],
                "locale": "en",
                "localePreferred": True,
                "conceptNameType": "FULLY_SPECIFIED",
            }
        ],
        descriptions=[_thing("description", row["description"], row["uuid"])] if row.get("description") else [],
        mappings=[_thing("mapping", f"CIEL: {row['ciel']} ({row['name']})")] if row.get("ciel") else [],
        setMembers=[],
        attributes=[],
        hiCritical=row.get("critical"),
        answers=list(row["answers"]),
        units=row.get("units"),
        lowAbsolute=row.get("low"),
        hiAbsolute=row.get("high"),
        allowDecimal=not row.get("integer", False),
    )
