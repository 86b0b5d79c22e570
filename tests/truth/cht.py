"""CouchDB 3.5.0 (01-127) and the api of CHT 5.2.0 in front of it (201-289): what their recordings leave unsaid."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from connector.sandbox.cht import CHTSim
from connector.sandbox.plane import App, Plane
from tests.truth.recorded import Exchange

_OWN = ("seq", "last_seq", "update_seq", "instance_start_time", "uuid")
#: Asked with a place in the feed that is the recorded server's own.
_PLACES = ("38", "69", "70", "71", "74", "78", "79")


class Cht:
    base_url = "http://127.0.0.1:8088"
    left_out: frozenset[str] = frozenset()
    moment = re.compile(r"(?<=function_clause,nil,)[\s\S]*")  # words of the server's program
    made = frozenset({"rev", "_rev", "seq", "last_seq"})
    parts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        # The others count what CHT itself holds.
        "/medic/": ("instance_start_time", "db_name", "update_seq", "cluster"),
        "/dbinfo": ("couchdb", "version", "uuid"),
        "/api/v2/monitoring": ("version",),
    }

    def __init__(self) -> None:
        self.sim = CHTSim(Plane(), user="admin", password="pw", offline_user="chw")
        self.place = ""  #: in the feed, before what an exchange that is not kept had done

    def app(self) -> App:
        return self.sim.app

    def before(self, exchange: Exchange) -> None:
        self.sim.absent = exchange.number == "04"
        self.sim.member = exchange.number != "98"  # whose role is not in the database
        match exchange.number:
            case "38":
                self.sim.purge("r-9")  # 37
            case "250":
                self.sim.put({"_id": "rep-66580"})
                self.place = self.sim.place()
                self.sim.delete("rep-66580", keep_body=False)
            case "283":  # 282
                ids = [row["id"] for row in exchange.answer["results"]]
                for row in exchange.answer["results"]:
                    self.sim.put({name: one for name, one in row["doc"].items() if name not in ("_rev", "_deleted")})
                self.place = self.sim.place()
                for id in ids:
                    self.sim.delete(id)
        self.sim.can_edit = exchange.number not in ("246", "247", "248")  # a user with fewer rights
        self.sim.lockout = "couchdb" if exchange.number in ("263", "264") else "cht"
        self.sim.locked(10 if exchange.number in ("263", "264", "278") else 0)

    def headers(self, exchange: Exchange) -> dict[str, str]:
        if exchange.user == "none":
            return {}
        login = b"admin:no" if exchange.number == "216" else b"admin:pw"
        return {"authorization": "Basic " + base64.b64encode(login).decode()}

    def body(self, exchange: Exchange) -> Any:
        return exchange.body

    def query(self, exchange: Exchange) -> dict[str, Any] | None:
        """A place in the feed that no kept answer gave: the simulator's own, changed as the recorded one was."""
        number = exchange.number
        if number in ("250", "283"):
            return {**(exchange.query or {}), "since": self.place}
        if number not in _PLACES:
            return exchange.query
        count, _, opaque = self.sim.place().partition("-")
        middle = len(opaque) // 2
        changed = {
            "69": f"{count}-{opaque[:-5]}",
            "70": f"99999-{opaque}",
            "71": f"0-{opaque}",
            "74": f'"{count}-{opaque}"',
            "78": f"{count}-{opaque[:middle]} {opaque[middle + 1 :]}",
            "79": CHTSim(Plane(2), user="admin", password="pw", offline_user="chw").place(),
        }
        return {"since": changed.get(number, f"{count}-{opaque}")}

    def kept(self, exchange: Exchange, answer: Any) -> Any:
        """A place in the feed has many names, so what it is called is not compared; that it leads on is. When the
        database was made, and its own id, are those of one server. How many rows there were is of exchanges that are
        not kept; whether there were any is not."""
        if exchange.number in _PLACES and isinstance(answer, dict) and "results" in answer:
            rows = answer["results"]
            answer = {**answer, "results": bool(rows) and rows != "0 rows"}
        return _without_places(answer)

    def loose(self, exchange: Exchange) -> Mapping[str, str]:
        return {}


def _without_places(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: (one is not None) if name in _OWN else _without_places(one) for name, one in value.items()}
    return [_without_places(one) for one in value] if isinstance(value, list) else value
