"""Who speaks over the line: every target and every source read over HTTP, each with a simulator at the other end.

``play`` lets one attempt meet answers gone bad and then looks at the simulator: what was called accepted must be held
there, or have been confirmed by an id, a digest or a count in an answer that was heard. What confirms is read here by
code of its own. Then the line is good again, and everything must end as wanted, once.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, ClassVar

import httpx

from connector.adapters import cht_answers, dhis2_answers, dhis2_tracker_answers, fhir_server, openmrs_answers
from connector.adapters.cht import ChtSource
from connector.adapters.cht_answers import ChtAnswersTarget
from connector.adapters.dhis2 import Dhis2Target
from connector.adapters.dhis2_tracker import Dhis2TrackerTarget
from connector.adapters.fhir_server import FhirServerTarget
from connector.adapters.openmrs import OpenmrsAnswers, OpenmrsTarget
from connector.errors import SourceError, TargetUnreadable
from connector.http import make_client
from connector.model import Delivery, Observed, OpenReferral, Outcome, Page, Record, Verdict
from connector.sandbox.cht import CHTSim
from connector.sandbox.dhis2 import DHIS2Sim
from connector.sandbox.fhir import FHIRSim
from connector.sandbox.openmrs import OpenMRSSim
from connector.sandbox.plane import Plane
from tests.contract import test_cht_answers as of_cht
from tests.contract import test_dhis2_target as of_dhis2
from tests.contract import test_dhis2_tracker as of_tracker
from tests.contract import test_fhir_target as of_fhir
from tests.contract import test_openmrs_target as of_openmrs
from tests.fuzz.line import Given, Line, Spoil

Json = dict[str, Any]
ROUNDS = 12  #: attempts over a good line within which everything must be settled


def heard_json(given: Given) -> Any:
    """What an answer says, read without the adapters' own reader; None when it says nothing."""
    if given.error is not None or given.parts is not None or given.broken is not None:
        return None
    try:
        return json.loads(given.body.decode("utf-8-sig"), parse_constant=lambda name: None)
    except (ValueError, RecursionError):
        return None


def _unpacked(body: bytes) -> bytes:
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


def found_in(document: Any) -> list[Json]:
    """Every object in a document."""
    found, left = [], [document]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            found.append(node)
            left.extend(node.values())
        elif isinstance(node, list):
            left.extend(node)
    return found


class Speaker:
    """``requests``: how many requests an attempt makes over a good line (the shapes are put at each of them)."""

    name = ""
    requests = 1
    calm = False  #: every case the same plain one, and the attempt alone meets the wrong answers
    base = "http://127.0.0.1:1"
    login: ClassVar[Json] = {}

    def __init__(self) -> None:
        self.renew()
        self.number = 0
        self.attempted = 0  #: requests of the last attempt
        #: Genuine answers of other exchanges, by what was asked.
        self.others: dict[str, list[Given]] = {}

    # ------------------------------------------------------------ for each speaker to say

    def renew(self) -> None:
        """A new simulator and a new line to it."""
        raise NotImplementedError

    async def play(self, rng: random.Random, spoil: Spoil) -> list[str]:
        raise NotImplementedError

    # ------------------------------------------------------------ what they share

    def connect(self, sim: Any) -> None:
        self.line = Line(sim.app)
        self.client = make_client(self.base, transport=self.line, **self.login)

    async def probed(self, speaker: Any, spoil: Spoil) -> list[str]:
        """The check of the connection says what it found, whatever is answered."""
        self.line.clear()
        self.line.spoil = spoil
        problems, found = await self.guarded("probe", speaker.probe)
        if not problems and not isinstance(found, list | tuple):
            problems.append(f"probe gave {found!r}")
        return problems

    async def guarded(
        self, what: str, work: Callable[[], Awaitable[Any]], allowed: type[Exception] | tuple[type[Exception], ...] = ()
    ) -> tuple[list[str], Any]:
        """(problems, what came of it): only ``allowed`` exceptions may escape."""
        try:
            return [], await work()
        except allowed:
            return [], None
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)
            ours = [f"{f.filename.rpartition('/')[2]}:{f.lineno}" for f in where if "/connector/" in f.filename][-2:]
            return [f"{what} let {type(error).__name__} out ({', '.join(ours)}): {error!s:.120}"], None

    def good_answers(self) -> None:
        """Keep what was answered, to be given to others."""
        for request, given in self.line.heard:
            if given.error is None and given.parts is None:
                kept = self.others.setdefault(self.kind_of(request), [])
                kept.append(given)
                del kept[:-5]

    @staticmethod
    def kind_of(request: httpx.Request) -> str:
        """What was asked, without the ids."""
        path = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[pr]-\d+|a-\d+", "*", request.url.path)
        return f"{request.method} {path}"


