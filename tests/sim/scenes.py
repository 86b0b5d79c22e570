"""The scenarios in which a process dies at every boundary (``crashes.py``): what one quarter's work is made of."""

from __future__ import annotations

import orjson

from connector import crypto
from connector.engine import erasing, intake, rekeying, retention
from connector.engine.actions import Actions
from connector.engine.reconcile import reconcile
from connector.store.keeping import ENCRYPTED
from tests.sim.crashes import Stage, scenario
from tests.sim.plan import CANARY, WORKERS, Doc, at_site
from tests.sim.world import Process

ANNA, MODIBO = "person-a", "person-b"


def person(key: str = ANNA, born: str = "2024-03-11", sex: str = "female") -> Doc:
    return {
        "_id": key, "type": "contact", "contact_type": "person", "name": f"{CANARY} {key}", "date_of_birth": born,
        "sex": sex, "parent": {"_id": f"home-{key}"},
    }  # fmt: skip


def visit(
    key: str, day: str = "2026-08-10", *, who: str = ANNA, worker: str = "asc-002", rdt: str = "positive",
    refer: bool = False,
) -> Doc:  # fmt: skip
    fields: Doc = {"visit_date": day, "patient_id": who, "group_fever": {"patient_fever": "yes", "mrdt_result": rdt}}
    if refer:
        fields["referral"] = {
            "is_referred": "yes", "referred_to": "area-1", "urgency": "urgent", "reason": "danger_sign",
            "note": f"{CANARY} note",
        }  # fmt: skip
    return {
        "_id": key, "type": "data_record", "form": "assessment", "content_type": "xml",
        "reported_date": 1_790_000_000_000, "contact": {"_id": worker, "parent": at_site(WORKERS[worker])},
        "fields": fields,
    }  # fmt: skip


@scenario("first-page", "dhis2", "fhir")
async def first_page(stage: Stage) -> None:
    """The first page of a new source: persons, visits, figures and resources."""
    stage.put(person(), person(MODIBO, "2021-02-01", "male"))
    stage.put(visit("visit-1"), visit("visit-2", "2026-09-12", who=MODIBO))
    await stage.run()


@scenario("pushed", "dhis2")
async def pushed(stage: Stage) -> None:
    """The app pushes a visit and its correction before the pull reads them; unanswered, it pushes again."""
    stage.put(person(), visit("visit-1"))
    await stage.begin(lambda p: _push(stage, p, "visit-1"))
    await stage.run()
    stage.put(visit("visit-1", rdt="negative"))
    await stage.begin(lambda p: _push(stage, p, "visit-1"))
    await stage.run()


@scenario("there-and-back", "dhis2")
async def there_and_back(stage: Stage) -> None:
    """A, corrected to B, corrected back to A: the body of A is known, and A must be what counts."""
    first, other = visit("visit-1"), visit("visit-1", rdt="negative")
    stage.put(person(), first)
    await stage.run()
    stage.put(other)
    await stage.run()
    stage.put(first)
    await stage.run()


@scenario("deletion", "dhis2", "fhir")
async def deletion(stage: Stage) -> None:
    """A visit goes with a stub that holds nothing but its id; its figure goes to zero, its resources go."""
    stage.put(person(), visit("visit-1"), visit("visit-2", rdt="negative"))
    await stage.run()
    stage.happens("delete", "visit-1", {"keep": False})
    await stage.run()


@scenario("referral", "openmrs")
async def referral(stage: Stage) -> None:
    """Patient, encounter, appointment: three steps at one target, each with ids to keep."""
    stage.put(person(), visit("visit-1", refer=True))
    await stage.run()


@scenario("answer", "openmrs", "cht_answers", staff=(("visit-1", "completed"),))
async def answer(stage: Stage) -> None:
    """The clinic has seen the patient; that enters the inbox and goes back to CHT."""
    stage.put(person(), visit("visit-1", refer=True))
    await stage.run()
    await stage.later(minutes=10)
    await stage.run()


@scenario("refused-value", "dhis2")
async def refused_value(stage: Stage) -> None:
    """DHIS2 refuses one value of a block, the rest goes; somebody mends it there and retries what is parked."""
    stage.put(person(), visit("visit-1"))
    stage.dhis2.refuse = [{"code": "E7619", "match": {"dataElement": "MH_A04"}}]
    await stage.run(outcome="needs_a_person")
    assert {v["dataElement"] for v in stage.dhis2.state()["values"]} > {"MH_B01_DEN"}
    stage.dhis2.refuse = []
    await stage.begin(lambda p: Actions(p.engine).retry(_parked(stage), "operator"))
    await stage.run()


@scenario("completion", "dhis2")
async def completion(stage: Stage) -> None:
    """Two workers of a site; the month is complete when both have reported, and only after their values are there."""
    stage.put(person(), visit("visit-1", worker="asc-001"))
    await stage.run()
    stage.put(visit("visit-2", "2026-08-12", worker="asc-013", rdt="negative"))
    await stage.run()


