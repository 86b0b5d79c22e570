"""A small district in an SQLite database, written straight into the tables, with a stand-in for everything the web
layer calls. Fixed clock: 22 November 2026, 16:40 UTC."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import orjson
from sqlalchemy import insert

from connector.engine.tokens import ROLES, Bearer
from connector.errors import MatchUnknown
from connector.mappings.pack import (
    ActivityKind,
    Category,
    Concept,
    DataSet,
    Indicator,
    OrgUnitRow,
    Pack,
    PartRule,
    Predicate,
    SourceConfig,
    TargetConfig,
)
from connector.store import tables as t
from connector.store.database import SqlStore
from connector.web.app import make_app
from connector.web.auth import hash_password
from connector.web.context import Ingested, NoMatches, WebContext

#: One token per role, and one that may push to a single source.
TOKENS = {f"{role}-token": Bearer(role, role) for role in ROLES}
TOKENS["kobo-token"] = Bearer("kobo", "submit", "kobo")
NOW = datetime(2026, 11, 22, 16, 40, tzinfo=UTC)
#: Planted in the registry; must never show where names are masked.
FOUND = "Pneumonie <grave>"  #: what the clinic wrote of a referred person
NAME = "Zeinabou Canari"
PHONE = "+223 70 00 00 99"
SITE = "ML-KKO-D1-A1-S1"


def stamp(days: float = 0) -> str:
    return (NOW - timedelta(days=days)).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    def steady(self) -> tuple[str, float]:
        return "machine", self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Plain:
    """Stands in for the cipher: the "encrypted" columns hold the JSON itself, and one month's key is gone."""

    def decrypt(self, table: str, blob: bytes | None) -> bytes | None:
        if blob == b"purged":
            raise KeyError("data key")
        return blob


@dataclass
class Recorder:
    """Stands in for the actions: writes down each call."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)

    @property
    def acts(self) -> list[tuple[Any, ...]]:
        """What was done, without what was read."""
        return [call for call in self.calls if call[0] != "read_audit"]

    def retry(self, ids: Sequence[int], by: str) -> int:
        self.calls.append(("retry", list(ids), by))
        return len(ids)

    def park(self, ids: Sequence[int], reason: str, by: str) -> int:
        self.calls.append(("park", list(ids), reason, by))
        return len(ids)

    def resolve(self, ids: Sequence[int], note: str, by: str) -> int:
        self.calls.append(("resolve", list(ids), note, by))
        return len(ids)

    def pause(self, name: str, reason: str, until: datetime | None, by: str) -> None:
        self.calls.append(("pause", name, reason, until, by))

    def resume(self, name: str, by: str) -> None:
        self.calls.append(("resume", name, by))

    def try_now(self, name: str, by: str) -> None:
        self.calls.append(("try_now", name, by))

    def release(self, cell_id: int, decision: str, by: str) -> None:
        self.calls.append(("release", cell_id, decision, by))

    def remap(self, ids: Sequence[int], by: str) -> int:
        self.calls.append(("remap", list(ids), by))
        return len(ids)

    def read_audit(self, event: str, subject: str, by: str) -> None:
        self.calls.append(("read_audit", event, subject, by))


#: A review as ``engine.match_review`` tells it, of the person who must not be named.
REVIEW: dict[str, Any] = {
    "id": 1, "target": "openmrs", "person": "cht/p-1", "asked": stamp(0.3), "waiting": ["cht/reports/3c91-7be0"],
    "candidates": 2, "decision": None, "patient": None, "by": None, "at": None,
}  # fmt: skip


@dataclass
class Reviews:
    """Stands in for match review: one is open until it is decided."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    open: bool = True

    def waiting(self) -> int:
        return int(self.open)

    def listed(self, limit: int) -> list[dict[str, Any]]:
        return [REVIEW][:limit] if self.open else []

    def one(self, id: int) -> dict[str, Any] | None:
        return REVIEW if id == 1 else None

    def shown(self, id: int, by: str, reason: str) -> dict[str, Any]:
        if id != 1:
            raise MatchUnknown
        self.calls.append(("shown", id, by, reason))
        given, family = NAME.split()

        def fields(given_there: str, agreement: str, born: str) -> list[dict[str, str]]:
            rows = [
                ("family", family, family, "same"), ("given", given, given_there, agreement),
                ("sex", "female", "female", "same"), ("birth_date", "2000", born, "compatible"),
                ("national", "", "", "missing"),
            ]  # fmt: skip
            return [dict(zip(("name", "ours", "theirs", "agreement"), row, strict=True)) for row in rows]

        files = [
            {"id": "8a1c", "number": "10007JJ", "points": 12, "fields": fields(given, "same", "2000-03-14")},
            {"id": "8a1d", "number": "1000H7Y", "points": 7, "fields": fields("Zeinab", "close", "2000-12-01")},
        ]
        referral = {
            "number": "3c91-7be0",
            "date": "2026-11-20",
            "urgent": True,
            "reason": "danger_sign",
            "to": "area-1",
        }
        return {**REVIEW, "note": "", "ours": {}, "referral": {**referral, "note": "fièvre"}, "candidates": files}

    def decide(self, id: int, patient: str | None, note: str, by: str) -> dict[str, Any]:
        if id != 1 or not self.open or patient not in (None, "8a1c", "8a1d"):
            raise MatchUnknown
        self.open = False
        self.calls.append(("decide", id, patient, note, by))
        return REVIEW