class TargetSpeaker(Speaker):
    def plain(self) -> list[Delivery]:
        """The plain case: nothing remembered, nothing odd."""
        raise NotImplementedError

    reasons: ClassVar[Any] = {}
    renewed_every = 10**9  #: cases until the simulator is made anew, where it grows and looking at it gets slow

    def target(self) -> Any:
        raise NotImplementedError

    def wanted(self, rng: random.Random) -> list[Delivery]:
        """What is to be delivered, and the simulator made ready for it."""
        raise NotImplementedError

    def held(self, delivery: Delivery) -> bool:
        """The simulator holds what the delivery says, exactly once."""
        raise NotImplementedError

    def confirmed(self, delivery: Delivery) -> bool:
        """An answer that was heard names this delivery's id, digest or count."""
        raise NotImplementedError

    def deceived(self, delivery: Delivery) -> bool:
        """A step that was not done was said to be; only a reconcile finds it."""
        return False

    def resolvable(self, delivery: Delivery) -> bool:
        """False when the server refuses this one for good."""
        return True

    def after(self, delivery: Delivery, outcome: Outcome | None) -> Delivery:
        """The delivery as the engine hands it out next time."""
        unsure = delivery.unsure or outcome is None or outcome.verdict is Verdict.UNKNOWN
        return replace(delivery, unsure=unsure)

    async def before(self, rng: random.Random, batch: list[Delivery]) -> list[Delivery]:
        """What happens over a good line before; gives what is to be delivered then."""
        return batch

    async def quiet(self) -> None: ...

    @property
    def progress(self) -> Any:
        return of_dhis2.Lanes()

    # ------------------------------------------------------------ one case

    async def play(self, rng: random.Random, spoil: Spoil) -> list[str]:
        self.number += 1
        if self.number % self.renewed_every == 0:
            await self.client.aclose()
            self.renew()
        batch = self.plain() if self.calm else self.wanted(rng)
        target = self.target()
        if not self.calm and rng.random() < 0.3:  # codes and concepts are remembered from a good time
            self.line.clear()
            await target.deliver(self.wanted(rng), self.progress)
            self.good_answers()
            batch = self.wanted(rng)
        self.line.clear()
        if not self.calm:
            batch = await self.before(rng, batch)
        self.line.clear()
        self.line.spoil = spoil
        problems: list[str] = []
        if not self.calm and rng.random() < 0.3:
            problems += await self.looked_up(target, batch[0])
        found, outcomes = await self.guarded("deliver", lambda: target.deliver(batch, self.progress))
        problems += found
        self.attempted = self.line.asked
        if not found:
            problems += self.judged(batch, outcomes)
        self.good_answers()
        if rng.random() < 0.5:
            target = self.target()
        problems += await self.settled(target, batch, outcomes or [None] * len(batch))
        if not self.calm and rng.random() < 0.05:
            problems += await self.probed(target, spoil)
        return problems

    def judged(self, batch: Sequence[Delivery], outcomes: Any) -> list[str]:
        if not isinstance(outcomes, list | tuple) or len(outcomes) != len(batch):
            return [f"{len(batch)} deliveries, outcomes: {outcomes!r:.200}"]
        problems = []
        for delivery, outcome in zip(batch, outcomes, strict=True):
            if not isinstance(outcome, Outcome):
                problems.append(f"no outcome: {outcome!r:.100}")
                continue
            problems += self.one_judged(delivery, outcome)
        return problems

    def one_judged(self, delivery: Delivery, outcome: Outcome) -> list[str]:
        problems = []
        reason = self.reasons.get(outcome.reason)
        if reason is None and outcome.reason != "lane.busy":
            problems.append(f"reason {outcome.reason!r:.80} is in no table")
        elif reason is not None and outcome.verdict is Verdict.ACCEPTED and reason.verdict is not Verdict.ACCEPTED:
            problems += [f"accepted for {outcome.reason}"] * (not all(value.held for value in outcome.per_value))
        if outcome.verdict is Verdict.ACCEPTED and not self.held(delivery) and not self.confirmed(delivery):
            problems.append(f"accepted ({outcome.reason}), but neither held nor confirmed")
        if outcome.verdict is Verdict.REJECTED and not self.refusal_heard():
            problems.append(f"rejected ({outcome.reason}), and nobody refused anything")
        if not isinstance(outcome.remote_id, str | None) or not isinstance(outcome.answer, str):
            problems.append(f"an outcome of another form: {outcome!r:.200}")
        if outcome.retry_after is not None and not timedelta(0) <= outcome.retry_after <= timedelta(days=1):
            problems.append(f"a wait of {outcome.retry_after}")
        return problems

    def refusal_heard(self) -> bool:
        """Something readable was answered (a structure in JSON, or a status that refuses)."""
        return any(
            400 <= given.status < 500 or given.status >= 500 or isinstance(heard_json(given), dict | list)
            for _, given in self.line.heard
        )

    async def looked_up(self, target: Any, delivery: Delivery) -> list[str]:
        problems, seen = await self.guarded("look_up", lambda: target.look_up(delivery), TargetUnreadable)
        if isinstance(seen, Observed) and seen.matches and not self.held(delivery) and not self.confirmed(delivery):
            problems.append("looked up as holding, but neither held nor confirmed")
        if seen is not None and not isinstance(seen, Observed):
            problems.append(f"look_up gave {seen!r:.100}")
        return problems

    async def once_more(self, target: Any, one: Delivery) -> Outcome:
        """An attempt over the good line, as the engine makes it: look first when unsure."""
        if one.unsure and not target.capabilities.resend_is_safe:
            seen = await target.look_up(one)
            if seen is not None and seen.matches:
                return Outcome(Verdict.ACCEPTED, "looked_up.holds")
        (outcome,) = await target.deliver([one], self.progress)
        found: Outcome = outcome
        return found

    async def settled(self, target: Any, batch: Sequence[Delivery], outcomes: Sequence[Outcome | None]) -> list[str]:
        """Over a good line everything ends as wanted; what is refused is retried, as a person would."""
        was_confirmed = [self.confirmed(delivery) for delivery in batch]
        deceived = [self.deceived(delivery) for delivery in batch]
        self.line.clear()
        problems = []
        left = {n: self.after(d, o) for n, (d, o) in enumerate(zip(batch, outcomes, strict=True))}
        last = dict(enumerate(outcomes))
        for _ in range(ROUNDS):
            await self.quiet()
            for n, one in list(left.items()):
                now = last[n]
                if now is None or now.verdict is not Verdict.ACCEPTED:
                    now = last[n] = await self.once_more(target, one)
                left[n] = self.after(one, now)
                if now.verdict is Verdict.ACCEPTED or not self.resolvable(one):
                    del left[n]
            if not left:
                break
        if any(sure and not self.held(delivery) for delivery, sure in zip(batch, was_confirmed, strict=True)):
            waiting, left = set(left), {}  # for a reconcile: it refers to something that was only said to be there
        else:
            waiting = set()
        problems += [f"never settled over a good line: {last[n]!r:.150}" for n in left]
        for n, (delivery, outcome, sure) in enumerate(zip(batch, outcomes, was_confirmed, strict=True)):
            if outcome is not None and outcome.verdict is Verdict.ACCEPTED and sure:
                continue  # a server that confirms what it does not hold: only a reconcile finds it
            if deceived[n]:
                continue
            if n not in left and n not in waiting and self.resolvable(delivery) and not self.held(delivery):
                problems.append(f"in the end not there, or twice: {delivery.key} {outcome!r:.150} {last[n]!r:.80}")
        self.good_answers()
        return problems


