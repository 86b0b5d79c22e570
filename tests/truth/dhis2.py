"""DHIS2 2.42.5 and 2.43.1, recorded with the same probes: what the recordings leave unsaid about both."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from connector.sandbox.dhis2 import DHIS2Sim
from connector.sandbox.plane import App, Plane
from tests.truth.recorded import PLACE, Exchange

#: The tokens of the users; what a token looked like is in no recording.
_TOKENS = {
    "token of clerk": "ApiToken d2p_clerk",
    "V2 token": "ApiToken d2p_admin",
    "deleted token": "ApiToken d2p_deleted",
    "expired token": "ApiToken d2p_expired",
    "changed token": "ApiToken d2p_clerx",
    "bad token": "ApiToken nonsense",
    "token as Bearer": "Bearer d2p_clerk",
}
_COMBOS = ("CocU5F00001", "CocU5M00001", "CocO5F00001", "CocO5M00001")
_DEFAULT = "HllvX50cXC0"
_A1, _A2 = "OuHealthA01", "OuHealthA02"


def metadata() -> dict[str, Any]:
    """What both servers held when the probes began (``dhis2.json``: sent as 004, 005, 007, 008 and 010), and the tokens
    that were made later (386, 399)."""
    data: dict[str, Any] = json.loads((PLACE / "dhis2.json").read_text("utf-8"))
    by_name = {user["username"]: user for user in data["users"]}
    by_name["admin"]["token"] = "d2p_admin"
    by_name["clerk"] |= {"token": "d2p_clerk", "tokensDeleted": ["d2p_deleted"], "tokensExpired": ["d2p_expired"]}
    by_name["clerk"]["expires"] = 1797959411443
    return data


def big(rows: int, value: str, period: int = 202501, unit: str = _A1) -> dict[str, Any]:
    """The long pushes: 100 elements in 4 combinations are one block, the next block is the next month."""
    return {
        "dataSet": "DsBig000001",
        "dataValues": [
            {
                "dataElement": f"DeBig{index % 400 // 4:06d}", "categoryOptionCombo": _COMBOS[index % 4],
                "attributeOptionCombo": _DEFAULT, "period": str(period + index // 400), "orgUnit": unit, "value": value,
            }
            for index in range(rows)
        ],
    }  # fmt: skip


def half_bad() -> dict[str, Any]:
    body = big(2000, "5")
    for row in body["dataValues"][1::2]:
        row["value"] = "x"
    return body


def big_metadata() -> dict[str, Any]:
    elements = [
        {
            "id": f"DeBig{n:06d}", "name": f"Big {n}", "shortName": f"Big {n}", "code": f"DE_BIG{n}",
            "valueType": "INTEGER_ZERO_OR_POSITIVE", "domainType": "AGGREGATE", "aggregationType": "SUM",
            "zeroIsSignificant": True, "categoryCombo": {"id": "CcAgeSex001"},
        }
        for n in range(100)
    ]  # fmt: skip
    data_set = {
        "id": "DsBig000001", "name": "Big", "shortName": "Big", "code": "DS_BIG", "periodType": "Monthly",
        "dataSetElements": [{"dataElement": {"id": one["id"]}} for one in elements],
        "organisationUnits": [{"id": _A1}, {"id": _A2}],
    }  # fmt: skip
    return {"dataElements": elements, "dataSets": [data_set]}


def many_people() -> dict[str, Any]:
    """500 people of one request."""
    return {
        "trackedEntities": [
            {
                "trackedEntity": f"TeBig{n:06d}", "trackedEntityType": "TetPerson01", "orgUnit": _A1,
                "attributes": [{"attribute": "TeaName0001", "value": f"N{n}"}],
            }
            for n in range(500)
        ]
    }  # fmt: skip


def _again(name: str) -> Any:
    """A body that was too long to be kept, or that was told in words only ("<100 values>")."""
    if name.startswith("z-race-new-period-try"):
        month, unit = int(name[-3]), (_A1, _A2)[int(name[-1])]
        return big(100, "5", 202201 + month, unit)
    if name.startswith("x-concurrent"):
        return big(800, "1", 202301)
    if name.startswith("z-par-disjoint"):
        return big(400, "1" if "new" in name else "2", 202110, (_A1, _A2)[int(name[-1])])
    return {
        "big-metadata": big_metadata,
        "big-500-first": lambda: big(500, "0"),
        "big-500-again": lambda: big(500, "0"),
        "big-1000-first": lambda: big(1000, "0"),
        "big-1000-again": lambda: big(1000, "0"),
        "big-2000-half-bad": half_bad,
        "big-tracker-500": many_people,
        "big-tracker-500-again": many_people,
    }[name]()


#: Of an error of the tracker: sentences and objects of the server's program, other ones in each version. Relais reads
#: the code and which object it is of.
_WORDS = frozenset({"message", "args"})
#: Of a person, enrolment, event or token: what Relais asks for (``fields``).
_READ = frozenset({
    "trackedEntity", "trackedEntityType", "enrollment", "event", "program", "programStage", "orgUnit", "status",
    "enrolledAt", "occurredAt", "deleted", "attribute", "dataElement", "value", "attributes", "dataValues",
    "enrollments", "events", "trackedEntities", "pager", "page", "pageSize",
})  # fmt: skip


def _timeless(value: Any) -> Any:
    """``created`` is a time of a value, and the count of a report: only the count matters."""
    if isinstance(value, list):
        return [_timeless(one) for one in value]
    if isinstance(value, dict):
        return {
            name: _timeless(inner)
            for name, inner in value.items()
            if not (name == "created" and isinstance(inner, str))
        }
    return value


def _errors(report: Any) -> Any:
    """A report of the tracker without the words of its errors."""
    if not isinstance(report, dict) or "validationReport" not in report:
        return _timeless(report)
    told = report["validationReport"]
    bare = {
        kind: [{name: one[name] for name in one if name not in _WORDS} for one in rows] for kind, rows in told.items()
    }
    return {**report, "validationReport": bare}


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(one) for one in value]
    if isinstance(value, dict):
        return {name: _read(inner) for name, inner in value.items() if name in _READ}
    return value


_PARSER = {"message": "words of the server's JSON parser"}


class Dhis2:
    """Both versions. ``raced``: pushes that lost a race for a new period (findings-dhis2 0.1, 0.2)."""

    base_url = "http://127.0.0.1:8085"
    left_out = frozenset({
        "importOptions", "lastUpdated",  # an echo; a time
        "nextPage", "prevPage",  # addresses, left out by the simulator
        "programs",  # not simulated
    })  # fmt: skip
    moment = re.compile(r"(?!)")  # nothing
    made: frozenset[str] = frozenset()
    parts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "/api/system/info": ("calendar", "dateFormat", "serverTimeZoneId", "version", "revision")
    }
    profile = "legacy"
    raced: frozenset[str] = frozenset()
    #: By name of the recording: field -> why it is not compared.
    _loose: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "me": {"authorities": "a superuser is shown with every authority there is"},
        "metadata-conflict": dict.fromkeys(
            ("args", "errorProperties", "errorKlass", "mainId"), "words and classes of the server's program"
        ),
        "code-idscheme-bogus": {"message": "goes on with signatures of the server's program"},
        "tr-malformed": _PARSER,
    }

    def __init__(self) -> None:
        admin = {
            "username": "admin",
            "password": "pw-admin",
            "id": "M5zQapPyTZI",
            "orgUnits": [],
            "authorities": ["ALL"],
        }
        self.sim = DHIS2Sim({"today": "2026-11-22", "users": [admin]}, [], Plane(), self.profile)
        self.filled = False

    def app(self) -> App:
        return self.sim.app

    def before(self, exchange: Exchange) -> None:
        if not self.filled and exchange.number >= "005":
            self.filled = True
            self.sim = DHIS2Sim(metadata(), [], Plane(), self.profile)
        sim, name = self.sim, named(exchange)
        sim.refuse = []
        sim.doors.database_down = name.startswith("db-down")
        sim.users[0]["orgUnits"] = ["OU_LAND"] if exchange.number >= "007" else []  # 007
        approval = next((s for s in sim.metadata.lists["dataSets"] if s["code"] == "DS_APPROVAL"), {})
        match name:
            case "approval-state-before":
                approval["workflow"] = "WfMonthly01"  # 010: the import of the metadata had lost the link
            case "approval-push-clerk":
                approval["approved"] = [["OU_A1", "202609"]]
            case "approval-push-after":
                approval["approved"] = []
            case "db-after-lock-read":  # the push whose answer was never waited for
                self._hold("DE_INT", "202406", "4242")
            case "big-2000-half-bad":  # the pushes of 10,000 rows
                for row in big(2000, "3")["dataValues"]:
                    combo = sim.metadata.find("categoryOptionCombos", "UID", row["categoryOptionCombo"])
                    self._hold(f"DE_BIG{int(row['dataElement'][5:])}", row["period"], "3", combo["code"])
            case "z-lock-wrong-0":
                sim.doors.lock_after_failures = 5
            case "z-disabled-login":
                sim.doors.lock_after_failures = None
                sim.users[2]["disabled"] = True  # 540
            case "z-par-tracker-same-0":
                sim.tracker.raced = {"TePar000001"}
            case _ if name in self.raced:
                sim.refuse = [{"race": True, "times": 1}]
            case "x-concurrent-0" | "x-concurrent-2" | "x-concurrent-3" if exchange.status == 409:
                sim.refuse = [{"failed": "Failed to flush BatchHandler", "times": 1}]

    def _hold(self, element: str, period: str, value: str, combo: str = "default") -> None:
        key = (element, "OU_A1", period, combo, "default")
        self.sim.values[key] = {"value": value, "storedBy": "admin", "comment": None, "deleted": False}

    def headers(self, exchange: Exchange) -> dict[str, str]:
        user = exchange.user
        if user == "none":
            return {}
        if user in _TOKENS:
            return {"authorization": _TOKENS[user]}
        wrong = any(part in exchange.recording for part in ("login-wrong", "lock-wrong"))
        return {
            "authorization": "Basic " + base64.b64encode(f"{user}:{'no' if wrong else 'pw'}-{user}".encode()).decode()
        }

    def body(self, exchange: Exchange) -> Any:
        if exchange.body is None and exchange.method == "POST" and exchange.path != "/api/lockExceptions":
            return _again(named(exchange))
        return exchange.body

    def query(self, exchange: Exchange) -> dict[str, Any] | None:
        return exchange.query

    def kept(self, exchange: Exchange, answer: Any) -> Any:
        if exchange.path == "/api/apiToken" and isinstance(answer, dict):  # their ids and ends are of the moment
            return {**answer, "apiToken": [sorted({"id", "expire"} & set(one)) for one in answer["apiToken"]]}
        if exchange.path.startswith("/api/tracker/") and exchange.status == 200:
            return _read(answer)
        return _errors(answer)

    def loose(self, exchange: Exchange) -> Mapping[str, str]:
        return self._loose.get(named(exchange), {})


def named(exchange: Exchange) -> str:
    """The probe's name, the same for both versions."""
    return exchange.recording.partition("-")[2]


class Legacy(Dhis2):
    """2.42.5"""

    raced = frozenset({
        "z-race-new-period-try0-0", "z-race-new-period-try0-1", "z-race-new-period-try3-0", "z-race-new-period-try4-0",
        "z-period-not-valid-after-db-cut",
    })  # fmt: skip


class V43(Dhis2):
    """2.43.1"""

    profile = "v43"
    raced = frozenset({
        "z-par-disjoint-new-period-1",
        "z-race-new-period-try0-0",
        "z-race-new-period-try1-0",
        "z-race-new-period-try3-1"
    })  # fmt: skip
    _loose: ClassVar[Mapping[str, Mapping[str, str]]] = {
        **Dhis2._loose,
        "empty-body": _PARSER,
        "malformed-json": _PARSER,
        "malformed-json-half-good": _PARSER,
        "bom-json": _PARSER,
        "comp-bad-period": {"description": "goes on with words of the server's period parser"},
    }
