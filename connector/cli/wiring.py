"""The web page wired to a house."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from connector import __version__, bootstrap
from connector.engine import lineage
from connector.engine import status as standing
from connector.engine.actions import Actions
from connector.web.context import WebContext


class Connections:
    """``ports.Store`` as the web layer reads it: it is given the connection of the unit of work."""

    def __init__(self, store: Any) -> None:
        self.store = store

    def read(self, fn: Callable[[Any], Any]) -> Any:
        return self.store.read(lambda unit: fn(unit.connection))

    def write(self, fn: Callable[[Any], Any]) -> Any:
        return self.store.write(lambda unit: fn(unit.connection))


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
        explain=lambda de, ou, pe, co, after=None: lineage.explain(engine, de, ou, pe, co, after),
        trace=lambda record, unmask=False: lineage.trace(engine, record, unmask),
        actions=Actions(engine),
        reasons={code: (str(r.who), r.fr, r.en) for code, r in engine.reasons.items()},
        secret=hashlib.sha256(b"relais web " + bootstrap.master_key(made.settings)).digest(),
        version=__version__,
        ready=alive,
    )
    return make_app(context)
