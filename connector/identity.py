"""The same input always names the same thing: canonical JSON, digests, UUIDv5 keys, DHIS2 UIDs.

Everything hangs on a namespace made from ``pack.id``, so a reinstall renames nobody and a test
cannot meet production.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import Any

import orjson

#: uuid5(NAMESPACE_URL, "urn:relais:namespace"), fixed for ever.
ROOT = uuid.uuid5(uuid.NAMESPACE_URL, "urn:relais:namespace")

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ALPHANUMERIC = "0123456789" + _LETTERS


#: Longer than the id of any source, shorter than what an index of PostgreSQL takes (2,700 bytes).
LONGEST = 255
_HALF_LETTER = re.compile("[\ud800-\udfff]")


def nameable(text: str) -> bool:
    """Whether both databases can keep the text as the name of something: no zero byte, no half letter, no novel."""
    return len(text) <= LONGEST and (text.isascii() or not _HALF_LETTER.search(text)) and "\x00" not in text


def canonical(value: Any) -> bytes:
    """Canonical JSON: keys sorted, no spaces, UTF-8. Decimals and dates become strings.

    Raises TypeError for what JSON cannot hold.
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON (or of the bytes given), 64 hex digits."""
    data = value if isinstance(value, bytes) else canonical(value)
    return hashlib.sha256(data).hexdigest()


class Names:
    """Maker of identifiers for one pack."""

    def __init__(self, pack_id: str) -> None:
        self.namespace = uuid.uuid5(ROOT, pack_id)

    def uuid(self, *parts: str) -> str:
        """UUIDv5 of the parts joined with ``|``: the id of a FHIR resource, an OpenMRS row, a CHT answer."""
        return str(uuid.uuid5(self.namespace, "|".join(parts)))

    def dhis2_uid(self, *parts: str) -> str:
        """A DHIS2 UID (11 characters, the first a letter) from the parts.

        Source: DHIS2 developer guide, "unique identifiers"; CodeGenerator.isValidUid.
        """
        number = int.from_bytes(hashlib.sha256("|".join((str(self.namespace), *parts)).encode()).digest()[:16], "big")
        number, first = divmod(number, len(_LETTERS))
        letters = [_LETTERS[first]]
        for _ in range(10):
            number, index = divmod(number, len(_ALPHANUMERIC))
            letters.append(_ALPHANUMERIC[index])
        return "".join(letters)
