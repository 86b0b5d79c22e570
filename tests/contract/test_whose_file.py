"""A thousand referred people at clinics full of namesakes, twins, slips and numbers in the wrong file: nobody's
referral is written into the file of another, and whoever is not certain waits for a person who sees the right one. Who
is who comes from the sandbox, which knows nothing of points; where the referrals lie, from the simulated clinic.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from connector.adapters.openmrs import OpenmrsTarget
from connector.adapters.openmrs_matching import KEPT
from connector.http import make_client
from connector.model import Delivery, Outcome, Verdict
from connector.sandbox import openmrs_lookalikes as lookalikes
from connector.sandbox import openmrs_metadata as meta
from connector.sandbox.openmrs import OpenMRSSim
from connector.sandbox.plane import Plane

from .test_openmrs_target import CLINICS, NAMES, OPENMRS, Ledger, payload

SEED = 7
CARD = meta.own_uuid("identifier type", lookalikes.CARD)
PACK: dict[str, Any] = {**OPENMRS, "identifier_types": {**OPENMRS["identifier_types"], "national": CARD}}


@dataclass(frozen=True)
class Sent:
    """``under``: the patients in whose files her referral lies."""

    case: lookalikes.Case
    ours: str
    outcome: Outcome
    under: frozenset[str]

    @property
    def found(self) -> bool:
        """She got her file, or a person is shown it among the first three."""
        asked = {one["id"] for one in self.outcome.candidates[:3]}
        return bool(self.case.truth & (self.under or asked))


def referral(case: lookalikes.Case) -> dict[str, Any]:
    """As the engine wants it at the clinic."""
    p, wanted = case.person, payload(case.id, case.person.number)
    wanted["patient"] |= {
        "name": [{"family": p.family, "given": [p.given]}], "gender": p.sex, "birthDate": p.born,
    }  # fmt: skip
    return wanted | ({"national_id": p.card} if p.card else {})


async def sent(clinic: lookalikes.ClinicCases) -> list[Sent]:
    metadata = meta.default_metadata(CLINICS)
    card = {"uuid": CARD, "name": lookalikes.CARD, "required": False, "unique": False}
    metadata["identifier_types"].append({**card, "needs_location": False, "check_digit": False})
    sim = OpenMRSSim(metadata, clinic.patients(), Plane(), profile="platform2")
    transport = httpx.ASGITransport(sim.app)
    client = make_client("http://127.0.0.1/openmrs", user="relais", password="Relais-sandbox-1", transport=transport)
    target = OpenmrsTarget(
        client, name="openmrs", settings={"profile": "platform2"}, openmrs=PACK, names=NAMES, zone="Africa/Bamako"
    )
    ledger, found = Ledger(), []
    for n, case in enumerate(clinic.cases):  # one by one: a creation waits for no other
        wanted = referral(case)
        delivery = Delivery(n, "openmrs", f"cht/reports/{case.id}", "referral", 1, case.id, wanted)
        (outcome,) = await target.deliver([delivery], ledger)
        found.append((case, str(wanted["patient"]["id"]), outcome))
    await client.aclose()
    lie: dict[str, set[str]] = {}
    for encounter in sim.state()["encounters"]:
        (number,) = [o["value"] for o in encounter["obs"] if o["concept"] == meta.REFERRAL_NUMBER]
        lie.setdefault(number, set()).add(encounter["patient"])
    return [Sent(case, ours, outcome, frozenset(lie.get(case.id, ()))) for case, ours, outcome in found]


def people(n: int) -> list[Sent]:
    return [one for clinic in lookalikes.cases(SEED, n) for one in asyncio.run(sent(clinic))]


@pytest.mark.again
def test_of_a_thousand_nobody_is_written_into_the_file_of_another_and_who_is_not_certain_waits() -> None:
    done = people(1000)
    assert len(done) == 1000
    for one in done:
        wrong = one.under - one.case.truth - {one.ours}
        assert not wrong and len(one.under) <= 1, (one.case.kind, one.case.id, one.outcome.reason)
        waits = (one.outcome.verdict, one.outcome.reason) == (Verdict.REJECTED, "openmrs.match_review")
        assert waits is not (one.outcome.verdict is Verdict.ACCEPTED), (one.case.kind, one.outcome.reason)
        assert waits is not bool(one.under) and bool(one.outcome.candidates) is waits
        assert len(one.outcome.candidates) <= KEPT
    there = Counter(one.case.kind for one in done if one.case.truth)
    found = Counter(one.case.kind for one in done if one.case.truth and one.found)
    less = {kind: (found[kind], of) for kind, of in there.items() if found[kind] < of}
    assert sum(there.values()) > 700 and sum(found.values()) >= 0.95 * sum(there.values()), less
    assert all(found[kind] >= 0.8 * of for kind, of in there.items()), less
    waiting = Counter(one.case.kind for one in done if not one.under)
    every = Counter(one.case.kind for one in done)
    # Whose own number stands in her file, and says nothing else, goes there; who is nowhere, mostly waits for nobody.
    assert not waiting["own number"] and not waiting["own card"]
    assert waiting["unknown"] <= 0.4 * every["unknown"]
    for kind in ("same", "other_sex", "number of stranger", "card of mother", "one card for two"):
        assert waiting[kind] == every[kind], kind


def _show() -> None:
    done = people(1000)
    print(Counter((one.case.kind, one.outcome.reason, bool(one.under & one.case.truth)) for one in done))
