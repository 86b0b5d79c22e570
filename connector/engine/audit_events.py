"""The audit trail as FHIR R4 AuditEvents, after the patterns of IHE Basic Audit Log Patterns (BALP).

One event per entry. Whoever and whatever it is about stands there as the keyed hash that the entry holds; only what is
nobody's (the names of our sources, targets and pack) is written out. A pattern is claimed in ``meta.profile`` only
where the event has all it asks for: a successful read, update or query. Sources: profiles.ihe.net/ITI/BALP
(IHE.BasicAudit.Read, PatientRead, Update), hl7.org/fhir/R4/auditevent.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson

from connector.engine.engine import Engine

PROFILE = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
HASH = "urn:relais:keyed-hash"
EVENT = "urn:relais:audit-event"
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_TYPE = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_REST = "http://hl7.org/fhir/restful-interaction"
_ENTITY = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_PART = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"

Json = dict[str, Any]


def _coding(system: str, code: str, display: str) -> Json:
    return {"system": system, "code": code, "display": display}


REST = _coding(_TYPE, "rest", "Restful Operation")
ACTIVITY = _coding(_DCM, "110100", "Application Activity")
IMPORT = _coding(_DCM, "110107", "Import")
EXPORT = _coding(_DCM, "110106", "Export")
SECURITY = _coding(_DCM, "110113", "Security Alert")
READ = _coding(_REST, "read", "read")
UPDATE = _coding(_REST, "update", "update")

#: How the events of each kind are told: type, interaction, action (R4 audit-event-action). The longest beginning that
#: fits the event counts.
KINDS: Mapping[str, tuple[Json, Json | None, str]] = {
    "": (ACTIVITY, None, "E"),
    "page.received": (IMPORT, None, "C"),
    "attempt.": (REST, UPDATE, "U"),
    "referral.sent": (REST, UPDATE, "U"),
    "referral.patient_followed": (REST, UPDATE, "U"),
    "target.reconciled": (REST, READ, "R"),
    "record.": (REST, READ, "R"),
    "referrals.read": (REST, READ, "R"),
    "match.read": (REST, READ, "R"),
    "value.explained": (REST, READ, "R"),
    "export.": (EXPORT, None, "R"),
    "records.purged": (ACTIVITY, None, "D"),
    "person.erased": (ACTIVITY, None, "D"),
    "key.": (SECURITY, None, "U"),
}
#: Events that are a reading of personal data by a person.
READINGS = ("record.", "referrals.read", "match.read", "value.explained", "export.")

#: Entries read at once.
PAGE = 500


def _kind(event: str) -> tuple[Json, Json | None, str]:
    fits = [beginning for beginning in KINDS if event.startswith(beginning)]
    return KINDS[max(fits, key=len)]


def events(engine: Engine, after: int = 0) -> Iterator[tuple[int, Json]]:
    """(id, event) of every entry with a higher id than ``after``, in the order written, a page at a time."""
    known = engine.store.read(lambda unit: _known(engine, unit))
    while True:
        rows = engine.store.read(lambda unit, last=after: unit.audit_entries(last, PAGE))
        for row in rows:
            yield int(row["id"]), audit_event(engine, row, known)
        if len(rows) < PAGE:
            return
        after = rows[-1]["id"]


def _known(engine: Engine, unit: Any) -> dict[str, tuple[str, str]]:
    """Keyed hash -> (name, network address) of our own connections: nobody's secret."""
    found = {unit.keyed(engine.pack.id): (engine.pack.id, engine.pack.id)}
    pack = engine.pack
    settings = {n: s.settings for n, s in pack.sources.items()} | {n: t.settings for n, t in pack.targets.items()}
    for name, values in settings.items():
        found[unit.keyed(name)] = (name, urlsplit(str(values.get("url", ""))).hostname or name)
    return found


