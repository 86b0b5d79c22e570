"""What was recorded: the manifest, one line per recording, and the exchanges that a simulator has to answer.

``manifest.tsv``      server, recording, mark, why. Marks: ``spoken`` (a call that Relais makes, or one whose answer it
                      could get: a simulator must answer it as recorded), ``not spoken``, ``not yet`` (the simulator
                      does not answer it so, or nobody has looked), both with a word why.
``<server>.ndjson``   the spoken exchanges of one server in the order in which they ran (``Exchange``).
``differences.tsv``   server, recording, where, why: what is known to differ. It may only shrink.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

PLACE = Path(__file__).parent.parent / "recordings"
SPOKEN, NOT_SPOKEN, NOT_YET = "spoken", "not spoken", "not yet"


@dataclass(frozen=True, slots=True)
class Line:
    """One recording in the manifest."""

    server: str
    recording: str
    mark: str
    why: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and the answer of the running server.

    ``body``: text is sent as it is, anything else as JSON; None is no body. ``type`` and ``cookie``: the answer's
    content type without its parameters, and whether it set a cookie; None where the recording does not say.
    ``answer``: JSON, or text. ``part``: only these fields of the answer were kept, so only they are compared.
    """

    recording: str
    method: str
    path: str
    status: int
    query: dict[str, Any] | None = None
    user: str = ""
    headers: dict[str, str] | None = None
    body: Any = None
    type: str | None = None
    cookie: bool | None = None
    location: str | None = None
    answer: Any = None
    part: bool = False

    @property
    def number(self) -> str:
        return self.recording.partition("-")[0]

    def line(self) -> str:
        """As one line of a file, without what is not said."""
        default = {field.name: field.default for field in fields(self)}
        said = {name: value for name, value in asdict(self).items() if value != default[name]}
        return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def manifest(place: Path = PLACE) -> list[Line]:
    return [Line(*row) for row in _rows(place / "manifest.tsv")]


def differences(place: Path = PLACE) -> set[tuple[str, str, str]]:
    """(server, recording, where) of what is known to differ."""
    return {(server, recording, where) for server, recording, where, _ in _rows(place / "differences.tsv")}


def exchanges(server: str, place: Path = PLACE) -> list[Exchange]:
    """Empty for a server that nothing is kept of."""
    file = place / f"{server}.ndjson"
    return [Exchange(**json.loads(line)) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


def _rows(file: Path) -> Iterator[list[str]]:
    with file.open(encoding="utf-8", newline="") as text:
        rows = csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows)
        yield from rows
