"""Match review: is this patient of the clinic the person of ours? A person of the clinic says, once.

A referral whose person looks like patients of the clinic stands parked with the candidates; nothing is written there.
"It is she" is kept here (the patient is left as she is) and her referrals go to that patient; "none of them" makes a
new patient. Either is kept for ever and goes into the wanted state of her referrals (``match``), so that what waits,
what comes later and what was sent already follow like after any other change. What the candidates are called is
forgotten with the answer: of the one chosen only her numbers stay, by which she is followed when the clinic merges
her.

The audit has who, when and what as keyed hashes, never a name; reading a review is written down like any reading of
personal data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from connector.engine import audit
from connector.engine.engine import Engine
from connector.errors import MatchUnknown
from connector.mappings.codec import entity_from
from connector.mappings.fhir_registry import human_name
from connector.mappings.likeness import Likeness, Person, likeness, person_of

#: Why a delivery stands parked.
REASON = "openmrs.match_review"
#: Reviews read at once.
PAGE = 200


def ask(engine: Engine, unit: Any, delivery: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]]) -> None:
    """A delivery came back with candidates: a person must look."""
    source = str(delivery["record"]).partition("/")[0]
    held = {"candidates": list(candidates), "record": delivery["record"]}
    unit.ask_match(
        {"target": delivery["target"], "source": source, "key": delivery["subject"], "now": engine.now(),
         "match_enc": unit.seal("match_review", held)}
    )  # fmt: skip
    detail = {"patient": unit.keyed(f"{source}/{delivery['subject']}"), "candidates": len(candidates)}
    audit.record(unit, at=engine.now(), event="match.asked", subject=delivery["key"], detail=detail)


def decided(unit: Any, target: str, keys: Sequence[str]) -> dict[str, Any]:
    """What was said of a person under any of her ids, as her referrals take it: ``patient`` and ``numbers``, or
    ``new``; empty when nobody has been asked or has said. An id that comes first counts first."""
    rows = {row["key"]: row for row in unit.matches_of(target, keys) if row["decision"]}
    known = [rows[key] for key in keys if key in rows]
    row = next((one for one in known if one["decision"] == "same"), next(iter(known), None))
    if row is None:
        return {}
    if row["decision"] == "new":
        return {"new": True}
    held = unit.open("match_review", row["match_enc"]) or {}
    return {"patient": row["patient"], "numbers": held.get("numbers", [])}


# ---------------------------------------------------------------- looking


def listed(engine: Engine, *, all: bool = False) -> Iterator[dict[str, Any]]:
    """Open reviews, oldest first; with ``all`` those decided too. No names: ``id``, ``target``, ``person``, ``asked``,
    ``waiting`` (records), ``candidates`` (how many), ``decision``, ``patient``, ``by``, ``at``."""
    for decided_ in (False, True) if all else (False,):
        after = 0
        while rows := engine.store.read(lambda unit, a=after, d=decided_: _page(unit, a, d)):
            after = rows[-1]["id"]
            yield from rows


def _page(unit: Any, after: int, decided_: bool) -> list[dict[str, Any]]:
    rows = (unit.decided_matches if decided_ else unit.open_matches)(after, PAGE)
    return [_line(unit, row) for row in rows]


def _line(unit: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    held = unit.open("match_review", row["match_enc"]) or {}
    waiting = [one["record"] for one in unit.referrals_of_match(row) if _waits(one)]
    return {
        "id": row["id"], "target": row["target"], "person": f"{row['source']}/{row['key']}", "asked": row["asked"],
        "waiting": waiting, "candidates": len(held.get("candidates", [])), "decision": row["decision"],
        "patient": row["patient"], "by": row["by"], "at": row["at"],
    }  # fmt: skip


def _waits(delivery: Mapping[str, Any]) -> bool:
    return bool(delivery["state"] == "parked" and delivery["reason"] == REASON)


def one(engine: Engine, id: int) -> dict[str, Any] | None:
    """A line of ``listed``, whether decided or not; None: there is none."""

    def work(unit: Any) -> dict[str, Any] | None:
        row = unit.match(id)
        return None if row is None else _line(unit, row)

    found: dict[str, Any] | None = engine.store.read(work)
    return found


class Matches:
    """What the pages ask."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def waiting(self) -> int:
        return int(self.engine.store.read(lambda unit: unit.matches_waiting()))

    def listed(self, limit: int) -> list[dict[str, Any]]:
        return list(islice(listed(self.engine), limit))

    def one(self, id: int) -> dict[str, Any] | None:
        return one(self.engine, id)

    def shown(self, id: int, by: str, reason: str) -> dict[str, Any]:
        return shown(self.engine, id, by, reason)

    def decide(self, id: int, patient: str | None, note: str, by: str) -> dict[str, Any]:
        return decide(self.engine, id, patient, note, by)