def make_pack(folder: Path) -> Pack:
    text = lambda fr, en: {"fr": fr, "en": en}  # noqa: E731
    always = Predicate("true", lambda facts: True)
    day = date(2020, 1, 1)

    def indicator(
        id: str, fr: str, en: str, elements: dict[str, str], by: Sequence[str], where: str, data_set: str = "sec"
    ) -> Indicator:
        return Indicator(
            id=id,
            name=text(fr, en),
            counts=["sick_visit"],
            parts={p: Predicate(where, lambda facts: True) for p in elements},
            rules={p: PartRule(["sick_visit"], "count", by=by) for p in elements},
            data_set=data_set,
            elements=elements,
            chis=None,
            area="sec",
        )

    units = [
        ("district-1", "ML-KKO-D1", "district", "", "District de Kalabancoro"),
        ("area-1", "ML-KKO-D1-A1", "cscom", "ML-KKO-D1", "CSCom de Kalabancoro"),
        ("area-2", "ML-KKO-D1-A2", "cscom", "ML-KKO-D1", "CSCom de Tiébani"),
        ("site-1", SITE, "site", "ML-KKO-D1-A1", "Kalabancoro Koulouba"),
        ("site-2", "ML-KKO-D1-A1-S2", "site", "ML-KKO-D1-A1", "Kalabancoro Adeken"),
    ]
    del always
    return Pack(
        id="test",
        version="v1",
        folder=folder,
        name=text("DRS de Koulikoro", "Koulikoro health region"),
        zone="Africa/Bamako",
        languages=["fr", "en"],
        sources={
            "cht": SourceConfig("cht", "cht", {}, "every 15m"),
            "kobo": SourceConfig("kobo", "files", {}, "0 6 * * mon"),
        },
        targets={
            "dhis2": TargetConfig("dhis2", "dhis2", {}, "every 1d", "202607"),
            "openmrs": TargetConfig("openmrs", "openmrs", {}, "every 5m", "2026-07-06"),
            "fhir": TargetConfig("fhir", "fhir_server", {}, "every 1h", "2026-01-01"),
            "answers": TargetConfig("answers", "cht_answers", {}, "every 5m", "2026-07-06"),
        },
        concepts={
            "fever": Concept("fever", "boolean", text("Fièvre", "Fever"), {}),
            "malaria_rdt": Concept("malaria_rdt", "coded", text("TDR paludisme", "Malaria RDT"), {}),
            "positive": Concept("positive", "text", text("positif", "positive"), {}),
            "danger_sign": Concept("danger_sign", "text", text("Signe de danger", "Danger sign"), {}),
        },
        activities={"sick_visit": ActivityKind("sick_visit", text("Visite d'enfant malade", "Sick child visit"), {})},
        forms={},
        ignore={},
        categories={
            "age": Category(
                "age",
                text("Âge", "Age"),
                "age_months",
                {"m2_11": "A1_M2_11", "m12_59": "A1_M12_59", "unknown": "A1_UNK"},
                {
                    "m2_11": text("2–11 mois", "2–11 months"),
                    "m12_59": text("12–59 mois", "12–59 months"),
                    "unknown": text("âge inconnu", "age unknown"),
                },
                {},
            ),
            "sex": Category(
                "sex",
                text("Sexe", "Sex"),
                "sex",
                {"f": "SEX_F", "m": "SEX_M", "unknown": "SEX_UNK"},
                {
                    "f": text("fille", "girl"),
                    "m": text("garçon", "boy"),
                    "unknown": text("sexe inconnu", "sex unknown"),
                },
            ),
        },
        indicators={
            "B02": indicator(
                "B02",
                "TDR positifs",
                "Positive malaria RDT",
                {"num": "MH_B02_NUM", "den": "MH_B02_DEN"},
                ["age"],
                "malaria_rdt = 'positive'",
            ),
            "E05": indicator("E05", "Cas de MAS", "SAM cases", {"count": "MH_E05"}, ["age", "sex"], "muac_mm < 115"),
        },
        data_sets={"sec": DataSet("sec", "MH_SEC", text("SEC mensuel", "CHW monthly"), "Monthly", "site", "asc")},
        openmrs={},
        retention={},
        org_units=[
            OrgUnitRow("cht", place, code, level, parent, name, day, None) for place, code, level, parent, name in units
        ],
        deployments=[],
    )