def audit_event(engine: Engine, row: Mapping[str, Any], known: Mapping[str, tuple[str, str]]) -> Json:
    """The AuditEvent of one entry. Its id is made from the entry's, so that sending it twice is sending it once."""
    event, detail = str(row["event"]), orjson.loads(row["detail"])
    kind, interaction, action = _kind(event)
    outcome = _outcome(event, detail)
    patient = detail.pop("patient", None)
    peer = known.get(row["subject"])
    codes = [c for c in (interaction,) if c] + [_coding(EVENT, event, event)]
    resource: Json = {
        "resourceType": "AuditEvent",
        "id": engine.names.uuid("audit", str(row["id"])),
        "type": kind,
        "subtype": codes,
        "action": action,
        "recorded": row["at"],
        **({"outcome": outcome} if outcome is not None else {}),
        "agent": _agents(engine, row, kind, action, peer),
        "source": {
            "observer": {"identifier": {"system": "urn:relais:pack", "value": engine.pack.id}, "display": "Relais"},
            "type": [_coding("http://terminology.hl7.org/CodeSystem/security-source-type", "4", "Application Server")],
        },
        "entity": _entities(row, detail, peer, patient),
    }
    if kind is REST and outcome == "0":
        name = "Read" if action == "R" else "Update"
        resource["meta"] = {"profile": [PROFILE + ("Patient" if patient else "") + name]}
    return resource


def _outcome(event: str, detail: Mapping[str, Any]) -> str | None:
    """R4 audit-event-outcome: 0 success, 4 minor failure; None where nobody knows (yet)."""
    verdict = detail.get("verdict")
    if event == "attempt.begun" or verdict == "unknown":
        return None
    if event == "source.failed" or verdict in ("rejected", "deferred"):
        return "4"
    return "0"


def _agents(
    engine: Engine, row: Mapping[str, Any], kind: Json, action: str, peer: tuple[str, str] | None
) -> Sequence[Json]:
    """Relais and, where there is one, the server it talked to and the person who asked."""
    person = row["who"] != "system"
    ours: Json = {
        "who": {"identifier": {"system": "urn:relais:pack", "value": engine.pack.id}, "display": "Relais"},
        "requestor": not person,
    }
    origin, destination = _coding(_DCM, "110153", "Source Role ID"), _coding(_DCM, "110152", "Destination Role ID")
    found = [ours]
    if kind is REST:
        # A person who reads takes from Relais; else Relais is the client of a source or target.
        gives = action == "U" or (person and peer is None)
        name, address = peer or ("relais", "localhost")
        ours["type"] = {"coding": [origin if gives else destination]}
        ours["network"] = {"address": "localhost", "type": "1"}
        found.append(
            {
                "type": {"coding": [destination if gives else origin]},
                "who": {"identifier": {"system": "urn:relais:connection", "value": name}},
                "requestor": False,
                "network": {"address": address, "type": "1"},
            }
        )
    else:
        ours["type"] = {"coding": [_coding(_DCM, "110150", "Application")]}
        if peer is not None and peer[0] != engine.pack.id:
            found.append(
                {
                    "type": {"coding": [origin if kind is IMPORT else destination]},
                    "who": {"identifier": {"system": "urn:relais:connection", "value": peer[0]}},
                    "requestor": False,
                    "network": {"address": peer[1], "type": "1"},
                }
            )
    if person:
        reads = str(row["event"]).startswith(READINGS)
        role = (
            _coding(_PART, "IRCP", "information recipient") if reads else _coding(_PART, "AUT", "author (originator)")
        )
        found.append(
            {
                "type": {"coding": [role]},
                "who": {"identifier": {"system": HASH, "value": row["who"]}},
                "requestor": True,
            }
        )
    return found


def _entities(
    row: Mapping[str, Any], detail: Mapping[str, Any], peer: tuple[str, str] | None, patient: str | None
) -> Sequence[Json]:
    what = {"system": "urn:relais:connection", "value": peer[0]} if peer else {"system": HASH, "value": row["subject"]}
    data: Json = {
        "type": _coding(_ENTITY, "2", "System Object"),
        "role": _coding(_ROLE, "4", "Domain Resource"),
        "what": {"identifier": what if what["value"] else {"system": EVENT, "value": str(row["event"])}},
    }
    told = {**detail, **({"sequence": row["sequence"], "hash": row["hash"]} if row["sequence"] else {})}
    if told:
        data["detail"] = [{"type": name, "valueString": _text(value)} for name, value in sorted(told.items())]
    found = [data]
    if patient:
        found.append(
            {
                "type": _coding(_ENTITY, "1", "Person"),
                "role": _coding(_ROLE, "1", "Patient"),
                "what": {"type": "Patient", "identifier": {"system": HASH, "value": patient}},
            }
        )
    return found


def _text(value: Any) -> str:
    """As FHIR's string wants it: never empty."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if text.strip() else "-"
