"""Small signed texts for cookies, CSRF tokens, notices and frozen selections. HMAC-SHA-256, one purpose per key.
And the signatures of webhooks, which are made with keys of their own."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import orjson

#: How far the clocks of sender and Relais may be apart (Standard Webhooks).
TOLERANCE = timedelta(minutes=5)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Signer:
    def __init__(self, secret: bytes, purpose: str) -> None:
        self._key = hmac.digest(secret, b"relais-web/" + purpose.encode(), "sha256")

    def tag(self, data: bytes, size: int = 32) -> bytes:
        return hmac.digest(self._key, data, hashlib.sha256)[:size]

    def sign(self, data: bytes) -> str:
        return _b64(self.tag(data, 24) + data)

    def open(self, text: str | None) -> bytes | None:
        """The signed bytes, or None when the text is missing, cut or not ours."""
        try:
            raw = _unb64((text or "")[:65536])
        except (binascii.Error, ValueError):
            return None
        tag, data = raw[:24], raw[24:]
        return data if len(tag) == 24 and hmac.compare_digest(tag, self.tag(data, 24)) else None


def csrf_token(signer: Signer, visit: str) -> str:
    """A fresh mask each time, so that compressing the page gives nothing away (BREACH)."""
    mask = secrets.token_bytes(16)
    plain = signer.tag(visit.encode(), 16)
    return _b64(mask + bytes(a ^ b for a, b in zip(mask, plain, strict=True)))


def csrf_valid(signer: Signer, visit: str, token: str | None) -> bool:
    try:
        raw = _unb64((token or "")[:64])
    except (binascii.Error, ValueError):
        return False
    if len(raw) != 32 or not visit:
        return False
    plain = bytes(a ^ b for a, b in zip(raw[:16], raw[16:], strict=True))
    return hmac.compare_digest(plain, signer.tag(visit.encode(), 16))


def freeze(signer: Signer, ids: Sequence[int]) -> str:
    """A set of row ids as signed text: it says exactly which rows a button acts on, whatever happens meanwhile."""
    ordered = sorted(set(ids))
    gaps = [b - a for a, b in zip([0, *ordered], ordered, strict=False)]
    return signer.sign(zlib.compress(orjson.dumps(gaps), 9))


def thaw(signer: Signer, text: str | None) -> list[int] | None:
    data = signer.open(text)
    if data is None:
        return None
    total, ids = 0, []
    for gap in orjson.loads(zlib.decompress(data)):
        total += gap
        ids.append(total)
    return ids


def webhook_key(text: str) -> bytes:
    """The key in ``whsec_<base64>`` (Standard Webhooks: 24 to 64 bytes). ValueError otherwise, without the text."""
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError("not a webhook secret")
    return key


def webhook_valid(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    """Is the body signed with one of the keys, and lately? (standardwebhooks.com: ``v1`` is HMAC-SHA-256 over
    ``id.timestamp.body``; the header may hold several signatures.)"""
    id, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not id or not at.isascii() or not at.isdigit() or len(at) > 12:
        return False
    if abs(now.timestamp() - int(at)) > TOLERANCE.total_seconds():
        return False
    signed = f"{id}.{at}.".encode() + body
    wanted = [b"v1," + base64.b64encode(hmac.digest(key, signed, "sha256")) for key in keys]
    given = [one.encode() for one in headers.get("webhook-signature", "")[:2000].split(" ")]
    return any([hmac.compare_digest(a, b) for a in wanted for b in given])
