"""What running servers were seen to do beside failing: a request that arrives twice, a row that is made and denied,
what somebody else does at the same moment. Each by the number of its finding (docs/as-servers-answer.md names all)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import orjson

from connector.sandbox import openmrs_metadata as clinic
from connector.sandbox.openmrs_shapes import wrong_method

if TYPE_CHECKING:
    from connector.sandbox.cht import CHTSim
    from connector.sandbox.openmrs import OpenMRSSim
    from tests.sim.wire import Exchange
    from tests.sim.world import World

#: Name of the wire -> what can happen there.
FAULTS = {
    # findings-dhis2: 0.5
    "dhis2": ("dhis2_completion_breaks",),
    # findings-openmrs: 1, 3, 4, 5 (two), 6, 7, 10 (two)
    "openmrs": (
        "openmrs_twin", "openmrs_session", "openmrs_lookalike", "openmrs_known", "openmrs_second", "openmrs_exception",
        "openmrs_location", "openmrs_privilege", "openmrs_500",
    ),
    # findings-fhir-server: 9, 18, and a server that takes no transactions
    "fhir": ("fhir_refused_entry", "fhir_twin", "fhir_batch_only"),
    # findings-cht: 8, 26, 29
    "cht": ("cht_restored", "cht_locked"),
    "cht_answers": ("cht_twin",),
}  # fmt: skip
ALL = frozenset(fault for faults in FAULTS.values() for fault in faults)
#: The line, or a proxy, brings the request twice; what is heard is the second answer.
TWICE = frozenset({"openmrs_twin", "fhir_twin", "cht_twin"})
#: Answers of a server that did nothing.
SAID: dict[str, tuple[int, Any]] = {
    "openmrs_exception": (200, wrong_method("POST")),  # 182, 183
    "openmrs_privilege": (400, {"error": {"message": "[Privileges required: Manage Appointments]"}}),  # 681
    "openmrs_500": (500, {"error": {"message": "[Column 'provider_id' cannot be null]"}}),  # 284
    "cht_locked": (
        403,
        {"error": "forbidden", "reason": "Account is temporarily locked due to multiple authentication failures"},
    ),  # 263
}
#: After these a delivery may rightly be parked.
PARKING = frozenset({
    "dhis2_completion_breaks", "openmrs_known", "openmrs_exception", "openmrs_location", "openmrs_500",
    "fhir_refused_entry",
})  # fmt: skip
#: After these it is right to say that the password or the account is refused.
BLAMING = frozenset({"401", "403", "login", "openmrs_session", "openmrs_privilege"})
#: Seconds for which a server refuses what it has begun to refuse.
REFUSES = 30.0
#: Nobody whom the connector could take for one of its people by her name.
OTHER = {"names": [{"givenName": "Registered", "familyName": "Elsewhere", "preferred": True}], "gender": "F",
         "birthdate": None, "birthdateEstimated": False}  # fmt: skip
#: What makes a resource unfit: the server names the entry (161), or says what is missing and not where (28).
_NO_ID_OF_ITS_OWN: dict[str, Any] = {"id": "not-the-one-in-the-address"}
_OF_NOBODY: dict[str, Any] = {
    "extension": [{"url": "http://relais.example/of", "valueReference": {"reference": "Patient/of-nobody"}}]
}


def suits(fault: str, x: Exchange) -> bool:
    """Whether this fault can happen to this exchange."""
    last, posts = x.path.rpartition("/")[2], x.method == "POST"
    match fault:
        case "dhis2_completion_breaks":
            return posts and last == "completeDataSetRegistrations"
        case "cht_restored":
            return x.name == "cht" and x.path == "/medic/"
        case "cht_locked":
            return x.name in ("cht", "cht_answers")
        case "cht_twin":
            return x.name == "cht_answers" and x.method == "PUT"
        case "fhir_refused_entry" | "fhir_twin":
            return x.name == "fhir" and posts
        case "fhir_batch_only":
            return False  # the server is so from the beginning
    if x.name != "openmrs":
        return False
    match fault:
        case "openmrs_lookalike":
            return x.method == "GET" and last == "patient"
        case "openmrs_known" | "openmrs_second":
            return posts and last == "patient"
        case "openmrs_twin":  # an appointment that comes twice is there twice, and nobody can tell (guarantees.md)
            return posts and last in ("patient", "encounter")
        case "openmrs_location":
            return posts and last in ("encounter", "appointments")
        case "openmrs_privilege":
            return posts and last == "appointments"
        case "openmrs_500":
            return posts and last == "encounter"
    return x.writes  # a session that has ended, an exception at 200


def doubled(x: Exchange) -> str:
    """What a request names twice: DHIS2 keeps one of the two as it likes (0.8), a FHIR server refuses all (10)."""
    if x.name == "dhis2" and x.keys and "dataValues" in x.body:
        rows = x.body["dataValues"]
        names = [f"{row['dataElement']} {row.get('categoryOptionCombo')} {row.get('orgUnit')}" for row in rows]
    elif x.name == "fhir" and x.keys:
        names = [entry["request"]["url"] for entry in x.body["entry"]]
    else:
        return ""
    return next((name for n, name in enumerate(names) if name in names[:n]), "")


def arrives(world: World, fault: str | None, x: Exchange, content: bytes) -> bytes:
    """What has happened at the server, or to the request, just before it arrives; the request as it arrives."""
    match fault:
        case "openmrs_lookalike":
            _registered(world.openmrs, f"{x.query.get('identifier', '')}0")
        case "openmrs_known":
            _registered(world.openmrs, _chw(x.body))
        case "openmrs_location":  # 281, 654: it knows no such place
            location = clinic.own_uuid("location", "of another server")
            name = "locationUuid" if "locationUuid" in x.body else "location"
            return orjson.dumps({**x.body, name: location})
        case "fhir_refused_entry":
            entry = world.rng.choice(x.body["entry"])
            how = world.rng.choice([_NO_ID_OF_ITS_OWN, _OF_NOBODY])
            world.refused[entry["request"]["url"]] = (world.seconds() + REFUSES, how)
        case "cht_restored" if "cht_restored" not in world.once:
            world.once.add("cht_restored")
            _restored(world.cht)
    if x.name == "fhir" and x.keys and world.refused:
        return _refusing(world, x.body, content)
    return content


def answered(world: World, fault: str | None, x: Exchange, answer: httpx.Response) -> None:
    """What somebody does right after the server has carried the request out."""
    if fault == "openmrs_second" and answer.status_code == 201:  # 363-369: unique only one at a time
        _registered(world.openmrs, _chw(x.body), beside=True)


def _chw(body: Any) -> str:
    return next(str(one["identifier"]) for one in body["identifiers"] if one["identifierType"] == clinic.CHW_PATIENT_ID)


def _registered(sim: OpenMRSSim, value: str, *, beside: bool = False) -> None:
    """Somebody of the clinic registers a person with this number, unless a living patient has it; ``beside``: although
    one has."""
    holders = sum(
        one["identifier"] == value
        for row in sim.rows.patients.values() if not row["voided"]
        for one in row["identifiers"]
    )  # fmt: skip
    if len(value) < 2 or holders > beside:
        return
    kind = sim.rows.identifier_types[clinic.CHW_PATIENT_ID]
    openmrs_id = sim.rows.identifier_types[clinic.OPENMRS_ID]
    own = sim.rows.next_identifier(next(iter(sim.rows.idgen)))
    row = sim.rows.new_patient(
        None,
        OTHER,
        [
            sim.rows.new_identifier(own, openmrs_id, None, True, None),
            sim.rows.new_identifier(value, kind, None, False, None),
        ],
    )
    if beside:
        row["beside"] = True


def holder(sim: OpenMRSSim, value: str) -> str | None:
    """The living patient whom somebody of the clinic gave this number first."""
    living = ((uuid, row) for uuid, row in sim.rows.patients.items() if not row["voided"] and not row.get("beside"))
    return next((uuid for uuid, row in living if value in {one["identifier"] for one in row["identifiers"]}), None)


def strangers(sim: OpenMRSSim) -> set[str]:
    """Patients with somebody else's number: no referral belongs to them."""
    return {uuid for uuid, row in sim.rows.patients.items() if row.get("beside")}


def _restored(sim: CHTSim) -> None:
    """The database is put back from a copy that lacks nothing: every cursor is of another one, and replays all (8)."""
    documents = list(sim._docs.values())
    sim._new_database()
    for document in documents:
        sim._place(document)


def _refusing(world: World, bundle: Any, content: bytes) -> bytes:
    """The bundle with what the server refuses for a while made unfit: of a transaction nothing is stored then, and the
    answer does not always say what is wrong (9)."""
    world.refused = {name: one for name, one in world.refused.items() if one[0] > world.seconds()}
    entries = [
        {**entry, "resource": {**entry["resource"], **world.refused[entry["request"]["url"]][1]}}
        if entry["request"]["url"] in world.refused and "resource" in entry
        else entry
        for entry in bundle["entry"]
    ]
    return orjson.dumps({**bundle, "entry": entries})
