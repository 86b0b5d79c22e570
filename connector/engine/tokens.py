"""API tokens: what a machine shows to be let in.

A token is ``relais_<key>_<secret>``: the key finds its row, the secret has 256 random bits, so a plain digest of the
whole is enough to know it by and tells nobody what it was. The token itself is shown once and kept nowhere.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from connector.engine import audit
from connector.engine.engine import Engine, moment, stamp
from connector.errors import ConfigError, StoreError
from connector.identity import digest

#: Those of the accounts of the web page, and two for machines that do one thing.
ROLES = ("submit", "observe", "viewer", "operator", "clinic", "admin")
#: ``last_used`` is written at most so often, so that a scrape every few seconds is not a write.
NOTED = timedelta(minutes=1)
#: So long before its end a token is a finding of ``relais doctor``.
SOON = timedelta(days=14)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_TOKEN = re.compile(r"relais_([0-9a-f]{8,32})_[A-Za-z0-9_-]{32,100}")
#: Compared with when no row is found, so that a wrong key takes as long as a wrong secret.
_NOBODY = "0" * 64


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who shows a token. ``source``: the only one it may push to; None: all."""

    name: str
    role: str
    source: str | None = None


def make(
    engine: Engine,
    token: str,
    *,
    name: str,
    role: str,
    by: str,
    lasts: timedelta | None = None,
    source: str | None = None,
) -> dict[str, Any]:
    """Let a token in from now on; ``lasts`` None: until it is revoked. Returns what ``listed`` says of it.

    Raises ConfigError for a name in use, a role or a source that is none. The token comes from the caller, as the
    engine throws no dice.
    """
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise ValueError("not a token")
    if not _NAME.fullmatch(name):
        raise ConfigError(
            "A token's name has letters, digits, . _ and - only, 63 at most. Nothing was made. Give such a name.",
            french="Le nom d'un jeton n'a que des lettres, des chiffres et . _ -, 63 au plus. Rien n'a été "
            "créé. Donnez un tel nom.",
        )
    if role not in ROLES:
        raise ConfigError(
            f"There is no role {role!r}. Nothing was made. Give one of: {', '.join(ROLES)}.",
            french=f"Il n'y a pas de rôle « {role} ». Rien n'a été créé. Donnez l'un de ceux-ci : {', '.join(ROLES)}.",
        )
    if source is not None and (role != "submit" or source not in engine.pack.sources):
        raise ConfigError(
            "A source goes with the role submit and is one of the pack's. Nothing was made. Give another.",
            french="Une source ne va qu'avec le rôle submit, et doit être l'une de celles du paquet. Rien n'a "
            "été créé. Donnez-en une autre.",
        )
    if lasts is not None and lasts <= timedelta(0):
        raise ConfigError(
            "A token cannot expire before it is made. Nothing was made. Give a later day.",
            french="Un jeton ne peut pas expirer avant d'être créé. Rien n'a été créé. Donnez une date plus tardive.",
        )
    expires = stamp(engine.clock.now() + lasts) if lasts else None

    def work(unit: Any) -> None:
        before = unit.token(name)
        if before is not None and state(before, engine.now()) == "active":
            raise ConfigError(
                f"There is a token {name}. Nothing was made. Take another name, or revoke it first.",
                french=f"Il y a déjà un jeton {name}. Rien n'a été créé. Prenez un autre nom, ou révoquez d'abord "
                "celui-là.",
            )
        unit.keep_token(
            name=name,
            key=found[1],
            digest=digest(token.encode()),
            role=role,
            source=source,
            expires=expires,
            now=engine.now(),
        )
        detail = {"role": role, "source": source, "expires": expires}
        audit.record(unit, at=engine.now(), event="token.made", who=by, subject=f"token/{name}", detail=detail)

    engine.store.write(work)
    return next(one for one in listed(engine) if one["name"] == name)


def revoke(engine: Engine, name: str, by: str) -> bool:
    """Let it in no more, from the next request on. False: it is revoked already. Raises ConfigError for no token."""

    def work(unit: Any) -> bool:
        row = unit.token(name)
        if row is None:
            raise ConfigError(
                f"There is no token {name}. Nothing was changed. See them with: relais token list",
                french=f"Il n'y a pas de jeton {name}. Rien n'a été modifié. Pour les voir : relais token list",
            )
        if row["revoked"]:
            return False
        unit.revoke_token(name, engine.now())
        audit.record(unit, at=engine.now(), event="token.revoked", who=by, subject=f"token/{name}")
        return True

    return bool(engine.store.write(work))


def state(row: Mapping[str, Any], now: str) -> str:
    """active | expired | revoked."""
    if row["revoked"]:
        return "revoked"
    return "expired" if row["expires"] and row["expires"] <= now else "active"


def listed(engine: Engine) -> list[dict[str, Any]]:
    """Every token there is or was, without what it is known by."""
    now = engine.now()
    shown = ("name", "role", "source", "created", "expires", "revoked", "last_used")
    rows: list[dict[str, Any]] = engine.store.read(lambda unit: unit.tokens())
    return [{**{k: row[k] for k in shown}, "state": state(row, now)} for row in rows]


def ending(engine: Engine) -> list[dict[str, Any]]:
    """Those that expire within ``SOON``."""
    limit = stamp(engine.clock.now() + SOON)
    return [one for one in listed(engine) if one["state"] == "active" and one["expires"] and one["expires"] <= limit]


def bearer(engine: Engine, token: str) -> Bearer | None:
    """Who shows this token; None for one that is unknown, expired or revoked. Notes that it was used."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        return None
    row = engine.store.read(lambda unit: unit.token_of_key(found[1]))
    right = hmac.compare_digest(row["digest"] if row else _NOBODY, digest(token.encode()))
    if row is None or not right or state(row, engine.now()) != "active":
        return None
    if row["last_used"] is None or engine.clock.now() - moment(row["last_used"]) >= NOTED:
        with suppress(StoreError):  # a full disk must not hide the metrics that say so
            engine.store.write(lambda unit: unit.token_used(row["name"], engine.now()))
    return Bearer(row["name"], row["role"], row["source"])
