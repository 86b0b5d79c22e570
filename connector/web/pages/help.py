"""``/aide``: what each word and state means, and who acts."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from connector.web.render import page
from connector.web.requests import Anyone

router = APIRouter()

CONNECTIONS = ("ok", "running", "waiting", "action_needed", "silent", "paused", "never_run")
DELIVERIES = ("pending", "leased", "accepted", "partly", "rejected", "deferred", "unknown", "parked", "resolved")
VALUES = ("accepted", "equal", "different", "wanted", "awaiting", "closed", "rejected", "held", "kept", "old", "shadow")


@router.get("/aide")
def words(view: Anyone) -> Response:
    return page(view, "aide.html", {"connections": CONNECTIONS, "deliveries": DELIVERIES, "values": VALUES})
