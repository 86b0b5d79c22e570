"""The dictionary at work: giving a mapped value the type its concept says."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from connector.mappings.fact_functions import FIRST_YEAR, LAST_YEAR, day_of, zone_of
from connector.mappings.pack import Concept

#: The biggest whole number that every reader of JSON takes unchanged.
EXACT = 2**53 - 1
KINDS = ("boolean", "integer", "decimal", "coded", "text", "date")
#: Among the facts of an activity, or of an item of a list: those outside the plausible range of their concepts, by
#: name. There nothing that counts or sends finds them.
IMPLAUSIBLE = "implausible"
#: Longest text kept as a fact, in characters.
MAX_TEXT = 10_000


class WrongValue(ValueError):
    """The value does not fit its concept. ``code``: fact.type, fact.answer or fact.too_long."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def typed(value: Any, concept: Concept, zone: str) -> Any:
    """``value`` as a fact of this concept: bool, int, Decimal, str or an ISO date as str. Raises WrongValue.

    A coded concept also takes a list, for questions with several answers.
    """
    kind = concept.kind
    if kind == "boolean":
        if value is True or value is False:
            return value
        raise WrongValue("fact.type", "expected yes or no")
    if kind == "coded":
        if isinstance(value, list):
            return [_answer(item, concept) for item in value]
        return _answer(value, concept)
    if kind == "integer":
        return _whole(value)
    if kind == "decimal":
        return _decimal(value)
    if kind == "date":
        return _day(value, zone)
    return _text(value)


def _answer(value: Any, concept: Concept) -> str:
    text = _text(value)
    if concept.answers and text not in concept.answers:
        raise WrongValue("fact.answer", "not one of the answers of the concept")
    return text


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise WrongValue("fact.type", "expected a text")
    text = str(value)
    if len(text) > MAX_TEXT:
        raise WrongValue("fact.too_long", f"longer than {MAX_TEXT} characters")
    return text


def _whole(value: Any) -> int:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value // 1:
        return int(checked_exact(value))
    raise WrongValue("fact.type", "expected a whole number")


def exact(value: Any) -> bool:
    """Whether JSON carries this whole number unchanged everywhere (RFC 8259, section 6)."""
    return bool(-EXACT <= value <= EXACT)


def checked_exact(value: float) -> float:
    """The whole number as it came. Raises WrongValue when it is not exact."""
    if not exact(value):
        raise WrongValue("fact.type", "a whole number of more than 53 bits is no longer exact")
    return value


def _decimal(value: Any) -> Decimal:
    """Decimal by way of the shortest decimal text, so that 0.1 is 0.1."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Decimal(repr(value))
    raise WrongValue("fact.type", "expected a number")


def _day(value: Any, zone: str) -> str:
    try:
        day = day_of(value, zone_of(zone))
    except ValueError:
        raise WrongValue("fact.type", "expected a date") from None
    if day is None:
        raise WrongValue("fact.type", "expected a date")
    return day.isoformat()


def partial_date(value: Any) -> str:
    """A birth date as known: ``2024``, ``2024-03`` or ``2024-03-11`` (FHIR R4, datatype date). Raises WrongValue."""
    text = str(value).strip()
    for shape, length in (("%Y-%m-%d", 10), ("%Y-%m", 7), ("%Y", 4)):
        if len(text) != length:
            continue
        try:
            found: date = datetime.strptime(text, shape).date()
        except ValueError:
            break
        if FIRST_YEAR <= found.year <= LAST_YEAR:
            return text
        break
    raise WrongValue("fact.type", "expected a birth date")