# ---------------------------------------------------------------- DHIS2

_UIDS = {
    ("MH_A", "default"): ("DeAaaaaaa01", "HllvX50cXC0"),
    ("MH_B", "SEX_F"): ("DeBbbbbbb01", "CocSexF0001"),
    ("MH_B", "SEX_M"): ("DeBbbbbbb01", "CocSexM0001"),
}
_UNITS = {"ML-S1": "OuSiteAAA01", "ML-S2": "OuSiteAAA02"}


class _Dhis2Reasons:
    """The table, and DHIS2's own codes."""

    @staticmethod
    def get(code: str) -> Any:
        known = code in dhis2_answers.REASONS or re.fullmatch(r"dhis2\.E\d{4}", code)
        return dhis2_answers.reason(code) if known else None


class Blocks(TargetSpeaker):
    name = "dhis2_blocks"
    requests = 3  # data set, what is there, the values
    reasons = _Dhis2Reasons
    login: ClassVar[Json] = {"user": "relais", "password": "relais"}

    def renew(self) -> None:
        self.sim = DHIS2Sim(of_dhis2.metadata(), [], Plane())
        self.connect(self.sim)

    def target(self) -> Dhis2Target:
        return Dhis2Target(self.client, name="dhis2", settings=of_dhis2.SETTINGS)

    def wanted(self, rng: random.Random) -> list[Delivery]:
        self.sim.reset()
        mode = rng.choice(("ask", "ask", "overwrite"))
        unit, period = rng.choice(list(_UNITS)), rng.choice(("202607", "202608", "202609"))
        cells = rng.sample(list(_UIDS), rng.randrange(1, 4))
        values = []
        for element, combo in cells:
            old = rng.choice((None, None, None, "3"))
            if old is not None:
                typed = {**of_dhis2.typed(element, old, combo, unit), "period": period, "storedBy": "relais"}
                self.sim._type_in([typed])
            number = rng.choice(("12", "0", "4711", "-4" if rng.random() < 0.2 else "5", None if old else "6"))
            values.append(of_dhis2.value(element, number, combo, neverSent=old is None, old=old))
        if rng.random() < 0.1:
            self.sim.refuse = [rng.choice(
                ({"match": {"dataElement": cells[0][0]}, "short": True, "times": 1},
                 {"code": "E7611", "times": 1}, {"failed": "Failed to flush BatchHandler", "times": 1})
            )]  # fmt: skip
        first = rng.random() < 0.2
        return [of_dhis2.block(*values, unit=unit, period=period, onExisting=mode, first=first)]

    def plain(self) -> list[Delivery]:
        self.sim.reset()
        values = [("MH_A", "12", "default"), ("MH_B", "3", "SEX_F"), ("MH_B", "4", "SEX_M")]
        return [of_dhis2.block(*(of_dhis2.value(*value) for value in values))]

    def value_held(self, payload: Any, value: Any) -> bool:
        key = (value["dataElement"], payload["orgUnit"], payload["period"], value["categoryOptionCombo"], "default")
        there = self.sim.values.get(key)
        now = None if there is None or there["deleted"] else there["value"]
        return bool(now == value["value"])

    def held(self, delivery: Delivery) -> bool:
        return all(self.value_held(delivery.payload, value) for value in delivery.payload["values"])

    def resolvable(self, delivery: Delivery) -> bool:
        return not any((value["value"] or "").startswith("-") for value in delivery.payload["values"])

    def confirmed(self, delivery: Delivery) -> bool:
        return all(self.value_confirmed(delivery.payload, value) for value in delivery.payload["values"])

    def value_confirmed(self, payload: Any, value: Any) -> bool:
        element, combo = _UIDS[value["dataElement"], value["categoryOptionCombo"]]
        for request, given in self.line.heard:
            said = heard_json(given)
            if request.url.path != "/api/dataValueSets" or not isinstance(said, dict):
                continue
            if request.method == "POST":
                if self.counted(json.loads(_unpacked(request.content))["dataValues"], said, element, combo):
                    return True
            elif isinstance(said.get("dataValues"), list):
                rows = [row for row in found_in(said["dataValues"]) if row.get("dataElement") == element]
                rows = [row for row in rows if row.get("categoryOptionCombo") == combo]
                mine = [
                    row
                    for row in rows
                    if row.get("period", payload["period"]) == payload["period"]
                    and row.get("orgUnit", _UNITS[payload["orgUnit"]]) == _UNITS[payload["orgUnit"]]
                ]
                # With a deletion wanted, or a figure: is it said that the server holds just that?
                if value["value"] is None and not rows:
                    return True
                if value["value"] is not None and any(_number(r.get("value")) == _number(value["value"]) for r in mine):
                    return True
        return False

    @staticmethod
    def counted(sent: list[Json], said: Json, element: str, combo: str) -> bool:
        """The counters account for every row that is not named as refused, and this row is not named."""
        summary = said.get("response")
        counts = summary.get("importCount") if isinstance(summary, dict) else None
        if not isinstance(summary, dict) or not isinstance(counts, dict):
            return False
        stored = [counts.get(name, 0) for name in ("imported", "updated", "deleted")]
        if any(type(count) is not int or count < 0 for count in stored):
            return False
        named = [i for i in summary.get("rejectedIndexes") or () if type(i) is int] if isinstance(
            summary.get("rejectedIndexes"), list) else []  # fmt: skip
        if isinstance(summary.get("conflicts"), list):
            for conflict in summary["conflicts"]:
                if isinstance(conflict, dict) and isinstance(conflict.get("indexes"), list):
                    named += [i for i in conflict["indexes"] if type(i) is int]
        refused = {i for i in named if 0 <= i < len(sent)}
        mine = [n for n, row in enumerate(sent) if (row["dataElement"], row["categoryOptionCombo"]) == (element, combo)]
        # Where the codes were answered wrong, the row went out under another id: then the count speaks for it.
        return sum(stored) == len(sent) - len(refused) and not refused.intersection(mine)

    def one_judged(self, delivery: Delivery, outcome: Outcome) -> list[str]:
        problems = super().one_judged(delivery, outcome)
        values = {(v["dataElement"], v["categoryOptionCombo"]): v for v in delivery.payload["values"]}
        if outcome.verdict is Verdict.ACCEPTED and len(outcome.per_value) != len(values):
            problems.append(f"{len(values)} values, {len(outcome.per_value)} fates")
        for fate in outcome.per_value:
            if _Dhis2Reasons.get(fate.reason) is None:
                problems.append(f"reason {fate.reason!r:.80} is in no table")
            value = values[fate.data_element, fate.category_option_combo]
            if fate.verdict is Verdict.ACCEPTED and not (
                self.value_held(delivery.payload, value) or self.value_confirmed(delivery.payload, value)
            ):
                problems.append(f"value accepted ({fate.reason}), but neither held nor confirmed: {value}")
        if all(fate.held for fate in outcome.per_value) and outcome.per_value:
            return [p for p in problems if "neither held nor confirmed" not in p]
        if outcome.verdict is Verdict.ACCEPTED and any(fate.held for fate in outcome.per_value):
            problems = [p for p in problems if not p.startswith("accepted (")]  # the held ones are for a person
        return problems

    async def settled(self, target: Any, batch: Sequence[Delivery], outcomes: Sequence[Outcome | None]) -> list[str]:
        if any(outcome is not None and any(fate.held for fate in outcome.per_value) for outcome in outcomes):
            self.line.clear()
            return []  # a person decides about a value that (it was said) is there
        return await super().settled(target, batch, outcomes)


