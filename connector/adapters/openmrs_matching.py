"""Who at the clinic may be the person of a referral: what to search for, and what of the answers is worth a person's
look. The clinic's own search has no score and forgives no slip (recordings/openmrs-2.8/138-144), so it is asked for
beginnings of names in the spellings that sound the same, and what it finds is compared by ``mappings.likeness``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from connector.adapters.openmrs_rest import Json, Rest, Stop, listed, ref, uuid_of
from connector.mappings.likeness import ASK_FROM, Agreement, Person, likeness

#: What is read of a patient whom nobody has identified yet.
VIEW = (
    "custom:(uuid,voided,identifiers:(identifier,identifierType:(uuid),preferred,voided),"
    "person:(gender,birthdate,birthdateEstimated,preferredName:(givenName,middleName,familyName)))"
)
#: Letters of a given and of a family name that are searched for (a slip is rarely in the first two); questions asked
#: for one person; rows read for each; candidates kept.
_GIVEN, _FAMILY, _QUESTIONS, _ROWS, KEPT = 2, 3, 6, 1000, 5
_PAGE = 100  #: the server's maximum (154)

#: Beginnings that sound the same, without accents.
_BEGINNINGS = (
    ("cou", ("kou", "ku", "cu")), ("kou", ("cou", "ku")), ("ku", ("cou", "kou")), ("ca", ("ka",)), ("ka", ("ca",)),
    ("co", ("ko",)), ("ko", ("co",)), ("ci", ("si",)), ("ce", ("se",)), ("si", ("ci",)), ("se", ("ce",)),
    ("dia", ("dja", "ja")), ("dja", ("dia", "ja")), ("ja", ("dia", "dja")), ("die", ("dje",)), ("dje", ("dj", "die")),
    ("dio", ("djo", "jo")), ("djo", ("dio", "jo")), ("jo", ("dio", "djo")), ("oua", ("wa",)), ("wa", ("oua",)),
    ("haw", ("aw",)), ("ha", ("a",)), ("aw", ("haw",)), ("ou", ("u", "w")), ("you", ("yu", "iou")), ("yu", ("you",)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Candidate:
    """A patient of the clinic. ``number``: the one the clinic knows her by; ``numbers``: every living identifier as
    (uuid of its type, value), by which she is found again after a merge; ``ours``: the ids of persons of the app that
    she carries."""

    id: str
    person: Person
    number: str
    numbers: tuple[tuple[str, str], ...]
    ours: tuple[str, ...]

    def kept(self) -> Json:
        """As the engine keeps it, encrypted."""
        return {"id": self.id, "person": asdict(self.person), "number": self.number, "numbers": list(self.numbers)}


def wanted(payload: Mapping[str, Any]) -> Person:
    """The person of a referral, to compare with."""
    patient = payload["patient"]
    name = (patient.get("name") or [{}])[0]
    given, family = " ".join(name.get("given") or []), str(name.get("family") or "")
    if not given and not family:
        given = str(name.get("text") or "")
    return Person(
        given=given, family=family, sex=_sex(patient.get("gender")), birth_date=str(patient.get("birthDate") or ""),
        national=str(payload.get("national_id") or ""),
    )  # fmt: skip


def questions(person: Person) -> tuple[str, ...]:
    """What to ask ``/patient?q=`` for: beginnings of one given and the family name, which stand in whatever order, as
    written and in other spellings. Nothing where there is no name to ask for."""
    given, family = _first(person.given), _first(person.family)
    if not given or not family:
        return tuple(dict.fromkeys(_spellings(given or family, _FAMILY)))[:_QUESTIONS]
    first, second = _spellings(given, _GIVEN), _spellings(family, _FAMILY)
    pairs = [(first[0], second[0]), *((one, second[0]) for one in first[1:]), *((first[0], one) for one in second[1:])]
    pairs += [(one, other) for one in first[1:] for other in second[1:]]
    return tuple(dict.fromkeys(f"{one} {other}" for one, other in pairs))[:_QUESTIONS]


def _first(part: str) -> str:
    """The first word that can be searched for, without accents: the server compares without them (143)."""
    plain = unicodedata.normalize("NFKD", part.lower())
    kept = "".join(c for c in plain if c.isalpha() or c in " '")
    return next((word for word in kept.split() if len(word) >= 2), "")


def _spellings(word: str, letters: int) -> list[str]:
    """Beginnings to ask for: as written first."""
    found = [word[:letters]]
    fits = [one for one in _BEGINNINGS if word.startswith(one[0])]
    for beginning, others in sorted(fits, key=lambda one: -len(one[0]))[:1]:
        found += [(other + word[len(beginning) :])[: max(len(other), 2)] for other in others]
    # Doumbia is written Dumbia, and Moussa Mussa: the same sound after whatever letter.
    for written, other in (("ou", "u"), ("u", "ou")):
        if word[1:].startswith(written) and len(found) == 1:
            found.append((word[0] + other + word[1 + len(written) :])[:letters])
    return [one for one in found if len(one) >= 2]


def read(row: Mapping[str, Any], openmrs: Mapping[str, Any]) -> Candidate:
    """A patient as the server answers one. Raises Stop for what is none."""
    person = row.get("person")
    if not isinstance(person, Mapping):
        raise Stop("openmrs.not_json", status=200)
    types = openmrs["identifier_types"]
    living = [i for i in listed(row.get("identifiers")) if not i.get("voided")]
    numbers = tuple((str(ref(i, "identifierType")), str(i.get("identifier") or "")) for i in living)
    preferred = [str(i.get("identifier")) for i in living if i.get("preferred")]
    of = {kind: [value for known, value in numbers if known == types.get(kind)] for kind in types}
    name = person.get("preferredName")
    name = name if isinstance(name, Mapping) else {}
    given = " ".join(str(name[key]) for key in ("givenName", "middleName") if name.get(key))
    return Candidate(
        id=uuid_of(row),
        person=Person(
            given=given,
            family=str(name.get("familyName") or ""),
            sex=_sex(person.get("gender")),
            # Midnight in the server's zone: as an instant it may be the day before (105).
            birth_date=str(person.get("birthdate") or "")[:10],
            estimated=person.get("birthdateEstimated") is True,
            national=next(iter(of.get("national", [])), ""),
        ),
        number=next(iter([*of["openmrs_id"], *preferred, *(value for _, value in numbers)]), ""),
        numbers=numbers,
        ours=tuple(of["chw"]),
    )


def _sex(text: Any) -> str:
    return {"F": "female", "M": "male", "female": "female", "male": "male"}.get(str(text or ""), "")


async def search(rest: Rest, person: Person, openmrs: Mapping[str, Any]) -> dict[str, Candidate]:
    """Every living patient the clinic's search gives for her name, by uuid. Raises Stop."""
    found: dict[str, Candidate] = {}
    for question in questions(person):
        start = 0
        while start < _ROWS:
            page = await rest.get("patient", q=question, v=VIEW, limit=str(_PAGE), startIndex=str(start))
            if page is None:
                raise Stop("openmrs.not_json", status=404)  # a search is never "not found"
            rows = listed(page.get("results"))
            found.update((one.id, one) for row in rows if not row.get("voided") and (one := read(row, openmrs)))
            start += len(rows)
            if len(rows) < _PAGE:
                break
    return found


