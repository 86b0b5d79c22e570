"""The web page wired to a house."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from connector import __version__, bootstrap
from connector.engine import intake, lineage, match_review, preview, tokens
from connector.engine import status as standing
from connector.engine.actions import Actions
from connector.engine.asking import Asker
from connector.engine.engine import Engine
from connector.engine.reporting import Reporting
from connector.errors import ConfigError, PushUnreadable
from connector.mappings.pack import Pack
from connector.web.context import Ingested, WebContext
from connector.web.signing import webhook_key


class Connections:
    """``ports.Store`` as the web layer reads it: it is given the connection of the unit of work."""

    def __init__(self, store: Any) -> None:
        self.store = store

    def read(self, fn: Callable[[Any], Any]) -> Any:
        return self.store.read(lambda unit: fn(unit.connection))

    def write(self, fn: Callable[[Any], Any]) -> Any:
        return self.store.write(lambda unit: fn(unit.connection))


#: How uvicorn serves the page. Without a configuration of its own its messages go the way of all others (logs.py): a
#: traceback it would print holds whatever stood in the request.
SERVER: dict[str, Any] = {"log_config": None, "log_level": "warning", "access_log": False, "server_header": False}

#: state of a receipt -> HTTP status
_STATUS = {"received": 202, "kept": 202, "repeated": 200, "ignored": 200}
#: Seconds until a push to a paused source should come again.
_PAUSED = 300


def ingest(engine: Engine, source: str, body: bytes, form: str | None, by: str) -> Ingested:
    """Take a pushed document in and say so. Raises StoreBusy, StoreFull, StoreError."""
    try:
        receipt = intake.take_pushed(engine, source, body, form, f"token/{by}")
    except PushUnreadable as error:
        return Ingested(422, {"error": error.code, "missing": error.missing})
    if receipt is None:
        return Ingested(404, {"error": "ingest.unknown_source"})
    if receipt["state"] == "paused":
        return Ingested(503, {"error": "ingest.paused"}, retry_after=_PAUSED)
    return Ingested(_STATUS[receipt["state"]], receipt)


def webhook_keys(pack: Pack) -> dict[str, list[bytes]]:
    """Source -> the keys of its ``webhook_secret``. Raises ConfigError for what is none."""
    found: dict[str, list[bytes]] = {}
    for source in pack.sources.values():
        secrets = source.settings.get("webhook_secret")
        if secrets is None:
            continue
        try:
            found[source.name] = [webhook_key(str(s)) for s in (secrets if isinstance(secrets, list) else [secrets])]
        except ValueError:
            raise ConfigError(
                f"webhook_secret of {source.name} is no secret: whsec_ and 24 to 64 bytes in base64 are expected. "
                "Relais did not start. Mend the secret.",
                french=f"webhook_secret de {source.name} n'est pas un secret : il faut whsec_ et 24 à 64 octets en "
                "base64. Relais n'a pas démarré. Corrigez ce secret.",
            ) from None
    return found


def web_app(made: bootstrap.House, *, alive: Callable[[], bool] = lambda: True) -> Any:
    """The FastAPI application over this house."""
    import hashlib

    from connector.web.app import make_app

    engine = made.engine
    context = WebContext(
        store=Connections(made.store),
        pack=made.pack,
        clock=engine.clock,
        env=made.settings.env,
        cipher=made.cipher,
        status=lambda: standing.status(engine, __version__),
        explain=partial(lineage.explain, engine),
        ask=Asker(engine, made.another).value,
        trace=lambda record, unmask=False: lineage.trace(engine, record, unmask),
        preview=partial(preview.on_engine, engine),
        actions=Actions(engine),
        reasons={code: (str(r.who), r.fr, r.en) for code, r in engine.reasons.items()},
        secret=hashlib.sha256(b"relais web " + bootstrap.master_key(made.settings)).digest(),
        ingest=partial(ingest, engine),
        reporting=Reporting(engine),
        matches=match_review.Matches(engine),
        bearer=partial(tokens.bearer, engine),
        webhook_keys=webhook_keys(made.pack),
        ingest_limit=made.settings.ingest_limit,
        version=__version__,
        ready=alive,
    )
    return make_app(context)