def _number(value: Any) -> str:
    text = str(value)
    try:
        return f"{float(text):g}" if not isinstance(value, bool) else text
    except ValueError:
        return text


class Completions(Blocks):
    name = "dhis2_completions"
    requests = 2  # data set, the completion

    def wanted(self, rng: random.Random) -> list[Delivery]:
        self.sim.reset()
        unit, period = rng.choice(list(_UNITS)), rng.choice(("202607", "202608", "202609"))
        if rng.random() < 0.4:
            self.sim.completions["MH_SEC", unit, period, "default"] = {
                "date": "2026-10-01", "completed": True, "storedBy": "relais"
            }  # fmt: skip
        return [of_dhis2.completion(unit=unit, period=period, completed=rng.random() < 0.6)]

    def plain(self) -> list[Delivery]:
        self.sim.reset()
        return [of_dhis2.completion()]

    def held(self, delivery: Delivery) -> bool:
        payload = delivery.payload
        there = self.sim.completions.get((payload["dataSet"], payload["orgUnit"], payload["period"], "default"))
        return bool(there and there["completed"]) is payload["completed"]

    def resolvable(self, delivery: Delivery) -> bool:
        return True

    def confirmed(self, delivery: Delivery) -> bool:
        payload = delivery.payload
        for request, given in self.line.heard:
            if request.url.path != "/api/completeDataSetRegistrations":
                continue
            said = heard_json(given)
            if request.method == "DELETE" and given.status == 204 and not payload["completed"]:
                return True
            if request.method == "POST" and isinstance(said, dict) and self.counted([{}], said, "", ""):
                return True
            rows = said.get("completeDataSetRegistrations") if isinstance(said, dict) else None
            if request.method == "GET" and isinstance(said, dict) and not payload["completed"] and not rows:
                return True
            for row in found_in(rows):
                if (row.get("dataSet", "DsMonthly01"), row.get("period"), row.get("organisationUnit")) == (
                    "DsMonthly01", payload["period"], _UNITS[payload["orgUnit"]]
                ) and bool(row.get("completed", True)) is payload["completed"]:  # fmt: skip
                    return True
        return False

    def one_judged(self, delivery: Delivery, outcome: Outcome) -> list[str]:
        return TargetSpeaker.one_judged(self, delivery, outcome)

    @staticmethod
    def counted(sent: list[Json], said: Json, element: str, combo: str) -> bool:
        return Blocks.counted([{"dataElement": "", "categoryOptionCombo": ""}], said, "", "")


