"""What somebody changes at a target behind our back is found, named and treated as promised: what is gone is sent
again, what a person wrote there stays (unless the pack says ``overwrite``), what is ours alone is put right.

One way after the other on the same road, each in its own place, with the target as it was before and after compared.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from connector.sandbox.openmrs_metadata import COMMUNITY_REFERRAL
from tests.engine.house import ANNA, Doc, a_few, meeting, target, visit
from tests.properties.scale import examples
from tests.properties.world import World

Found = dict[str, Any]
COUNTS = ("missing", "different", "unknown_there")
#: Ways tried on one road.
WAYS = 10


def settled(seed: int) -> World:
    """Figures at DHIS2, referrals at the clinic (two of them answered), resources, answers in the app."""
    docs = [*a_few(), *(visit(f"refer-{n}", f"2026-08-{10 + n}", subject=ANNA, refer=True) for n in range(6))]
    #: A road in three where figures that vanish are deleted at DHIS2, one in four where ours win.
    ours_win = {"on_existing": "overwrite" if seed % 4 == 3 else "ask"}
    dhis2 = target("dhis2", vanished="delete" if seed % 3 == 1 else "zero", **ours_win)
    fhir = target("fhir", **ours_win)
    road = World(docs, lambda pack: fhir(dhis2(pack)))
    road.write_meetings("01", [meeting(n, f"2026-0{7 + n % 3}-05") for n in range(6)])
    road.settle()
    for n in range(3):
        road.openmrs.people({"act": "complete", "number": f"refer-{n}", "advice": "repos"})
    road.cht.delete("visit-09-1")  # its figures go to nought, its resources away
    assert road.settle()["outcome"] == "settled"
    for name in ("dhis2", "openmrs", "fhir", "cht_answers"):
        assert {what: road.reconcile(name)[what] for what in COUNTS} == dict.fromkeys(COUNTS, 0), name
    return road


class Way:
    """One thing done behind our back: ``do`` it, what reconcile should say, what should be true afterwards."""

    target = "dhis2"
    counted: ClassVar[dict[str, int]] = {"different": 1}
    put_right: bool | None = None  #: whether the difference is gone after a run; None: as its target says

    def __init__(self, road: World, rng: random.Random, used: set[Any]) -> None:
        self.road, self.rng, self.used = road, rng, used

    def pick(self, among: list[Any]) -> Any:
        """Something that no way before this one has touched."""
        left = [one for one in among if one not in self.used]
        if not left:
            pytest.skip("nothing left to change on this road")
        chosen = self.rng.choice(left)
        self.used.add(chosen)
        return chosen

    def do(self) -> None:
        raise NotImplementedError

    def item(self, item: Found) -> bool:
        """The line of the report names what was changed."""
        raise NotImplementedError

    def afterwards(self) -> None:
        raise NotImplementedError

    @property
    def overwrites(self) -> bool:
        return self.road.engine.pack.targets[self.target].on_existing == "overwrite"


# ---------------------------------------------------------------- DHIS2


class OfValue(Way):
    def sent(self, *, nought: bool = False) -> list[Any]:
        rows = self.road.rows("SELECT * FROM cell WHERE state='accepted' AND accepted IS NOT NULL ORDER BY id")
        found = [(r["data_element"], r["org_unit"], r["period"], r["combo"]) for r in rows]
        zero = {k for k, r in zip(found, rows, strict=True) if r["accepted"] in ("0", "")}
        return [key for key in found if (key in zero) == nought]

    def item(self, item: Found) -> bool:
        place = (item["data_element"], item["org_unit"], item["period"], item["combo"])
        return place == self.key and (item["ours"], item["there"]) == (self.ours, self.there)

    def there_now(self) -> str | None:
        element, unit, period, combo = self.key
        return self.road.value(element, combo, period, unit)

    def type_in(self, value: str) -> None:
        element, unit, period, combo = self.key
        self.ours, self.there = self.cell()["accepted"], value
        self.road.type_in(element, combo, value, period, unit)

    def cell(self) -> Found:
        element, unit, period, combo = self.key
        return self.road.cell(element, combo, period, unit)


class ValueChanged(OfValue):
    def do(self) -> None:
        self.key = self.pick(self.sent())
        self.type_in(str(self.rng.choice((0, 77, 4000))))

    def afterwards(self) -> None:
        kept = self.ours if self.overwrites else self.there
        assert self.there_now() == kept or (kept in ("0", "") and self.there_now() is None), "nothing there is nought"
        if not self.overwrites:
            cell = self.cell()
            assert (cell["reason"], cell["there"]) == ("dhis2.changed_by_hand", self.there)


class NoughtChanged(OfValue):
    """A figure that fell to nothing is typed in again by somebody."""

    def do(self) -> None:
        self.key = self.pick(self.sent(nought=True))
        self.type_in("5")

    afterwards = ValueChanged.afterwards


class ValueDeleted(OfValue):
    counted: ClassVar[dict[str, int]] = {"missing": 1}

    def do(self) -> None:
        self.key = self.pick(self.sent())
        self.ours, self.there = self.cell()["accepted"], None
        self.road.dhis2.values[*self.key, "default"]["deleted"] = True

    def afterwards(self) -> None:
        assert self.there_now() == self.ours


class ValueAdded(OfValue):
    """In a block of ours, where we never sent anything."""

    counted: ClassVar[dict[str, int]] = {"unknown_there": 1}

    def do(self) -> None:
        ours = set(self.sent()) | set(self.sent(nought=True))
        element, unit, period, _ = self.rng.choice(sorted(key for key in ours if key[0] == "MH_B01_DEN"))
        bands = [f"A3_{band}-SEX_{sex}" for band in ("Y10_14", "Y15_19", "Y20P") for sex in ("F", "M", "UNK")]
        self.key = self.pick([(element, unit, period, combo) for combo in bands])
        self.ours, self.there = None, "9"
        self.road.type_in(element, self.key[3], "9", period, unit)

    def afterwards(self) -> None:
        assert self.there_now() == "9"


# ---------------------------------------------------------------- FHIR


class OfResource(Way):
    target = "fhir"

    def resources(self, *, deleted: bool = False) -> list[str]:
        rows = self.road.rows("SELECT key, digest FROM delivery WHERE target='fhir' AND state='accepted' ORDER BY id")
        return [r["key"] for r in rows if (r["digest"] == "") == deleted]

    def item(self, item: Found) -> bool:
        return bool(item["key"] == self.key)

    def held(self) -> Any:
        return self.road.fhir._held[self.key]


class ResourceChanged(OfResource):
    def do(self) -> None:
        self.key = self.pick(self.resources())
        self.before = dict(self.held().content)
        self.after = {**self.before, "language": "fr", "implicitRules": "http://example.org/other"}
        self.held().content = self.after
        self.held().canonical = b""
        self.held().version += 1

    def afterwards(self) -> None:
        assert self.held().content == (self.before if self.overwrites else self.after) and not self.held().deleted
        if not self.overwrites:
            row = self.road.one("SELECT * FROM delivery WHERE target='fhir' AND key=:k", k=self.key)
            assert (row["state"], row["reason"]) == ("accepted", "fhir.changed_by_hand")


class ResourceDeleted(OfResource):
    counted: ClassVar[dict[str, int]] = {"missing": 1}

    def do(self) -> None:
        self.key = self.pick(self.resources())
        self.before = dict(self.held().content)
        self.held().deleted = True

    def afterwards(self) -> None:
        assert self.held().content == self.before and not self.held().deleted


class ResourceBack(OfResource):
    """What we took away is there again."""

    put_right = True

    def do(self) -> None:
        self.key = self.pick(self.resources(deleted=True))
        self.held().deleted = False

    def afterwards(self) -> None:
        assert self.held().deleted


# ---------------------------------------------------------------- the clinic


class OfReferral(Way):
    target = "openmrs"
    counted: ClassVar[dict[str, int]] = {}

    def open_ones(self) -> list[str]:
        rows = self.road.rows("SELECT record FROM referral WHERE state='sent' ORDER BY record")
        return [str(r["record"]).rpartition("/")[2] for r in rows]

    def item(self, item: Found) -> bool:
        return str(item["key"]).rpartition("/")[2] == self.key

    def state(self) -> str:
        return str(self.road.one("SELECT state FROM referral WHERE record LIKE :r", r=f"%/{self.key}")["state"])

    def encounters(self) -> list[str]:
        return [
            u for u, e in self.road.openmrs.rows.encounters.items() if any(o["value"] == self.key for o in e["obs"])
        ]


class EncounterVoided(OfReferral):
    """The clinic's decision: not drift, and not undone. The next poll tells it."""

    def do(self) -> None:
        self.key = self.pick(self.open_ones())
        self.road.openmrs.people({"act": "void", "number": self.key})

    def afterwards(self) -> None:
        assert self.state() in ("voided", "cancelled")
        assert all(self.road.openmrs.rows.encounters[uuid]["voided"] for uuid in self.encounters())


