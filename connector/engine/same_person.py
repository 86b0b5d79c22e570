"""One person under two ids: a person of the programme declares them the same, and takes it back.

What is declared is one line: this id is another one of the person under that id. Lines join into groups of which one id
is kept. Nothing stored under an id is written anew for it: who is counted once is read under the kept id
(``store/persons.py``), also where only contributions are left of a record; what still says something is marked, in
the transaction of the declaration, to be worked out again in chunks like after any change of the registry.

Her name, sex and birth date are those of the kept id while that is registered, else those of the id on the record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connector.engine import audit
from connector.engine.actions import _mark
from connector.engine.deriving import EPISODE, Derived
from connector.engine.engine import Engine
from connector.errors import NotSame

#: Most ids of one person: who has more was not registered twice by mistake.
MOST = 20
#: Declarations per page.
PAGE = 500

Id = tuple[str, str]  #: source, key


def named(text: str) -> Id:
    """``SOURCE/ID``. Raises NotSame."""
    source, slash, key = text.partition("/")
    if not (source and slash and key):
        raise NotSame.because(
            (f"« {text} » n'est pas écrit SOURCE/ID, comme cht/5b2c", "Écrire ainsi les deux identifiants"),
            (f"{text!r} is not written SOURCE/ID, as in cht/5b2c", "Write both ids so"),
        )
    return source, key


def declare(engine: Engine, kept: Id, other: Id, note: str, by: str) -> dict[str, Any]:
    """``other`` is another id of the person under ``kept``, or under the id kept for that one. Returns ``kept``,
    ``ids`` (all of hers that are not kept). Raises NotSame."""
    derived = Derived(engine)

    def work(unit: Any) -> dict[str, Any]:
        rows = _rows(unit, kept, other)
        _check(unit, kept, other, rows)
        top = _kept(rows.get(kept[1]), kept)
        under = [(row["source"], row["key"]) for row in unit.same_as([other[1]])]
        if len(unit.same_as([top[1]])) + len(under) + 2 > MOST:
            raise NotSame.because(
                (
                    f"{_text(top)} aurait plus de {MOST} identifiants",
                    "Voir si un identifiant partagé par plusieurs a été pris pour celui d'une personne",
                ),
                (
                    f"{_text(top)} would have more than {MOST} ids",
                    "Look whether an id shared by many people was taken for a person's",
                ),
            )
        unit.keep_same(
            {
                "source": other[0],
                "key": other[1],
                "into_source": kept[0],
                "into_key": kept[1],
                "kept_source": top[0],
                "kept_key": top[1],
                "by": by,
                "at": engine.now(),
                "note_enc": unit.seal("same_person", note) if note else None,
            }
        )
        _move(engine, derived, unit, [other, *under], top, top)
        _told(engine, unit, "person.same", by, top, other, note)
        return _document(unit, top)

    found: dict[str, Any] = engine.store.write(work)
    return found


def undo(engine: Engine, kept: Id, other: Id, note: str, by: str) -> dict[str, Any]:
    """Take the declaration of just these two back; what was declared the same as ``other`` stays with it. Returns the
    document of ``other``. Raises NotSame."""
    derived = Derived(engine)

    def work(unit: Any) -> dict[str, Any]:
        row = _rows(unit, kept, other).get(other[1])
        if row is None or (row["into_source"], row["into_key"]) != kept:
            raise NotSame.because(
                (
                    f"{_text(other)} n'a pas été déclaré la même personne que {_text(kept)}",
                    "« relais person list » montre ce qui a été déclaré ; donner les deux identifiants d'une ligne",
                ),
                (
                    f"{_text(other)} was not declared the same as {_text(kept)}",
                    '"relais person list" shows what was declared; give the two ids of one line',
                ),
            )
        top = _kept(row, kept)
        under = list(_under(other, unit.same_as([top[1]])))
        unit.drop_same(other[1])
        _move(engine, derived, unit, [other, *under], other, top)
        _told(engine, unit, "person.apart", by, top, other, note)
        return _document(unit, other)

    found: dict[str, Any] = engine.store.write(work)
    return found


def listed(engine: Engine) -> Iterator[dict[str, Any]]:
    """Every declaration: ``id``, ``same_as``, ``kept``, ``by``, ``at``, ``note``."""
    after = ""
    while rows := engine.store.read(lambda unit, a=after: _page(unit, a)):
        after = rows[-1].pop("after")
        for row in rows:
            row.pop("after", None)
            yield row


def _page(unit: Any, after: str) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{row['source']}/{row['key']}",
            "same_as": f"{row['into_source']}/{row['into_key']}",
            "kept": f"{row['kept_source']}/{row['kept_key']}",
            "by": row["by"],
            "at": row["at"],
            "note": unit.open("same_person", row["note_enc"]) or "",
            "after": row["key"],
        }
        for row in unit.same_page(after, PAGE)
    ]


# -- what it means for the rest


def renew(engine: Engine, unit: Any) -> None:
    """The pack changed: its episodes may have other keys."""
    derived, after = Derived(engine), ""
    while rows := unit.same_page(after, PAGE):
        after = rows[-1]["key"]
        for row in rows:
            unit.keep_aliases(_aliases(derived, unit, row["key"], row["kept_key"]))


def _move(engine: Engine, derived: Derived, unit: Any, ids: Sequence[Id], to: Id, beside: Id) -> None:
    """Count these ids under ``to``, and work out again what they and ``beside`` belong to."""
    moved = [one for one in ids if one != to]
    unit.keep_under([{"key": key, "kept_source": to[0], "kept_key": to[1]} for _, key in moved])
    for _, key in ids:
        unit.drop_aliases(_aliases(derived, unit, key, key))
    for _, key in moved:
        unit.keep_aliases(_aliases(derived, unit, key, to[1]))
    keys = [key for _, key in ids]
    unit.touch_keys([unit.keyed(key) for key in keys])
    unit.dirty_persons([*keys, beside[1]])  # also of her: an open referral says under which ids the clinic may know her
    derived.stale_persons(unit, ids)
    unit.mark_stale(
        (EPISODE, kind, unit.keyed(key))
        for kind in derived.episodes.kinds
        for one in (*keys, beside[1])
        for key in derived.episodes.keys_of(kind, one)
    )


def _aliases(derived: Derived, unit: Any, key: str, kept: str) -> dict[str, str]:
    """Every hash that stands for the person ``key`` alone, and the one of ``kept`` that it is read as."""
    pairs = [(key, kept)]
    for kind in derived.episodes.kinds:
        pairs += zip(derived.episodes.keys_of(kind, key), derived.episodes.keys_of(kind, kept), strict=True)
    return {unit.keyed(one): unit.keyed(other) for one, other in pairs}


# -- groups


def _rows(unit: Any, *ids: Id) -> dict[str, dict[str, Any]]:
    """The declarations about these ids, by key. Counts know a person by her id without its source, so an id that is
    spoken for under another source cannot be told from this one."""
    keys = [key for _, key in ids]
    rows = unit.same_persons(keys)
    known = {row["key"]: row["source"] for row in rows}
    known.update({row["kept_key"]: row["kept_source"] for row in unit.same_as(keys)})
    for source, key in ids:
        if known.get(key, source) != source:
            raise NotSame.because(
                (
                    f"L'identifiant {key} a été déclaré sous la source {known[key]}, et les chiffres connaissent une "
                    "personne par l'identifiant seul",
                    f"Donner {known[key]}/{key}, ou retirer d'abord cette déclaration",
                ),
                (
                    f"The id {key} was declared under the source {known[key]}, and figures know a person by the id "
                    "alone",
                    f"Give {known[key]}/{key}, or take that declaration back first",
                ),
            )
    return {row["key"]: row for row in rows}


def _check(unit: Any, kept: Id, other: Id, rows: Mapping[str, Mapping[str, Any]]) -> None:
    if kept[1] == other[1]:
        raise NotSame.because(
            (
                f"{_text(kept)} et {_text(other)} sont un seul identifiant, déjà compté une fois",
                "Donner les identifiants des deux enregistrements",
            ),
            (
                f"{_text(kept)} and {_text(other)} are one id, and counted once as it is",
                "Give the two ids of the two registrations",
            ),
        )
    for source, key in (kept, other):
        if not unit.entities("person", source, [key]):
            raise NotSame.because(
                (
                    f"{source}/{key} n'est pas une personne enregistrée",
                    "Copier l'identifiant depuis l'application ; qui vient d'être enregistré est connu après la "
                    "prochaine collecte",
                ),
                (
                    f"{source}/{key} is no registered person",
                    "Copy the id from the app; a person who was just registered is known after the next run",
                ),
            )
    there = rows.get(other[1])
    if there is not None:
        into = f"{there['into_source']}/{there['into_key']}"
        raise NotSame.because(
            (
                f"{_text(other)} a déjà été déclaré la même personne que {into}",
                "Retirer d'abord cette déclaration avec --undo, ou déclarer identiques les identifiants gardés",
            ),
            (
                f"{_text(other)} was declared the same as {into} already",
                "Take that back with --undo first, or declare the ids that are kept the same",
            ),
        )
    if _kept(rows.get(kept[1]), kept) == other:
        raise NotSame.because(
            (
                f"{_text(kept)} est déjà compté sous {_text(other)} : c'est la même personne",
                "Pour garder l'autre identifiant, retirer d'abord la déclaration avec --undo",
            ),
            (
                f"{_text(kept)} is counted under {_text(other)} already: they are the same",
                "To keep the other id, take the declaration back with --undo first",
            ),
        )


def _kept(row: Mapping[str, Any] | None, id: Id) -> Id:
    return id if row is None else (row["kept_source"], row["kept_key"])


def _under(id: Id, rows: Sequence[Mapping[str, Any]]) -> Iterator[Id]:
    """All that was declared the same as this id, or as one of those."""
    for row in rows:
        if (row["into_source"], row["into_key"]) == id:
            one = (row["source"], row["key"])
            yield one
            yield from _under(one, rows)


def _document(unit: Any, kept: Id) -> dict[str, Any]:
    rows = [row for row in unit.same_as([kept[1]]) if row["kept_source"] == kept[0]]
    return {"kept": _text(kept), "ids": [f"{row['source']}/{row['key']}" for row in rows]}


def _told(engine: Engine, unit: Any, event: str, by: str, kept: Id, other: Id, note: str) -> None:
    detail = {"patient": unit.keyed(_text(other)), "kept": unit.keyed(_text(kept)), "note": _mark(unit, note)}
    audit.record(unit, at=engine.now(), event=event, who=by, subject=_text(other), detail=detail)


def _text(id: Id) -> str:
    return f"{id[0]}/{id[1]}"