# ---------------------------------------------------------------- FHIR


class Bundles(TargetSpeaker):
    name = "fhir_bundles"
    requests = 2  # what the server can do, the bundle
    reasons = fhir_server.REASONS
    base = "http://127.0.0.1:8087/fhir"

    def renew(self) -> None:
        self.sim = FHIRSim(Plane())
        self.connect(self.sim)

    def target(self) -> FhirServerTarget:
        return FhirServerTarget(self.client, "fhir", {})

    def wanted(self, rng: random.Random) -> list[Delivery]:
        self.sim.reset()
        n = self.number
        payloads: list[Json] = [of_fhir.patient(f"p-{n}", active=rng.random() < 0.5)]
        payloads += [of_fhir.observation(f"r-{n}{i}", f"p-{n}") for i in range(rng.randrange(4))]
        if rng.random() < 0.2:
            payloads.append(of_fhir.gone("Patient", f"p-{n}999"))
        if rng.random() < 0.15:
            payloads.append(of_fhir.patient(f"p-{n}-bad", gender="F"))
        if rng.random() < 0.1:
            payloads.append(of_fhir.observation(f"r-{n}-later", "nobody"))
        rng.shuffle(payloads)
        return of_fhir.deliveries(*payloads)

    def plain(self) -> list[Delivery]:
        self.sim.reset()
        return of_fhir.deliveries(of_fhir.patient("p-1"), of_fhir.observation("r-1"), of_fhir.gone("Patient", "p-999"))

    @staticmethod
    def named(payload: Any) -> str:
        return f"{payload['resourceType']}/{payload['id']}"

    def held(self, delivery: Delivery) -> bool:
        resources = self.sim.state()["resources"]
        there = resources.get(self.named(delivery.payload))
        if delivery.payload.get("deleted"):
            return there is None
        return there is not None and {k: v for k, v in there.items() if k != "meta"} == dict(delivery.payload)

    def resolvable(self, delivery: Delivery) -> bool:
        return not delivery.payload["id"].endswith(("-bad", "-later"))

    def confirmed(self, delivery: Delivery) -> bool:
        name = self.named(delivery.payload)
        for request, given in self.line.heard:
            said = heard_json(given)
            if request.method == "GET" and isinstance(said, dict) and request.url.path.endswith(f"/{name}"):
                named = f"{said.get('resourceType')}/{said.get('id')}" == name
                unknown = given.status in (404, 410) and said.get("resourceType") == "OperationOutcome"
                if named or (unknown and delivery.payload.get("deleted")):
                    return True
            if request.method != "POST" or not isinstance(said, dict) or not isinstance(said.get("entry"), list):
                continue
            sent = json.loads(request.content)["entry"]
            for n, (entry, row) in enumerate(zip(sent, said["entry"], strict=False)):
                response = row.get("response") if isinstance(row, dict) else None
                if sent[n]["request"]["url"] != name or not isinstance(response, dict):
                    continue
                place = response.get("location")
                if isinstance(place, str) and f"{name}/_history/" in f"{place}/_history/":
                    return True
                if entry["request"]["method"] == "DELETE" and str(response.get("status"))[:3] in ("200", "202", "204"):
                    return True
        return False


# ---------------------------------------------------------------- a tracker of DHIS2