class AppointmentCancelled(OfReferral):
    def do(self) -> None:
        self.key = self.pick(self.open_ones())
        self.road.openmrs.people({"act": "cancel", "number": self.key})

    def afterwards(self) -> None:
        assert self.state() == "cancelled"
        found = [a["status"] for a in self.road.openmrs.state()["appointments"] if a["number"] == self.key]
        assert found == ["Cancelled"]


class EncounterChanged(OfReferral):
    """Somebody edits what we wrote: shown, and left."""

    counted: ClassVar[dict[str, int]] = {"different": 1}

    def do(self) -> None:
        self.key = self.pick(self.open_ones())
        (uuid,) = self.encounters()
        (self.number,) = [o for o in self.road.openmrs.rows.encounters[uuid]["obs"] if o["value"] == self.key]
        rest = [o for o in self.road.openmrs.rows.encounters[uuid]["obs"] if o is not self.number]
        self.changed = rest[0]
        self.changed["voided"] = True

    def afterwards(self) -> None:
        assert self.changed["voided"] and len(self.encounters()) == 1


class EncounterLost(OfReferral):
    """The clinic's database was restored from before: neither encounter nor appointment is there."""

    counted: ClassVar[dict[str, int]] = {"missing": 1}

    def do(self) -> None:
        self.key = self.pick(self.open_ones())
        rows = self.road.openmrs.rows
        for uuid in self.encounters():
            if rows.encounters[uuid]["encounterType"]["uuid"] == COMMUNITY_REFERRAL:
                del rows.encounters[uuid]
        for uuid in [u for u, a in rows.appointments.items() if a["number"] == self.key]:
            del rows.appointments[uuid]

    def afterwards(self) -> None:
        assert len(self.encounters()) == 1
        assert [a["number"] for a in self.road.openmrs.state()["appointments"]].count(self.key) == 1
        self.road.openmrs.people({"act": "cancel", "number": self.key})
        self.road.settle()
        assert self.state() == "cancelled", "and its answer is heard"