def shown(engine: Engine, id: int, by: str, reason: str = "") -> dict[str, Any]:
    """A review with both sides, field by field; that ``by`` reads it, and why (a code, where one is asked for), is
    written down first. Raises MatchUnknown.

    ``ours``: the person; ``referral``: what the newest of her waiting referrals says (number, date, urgent ...);
    ``candidates``: ``id``, ``number``, ``points`` and ``fields`` (name, ours, theirs, agreement), the likest first.
    """

    def work(unit: Any) -> dict[str, Any]:
        row = _row(unit, id)
        detail = {"patient": unit.keyed(f"{row['source']}/{row['key']}"), **({"reason": reason} if reason else {})}
        audit.record(unit, at=engine.now(), event="match.read", who=by, subject=f"match/{id}", detail=detail)
        return document(engine, unit, row)

    found: dict[str, Any] = engine.store.write(work)
    return found


def document(engine: Engine, unit: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    held = unit.open("match_review", row["match_enc"]) or {}
    referrals = unit.referrals_of_match(row)
    payloads = [unit.open("delivery", one["payload_enc"]) or {} for one in referrals if _waits(one)]
    newest: Mapping[str, Any] = payloads[-1] if payloads else {}
    on = engine.today()
    ours = _person(unit, row)
    candidates = []
    for one in held.get("candidates", []):
        found = likeness(ours, person_of(one["person"]), on)
        candidates.append({"id": one["id"], "number": one["number"], **_told(found)})
    told = ("number", "date", "at", "urgent", "reason", "reasons", "to", "note")
    return {
        **_line(unit, row),
        "note": held.get("note", ""),
        "ours": {"given": ours.given, "family": ours.family, "sex": ours.sex, "birth_date": ours.birth_date},
        "referral": {key: newest[key] for key in told if key in newest},
        "candidates": candidates,
    }


def _told(found: Likeness) -> dict[str, Any]:
    fields = [
        {"name": one.name, "ours": one.ours, "theirs": one.theirs, "agreement": str(one.agreement)}
        for one in found.fields
    ]
    return {"points": found.points, "fields": fields}


def _person(unit: Any, row: Mapping[str, Any]) -> Person:
    """The person as registered now."""
    held = unit.entities("person", row["source"], [row["key"]]).get(row["key"])
    if held is None:
        return Person()
    data = entity_from(unit.open("entity", held["entity_enc"])).data
    name = human_name(data) or {}
    sex = data.get("sex") if data.get("sex") in ("female", "male") else ""
    given = " ".join(name.get("given") or []) or ("" if name.get("family") else str(name.get("text") or ""))
    return Person(
        given=given, family=str(name.get("family") or ""), sex=str(sex or ""),
        birth_date=str(data.get("birth_date") or ""), national=str(data.get("national_id") or ""),
    )  # fmt: skip


# ---------------------------------------------------------------- deciding


def decide(engine: Engine, id: int, patient: str | None, note: str, by: str) -> dict[str, Any]:
    """``patient``: one of the candidates is she; None: none of them is, a new patient is made. Raises MatchUnknown."""

    def work(unit: Any) -> dict[str, Any]:
        row = _row(unit, id)
        if row["decision"]:
            raise MatchUnknown.because(
                (f"Le rapprochement {id} est déjà décidé", "Reprendre d'abord la réponse avec --undo"),
                (f"Match {id} is decided already", "Take the answer back with --undo first"),
            )
        held = unit.open("match_review", row["match_enc"]) or {}
        chosen = next((one for one in held.get("candidates", []) if one["id"] == patient), None)
        if patient is not None and chosen is None:
            known = ", ".join(one["id"] for one in held.get("candidates", []))
            raise MatchUnknown.because(
                (f"{patient} n'est pas un des dossiers du rapprochement {id}", f"Donner l'un de : {known}"),
                (f"{patient} is none of the patients of match {id}", f"Give one of: {known}"),
            )
        kept = {"note": note, "numbers": chosen["numbers"] if chosen else []}
        _keep(engine, unit, row, "same" if chosen else "new", patient, by, kept)
        detail = {"decision": "same" if chosen else "new", "to": unit.keyed(patient) if patient else None}
        _record(engine, unit, "match.decided", by, row, {**detail, "note": unit.keyed(note)})
        return _line(unit, _row(unit, id))

    found: dict[str, Any] = engine.store.write(work)
    return found


def undo(engine: Engine, id: int, note: str, by: str) -> dict[str, Any]:
    """Take an answer back: the clinic is searched again with the next run, and a person is asked again if somebody
    there looks like her. What the clinic has begun with stays where it is. Raises MatchUnknown."""

    def work(unit: Any) -> dict[str, Any]:
        row = _row(unit, id)
        if not row["decision"]:
            raise MatchUnknown.because(
                (f"Le rapprochement {id} n'est pas décidé", "`relais matches list --all` montre ceux qui le sont"),
                (f"Match {id} is not decided", "`relais matches list --all` shows those that are"),
            )
        _keep(engine, unit, row, None, None, None, {})
        _record(engine, unit, "match.undone", by, row, {"decision": row["decision"], "note": unit.keyed(note)})
        return _line(unit, _row(unit, id))

    found: dict[str, Any] = engine.store.write(work)
    return found


def _keep(
    engine: Engine, unit: Any, row: Mapping[str, Any], decision: str | None, patient: str | None, by: str | None,
    held: Mapping[str, Any],
) -> None:  # fmt: skip
    """Keep the answer and let her referrals follow it: they are mapped again, under every id of hers."""
    now = engine.now()
    unit.decide_match(
        {"id": row["id"], "decision": decision, "patient": patient, "by": by, "now": now if decision else None,
         "match_enc": unit.seal("match_review", dict(held))}
    )  # fmt: skip
    unit.retried([{"id": one["id"], "due": now} for one in unit.referrals_of_match(row) if _waits(one)], now)
    under = [one["key"] for one in unit.same_as([row["key"]]) if one["kept_source"] == row["source"]]
    unit.dirty_persons([row["key"], *under])


def _record(engine: Engine, unit: Any, event: str, by: str, row: Mapping[str, Any], detail: Mapping[str, Any]) -> None:
    about = {"patient": unit.keyed(f"{row['source']}/{row['key']}"), **detail}
    audit.record(unit, at=engine.now(), event=event, who=by, subject=f"match/{row['id']}", detail=about)


def _row(unit: Any, id: int) -> dict[str, Any]:
    row: dict[str, Any] | None = unit.match(id)
    if row is None:
        raise MatchUnknown.because(
            (f"Il n'y a pas de rapprochement {id}", "`relais matches list` les montre"),
            (f"There is no match {id}", "`relais matches list` shows them"),
        )
    return row