class Visits(TargetSpeaker):
    """People, their events and removals. What the rows keep is in ``self.rows``; ``self.there``: people accepted."""

    name = "dhis2_tracker"
    requests = 4  # the program, people, events, removals
    login: ClassVar[Json] = {"user": "relais", "password": "relais"}
    reasons = dhis2_tracker_answers.REASONS | dhis2_answers.REASONS

    def renew(self) -> None:
        self.sim = DHIS2Sim(of_tracker.metadata(), [], Plane())
        self.rows = of_tracker.Rows()
        self.there: set[str] = set()
        self.connect(self.sim)

    @property
    def progress(self) -> Any:
        return self.rows

    def target(self) -> Dhis2TrackerTarget:
        return Dhis2TrackerTarget(
            self.client, name="tracker", settings={}, names=of_tracker.NAMES, tracker=of_tracker.TRACKER
        )

    def begin(self) -> Any:
        self.sim.reset()
        self.rows.remote.clear()
        self.there.clear()
        return self.sim.tracker.held

    def wanted(self, rng: random.Random) -> list[Delivery]:
        held, who = self.begin(), f"w{self.number}"
        if rng.random() < 0.3:  # somebody registered her by hand
            held["TRACKED_ENTITY"]["TeOther0001"] = {
                "trackedEntity": "TeOther0001", "trackedEntityType": of_tracker.TYPE, "orgUnit": of_tracker.UNIT,
                "attributes": {"TeaUnique01": f"NID-{who}", "TeaName0001": "Wali"}, "deleted": False,
            }  # fmt: skip
        if rng.random() < 0.3:  # an identifier of ours was used up
            kind, uid, key = rng.choice((
                ("TRACKED_ENTITY", of_tracker.uid("p", who), "trackedEntity"),
                ("EVENT", of_tracker.uid("e", "v0"), "event"),
            ))  # fmt: skip
            inner = {"attributes": {}} if kind == "TRACKED_ENTITY" else {"dataValues": {}, "enrollment": ""}
            held[kind][uid] = {key: uid, "deleted": True, **inner}
        batch = [of_tracker.person(who, name="Wali", nid=f"NID-{who}")]
        batch += [of_tracker.event(f"v{n}", who, DT_MUST=str(n + 1)) for n in range(rng.randrange(3))]
        if rng.random() < 0.3:
            batch.append(of_tracker.gone("never"))
        return [replace(one, id=n) for n, one in enumerate(batch)]

    def plain(self) -> list[Delivery]:
        self.begin()
        batch = [of_tracker.person("w", nid="NID-w"), of_tracker.event("v0", "w"), of_tracker.gone("never")]
        return [replace(one, id=n) for n, one in enumerate(batch)]

    async def before(self, rng: random.Random, batch: list[Delivery]) -> list[Delivery]:
        """Sometimes all is there, and corrected or taken back since."""
        if rng.random() > 0.3:
            return batch
        done = await self.target().deliver(batch, self.rows)
        batch = [self.after(one, outcome) for one, outcome in zip(batch, done, strict=True)]
        if len(batch) > 1 and batch[1].kind == "event" and not batch[1].payload.get("deleted"):
            changed = {**batch[1].payload, "values": {"DT_MUST": "9"}, "known": True}
            taken = {"uid": batch[1].payload["uid"], "deleted": True}
            batch[1] = replace(batch[1], generation=2, payload=rng.choice((changed, taken)))
        return batch

    def after(self, delivery: Delivery, outcome: Outcome | None) -> Delivery:
        one = replace(super().after(delivery, outcome), remote=self.rows.remote.get(delivery.key, delivery.remote))
        if one.kind == "tracked_entity" and outcome is not None and outcome.verdict is Verdict.ACCEPTED:
            self.there.add(one.key)
        known = {"known": one.unsure or bool(one.payload.get("known"))}
        if "person" in one.payload:
            person = one.payload["person"]
            known["entity"] = self.rows.remote.get(person, {}) if person in self.there else None
        return replace(one, payload={**one.payload, **known})

    def uid(self, delivery: Delivery) -> str:
        remote = self.rows.remote.get(delivery.key, {})
        n = remote.get("n", remote.get("entity_n", 0))
        base: str = remote.get("trackedEntity") or delivery.payload["uid"]
        return of_tracker.uid(base, str(n)) if n and "trackedEntity" not in remote else base

    def held(self, delivery: Delivery) -> bool:
        state, payload = self.sim.state()["tracker"], delivery.payload
        if delivery.kind == "event":
            ids = {payload["uid"], *(of_tracker.uid(payload["uid"], str(n)) for n in range(1, 5))}
            found = [one for one in state["events"] if one["event"] in ids]
            if payload.get("deleted"):
                return not found
            enrolled = {one["enrollment"] for one in state["enrollments"]}
            return [one["dataValues"] for one in found] == [{"DtMust00001": payload["values"]["DT_MUST"]}] and (
                found[0]["enrollment"] in enrolled
            )
        nid = payload["attributes"]["TEA_NID"]
        people = [
            one["trackedEntity"] for one in state["trackedEntities"] if one["attributes"].get("TeaUnique01") == nid
        ]
        enrollments = [one for one in state["enrollments"] if [one["trackedEntity"]] == people]
        return len(people) == 1 and len(enrollments) == 1

    def confirmed(self, delivery: Delivery) -> bool:
        """A report or an object names its identifier; of what is to be gone, that it was never there."""
        uid = self.uid(delivery)
        for request, given in self.line.heard:
            said = heard_json(given)
            for node in found_in(said):
                if uid in (node.get("uid"), node.get("trackedEntity"), node.get("event")):
                    return True
            if delivery.payload.get("deleted") and request.url.path.endswith(uid) and given.status == 404:
                return True
        return False


# ---------------------------------------------------------------- answers to CHT