REASONS = {
    "dhis2.E8020": (
        "target_admin",
        "L'élément n'est pas dans l'ensemble de données.",
        "The element is not in the data set.",
    ),
    "dhis2.unreachable": (
        "nobody",
        "DHIS2 est hors d'atteinte. Relais réessaie.",
        "DHIS2 is out of reach. Relais tries again.",
    ),
    "dhis2.value_already_there": (
        "ministry",
        "Une autre valeur était déjà dans DHIS2.",
        "Another value was in DHIS2 already.",
    ),
    "place.no_org_unit": ("mapping", "Le lieu n'a pas d'unité d'organisation.", "The place has no organisation unit."),
    "date.future": ("chw_data", "La date de la visite est dans le futur.", "The date of the visit is in the future."),
}

PASSWORD = "le chat dort"


@cache
def _hash() -> str:
    return hash_password(PASSWORD)


def seed(store: SqlStore, *, many: int = 60) -> None:
    """The rows. ``many``: accepted FHIR deliveries, for the pages of 25."""

    def fill(unit: Any) -> None:
        c = unit.connection
        enc = orjson.dumps
        c.execute(
            insert(t.user),
            [
                {
                    "name": role,
                    "password": _hash(),
                    "role": role,
                    "created": stamp(9),
                    "failures": 0,
                    "locked_until": None,
                }
                for role in ("viewer", "operator", "clinic", "admin")
            ],
        )
        c.execute(
            insert(t.source_state),
            [
                {
                    "source": "cht",
                    "cursor": "",
                    "instance": "",
                    "behind": 0,
                    "received": 90,
                    "last_success": stamp(0.004),
                    "last_record": stamp(0.1),
                    "due_at": stamp(-0.01),
                    "failures": 0,
                    "reason": None,
                    "who": None,
                    "paused": None,
                },
                {
                    "source": "kobo",
                    "cursor": "",
                    "instance": "",
                    "behind": None,
                    "received": 4,
                    "last_success": stamp(8),
                    "last_record": stamp(8),
                    "due_at": None,
                    "failures": 0,
                    "reason": None,
                    "who": None,
                    "paused": enc(
                        {"reason": "formulaire en révision", "by": "admin", "until": "2026-12-01T06:00:00Z"}
                    ).decode(),
                },
            ],
        )
        c.execute(
            insert(t.target_state),
            [
                {
                    "target": n,
                    "due_at": None,
                    "breaker": "closed",
                    "failures": 0,
                    "refusals": 0,
                    "reason": None,
                    "who": None,
                    "last_success": stamp(0.4),
                    "last_try": stamp(0.4),
                    "paused": None,
                }
                for n in ("dhis2", "openmrs", "fhir", "answers")
            ],
        )
        c.execute(
            insert(t.beat),
            [
                {"connection": name, "at": stamp(30 - i), "result": result}
                for name in ("cht", "dhis2", "openmrs")
                for i, result in enumerate(
                    ["ok"] * 25 + ["deferred", "nothing", "refused", "ok"] + (["ok"] if name == "cht" else ["refused"])
                )
            ],
        )
        keys = [f"3c91-7be{i:x}" for i in range(14)] + ["odd-1"]
        c.execute(
            insert(t.head),
            [
                {
                    "record": f"cht/reports/{k}",
                    "source": "cht",
                    "stream": "reports",
                    "key": k,
                    "revision": "2-abc",
                    "form": "assessment",
                    "deleted": i == 13,
                    "dirty": False,
                    "state": "deleted" if i == 13 else "mapped" if i < 10 else "quarantined",
                    "moves": 1 + (i == 0),
                    "first_received": stamp(18),
                    "received_at": stamp(3 if i == 0 else 18),
                }
                for i, k in enumerate(keys)
            ],
        )
        c.execute(
            insert(t.activity),
            [
                {
                    "record": f"cht/reports/{k}",
                    "revision": "2-abc",
                    "kind": "sick_visit",
                    "form": "assessment",
                    "mapping": "forms/cht/assessment.yaml",
                    "version": "be027719",
                    "date": f"2026-10-{12 + i:02}",
                    "place": "site-1",
                    "worker": "asc-001" if i < 7 else "asc-002",
                    "subject": "person-4417",
                    "org_unit": SITE,
                    "activity_enc": enc({}),
                    "mapped_at": stamp(3),
                }
                for i, k in enumerate(keys[:10])
            ],
        )
        c.execute(
            insert(t.entity),
            [
                {
                    "source": "cht",
                    "kind": kind,
                    "key": key,
                    "record": f"cht/contacts/{key}",
                    "revision": "1",
                    "entity_enc": enc(data),
                    "digest": "x",
                    "updated": stamp(20),
                }
                for kind, key, data in (
                    (
                        "person",
                        "person-4417",
                        {"name": NAME, "sex": "female", "birth_date": "2025-08-11", "phone": PHONE},
                    ),
                    ("worker", "asc-001", {"name": "Awa Diarra"}),
                    ("worker", "asc-002", {"name": "Moussa Keïta"}),
                )
            ],
        )
        cells = [
            (1, "B02", "num", SITE, "202610", "age=m2_11", "MH_B02_NUM", "A1_M2_11", "7", "7", None, "accepted", None),
            (2, "B02", "num", SITE, "202610", "age=m12_59", "MH_B02_NUM", "A1_M12_59", "3", "3", "3", "accepted", None),
            (3, "B02", "den", SITE, "202610", "age=m2_11", "MH_B02_DEN", "A1_M2_11", "9", "8", None, "wanted", None),
            (
                4,
                "E05",
                "count",
                SITE,
                "202610",
                "age=m12_59;sex=f",
                "MH_E05",
                "A1_M12_59-SEX_F",
                "3",
                "4",
                None,
                "rejected",
                "dhis2.E8020",
            ),
            (
                5,
                "E05",
                "count",
                SITE,
                "202610",
                "age=m12_59;sex=m",
                "MH_E05",
                "A1_M12_59-SEX_M",
                "1",
                None,
                "5",
                "held",
                "dhis2.value_already_there",
            ),
            (
                6,
                "E05",
                "count",
                SITE,
                "202606",
                "age=m12_59;sex=m",
                "MH_E05",
                "A1_M12_59-SEX_M",
                "2",
                None,
                None,
                "old",
                None,
            ),
            (
                7,
                "E05",
                "count",
                SITE,
                "202609",
                "age=m12_59;sex=m",
                "MH_E05",
                "A1_M12_59-SEX_M",
                "2",
                "2",
                "4",
                "accepted",
                None,
            ),
        ]
        names = (
            "id",
            "indicator",
            "part",
            "org_unit",
            "period",
            "categories",
            "data_element",
            "combo",
            "value",
            "accepted",
            "there",
            "state",
            "reason",
        )
        c.execute(
            insert(t.cell),
            [
                dict(zip(names, row, strict=True))
                | {
                    "data_set": "MH_SEC",
                    "records": int(row[8] or 0),
                    "updated": stamp(0.1),
                    "released": None,
                    "accepted_at": stamp(13) if row[9] else None,
                }
                for row in cells
            ],
        )
        c.execute(
            insert(t.contribution),
            [
                {
                    "record": f"cht/reports/{k}",
                    "indicator": "B02",
                    "part": "num",
                    "org_unit": SITE,
                    "period": "202610",
                    "categories": "age=m2_11" if i < 7 else "age=m12_59",
                    "amount": 1,
                    "distinct_key": "",
                    "date": "2026-10-12",
                    "version": "v",
                }
                for i, k in enumerate(keys[:10])
            ],
        )
        base = {
            "generation": 1,
            "digest": "d",
            "step": "",
            "remote": "{}",
            "tries": 1,
            "unsure": False,
            "due_at": stamp(-0.02),
            "lease_until": None,
            "lease_by": None,
            "accepted_digest": None,
            "accepted_generation": None,
            "accepted_at": None,
            "reason": None,
            "who": None,
            "note": None,
            "wanted_at": stamp(3),
            "updated": stamp(0.3),
            "record": None,
            "subject": None,
            "payload_enc": None,
        }
        payload = enc(
            {
                "dataSet": "MH_SEC",
                "orgUnit": SITE,
                "period": "202610",
                "values": [
                    {"dataElement": "MH_E05", "categoryOptionCombo": "A1_M12_59-SEX_F", "value": "3", "old": "4"}
                ],
            }
        )
        rows = [
            {
                "id": 1,
                "target": "dhis2",
                "key": f"block/MH_SEC/{SITE}/202610",
                "kind": "block",
                "state": "parked",
                "reason": "dhis2.E8020",
                "who": "target_admin",
                "payload_enc": payload,
            },
            {
                "id": 2,
                "target": "dhis2",
                "key": f"block/MH_SEC/{SITE}/202609",
                "kind": "block",
                "state": "accepted",
                "accepted_at": stamp(13),
            },
            {
                "id": 3,
                "target": "dhis2",
                "key": "block/MH_SEC/ML-KKO-D1-A1-S2/202610",
                "kind": "block",
                "state": "unknown",
                "reason": "dhis2.answer_lost",
            },
            {
                "id": 4,
                "target": "dhis2",
                "key": "block/MH_SEC/ML-KKO-D1-A1-S2/202609",
                "kind": "block",
                "state": "deferred",
                "reason": "dhis2.unreachable",
            },
            {
                "id": 5,
                "target": "dhis2",
                "key": f"complete/MH_SEC/{SITE}/202610",
                "kind": "completion",
                "state": "accepted",
                "accepted_at": stamp(12),
            },
            {
                "id": 6,
                "target": "openmrs",
                "key": "cht/reports/3c91-7be0",
                "kind": "referral",
                "state": "accepted",
                "record": "cht/reports/3c91-7be0",
                "subject": "person-4417",
                "accepted_at": stamp(12),
                "payload_enc": b"purged",
            },
            {
                "id": 7,
                "target": "answers",
                "key": "answer-1",
                "kind": "answer",
                "state": "accepted",
                "record": "cht/reports/3c91-7be0",
                "accepted_at": stamp(11),
            },
            {
                "id": 8,
                "target": "dhis2",
                "key": "block/MH_SEC/ML-KKO-D1-A2/202610",
                "kind": "block",
                "state": "parked",
                "reason": "dhis2.E8020",
                "who": "target_admin",
                "note": "le ministère décide",
            },
            {
                "id": 9,
                "target": "openmrs",
                "key": "cht/reports/3c91-7be1",
                "kind": "referral",
                "state": "leased",
                "record": "cht/reports/3c91-7be1",
            },
            {"id": 10, "target": "dhis2", "key": "block/MH_SEC/ML-KKO-D1/202610", "kind": "block", "state": "pending"},
            {
                "id": 11,
                "target": "dhis2",
                "key": "block/MH_SEC/ML-KKO-D1/202609",
                "kind": "block",
                "state": "resolved",
                "note": "accord du 3 nov.",
            },
        ] + [
            {
                "id": 100 + i,
                "target": "fhir",
                "key": f"Observation/{i:04}",
                "kind": "resource",
                "state": "accepted",
                "accepted_at": stamp(12),
                "record": "cht/reports/3c91-7be0",
            }
            for i in range(many)
        ]
        c.execute(insert(t.delivery), [base | row for row in rows])
        c.execute(
            insert(t.attempt),
            [
                {
                    "id": 1,
                    "target": "dhis2",
                    "started": stamp(2),
                    "ended": stamp(1.99995),
                    "size": 1,
                    "verdict": "rejected",
                    "run": "r1",
                },
                {
                    "id": 2,
                    "target": "dhis2",
                    "started": stamp(0.3),
                    "ended": stamp(0.29996),
                    "size": 2,
                    "verdict": "rejected",
                    "run": "r2",
                },
                {
                    "id": 3,
                    "target": "openmrs",
                    "started": stamp(12),
                    "ended": stamp(12),
                    "size": 1,
                    "verdict": "accepted",
                    "run": "r1",
                },
                {
                    "id": 4,
                    "target": "dhis2",
                    "started": stamp(0.01),
                    "ended": None,
                    "size": 1,
                    "verdict": "unknown",
                    "run": "r3",
                },
            ],
        )
        c.execute(
            insert(t.attempt_delivery),
            [
                {
                    "attempt": a,
                    "delivery": d,
                    "generation": 1,
                    "digest": "d",
                    "verdict": verdict,
                    "reason": reason,
                    "http_status": status,
                    "answer_enc": answer,
                }
                for a, d, verdict, reason, status, answer in (
                    (1, 1, "rejected", "dhis2.E8020", 409, enc({"status": "WARNING"})),
                    (2, 1, "rejected", "dhis2.E8020", 409, enc({"conflicts": ["E8020"]})),
                    (2, 8, "rejected", "dhis2.E8020", 409, None),
                    (3, 6, "accepted", "", 201, b"purged"),
                    (4, 3, "unknown", "dhis2.answer_lost", None, None),
                )
            ],
        )
        c.execute(
            insert(t.value_sent),
            [
                {
                    "cell": cell,
                    "attempt": attempt,
                    "value": value,
                    "verdict": verdict,
                    "reason": reason,
                    "at": stamp(at),
                }
                for cell, attempt, value, verdict, reason, at in (
                    (1, 1, "7", "accepted", None, 2),
                    (4, 1, "3", "rejected", "dhis2.E8020", 2),
                    (4, 2, "3", "rejected", "dhis2.E8020", 0.3),
                )
            ],
        )
        c.execute(
            insert(t.quarantine),
            [
                {
                    "source": "cht",
                    "stream": "reports",
                    "key": k,
                    "revision": "1",
                    "form": "assessment",
                    "code": code,
                    "path": path,
                    "file": file,
                    "line": line,
                    "detail": detail,
                    "who": who,
                    "version": "v",
                    "at": stamp(3),
                }
                for k, code, path, file, line, detail, who in (
                    (keys[10], "place.no_org_unit", "contact.parent._id", "org_units.csv", 3, "site-9", "mapping"),
                    (keys[11], "place.no_org_unit", "contact.parent._id", "org_units.csv", 3, "site-9", "mapping"),
                    (keys[12], "date.future", "fields.visit_date", "", None, "", "chw_data"),
                    ("odd-1", "form.strange", "", "", None, "", "mapping"),
                )
            ],
        )
        c.execute(
            insert(t.referral),
            [
                {
                    "record": f"cht/reports/{keys[i]}",
                    "subject": "person-4417" if i != 4 else "person-0000",
                    "worker": "asc-001",
                    "to_place": "area-1",
                    "date": (NOW - timedelta(days=days)).date().isoformat(),
                    "urgent": urgent,
                    "reason": "danger_sign",
                    "state": state,
                    "remote": "{}",
                    "answered_at": stamp(1) if state in ("completed", "missed") else None,
                    "answer_enc": orjson.dumps({"status": state, "diagnosis": FOUND}) if state == "arrived" else None,
                    "updated": stamp(1),
                }
                for i, days, urgent, state in (
                    (0, 5, True, "completed"),
                    (1, 3, True, "sent"),
                    (2, 1, True, "sent"),
                    (3, 6, False, "arrived"),
                    (4, 2, False, "waiting_person"),
                    (5, 9, False, "missed"),
                    (6, 170, False, "old"),
                )
            ],
        )

    store.write(fill)


