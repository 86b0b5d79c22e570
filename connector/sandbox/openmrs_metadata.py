"""The metadata of the sandbox's OpenMRS: one location and one appointment service per clinic, deterministic uuids.

Shape of the metadata (plain data, what ``OpenMRSSim`` takes)::

    {"zone": "+0300",                      # the server's own zone; every date goes out in it
     "users": [{"username", "password", "privileges": "all" | [str]}],
     "locations": [{"uuid", "code", "name"}],                    # code: the clinic's code as given
     "services": [{"uuid", "name", "location"}],                 # appointment services (profile o3)
     "encounter_types": [{"uuid", "name"}],
     "identifier_types": [{"uuid", "name", "required", "unique", "needs_location",
                           "check_digit": bool | <class of another validator>}],
     "idgen": [{"uuid", "name", "identifier_type", "first", "kind"?, "alphabet"?, "pool"?: [identifier]}],
     "privileges": {uuid: name}?,                                # else those of PRIVILEGES
     "providers": [{"uuid", "name", "identifier"}],
     "encounter_roles": [{"uuid", "name"}],
     "concepts": [{"uuid", "name", "datatype", "ciel": "116128" | None, "answers": [uuid]}]}

``datatype`` is Text, Coded, Numeric, Boolean, Date, Datetime or N/A. The uuids of a clinic depend on its code
alone: ``location_uuid("area-1")``, ``service_uuid("area-1")``.

CIEL codes: those used by openly published community forms and the recordings of a running server
(recordings/openmrs-2.8/016..034). A CIEL concept's uuid is its number padded with ``A`` to 36 characters.
Concepts without a CIEL code are the clinic's own.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

ROOT = uuid.uuid5(uuid.NAMESPACE_URL, "urn:relais:sandbox:openmrs")

#: Fixed by core and the reference application (recordings/openmrs-2.8/003, 070, 284).
OPENMRS_ID = "05a29f94-c0ed-11e2-94be-8c13b969e334"
UNKNOWN_ROLE = "a0b03050-c99b-11e0-9572-0800200c9a66"
SAME_AS = "35543629-7d8c-11e1-909d-c80aa9edcf4e"  #: 014
#: Privileges a server knows: those of recordings 049-052, 058, 741, 753 and of the appointments module (635, 679), and
#: what its own set-up asks for.
PRIVILEGES = (
    "Add Encounters", "Add Observations", "Add Patient Identifiers", "Add Patients", "Add People", "Edit Encounters",
    "Edit Observations", "Edit Patient Identifiers", "Edit Patients", "Edit People", "Edit Users",
    "Generate Batch of Identifiers", "Get Concept Map Types", "Get Concept Reference Terms", "Get Concept Sources",
    "Get Concepts", "Get Conditions", "Get Diagnoses", "Get Encounter Roles", "Get Encounter Types", "Get Encounters",
    "Get Global Properties", "Get Identifier Types", "Get Locations", "Get Observations", "Get Order Types",
    "Get Patient Identifiers", "Get Patients", "Get People", "Get Person Attribute Types", "Get Privileges",
    "Get Providers", "Get Roles", "Get Users", "Get Visit Types", "Get Visits", "Manage Appointment Services",
    "Manage Appointments", "Manage Concept Reference Terms", "Manage Concept Sources", "Manage Concepts",
    "Manage Encounter Types", "Manage Identifier Sources", "Manage Identifier Types", "Manage Locations",
    "Manage Own Appointments", "Manage Providers", "Manage Roles", "View Appointment Services", "View Appointments",
)  # fmt: skip


def own_uuid(*parts: str) -> str:
    return str(uuid.uuid5(ROOT, "|".join(parts)))


def location_uuid(code: str) -> str:
    return own_uuid("location", code)


def service_uuid(code: str) -> str:
    return own_uuid("service", code)


def ciel_uuid(code: str) -> str:
    return code.ljust(36, "A")


CIEL = own_uuid("concept source", "CIEL")
CHW_PATIENT_ID = own_uuid("identifier type", "CHW Patient ID")
IDGEN_SOURCE = own_uuid("idgen", "OpenMRS ID")
PROVIDER = own_uuid("provider", "community health worker")
COMMUNITY_REFERRAL = own_uuid("encounter type", "Community Referral")
CONSULTATION = own_uuid("encounter type", "Consultation")

REFERRAL_NUMBER = own_uuid("concept", "Referral number")
REFERRAL_REASON = own_uuid("concept", "Referral reason")
REFERRAL_URGENCY = own_uuid("concept", "Referral urgency")
REFERRAL_NOTE = own_uuid("concept", "Referral note")
TREATMENT_GIVEN = own_uuid("concept", "Treatment given before referral")
COUNTER_REFERRAL_NOTE = own_uuid("concept", "Counter-referral note")
VISIT_DIAGNOSIS = own_uuid("concept", "Visit diagnosis")
DANGER_SIGN = ciel_uuid("159860")

REASONS = {
    key: own_uuid("concept", "Referral reason", key)
    for key in ("danger_sign", "malnutrition", "newborn", "pregnancy", "other")
}
URGENCIES = {key: own_uuid("concept", "Referral urgency", key) for key in ("urgent", "routine")}
TREATMENTS = {
    key: own_uuid("concept", "Treatment given before referral", key)
    for key in ("act_given", "amoxicillin_given", "ors_given", "rectal_artesunate", "zinc_given")
}
SIGNS = {
    "sign_unable_to_drink": "159861",
    "sign_vomits_everything": "122983",
    "sign_convulsions": "113054",
    "sign_lethargic": "117417",
    "sign_unconscious": "123818",
}
#: What a clinician of the sandbox may diagnose: CIEL code -> name.
DIAGNOSES = {
    "116128": "Malaria",
    "114100": "Pneumonia",
    "142412": "Diarrhea",
    "163302": "Severe malnutrition",
    "162044": "Severe anemia",
    "140238": "Fever",
}


def _concept(
    uuid_: str, name: str, datatype: str, ciel: str | None = None, answers: Iterable[str] = ()
) -> dict[str, Any]:
    return {"uuid": uuid_, "name": name, "datatype": datatype, "ciel": ciel, "answers": list(answers)}


def _concepts() -> list[dict[str, Any]]:
    answers = [
        ("1065", "Yes"),
        ("1066", "No"),
        ("703", "Positive"),
        ("664", "Negative"),
        *DIAGNOSES.items(),
        *((code, key.removeprefix("sign_").replace("_", " ").capitalize()) for key, code in SIGNS.items()),
    ]
    return [
        *(_concept(ciel_uuid(code), name, "N/A", code) for code, name in answers),
        *(_concept(u, f"Referral reason: {key.replace('_', ' ')}", "N/A") for key, u in REASONS.items()),
        *(_concept(u, f"Referral urgency: {key}", "N/A") for key, u in URGENCIES.items()),
        *(_concept(u, f"Referral treatment: {key.replace('_', ' ')}", "N/A") for key, u in TREATMENTS.items()),
        _concept(REFERRAL_NUMBER, "Referral number", "Text"),
        _concept(REFERRAL_REASON, "Referral reason", "Coded", None, REASONS.values()),
        _concept(REFERRAL_URGENCY, "Referral urgency", "Coded", None, URGENCIES.values()),
        _concept(REFERRAL_NOTE, "Referral note", "Text"),
        _concept(TREATMENT_GIVEN, "Treatment given before referral", "Coded", None, TREATMENTS.values()),
        _concept(COUNTER_REFERRAL_NOTE, "Counter-referral note", "Text"),
        _concept(VISIT_DIAGNOSIS, "Visit diagnosis", "Coded", None, map(ciel_uuid, DIAGNOSES)),
        _concept(DANGER_SIGN, "Danger signs, child", "Coded", "159860", map(ciel_uuid, SIGNS.values())),
        _concept(ciel_uuid("1643"), "Malaria rapid test", "Coded", "1643", [ciel_uuid("703"), ciel_uuid("664")]),
        _concept(ciel_uuid("1343"), "Mid-upper arm circumference (cm)", "Numeric", "1343"),
        _concept(ciel_uuid("5242"), "Respiratory rate", "Numeric", "5242"),
    ]


def default_metadata(clinics: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    """The metadata of an OpenMRS that serves these clinics. ``clinics``: ``{"code": "area-1", "name": ...}`` where
    the code is the source's place id of the clinic's area."""
    rows = [{"code": c["code"], "name": c["name"]} for c in clinics]
    return {
        "zone": "+0300",
        "users": [{"username": "relais", "password": "Relais-sandbox-1", "privileges": "all"}],
        "locations": [{"uuid": location_uuid(c["code"]), **c} for c in rows],
        "services": [
            {
                "uuid": service_uuid(c["code"]),
                "name": f"Consultation {c['name']}",
                "location": location_uuid(c["code"]),
            }
            for c in rows
        ],
        "encounter_types": [
            {"uuid": COMMUNITY_REFERRAL, "name": "Community Referral"},
            {"uuid": CONSULTATION, "name": "Consultation"},
        ],
        "identifier_types": [
            {
                "uuid": OPENMRS_ID,
                "name": "OpenMRS ID",
                "required": True,
                "unique": True,
                "needs_location": False,
                "check_digit": True,
            },
            {
                "uuid": CHW_PATIENT_ID,
                "name": "CHW Patient ID",
                "required": False,
                "unique": True,
                "needs_location": True,
                "check_digit": False,
            },
        ],
        "idgen": [
            {
                "uuid": IDGEN_SOURCE,
                "name": "Generator for OpenMRS ID",
                "identifier_type": OPENMRS_ID,
                "first": "100000",
            }
        ],
        "providers": [{"uuid": PROVIDER, "name": "Community health worker", "identifier": "ASC"}],
        "encounter_roles": [{"uuid": UNKNOWN_ROLE, "name": "Unknown"}],
        "concepts": _concepts(),
    }
