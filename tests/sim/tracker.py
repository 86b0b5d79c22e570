"""A DHIS2 program in a simulated world: what the pack sends there, the program itself, and what people do in it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from connector.mappings.pack import Sent, TargetConfig, Tracker, TrackerStage

if TYPE_CHECKING:
    from connector.sandbox.dhis2_tracker import Tracker as Sim
    from tests.sim.wire import Exchange

#: Older visits are never sent.
LIVE_FROM = "2026-08-01"
#: What somebody typed as the name of whom she registered, and the day on which she enrolled her.
BY_HAND, ENROLLED_BY_HAND = "by hand", "2026-01-05"

TRACKER = Tracker(
    program="TR_CHILD",
    level="site",
    attributes={"TR_ID": Sent("id"), "TR_NAME": Sent("name"), "TR_BIRTH": Sent("birth_date"), "TR_SEX": Sent("sex")},
    stages=(
        TrackerStage(
            "PS_SICK",
            "sick_visit",
            {"TR_FEVER": Sent("fever"), "TR_RDT": Sent("malaria_rdt", {"positive": "POS", "negative": "NEG"})},
        ),
    ),
    version="1",
)


def target(dhis2: TargetConfig) -> TargetConfig:
    """At the same server as the figures."""
    return TargetConfig("tracker", "dhis2_tracker", dhis2.settings, "every 30m", LIVE_FROM)


def _field(code: str, uid: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"code": code, "id": uid, "name": code, "valueType": kind, **more}


METADATA: dict[str, Any] = {
    "attributes": [
        _field("TR_ID", "TaIdentif01", "TEXT", unique=True), _field("TR_NAME", "TaName00001", "TEXT"),
        _field("TR_BIRTH", "TaBirth0001", "DATE"), _field("TR_SEX", "TaSex000001", "TEXT"),
    ],
    "elements": [_field("TR_FEVER", "TdFever0001", "BOOLEAN"), _field("TR_RDT", "TdRdt000001", "TEXT")],
    "programs": [
        {"code": "TR_CHILD", "id": "TrProgram01", "name": "Sick children", "entityType": "TrPerson001",
         "orgUnits": ["ML-KKO-D1-A1-S1", "ML-KKO-D1-A1-S2"],
         "attributes": [{"code": "TR_ID"}, {"code": "TR_NAME", "mandatory": True}, {"code": "TR_BIRTH"},
                        {"code": "TR_SEX"}],
         "stages": [{"id": "TrStage0001", "code": "PS_SICK", "name": "Sick visit", "repeatable": True,
                     "elements": [{"code": "TR_FEVER"}, {"code": "TR_RDT"}]}]},
    ],
}  # fmt: skip


class Program:
    """What people do there. ``by_hand``: ids of people as somebody registered them before us."""

    def __init__(self, sim: Sim, rng: random.Random) -> None:
        self.sim, self.rng = sim, rng
        self.by_hand: set[str] = set()

    def suffers(self, fault: str | None, x: Exchange) -> None:
        """What has just happened there when this request arrives; None: it is over."""
        if fault is None:
            self.sim.refuse = {}
        elif fault == "tracker_known":
            self._registered(x.body["trackedEntities"])
        elif fault == "tracker_removed":
            self._removed(x.body)
        elif fault == "tracker_refused":
            rows = x.body.get("events") or x.body.get("trackedEntities") or [{}]
            uid = rows[0].get("event") or rows[0].get("trackedEntity")
            self.sim.refuse = {uid: "E1302" if x.body.get("events") else "E1007"} if uid else {}

    def _registered(self, people: list[dict[str, Any]]) -> None:
        """Somebody registers by hand whom nobody has registered yet, and enrols some."""
        for row in people:
            key = next((a["value"] for a in row["attributes"] if a["attribute"] == "TaIdentif01"), None)
            living = [one for one in self.sim.held["TRACKED_ENTITY"].values() if not one["deleted"]]
            if key is None or any(one["attributes"].get("TaIdentif01") == key for one in living):
                continue
            before = sum(uid.startswith(f"TeHand{ord(key[-1]):03d}") for uid in self.sim.held["TRACKED_ENTITY"])
            uid = f"TeHand{ord(key[-1]):03d}{before:02d}"
            self.sim.held["TRACKED_ENTITY"][uid] = {
                "trackedEntity": uid, "trackedEntityType": "TrPerson001", "orgUnit": row["orgUnit"], "deleted": False,
                "attributes": {"TaIdentif01": key, "TaName00001": BY_HAND},
            }  # fmt: skip
            self.by_hand.add(key)
            if key.endswith("a"):
                uid = uid.replace("Te", "En")
                self.sim.held["ENROLLMENT"][uid] = {
                    "enrollment": uid, "trackedEntity": uid.replace("En", "Te"), "program": "TrProgram01",
                    "orgUnit": row["orgUnit"], "status": "ACTIVE", "enrolledAt": ENROLLED_BY_HAND, "deleted": False,
                }  # fmt: skip

    def _removed(self, body: dict[str, Any]) -> None:
        """Somebody removes one of the things that the request names, with what hangs on it."""
        named = [
            (kind, row[key])
            for kind, rows, key in (
                ("TRACKED_ENTITY", "trackedEntities", "trackedEntity"),
                ("ENROLLMENT", "enrollments", "enrollment"),
                ("ENROLLMENT", "events", "enrollment"),
                ("EVENT", "events", "event"),
            )
            for row in body.get(rows, ())
            if key in row
        ]
        there = [(kind, uid) for kind, uid in named if not self.sim.held[kind].get(uid, {"deleted": True})["deleted"]]
        if there:
            self.remove(*self.rng.choice(there))

    def remove(self, kind: str, uid: str) -> None:
        self.sim._delete(kind, uid)
        if kind == "TRACKED_ENTITY":
            self.by_hand.discard(self.sim.held[kind][uid]["attributes"].get("TaIdentif01", ""))
