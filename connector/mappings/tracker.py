"""What a tracker holds of a person and of a record: facts as the text that DHIS2 takes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from connector.mappings.pack import Sent

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
#: What a person is called at the source, among her facts.
ID = "id"
#: Facts of a person that are a day; DHIS2 takes no month and no year for one.
_DAYS = ("birth_date",)


def values(sent: Mapping[str, Sent], facts: Mapping[str, Any]) -> dict[str, str | None]:
    """DHIS2 code -> text, for every field the pack names; None where nothing is known."""
    return {code: _text(one, facts.get(one.fact)) for code, one in sorted(sent.items())}


def person_facts(key: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """What the pack may name of a person: ``id`` and what her registration says. A birth date that is a year or a month
    is left out: DHIS2 has no such date, and one made up would be believed."""
    facts = {ID: key, **data}
    for name in _DAYS:
        if not _DAY.fullmatch(str(facts.get(name) or "")):
            facts.pop(name, None)
    return facts


def _text(sent: Sent, value: Any) -> str | None:
    if value is None or isinstance(value, (list, dict)):
        return None
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, Decimal):
        text = f"{value.normalize():f}"
    else:
        text = str(value)
    return sent.codes.get(text, text) or None
