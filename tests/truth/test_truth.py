"""Every spoken recording is answered as recorded; what differs is on a list, and the list may only shrink."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest

from tests.truth import recorded
from tests.truth.__main__ import judged
from tests.truth.recorded import NOT_SPOKEN, NOT_YET, PLACE, SPOKEN
from tests.truth.replay import Difference, Ids, replay
from tests.truth.speakers import SPEAKERS

RECORDED = {"dhis2-2.42": 536, "dhis2-2.43": 538, "openmrs-2.8": 919, "hapi-fhir-8.8": 163, "cht-5.2": 215}


def test_the_manifest_names_every_recording_once() -> None:
    lines = recorded.manifest()
    assert Counter(line.server for line in lines) == RECORDED
    assert len({(line.server, line.recording) for line in lines}) == len(lines)
    assert {line.mark for line in lines} <= {SPOKEN, NOT_SPOKEN, NOT_YET}
    assert [line for line in lines if (line.mark == SPOKEN) == bool(line.why)] == [], "all others need a word why"


def test_the_readme_tells_the_counts() -> None:
    told = re.findall(
        r"^\| [^|]+ \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", (PLACE / "README.md").read_text("utf-8"), re.M
    )
    marks = Counter((line.server, line.mark) for line in recorded.manifest())
    assert [tuple(map(int, row)) for row in told] == [
        (count, *(marks[server, mark] for mark in (SPOKEN, NOT_SPOKEN, NOT_YET))) for server, count in RECORDED.items()
    ]


@pytest.mark.parametrize("server", RECORDED)
def test_what_is_spoken_is_kept_in_its_order(server: str) -> None:
    spoken = [line.recording for line in recorded.manifest() if line.server == server and line.mark == SPOKEN]
    assert [one.recording for one in recorded.exchanges(server)] == spoken
    assert not spoken or server in SPEAKERS


@pytest.mark.parametrize("server", SPEAKERS)
def test_the_simulator_answers_as_recorded(server: str) -> None:
    found = replay(SPEAKERS[server](), recorded.exchanges(server))
    new, gone = judged(server, found, recorded.differences())
    assert new == [], "the simulator answers otherwise than the running server did"
    assert gone == set(), "no longer differs: take it off differences.tsv"


def test_a_list_of_known_differences_only_shrinks() -> None:
    one, other = Difference("001-a", "status", "1", "2"), Difference("002-b", "status", "1", "2")
    known = {("x", "001-a", "status"), ("y", "003-c", "body")}
    assert judged("x", [one, other], known) == ([other], set())
    assert judged("x", [], known) == ([], {("x", "001-a", "status")})


def test_an_answer_that_changed_is_seen() -> None:
    """The comparison itself: each part of a recorded answer, changed, is a difference with its place."""
    first = next(one for one in recorded.exchanges("dhis2-2.42") if one.recording == "034-wrong-method")
    body = dict(first.answer)
    changed = {
        "HTTP status": replace(first, status=404),
        "HTTP type": replace(first, type="text/html"),
        "HTTP cookie": replace(first, cookie=not first.cookie),
        "HTTP location": replace(first, location="/elsewhere"),
        "message": replace(first, answer={**body, "message": "other"}),
        "more": replace(first, answer={**body, "more": 1}),
        "status": replace(first, answer={name: body[name] for name in body if name != "status"}),
        "body": replace(first, answer=""),
    }
    for where, exchange in changed.items():
        assert [one.where for one in replay(SPEAKERS["dhis2-2.42"](), [exchange])] == [where]


def test_an_id_of_the_server_has_to_stay_what_it_was_first() -> None:
    theirs, inner, ours, our_inner, another = (f"{n}2345678-0000-4000-8000-000000000000" for n in "12345")
    ids = Ids(frozenset({"uuid"}))
    ids.meet({"uuid": theirs, "of": [{"uuid": inner}]}, {"uuid": ours, "of": [{"uuid": our_inner}]})
    assert ids.translated({"at": f"/row/{theirs}", "uuid": inner}) == {"at": f"/row/{ours}", "uuid": our_inner}
    ids.meet({"uuid": theirs}, {"uuid": another})  # another one now: a difference, not a new id
    assert ids.translated(theirs) == ours


def test_an_id_that_a_client_sent_is_seen_when_it_is_not_kept() -> None:
    sent = next(one for one in recorded.exchanges("openmrs-2.8") if one.recording == "002-setup-location-outreach")
    other = "22345678-0000-4000-8000-000000000000"
    changed = replace(sent, answer={**sent.answer, "uuid": other})
    assert [one.where for one in replay(SPEAKERS["openmrs-2.8"](), [changed])] == ["uuid"]
    kept = replace(changed, body={name: value for name, value in sent.body.items() if name != "uuid"})
    assert replay(SPEAKERS["openmrs-2.8"](), [kept]) == []


def test_what_was_done_before_is_seen_in_a_later_answer() -> None:
    """A transaction that is left out of the sequence: the resources it made are not there, or an update too few."""
    kept = recorded.exchanges("hapi-fhir-8.8")
    without = [one for one in kept if one.recording != "09-tx-put-tag-a"]
    found = {one.recording for one in replay(SPEAKERS["hapi-fhir-8.8"](), without)}
    assert {"10-tx-put-tag-b", "11-get-after-tags"} <= found


def test_recordings_hold_nothing_of_the_machine_they_were_made_on() -> None:
    told = re.compile(
        r"/(?:home|root|usr|opt|tmp|work)/|d2p_|d2pat_|python-requests|pypi|npmjs|proxy|jdbc:", re.IGNORECASE
    )
    for file in sorted(PLACE.iterdir()):
        if file.suffix in (".ndjson", ".json", ".tsv"):
            found = [match[0] for match in told.finditer(file.read_text("utf-8"))]
            assert found == [], file.name
