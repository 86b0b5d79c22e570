"""``python -m tests.truth.take FOLDER``: keep the spoken exchanges of recorded servers in ``tests/recordings``.

FOLDER has a folder for each server with one JSON file for each exchange: {"request": {method, path, query, user,
headers, body}, "response": {status, headers, body}}. What is left out of a comparison is not kept either. Bodies that
were cut when they were recorded are not kept: the speaker makes them again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.truth.recorded import PLACE, SPOKEN, Exchange, manifest
from tests.truth.replay import Speaker
from tests.truth.speakers import SPEAKERS

_CUT = "<shortened>"


def main(folder: Path) -> None:
    lines = manifest()
    for server, make in SPEAKERS.items():
        spoken = [line.recording for line in lines if line.server == server and line.mark == SPOKEN]
        kept = [taken(recording, folder / server, make()) for recording in spoken]
        (PLACE / f"{server}.ndjson").write_text("".join(one.line() + "\n" for one in kept), "utf-8")


def taken(recording: str, folder: Path, speaker: Speaker) -> Exchange:
    data = json.loads((folder / f"{recording}.json").read_text("utf-8"))
    asked, got = data["request"], data["response"]
    user = asked["user"] or ("" if "authorization" in (asked["headers"] or {}) else "none")
    headers = {name: text for name, text in (asked["headers"] or {}).items() if not _usual(name, text, user)}
    if asked["headers"] and asked["body"] is not None and "content-type" not in asked["headers"]:
        headers["content-type"] = ""  # none was sent
    said = got["headers"] or None
    answer, part = got["body"], asked["path"] in speaker.parts
    if isinstance(answer, dict) and _CUT in answer:
        answer, part = _head(answer[_CUT]), True
    elif part and isinstance(answer, dict):
        answer = {name: answer[name] for name in speaker.parts[asked["path"]] if name in answer}
    return Exchange(
        recording=recording,
        method=asked["method"],
        path=asked["path"],
        query=asked["query"] or None,
        user=user,
        headers=headers or None,
        body=None if _cut(asked["body"]) else asked["body"],
        status=got["status"],
        type=(said and said.get("content-type", "").partition(";")[0]) or None,
        cookie=said and "set-cookie" in said,
        location=urlsplit(said["location"]).path if said and "location" in said else None,
        answer=_without(answer, speaker.left_out) if not isinstance(answer, str) else answer[:40],
        part=part,
    )


def _usual(name: str, text: str, user: str) -> bool:
    """Headers that every request has, and credentials: those are the speaker's."""
    mine = name == "authorization" and user != "none"
    return mine or name == "cookie" or (name in ("accept", "content-type") and text == "application/json")


def _cut(body: Any) -> bool:
    return (isinstance(body, dict) and _CUT in body) or (isinstance(body, str) and body.startswith("<"))


def _head(text: str) -> Any:
    """What can be read of a long answer: everything before its first list."""
    head = text[: text.index("[")].rstrip()
    head = head[: head.rindex(",")]
    return json.loads(head + "}" * (head.count("{") - head.count("}")))


def _without(value: Any, left_out: frozenset[str]) -> Any:
    if isinstance(value, list):
        return [_without(one, left_out) for one in value]
    if isinstance(value, dict):
        return {name: _without(inner, left_out) for name, inner in value.items() if name not in left_out}
    return value


if __name__ == "__main__":
    main(Path(sys.argv[1]))