class ChtAnswers(TargetSpeaker):
    name = "cht_answers"
    requests = 3  # refused as it is there already, read, put over it
    reasons = cht_answers.REASONS
    login: ClassVar[Json] = {"user": "relais", "password": "relais-sandbox"}

    def renew(self) -> None:
        self.sim = CHTSim(Plane())
        self.connect(self.sim)

    def target(self) -> ChtAnswersTarget:
        return ChtAnswersTarget(self.client, "cht_answers", {"database": "medic"})

    def wanted(self, rng: random.Random) -> list[Delivery]:
        documents = []
        for i in range(rng.randrange(1, 3)):
            document = of_cht.answer(f"a-{self.number}{rng.randrange(1000)}{i}", advice=rng.choice(("x", "Revenir")))
            if rng.random() < 0.4:
                before = {**document, "fields": {**document["fields"], "advice": rng.choice(("x", "y"))}}
                self.sim.put(before)
            documents.append(document)
        return [replace(of_cht.delivery(d), id=n) for n, d in enumerate(documents)]

    def plain(self) -> list[Delivery]:
        self.sim.reset()
        self.sim.put(of_cht.answer("a-1", advice="before"))
        return [of_cht.delivery(of_cht.answer("a-1", advice="x"))]

    def held(self, delivery: Delivery) -> bool:
        there = [doc for doc in self.sim.state()["docs"] if doc["_id"] == delivery.payload["_id"]]
        return [{k: v for k, v in doc.items() if k != "_rev"} for doc in there] == [dict(delivery.payload)]

    def confirmed(self, delivery: Delivery) -> bool:
        for request, given in self.line.heard:
            said = heard_json(given)
            if not isinstance(said, dict):
                continue
            if request.method == "PUT" and said.get("ok") is True and said.get("id") == delivery.payload["_id"]:
                return True
            if {k: v for k, v in said.items() if k != "_rev"} == dict(delivery.payload):
                return True
        return False


# ---------------------------------------------------------------- OpenMRS


class Referrals(TargetSpeaker):
    name = "openmrs_referrals"
    requests = of_openmrs.REQUESTS
    renewed_every = 40
    reasons = openmrs_answers.REASONS
    base = "http://127.0.0.1/openmrs"
    login: ClassVar[Json] = {"user": "relais", "password": "Relais-sandbox-1"}

    def renew(self) -> None:
        self.sim = OpenMRSSim(of_openmrs.meta.default_metadata(of_openmrs.CLINICS), [], Plane())
        self.ledger = of_openmrs.Ledger()
        self.connect(self.sim)

    @property
    def progress(self) -> Any:
        return self.ledger

    def target(self) -> OpenmrsTarget:
        return OpenmrsTarget(
            self.client, name="openmrs", settings={"profile": "o3"}, openmrs=of_openmrs.OPENMRS, names=of_openmrs.NAMES,
            zone="Africa/Bamako",
        )  # fmt: skip

    def wanted(self, rng: random.Random) -> list[Delivery]:
        return [self.delivery(f"r-{self.number}{rng.randrange(10**6)}", f"p-{rng.randrange(10**6)}")]

    def delivery(self, key: str, person: str) -> Delivery:
        payload = of_openmrs.payload(key, person)
        number = int(re.sub(r"\D", "", key))
        return Delivery(number, "openmrs", f"cht/reports/{key}", "referral", 1, key, payload)

    def plain(self) -> list[Delivery]:
        return [self.delivery(f"r-{self.number}", f"p-{self.number}")]

    async def before(self, rng: random.Random, batch: list[Delivery]) -> list[Delivery]:
        """Some referrals are at the clinic already, and corrected or taken back since."""
        chance = rng.random()
        if chance > 0.4:
            return batch
        await self.target().deliver(batch, self.ledger)
        change: Json = {"note": "Autre chose"} if chance < 0.2 else {"deleted": True}
        one = self.after(batch[0], Outcome(Verdict.ACCEPTED, ""))
        return [replace(one, generation=2, payload={**one.payload, **change})]

    def after(self, delivery: Delivery, outcome: Outcome | None) -> Delivery:
        step, remote = self.ledger.rows.get(delivery.id, (delivery.step, dict(delivery.remote)))
        return replace(super().after(delivery, outcome), step=step, remote=remote)

    def held(self, delivery: Delivery) -> bool:
        payload, state = delivery.payload, self.sim.state()
        person = payload["patient"]["identifier"][0]["value"]
        patients = [p for p in state["patients"] if ["CHW Patient ID", person] in p["identifiers"] and not p["voided"]]
        visits = [
            e
            for e in state["encounters"]
            if not e["voided"] and (of_openmrs.meta.REFERRAL_NUMBER, payload["number"])
            in {(o["concept"], o["value"]) for o in e["obs"]}
        ]  # fmt: skip
        booked = [a for a in state["appointments"] if a["number"] == payload["number"] and not a["voided"]]
        booked = [a for a in booked if a["status"] != "Cancelled"]
        if payload["deleted"]:
            return not visits and not booked
        notes = {o["value"] for e in visits for o in e["obs"]}
        return (len(patients), len(visits), len(booked)) == (1, 1, 1) and payload["note"] in notes

    def confirmed(self, delivery: Delivery) -> bool:
        """The encounter's id and the appointment's number were heard in answers that are not refusals."""
        payload = delivery.payload
        ours = self.ledger.rows.get(delivery.id, ("", {}))[1].get("encounter") or payload["encounter"]["id"]
        objects = [node for _, given in self.line.heard for node in found_in(heard_json(given))]
        if payload["deleted"]:
            return self.taken_back(ours, objects)
        return any(node.get("uuid") == ours for node in objects) and (
            any(node.get("appointmentNumber") == payload["number"] for node in objects)
            or bool(delivery.remote.get("appointment"))
            or any(node.get("uuid") == ours and node.get("voided") for node in objects)
        )

    def deceived(self, delivery: Delivery) -> bool:
        """The encounter that is replaced was said to be gone, and stands."""
        standing = {f"/{e['uuid']}" for e in self.sim.state()["encounters"] if not e["voided"]}
        gone = [r.url.path for r, given in self.line.heard if r.method == "DELETE" and given.status in (204, 404)]
        return any(path.endswith(one) for path in gone for one in standing)

    def taken_back(self, ours: str, objects: list[Json]) -> bool:
        """The encounter was said to be gone, or its deletion done; the appointment to be cancelled, or not there."""
        gone = any(node.get("uuid") == ours and node.get("voided") is True for node in objects)
        free = any(node.get("status") == "Cancelled" for node in objects)
        for request, given in self.line.heard:
            asked = request.url.path.endswith(ours)
            gone = gone or (asked and given.status in (204, 404))
            free = free or (request.url.path.endswith("/search") and "Scheduled" not in str(heard_json(given)))
        return gone and free


