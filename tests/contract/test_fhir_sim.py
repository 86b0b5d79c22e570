"""The simulated FHIR server against the recordings of a running HAPI FHIR JPA 8.8.0.

``hapi_fhir.ndjson`` holds recorded exchanges in the order in which they ran, named by the file of
``recordings/hapi-fhir-8.8`` they come from; those with ``-V-`` in the name ran against a server that validates. The
sequence is sent to one simulator of each kind; each exchange is then one test.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from connector.sandbox.fhir import FHIRSim
from connector.sandbox.plane import Plane

RECORDED = [json.loads(line) for line in (Path(__file__).parent / "hapi_fhir.ndjson").read_text("utf-8").splitlines()]
_FHIR = {"content-type": "application/fhir+json"}


def ask(sim: FHIRSim, method: str, path: str, **kwargs: Any) -> httpx.Response:
    async def go() -> httpx.Response:
        async with httpx.AsyncClient(base_url="http://f", transport=httpx.ASGITransport(app=sim.app)) as http:
            return await http.request(method, path, **kwargs)

    return asyncio.run(go())


@cache
def replayed() -> dict[str, httpx.Response]:
    sims = {validating: FHIRSim(Plane(), validating=validating) for validating in (False, True)}
    answers = {}

    async def go() -> None:
        for exchange in RECORDED:
            sim = sims["-V-" in exchange["file"]]
            body = exchange["body"]
            content = None if body is None else body if isinstance(body, str) else json.dumps(body)
            headers = exchange["headers"] if body is None else {**_FHIR, **exchange["headers"]}
            async with httpx.AsyncClient(base_url="http://f", transport=httpx.ASGITransport(app=sim.app)) as http:
                answers[exchange["file"]] = await http.request(
                    exchange["method"], exchange["path"], params=exchange["query"], headers=headers, content=content
                )

    asyncio.run(go())
    return answers


def seen(answer: httpx.Response) -> dict[str, Any]:
    """An answer cut down to what the recordings keep of it."""
    body = answer.json()
    out: dict[str, Any] = {"status": answer.status_code}
    if body.get("resourceType") == "OperationOutcome":
        places = [(i.get("expression") or [""])[0] for i in body["issue"] if i["severity"] == "error"]
        entries = [re.match(r"Bundle\.entry\[\d+\]", place) for place in places]
        out["codes"] = re.findall(r"HAPI-\d{4}", answer.text)
        out["errors"] = sorted({match[0] if match else "" for match in entries})
        out["storage"] = re.findall(r"SUCCESSFUL_\w+", answer.text)
    elif body.get("type", "").endswith("-response"):
        out["entries"] = []
        for entry in body.get("entry", []):
            response = entry["response"]
            codes = re.findall(r"SUCCESSFUL_\w+|HAPI-\d{4}", json.dumps(response))
            out["entries"].append([response["status"], response.get("etag"), codes[0] if codes else None])
    elif body.get("type") == "searchset":
        out["total"] = body["total"]
    else:
        out["version"] = body["meta"]["versionId"]
        out["tags"] = [tag["code"] for tag in body["meta"].get("tag", [])]
    return out


@pytest.mark.parametrize("exchange", RECORDED, ids=lambda exchange: exchange["file"])
def test_answers_as_recorded(exchange: dict[str, Any]) -> None:
    assert seen(replayed()[exchange["file"]]) == exchange["expected"]


def patient(id: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id, "gender": "female", **more}


def observation(id: str, subject: str = "p", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": {"text": "fever"},
        "subject": {"reference": f"Patient/{subject}"},
        "valueBoolean": True,
        **more,
    }


def transaction(*resources: dict[str, Any], kind: str = "transaction") -> bytes:
    entries = [
        {
            "fullUrl": f"http://f/fhir/{r['resourceType']}/{r['id']}",
            "resource": r,
            "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"},
        }
        for r in resources
    ]
    return json.dumps({"resourceType": "Bundle", "type": kind, "entry": entries}).encode()


def test_state_holds_the_content_without_meta_and_the_versions() -> None:
    sim = FHIRSim(Plane())
    tagged = patient("p", meta={"tag": [{"code": "t"}], "versionId": "9"})
    assert ask(sim, "POST", "/fhir", content=transaction(tagged, observation("o")), headers=_FHIR).status_code == 200
    assert ask(sim, "PUT", "/fhir/Patient/p", json=patient("p", active=True)).json()["meta"]["versionId"] == "2"
    assert ask(sim, "DELETE", "/fhir/Observation/o").status_code == 200
    assert sim.state() == {
        "resources": {"Patient/p": patient("p", active=True)},
        "versions": {"Patient/p": 2},
        "deleted": ["Observation/o"],
    }
    assert [(row["op"], row["id"], row["version"]) for row in sim.plane.log] == [
        ("create", "Patient/p", 1),
        ("create", "Observation/o", 1),
        ("update", "Patient/p", 2),
        ("delete", "Observation/o", 2),
    ]


def test_a_refused_transaction_stores_nothing_and_a_batch_stores_the_rest() -> None:
    good, bad = patient("p"), observation("o", subject="nobody")
    sim = FHIRSim(Plane())
    assert ask(sim, "POST", "/fhir", content=transaction(good, bad), headers=_FHIR).status_code == 400  # 28, 29
    assert sim.state()["resources"] == {}
    assert ask(sim, "POST", "/fhir", content=transaction(good, bad, kind="batch"), headers=_FHIR).status_code == 200
    assert list(sim.state()["resources"]) == ["Patient/p"]  # 30


def test_gzip_requests_are_taken() -> None:
    sim = FHIRSim(Plane())  # 100-gzip-request
    headers = {**_FHIR, "content-encoding": "gzip"}
    assert (
        ask(sim, "POST", "/fhir", content=gzip.compress(transaction(patient("p"))), headers=headers).status_code == 200
    )
    assert list(sim.state()["resources"]) == ["Patient/p"]


def test_a_search_is_stale_for_a_minute() -> None:
    now = [0.0]
    sim = FHIRSim(Plane(clock=lambda: now[0]))  # 131 to 134
    query = {"identifier": "urn:x|1"}
    assert ask(sim, "GET", "/fhir/Patient", params=query).json()["total"] == 0
    ask(sim, "PUT", "/fhir/Patient/p", json=patient("p", identifier=[{"system": "urn:x", "value": "1"}]))
    assert ask(sim, "GET", "/fhir/Patient", params=query).json()["total"] == 0
    assert ask(sim, "GET", "/fhir/Patient", params=query, headers={"cache-control": "no-cache"}).json()["total"] == 1
    now[0] = 61.0
    assert ask(sim, "GET", "/fhir/Patient", params=query).json()["total"] == 1


def test_post_of_the_same_makes_a_duplicate() -> None:
    sim = FHIRSim(Plane())  # 56-post-dup: never safe
    body = {"resourceType": "Patient", "gender": "male"}
    first, second = (ask(sim, "POST", "/fhir/Patient", json=body).json()["id"] for _ in range(2))
    assert first != second and len(sim.state()["resources"]) == 2


def test_authorization_can_be_demanded() -> None:
    sim = FHIRSim(Plane(), authorization="Bearer t")
    assert ask(sim, "GET", "/fhir/metadata").status_code == 401
    answer = ask(sim, "GET", "/fhir/metadata", headers={"authorization": "Bearer t"})
    assert answer.json()["fhirVersion"] == "4.0.1"  # 01-metadata


def test_what_is_not_simulated_says_so() -> None:
    sim = FHIRSim(Plane())
    assert ask(sim, "GET", "/fhir/Patient/p/_history").status_code == 501
    assert ask(sim, "PUT", "/fhir/Patient", params={"identifier": "x"}, json=patient("p")).status_code == 501