STATUS: dict[str, Any] = {
    "state": "action_needed",
    "version": "0.4.2",
    "now": stamp(),
    "quarantined": 4,
    "parked": 2,
    "audit": {"ok": True, "entries": 52108, "last_head": stamp(0.007)},
    "connections": [
        {
            "name": "cht",
            "kind": "source",
            "state": "ok",
            "last_success": stamp(0.004),
            "last_record": stamp(0.1),
            "next_run": stamp(-0.006),
            "behind": 0,
        },
        {
            "name": "kobo",
            "kind": "source",
            "state": "paused",
            "last_success": stamp(8),
            "last_record": stamp(8),
            "next_run": None,
            "behind": None,
        },
        {
            "name": "dhis2",
            "kind": "target",
            "state": "action_needed",
            "who": "target_admin",
            "reason": None,
            "last_success": stamp(0.4),
            "waiting": 3,
            "oldest_waiting_seconds": 2520,
            "parked": 2,
            "breaker": "closed",
            "next_try": stamp(-0.5),
        },
        {
            "name": "openmrs",
            "kind": "target",
            "state": "waiting",
            "who": "nobody",
            "reason": "openmrs.odd",
            "last_success": stamp(0.03),
            "waiting": 1,
            "oldest_waiting_seconds": 2520,
            "parked": 0,
            "breaker": "open",
            "next_try": stamp(-0.01),
        },
        {"name": "fhir", "kind": "target", "state": "ok", "last_success": stamp(0.4), "waiting": 0, "parked": 0},
        {"name": "answers", "kind": "target", "state": "never_run", "last_success": None, "waiting": 0, "parked": 0},
    ],
}