# ---------------------------------------------------------------- sources


class Feed(Speaker):
    """CHT's feed of changes. What a page says is not to be known better; but it is read whole or not at all."""

    name = "cht_feed"
    requests = 3
    login: ClassVar[Json] = {"user": "relais", "password": "relais-sandbox"}

    def renew(self) -> None:
        docs = [{**of_cht.answer(f"d-{n}"), "form": "visit"} for n in range(7)]
        self.sim = CHTSim(Plane(), docs)
        self.sim.delete("d-3", keep_body=False)
        self.connect(self.sim)

    async def play(self, rng: random.Random, spoil: Spoil) -> list[str]:
        self.number += 1
        size, most = (100, 10**6) if self.calm else (rng.choice((2, 3, 100)), rng.choice((700, 10**6)))
        source = ChtSource(self.client, "cht", {"page_size": size, "max_bytes": most})
        self.line.clear()
        self.line.spoil = spoil
        problems, _ = await self.guarded("pages", lambda: self.read(source), SourceError)
        if rng.random() < 0.1:
            problems += await self.probed(source, spoil)
        self.good_answers()
        self.line.clear()
        pages = await self.read(source)
        found = {record.key for page in pages for record in page.records}
        if found != {f"d-{n}" for n in range(7)}:
            problems.append(f"over a good line: {sorted(found)}")
        return problems + self.form

    async def read(self, source: ChtSource) -> list[Page]:
        self.form: list[str] = []
        pages = []
        async for page in source.pages(None):
            pages.append(page)
            if not isinstance(page.cursor.value, str) or not isinstance(page.cursor.instance, str):
                self.form.append(f"cursor {page.cursor!r:.100}")
            if page.behind is not None and (type(page.behind) is not int or page.behind < 0):
                self.form.append(f"behind {page.behind!r:.100}")
            self.form += [f"record {r!r:.150}" for r in page.records if not sound(r)]
        return pages


def sound(record: Record) -> bool:
    """A record the store can keep."""
    names = (record.source, record.stream, record.key, record.revision)
    return (
        all(isinstance(name, str) and name and "\0" not in name for name in names)
        and isinstance(record.form, str | None)
        and "\0" not in (record.form or "")
        and isinstance(record.deleted, bool)
        and isinstance(record.body, dict)
    )


class ClinicAnswers(Speaker):
    """The clinic's answers, read by id."""

    name = "openmrs_answers"
    requests = 3
    base = Referrals.base
    login = Referrals.login

    def renew(self) -> None:
        self.clinic = Referrals()
        self.connect(self.clinic.sim)
        self.open: list[OpenReferral] = []

    async def prepare(self) -> None:
        target = self.clinic.target()
        for n in range(1, 4):
            delivery = self.clinic.delivery(f"r-{n}", f"p-{n}")
            (outcome,) = await target.deliver([delivery], self.clinic.ledger)
            assert outcome.verdict is Verdict.ACCEPTED
            remote = self.clinic.ledger.rows[delivery.id][1]
            self.open.append(OpenReferral(delivery.key, f"r-{n}", date(2026, 7, 10), remote))
        for number, act in (("r-1", "completed"), ("r-2", "missed"), ("r-3", "cancelled")):
            self.clinic.sim.people({"number": number, "act": act, "at": "2026-07-12T09:00:00Z"})

    async def play(self, rng: random.Random, spoil: Spoil) -> list[str]:
        if not self.open:
            await self.prepare()
        feed = OpenmrsAnswers(self.client, openmrs=of_openmrs.OPENMRS, settings={"profile": "o3"}, zone="Africa/Bamako")
        asked = self.open if not self.calm and rng.random() < 0.3 else [rng.choice(self.open)]
        self.line.clear()
        self.line.spoil = spoil
        problems, records = await self.guarded("answers", lambda: feed.answers(asked), SourceError)
        self.attempted = self.line.asked
        problems += [f"record {r!r:.150}" for r in records or () if not sound(r)]
        self.good_answers()
        self.line.clear()
        told = Counter(r.body["status"] for r in await feed.answers(self.open))
        if told != Counter(completed=1, missed=1, cancelled=1):
            problems.append(f"over a good line: {dict(told)}")
        return problems


SPEAKERS: tuple[type[Speaker], ...] = (
    Blocks, Completions, Visits, Bundles, ChtAnswers, Referrals, Feed, ClinicAnswers,
)  # fmt: skip