@scenario("lost-answer", "dhis2", "openmrs")
async def lost_answer(stage: Stage) -> None:
    """The answers to the block, the encounter and the appointment are lost: quiet time, then a look before sending."""
    stage.expect("lost_answer", "dhis2", "/api/dataValueSets")
    stage.expect("lost_answer", "openmrs", "/encounter")
    stage.expect("lost_answer", "openmrs", "/appointments")
    stage.put(person(), visit("visit-1", refer=True))
    await stage.run()


@scenario("late-arrival", "openmrs")
async def late_arrival(stage: Stage) -> None:
    """The client gives up on the appointment; the request arrives minutes later: nothing may be sent before that."""
    stage.expect("late", "openmrs", "/appointments")
    stage.put(person(), visit("visit-1", refer=True))
    await stage.run()


@scenario("withdrawn-referral", "openmrs")
async def withdrawn_referral(stage: Stage) -> None:
    """The visit is corrected and refers nobody any more: the appointment is cancelled, the encounter voided."""
    stage.put(person(), visit("visit-1", refer=True))
    await stage.run()
    stage.put(visit("visit-1"))
    await stage.run()


@scenario("tracker", "tracker")
async def tracker(stage: Stage) -> None:
    """People, enrolments and events of a program: one is there by hand, an answer is lost, a visit is corrected and
    moves to the other person, one goes, and what was removed there comes again under the next identifier."""
    stage.put(person(), person(MODIBO, "2021-02-01", "male"))
    stage.put(visit("visit-1"), visit("visit-2", "2026-09-12", who=MODIBO))
    stage.expect("tracker_known", "tracker")
    await stage.run()
    stage.expect("lost_answer", "tracker")
    stage.put(visit("visit-1", rdt="negative"), visit("visit-2", "2026-09-12"))
    await stage.run()
    stage.program.remove("EVENT", next(iter(sorted(e["event"] for e in stage.dhis2.state()["tracker"]["events"]))))
    stage.put(visit("visit-1", "2026-08-11"), visit("visit-2", "2026-09-13"))
    await stage.run()
    stage.happens("delete", "visit-2", {"keep": True})
    await stage.run()


@scenario("drift", "dhis2", "fhir")
async def drift(stage: Stage) -> None:
    """A value and a resource vanish at the targets; ``relais reconcile`` finds both and they are sent again."""
    stage.put(person(), visit("visit-1"))
    await stage.run()
    gone = next(v for v in stage.dhis2.state()["values"] if v["dataElement"] == "MH_A04")
    stage.dhis2._type_in([{**gone, "deleted": True}])
    del stage.fhir._held[next(key for key in sorted(stage.fhir._held) if key.startswith("Observation/"))]
    for target in ("dhis2", "fhir"):
        await stage.begin(lambda p, t=target: reconcile(p.engine, t))
    await stage.run()


@scenario("purge", "dhis2")
async def purge(stage: Stage) -> None:
    """The texts are forgotten after three months; then a tombstone comes for one of the purged records."""
    stage.put(person(), visit("visit-1"), visit("visit-2", "2026-09-12", rdt="negative"))
    await stage.run()
    await stage.later(days=100)
    await stage.begin(lambda p: retention.purge(p.engine))
    stage.happens("delete", "visit-1", {"keep": True})
    await stage.run()


@scenario("restore", "dhis2", "openmrs")
async def restore(stage: Stage) -> None:
    """A backup from before the last edits and a referral is put back: nothing is doubled, nothing forgotten."""
    stage.put(person(), visit("visit-1"))
    await stage.run()
    backup = stage.backup()
    stage.put(visit("visit-1", rdt="negative"), visit("visit-2", "2026-09-12", refer=True))
    await stage.run()
    stage.put_back(backup)
    await stage.run(after_restore=True)


@scenario("forgotten-person", "dhis2", "fhir")
async def forgotten_person(stage: Stage) -> None:
    """A person asks to be forgotten: her resources go, the figures stay, and everything is encrypted anew."""
    stage.put(person(), person(MODIBO, "2021-02-01", "male"), visit("visit-1"), visit("visit-2", who=MODIBO))
    await stage.run()
    stage.unlike = {"fhir"}  # that her resources go is not in the log of the source
    await stage.begin(lambda p: erasing.erase(p.engine, "cht", MODIBO, "she asked", "operator"))
    await stage.begin(lambda p: rekeying.again(p.engine, ENCRYPTED, crypto.fresh_keys, _generation))
    await stage.run()
    assert MODIBO not in str(stage.fhir.state()["resources"]) and ANNA in str(stage.fhir.state()["resources"])


def _push(stage: Stage, process: Process, key: str) -> None:
    document = orjson.dumps(stage.cht._docs[key].whole())
    assert intake.take_pushed(process.engine, "cht", document, None, "cht")


def _generation(blob: bytes) -> int:
    return crypto.generation_of(crypto.key_of(blob))


def _parked(stage: Stage) -> list[int]:
    return [int(r["id"]) for r in stage.rows("SELECT id FROM delivery WHERE state='parked'")]