def worth_asking(person: Person, found: Mapping[str, Candidate], on: date, ask_from: int = ASK_FROM) -> list[Candidate]:
    """Those a person must look at before a patient is made, the likest first.

    Who carries the id of another person of the app is another person by the programme's own word: whether two of its
    ids are one person is not the clinic's to say (``relais person same``).
    """
    points = {id: likeness(person, one.person, on).points for id, one in found.items() if not one.ours}
    worth = sorted((-p, id) for id, p in points.items() if p >= ask_from)
    return [found[id] for _, id in worth[:KEPT]]


def with_carriers(
    person: Person, found: Mapping[str, Candidate], carriers: Sequence[Candidate], on: date, ask_from: int = ASK_FROM
) -> list[Candidate]:
    """Those to ask about when an identifier of hers does not settle it: whoever carries it, however unlike, among those
    who look like her."""
    known = {one.id: one for one in carriers[:KEPT]}
    others = [one for one in worth_asking(person, found, on, ask_from) if one.id not in known]
    both = [*known.values(), *others[: KEPT - len(known)]]
    return sorted(both, key=lambda one: (-likeness(person, one.person, on).points, one.id))


def certain(payload: Mapping[str, Any], one: Candidate) -> bool:
    """Whether an identifier that somebody typed proves that they are one person: the same given name, a birth date
    that agrees and nothing that speaks against it. Names that only sound alike are those of twins, and a grandchild
    has her grandmother's name and card."""
    fields = {field.name: field.agreement for field in likeness(wanted(payload), one.person, on_day(payload)).fields}
    return (
        Agreement.DIFFERENT not in fields.values()
        and fields["given"] is Agreement.SAME
        and fields["birth_date"] is not Agreement.MISSING
    )


def on_day(payload: Mapping[str, Any]) -> date:
    return date.fromisoformat(str(payload["date"]))


def kept(candidates: Sequence[Candidate]) -> list[Json]:
    return [one.kept() for one in candidates]
