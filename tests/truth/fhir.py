"""HAPI FHIR JPA 8.8.0: what its recordings leave unsaid."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from connector.sandbox.fhir import FHIRSim
from connector.sandbox.plane import App, Plane
from tests.truth.recorded import Exchange

_ISSUE = ("severity", "code", "diagnostics", "expression")


class Hapi:
    """The default server; from 147 on one that validates, from 162 on one that makes up what is missing."""

    base_url = "http://127.0.0.1:8087"
    left_out = frozenset({
        "lastUpdated", "lastModified",  # times
        "link",  # the address asked, again
    })  # fmt: skip
    parts: ClassVar[Mapping[str, tuple[str, ...]]] = {"/fhir/metadata": ("resourceType", "fhirVersion", "software")}
    moment = re.compile(
        r" Took \d+ms\.?"
        r"|(?<=deleted at )[\d:.T+-]+"
        r"|(?<=FHIR content:) Unexpected end-of-input.*"  # words of its JSON parser
        r"|(?<=: )\[.*\]$",  # all types, or all search parameters, that it knows
        re.DOTALL,
    )
    made = frozenset({"id"})

    def __init__(self) -> None:
        self.sim = FHIRSim(Plane(), validating=False)

    def app(self) -> App:
        return self.sim.app

    def before(self, exchange: Exchange) -> None:
        number = int(exchange.number)
        self.sim.validating = 147 <= number < 162
        self.sim.lenient = number >= 162

    def headers(self, exchange: Exchange) -> dict[str, str]:
        return {}

    def body(self, exchange: Exchange) -> Any:
        if exchange.number == "100":
            return gzip.compress(json.dumps(_gzipped()).encode())
        return exchange.body

    def query(self, exchange: Exchange) -> dict[str, Any] | None:
        return exchange.query

    def kept(self, exchange: Exchange, answer: Any) -> Any:
        """Of a validator's findings the errors, with their place as a path: advice and columns are left out."""
        if exchange.status != 422 or not isinstance(answer, dict):
            return answer
        errors = [issue for issue in answer.get("issue", ()) if issue["severity"] in ("error", "fatal")]
        return {**answer, "issue": [{name: one.get(name) for name in _ISSUE} for one in errors]}

    def loose(self, exchange: Exchange) -> Mapping[str, str]:
        return {}


def _gzipped() -> Any:
    """The compressed transaction, which was not kept (100, 101)."""
    patient = {
        "resourceType": "Patient",
        "id": "p-13",
        "identifier": [{"system": "urn:chw:source", "value": "p-13"}],
        "name": [{"text": "A. Diarra", "family": "Diarra", "given": ["Awa"]}],
        "gender": "female",
        "birthDate": "2001-05-14",
    }
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"resource": patient, "request": {"method": "PUT", "url": "Patient/p-13"}}],
    }