#: Two entries of the audit trail: one under a signed head, one that was altered.
ENTRIES = [
    {
        "entry": 48211, "at": stamp(13), "event": "attempt.begun", "attempt": 1, "verdict": None, "digest": "7f3a" * 16,
        "hash": "01" * 32, "head": {"entry": 48300, "at": stamp(12), "hash": "02" * 32}, "ok": True, "reason": "",
        "value": True,
    },
    {
        "entry": 48212, "at": stamp(13), "event": "attempt.ended", "attempt": 1, "verdict": "accepted",
        "digest": "02c1" * 16, "hash": "03" * 32, "head": {"entry": 48300, "at": stamp(12), "hash": "02" * 32},
        "ok": False, "reason": "entry.changed",
    },
]  # fmt: skip


def explain(
    data_element: str, org_unit: str, period: str, combo: str, after: str | None = None, *, why_not: bool = False
) -> Mapping[str, Any] | None:
    if data_element not in ("MH_B02_NUM", "MH_B02_DEN", "MH_E05"):
        return None
    return {
        "value": {"data_element": data_element, "combo": combo, "org_unit": org_unit, "period": period, "current": "7"},
        "rule": {
            "indicator": "B02",
            "part": "num",
            "where": "malaria_rdt = 'positive'",
            "file": "indicators/sec-core.yaml",
            "line": 41,
            "version": "be02",
            "words": {"fr": "TDR positifs parmi les TDR lus.", "en": "Positive RDTs among those read."},
            "since": stamp(40),
            "counted_by": "aa01",
        },
        "led": [
            {"label": {"fr": "Visites d'enfant malade reçues", "en": "Sick child visits received"}, "n": 12},
            {"label": {"fr": "TDR négatif", "en": "Negative RDT"}, "n": -4},
            {"label": "date.future", "n": -1},
        ],
        "records": [
            {
                "record": f"cht/reports/3c91-7be{i:x}",
                "date": f"2026-10-{12 + i}",
                "place": "site-1",
                "worker": "asc-001",
                "amount": 1,
                "categories": "age=m2_11",
            }
            for i in range(7)
        ],
        "next": None if after else "cht/reports/3c91-7be6",
        "sends": [
            {"at": stamp(19), "value": "8", "verdict": "accepted", "reason": ""},
            {"at": stamp(13), "value": "7", "verdict": "accepted", "reason": ""},
        ],
        "attempts": [],
        "proof": {"entries": ENTRIES, "missing": [3], "ok": False, "verify": "relais audit verify"},
        "not_counted": [{"reason": {"fr": "TDR non fait", "en": "RDT not done"}, "n": 2}] if why_not else [],
    }


