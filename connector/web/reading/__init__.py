"""All the read queries of the pages, one module per page. SQLAlchemy Core, keyset pages, no writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sqlalchemy.engine import Connection

from connector.web.context import WebContext

T = TypeVar("T")

#: A row as the queries answer it: column name -> value.
Row = Mapping[Any, Any]

#: Rows of a list page.
PAGE = 25


def on(context: WebContext, fn: Callable[[Connection], T], *, write: bool = False) -> T:
    """Run ``fn`` with the bare connection of the store's unit of work."""

    def inside(unit: Any) -> T:
        return fn(unit if isinstance(unit, Connection) else unit.connection)

    return context.store.write(inside) if write else context.store.read(inside)