class AnsweredLost(EncounterLost):
    """The same of a referral that was answered: shown, and nobody is sent there a second time."""

    put_right = False

    def open_ones(self) -> list[str]:
        rows = self.road.rows("SELECT record FROM referral WHERE state='completed' ORDER BY record")
        return [str(r["record"]).rpartition("/")[2] for r in rows]

    def afterwards(self) -> None:
        assert not [a for a in self.road.openmrs.state()["appointments"] if a["number"] == self.key]


# ---------------------------------------------------------------- the answer in the app


class OfAnswer(Way):
    target = "cht_answers"

    def answers(self) -> list[str]:
        rows = self.road.rows("SELECT key FROM delivery WHERE target='cht_answers' AND state='accepted' ORDER BY id")
        return [r["key"] for r in rows]

    def item(self, item: Found) -> bool:
        return bool(item["key"] == self.key)

    def doc(self) -> Doc:
        whole: Doc = self.road.cht._docs[self.key].whole()
        return whole


class AnswerEdited(OfAnswer):
    def do(self) -> None:
        self.key = self.pick(self.answers())
        self.road.cht.edit(self.key, {"fields.status": "missed"})

    def afterwards(self) -> None:
        assert self.doc()["fields"]["status"] == "missed", "somebody wrote it"


class AnswerDeleted(OfAnswer):
    counted: ClassVar[dict[str, int]] = {"missing": 1}

    def do(self) -> None:
        self.key = self.pick(self.answers())
        self.before = self.doc()["fields"]
        self.road.cht.delete(self.key, keep_body=self.rng.random() < 0.5)

    def afterwards(self) -> None:
        assert not self.doc().get("_deleted") and self.doc()["fields"] == self.before


KINDS: tuple[type[Way], ...] = (
    ValueChanged, NoughtChanged, ValueDeleted, ValueAdded, ResourceChanged, ResourceDeleted, ResourceBack,
    EncounterVoided, AppointmentCancelled, EncounterChanged, EncounterLost, AnsweredLost, AnswerEdited, AnswerDeleted,
)  # fmt: skip
ROADS = examples(10, 200) // WAYS


@pytest.fixture
def road(request: pytest.FixtureRequest) -> Iterator[World]:
    made = settled(request.param)
    yield made
    made.gone()


@pytest.mark.parametrize(("seed", "road"), [(seed, seed) for seed in range(ROADS)], indirect=["road"])
def test_what_was_changed_behind_our_back_is_found_and_treated_as_promised(road: World, seed: int) -> None:
    rng = random.Random(seed)
    used: set[Any] = set()
    shown = dict.fromkeys((kind.target for kind in KINDS), 0)  #: differences that stay as they are, by target
    standing: dict[str, dict[str, int]] = {name: dict.fromkeys(COUNTS, 0) for name in shown}
    tried = 0
    offset = seed * WAYS
    for n in range(offset, offset + len(KINDS) * 2):
        if tried == WAYS:
            break
        way = KINDS[n % len(KINDS)](road, rng, used)
        try:
            way.do()
        except pytest.skip.Exception:
            continue
        tried += 1
        found = road.reconcile(way.target)
        expected = {what: standing[way.target][what] + way.counted.get(what, 0) for what in COUNTS}
        assert {what: found[what] for what in COUNTS} == expected, (type(way).__name__, found["items"])
        if way.counted:
            (what,) = way.counted
            assert [one for one in found["items"] if one["what"] == what and way.item(one)], (type(way).__name__, found)
        assert len(found["items"]) == sum(expected.values())
        assert road.settle()["outcome"] == "settled", type(way).__name__
        way.afterwards()
        left = road.reconcile(way.target, reopen=False)
        standing[way.target] = {what: left[what] for what in COUNTS}
        put_right = way.put_right
        if put_right is None:
            overwritten = way.target in ("fhir", "dhis2") and way.overwrites
            put_right = way.counted == {"missing": 1} or (way.counted == {"different": 1} and overwritten)
        after = {what: expected[what] - (way.counted.get(what, 0) if put_right else 0) for what in COUNTS}
        assert standing[way.target] == after, (type(way).__name__, left["items"])
    assert tried == WAYS