def trace(record: str, unmask: bool = False) -> Mapping[str, Any] | None:
    quarantined = record.rsplit("/", 1)[-1] in ("3c91-7bea", "3c91-7beb", "3c91-7bec")
    return {
        "record": {"id": record},
        "revisions": [
            {"revision": "2-abc", "received_at": stamp(3), "deleted": False},
            {"revision": "1-aaa", "received_at": stamp(18), "deleted": False},
        ],
        "mapping": {"file": "forms/cht/assessment.yaml", "version": "be027719", "form": "assessment"},
        "facts": []
        if quarantined
        else [
            {"name": "fever", "value": True, "masked": False},
            {"name": "malaria_rdt", "value": "positive", "masked": False},
            {"name": "muac_mm", "value": 121, "masked": False},
            {"name": "patient_name", "value": NAME if unmask else None, "masked": True},
        ],
        "flags": [],
        "cells": []
        if quarantined
        else [
            {
                "indicator": "B02",
                "part": "num",
                "org_unit": SITE,
                "period": "202610",
                "categories": "age=m2_11",
                "amount": 1,
                "data_element": "MH_B02_NUM",
                "combo": "A1_M2_11",
            },
            {
                "indicator": "E05",
                "part": "count",
                "org_unit": SITE,
                "period": "202610",
                "categories": "age=m12_59;sex=f",
                "amount": 1,
                "data_element": "MH_E05",
                "combo": "A1_M12_59-SEX_F",
            },
        ],
        "resources": []
        if quarantined
        else [{"key": "Encounter/1", "state": "accepted"}, {"key": "Observation/2", "state": "accepted"}],
        "deliveries": []
        if quarantined
        else [
            {"id": 6, "target": "openmrs", "key": "k", "state": "accepted", "verdict": "accepted", "at": stamp(12)},
            {"id": 7, "target": "answers", "key": "k", "state": "accepted", "verdict": "accepted", "at": stamp(11)},
        ],
        "quarantine": {"code": "place.no_org_unit"} if quarantined else None,
        "referral": None,
    }


@dataclass
class House:
    """One app over one seeded database."""

    context: WebContext
    app: Any
    actions: Recorder
    clock: Clock
    store: SqlStore

    def client(
        self, *, peer: str = "127.0.0.1", base: str = "http://127.0.0.1", headers: Mapping[str, str] | None = None
    ) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.app, client=(peer, 5000), raise_app_exceptions=False)
        return httpx.AsyncClient(
            transport=transport, base_url=base, headers=dict(headers or {}), follow_redirects=False
        )

    def close(self) -> None:
        self.store.close()


def make_house(
    folder: Path, *, env: str = "demo", empty: bool = False, status: Mapping[str, Any] | None = None, **more: Any
) -> House:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "org_units.csv").write_text(
        "source,place,org_unit\ncht,site-1,S1\ncht,site-2,S2\ncht,area-1,A1\n", encoding="utf-8"
    )
    store = SqlStore(f"sqlite:///{folder / 'relais.db'}")
    store.create()
    if not empty:
        seed(store)
    actions, clock = Recorder(), Clock()
    context = WebContext(
        store=store,
        pack=make_pack(folder),
        clock=clock,
        env=env,
        cipher=Plain(),  # type: ignore[arg-type]
        status=lambda: status if status is not None else STATUS,
        explain=explain,
        trace=trace,
        actions=actions,
        reasons=REASONS,
        secret=b"s" * 32,
        version="0.4.2",
        bearer=lambda token: TOKENS.get(token),
        matches=NoMatches() if empty else Reviews(),
        ingest=lambda source, body, form, by: Ingested(202, {"receipt": "r-1"}),
    )
    context = replace(context, **more)
    return House(context, make_app(context), actions, clock, store)


_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
_FROZEN = re.compile(r'name="frozen" value="([^"]+)"')


def csrf_of(text: str) -> str:
    found = _CSRF.search(text)
    assert found, "no form with a token on this page"
    return found[1]


def frozen_of(text: str, n: int = 0) -> str:
    return _FROZEN.findall(text)[n]


async def sign_in(client: httpx.AsyncClient, name: str, password: str = PASSWORD) -> httpx.Response:
    page = await client.get("/connexion")
    return await client.post("/connexion", data={"csrf": csrf_of(page.text), "username": name, "password": password})


def visible(text: str) -> str:
    """The words of a page, without tags."""
    return html.unescape(re.sub(r"<[^>]+>", " ", text))
