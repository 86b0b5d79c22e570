"""What is forgotten and when, while figures stay and are explained; how keys change under a running Relais; how a
person who asks for it is forgotten."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest

from connector import cli, crypto
from connector.engine import erasing, lineage, retention, same_person
from connector.engine import plan as planning
from connector.errors import ConfigError, WrongKey
from connector.mappings.pack import Pack
from tests.engine.house import ANNA, MASTER_KEY, MODIBO, Make, Road, a_few, person, visit

NAME = "Zorblatha"
NEW_KEY = "d" * 42 + "A"


def bodies(road: Road, where: str = "1=1") -> int:
    return int(road.one(f"SELECT COUNT(*) AS n FROM body WHERE body_enc IS NOT NULL AND {where}")["n"])


def explained(road: Road) -> list[Any]:
    """Every figure with its places and records, as explain tells it."""
    cells = road.rows("SELECT * FROM cell WHERE records > 0 ORDER BY id")
    found = []
    for cell in cells:
        document = lineage.explain(road.engine, cell["data_element"], cell["org_unit"], cell["period"], cell["combo"])
        assert document is not None
        records = [{k: v for k, v in r.items() if k != "purged"} for r in document["records"]]
        found.append((document["value"]["current"], document["led"], records))
    return found


@pytest.fixture
def settled(make_road: Make) -> Road:
    docs = [d for d in a_few() if d["_id"] != ANNA] + [person(ANNA, NAME)]
    road = make_road(docs)
    road.openmrs.staff = lambda number: {"act": "completed", "diagnosis": "CIEL:116128", "advice": NAME}
    road.openmrs.reset()
    road.settle()
    road.later(hours=1)
    road.settle()
    return road


# ---------------------------------------------------------------- purge


def test_bodies_go_after_ninety_days_and_activities_after_two_years_and_figures_stay(settled: Road) -> None:
    road = settled
    values, told, before = road.values(), explained(road), bodies(road)
    assert before > 8
    road.later(days=89)
    assert retention.purge(road.engine)["bodies"] == 0 and bodies(road) == before
    road.later(days=2)
    dry = retention.purge(road.engine, dry_run=True)
    assert (
        dry["records"] > 0 and bodies(road) == before and not road.rows("SELECT 1 FROM head WHERE purged IS NOT NULL")
    )
    found = retention.purge(road.engine)
    assert found["records"] == dry["records"] and found["bodies"] == before and bodies(road) == 0
    assert found["activities"] == 0 and found["answers"] > 0 and found["waiting"] == 0
    assert explained(road) == told, "with its places and its records"
    trace = lineage.trace(road.engine, "cht/reports/visit-08-1")
    assert trace is not None and trace["record"]["purged"] and trace["facts"], "what it said is still known"
    road.settle()
    assert road.values() == values and road.quarantined() == {}

    road.later(days=700)
    found = retention.purge(road.engine)
    assert found["activities"] > 0 and found["requests"] > 0
    assert explained(road) == told
    trace = lineage.trace(road.engine, "cht/reports/visit-08-1")
    assert trace is not None and trace["facts"] == [] and trace["cells"] and trace["record"]["place"]
    road.settle()
    road.reconcile("dhis2")
    road.reconcile("fhir")
    assert road.values() == values
    assert retention.purge(road.engine)["records"] == 0, "once is enough"


def test_nothing_goes_of_a_record_that_anything_waits_for(make_road: Make) -> None:
    docs = [
        *a_few(),
        visit("bad-date", "someday"),
        visit("nobody-yet", "2026-08-14", subject="person-later", refer=True),
    ]
    road = make_road(docs)
    road.dhis2.refuse = [{"match": {"dataElement": "MH_B02_NUM"}, "code": "E7619"}]
    road.openmrs.plane.arm({"down": True})
    road.run()
    road.later(days=400)
    road.cht.put(visit("fresh", "2026-09-02", rdt="negative"))
    road.engine.store.write(lambda unit: unit.dirty_records(["cht/contacts/person-modibo"]))
    road.engine.store.write(lambda unit: unit._done("UPDATE head SET state='vanished' WHERE key='area-1'"))
    found = retention.purge(road.engine)
    kept = {row["key"] for row in road.rows("SELECT key FROM body WHERE body_enc IS NOT NULL")}
    assert {"bad-date", "nobody-yet"} <= kept, "in quarantine; waits for its person"
    assert {"visit-07-1", "visit-08-1", "visit-09-1"} <= kept, "counts in a figure that is refused"
    assert {"person-modibo", "area-1"} <= kept, "to be mapped again; vanished, so a person decides"
    assert "person-anna" not in kept and found["waiting"] >= 7


def test_a_tombstone_of_a_purged_record_takes_its_figures_away(settled: Road) -> None:
    road = settled
    road.later(days=800)
    retention.purge(road.engine)
    assert road.rows("SELECT 1 FROM contribution WHERE record='cht/reports/visit-08-1'")
    road.cht.delete("visit-08-1")
    road.settle()
    assert not road.rows("SELECT 1 FROM contribution WHERE record='cht/reports/visit-08-1'")
    held = {r["value"] for r in road.rows("SELECT * FROM cell WHERE period='202608' AND data_element='MH_B02_NUM'")}
    assert held <= {None, "0", "1"} and road.reconcile("dhis2")["different"] == 0


def test_a_purged_record_that_comes_again_edited_is_mapped_again(settled: Road) -> None:
    road = settled
    road.later(days=100)
    retention.purge(road.engine)
    before = road.one("SELECT revision FROM head WHERE key='visit-07-1'")["revision"]
    road.cht.edit("visit-07-1", {"fields": visit("visit-07-1", "2026-07-10", rdt="negative")["fields"]})
    road.settle()
    head = road.one("SELECT * FROM head WHERE key='visit-07-1'")
    assert head["state"] == "mapped" and head["purged"] is None and head["revision"] != before
    assert bodies(road, "key='visit-07-1'") == 1


def test_a_new_mapping_leaves_purged_records_as_they_were_counted(settled: Road) -> None:
    road = settled
    road.later(days=100)
    retention.purge(road.engine)
    assert planning.plan(road.engine)["frozen"] == 0
    told = explained(road)

    def newer(pack: Pack) -> Pack:
        forms = {
            key: replace(form, version="newer") if form.name == "assessment" else form
            for key, form in pack.forms.items()
        }
        return replace(pack, version="newer", forms=forms)

    road.again(newer)
    road.settle()
    assert explained(road) == told and road.quarantined() == {}
    assert planning.plan(road.engine)["frozen"] == 6


def test_a_month_without_bodies_needs_no_key(settled: Road) -> None:
    road = settled
    assert road.house is not None
    ours = [k for k in (r["id"] for r in road.rows("SELECT id FROM data_key")) if k.startswith("body/")]
    road.later(days=300)
    found = retention.purge(road.engine)
    left = [k for k in (r["id"] for r in road.rows("SELECT id FROM data_key")) if k.startswith("body/")]
    assert found["keys"] == len(ours) > 0 and left == []
    assert any(r["event"] == "key.destroyed" for r in road.rows("SELECT event FROM audit"))


@pytest.mark.parametrize(
    ("span", "day"),
    [("90d", "2026-08-01"), ("24 months", "2024-10-28"), ("1 year", "2025-10-28"), ("1 month", "2026-09-28")],
)
def test_spans_of_days_and_months(span: str, day: str) -> None:
    assert retention.before(span, date(2026, 10, 30)).isoformat() == day


def test_a_span_that_is_none_purges_nothing(settled: Road) -> None:
    with pytest.raises(ConfigError, match="Nothing was purged"):
        retention.before("a while", settled.clock.now().date())


# ---------------------------------------------------------------- the master key


def relais(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["relais", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


def test_the_master_key_changes_under_a_running_relais(
    settled: Road, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    road = settled
    road.close()
    assert relais(monkeypatch, "rekey") == 2, "no new key is set"
    monkeypatch.setenv("RELAIS_NEW_MASTER_KEY", MASTER_KEY)
    assert relais(monkeypatch, "rekey") == 2, "the same key"
    monkeypatch.setenv("RELAIS_NEW_MASTER_KEY", NEW_KEY)
    road.open()  # serves with both keys while the command runs
    capfd.readouterr()
    assert relais(monkeypatch, "rekey", "--json") == 0
    assert orjson.loads(capfd.readouterr().out)["keys"] > 3
    assert relais(monkeypatch, "rekey", "--json") == 0
    assert orjson.loads(capfd.readouterr().out) == {"keys": 0, "already": True, "values": {}}, "given again: nothing"
    road.cht.put(visit("meanwhile", "2026-08-30"))
    road.settle()
    assert road.house is not None and road.house.cipher.keyed_hash("x")
    road.house.cipher._now = lambda: road.clock.now().replace(year=2030)  # a month nobody has a key for yet
    road.cht.put(visit("a new month", "2026-08-29"))
    road.settle()
    road.close()

    monkeypatch.setenv("RELAIS_MASTER_KEY", NEW_KEY)
    monkeypatch.delenv("RELAIS_NEW_MASTER_KEY")
    capfd.readouterr()
    assert relais(monkeypatch, "audit", "verify", "--json") == 0, "heads signed before still verify"
    road.open()
    opened = road.engine.store.read(
        lambda unit: [
            unit.open("body", r["body_enc"]) for r in unit._rows("SELECT body_enc FROM body WHERE body_enc IS NOT NULL")
        ]
    )
    assert NAME in str(opened) and "a new month" in str(opened)
    road.close()
    monkeypatch.setenv("RELAIS_MASTER_KEY", MASTER_KEY)
    assert relais(monkeypatch, "status") == 2, "the old key is wrong now"
    monkeypatch.setenv("RELAIS_NEW_MASTER_KEY", "e" * 42 + "A")
    assert relais(monkeypatch, "rekey") == 2, "and so is a stranger's"
    monkeypatch.setenv("RELAIS_MASTER_KEY", NEW_KEY)
    monkeypatch.delenv("RELAIS_NEW_MASTER_KEY")


def test_who_still_has_the_old_key_only_makes_no_key_that_nobody_can_open(
    settled: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    road = settled
    old, new = (crypto.parse_master_key(text) for text in (MASTER_KEY, NEW_KEY))
    road.engine.store.write(lambda unit: crypto.rekey(unit.connection, old, new))
    assert road.house is not None
    road.house.cipher._now = lambda: road.clock.now().replace(year=2030)
    with pytest.raises(WrongKey, match="Restart"):
        road.engine.store.write(lambda unit: unit.seal("body", {"a": 1}))
    assert not road.rows("SELECT id FROM data_key WHERE id LIKE 'body/2030%'")


def test_everything_can_be_encrypted_with_fresh_keys_and_an_interruption_is_taken_up(
    settled: Road, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    from connector.engine import rekeying
    from connector.store.keeping import ENCRYPTED

    road = settled
    monkeypatch.setattr(rekeying, "CHUNK", 3)
    road.cht.put(person("person-again", NAME))
    theirs = {"uuid": "theirs", "given": "Sira", "family": "Ballo", "gender": "F", "birthdate": "2024-03-11"}
    road.openmrs._known_patient(theirs)  # so that somebody must say who is referred
    road.cht.put(person("person-asked", "Sira Ballo"))
    road.cht.put(visit("asked", "2026-09-29", subject="person-asked", refer=True))
    road.settle()
    same_person.declare(road.engine, ("cht", ANNA), ("cht", "person-again"), NAME, "awa")

    def generations() -> set[int]:
        found = set()
        for table, (_, _, column) in ENCRYPTED.items():
            rows = road.rows(f"SELECT {column} AS b FROM {table} WHERE {column} IS NOT NULL AND LENGTH({column}) > 0")
            assert rows, table
            found |= {crypto.generation_of(crypto.key_of(bytes(r["b"]))) for r in rows}
        return found

    assert generations() == {0}
    seen: list[int] = []

    def interrupted(stage: str, count: int) -> None:
        seen.append(count)
        if len(seen) == 5:
            raise KeyboardInterrupt

    road.engine.progress = interrupted
    arguments = (ENCRYPTED, crypto.fresh_keys, lambda blob: crypto.generation_of(crypto.key_of(blob)))
    with pytest.raises(KeyboardInterrupt):
        rekeying.again(road.engine, *arguments)
    assert generations() == {0, 1}
    road.again()
    road.cht.put(visit("meanwhile", "2026-08-30"))
    road.settle()
    road.close()
    capfd.readouterr()
    assert relais(monkeypatch, "rekey", "--fresh", "--json") == 0
    road.open()
    assert generations() == {1}, "the pass that was interrupted, not one more"
    assert NAME in str(
        road.engine.store.read(lambda u: [u.open("body", r["body_enc"]) for r in u._rows("SELECT * FROM body")])
    )
    road.settle()
    assert road.quarantined() == {}


# ---------------------------------------------------------------- a person


def whole_database(road: Road) -> str:
    """Everything in every column, decrypted where it can be."""
    assert road.house is not None
    cipher, found = road.house.cipher, []
    for table in (t["name"] for t in road.rows("SELECT name FROM sqlite_master WHERE type='table'")):
        for row in road.rows(f'SELECT * FROM "{table}"'):
            for column, value in row.items():
                if column.endswith("_enc") and value:
                    value = cipher.decrypt({"attempt_delivery": "attempt"}.get(table, table), bytes(value))
                found.append(str(value))
    return "\n".join(found)


def test_a_person_is_forgotten_and_the_figures_stay(settled: Road, tmp_path: Path) -> None:
    road = settled
    road.cht.put(visit("unmapped", f"the day {NAME}"))
    road.settle()
    values, told = road.values(), explained(road)
    assert NAME in whole_database(road) and NAME in str(road.fhir.state())
    clinic = road.openmrs.state()
    others = {r["record"] for r in road.rows(f"SELECT record FROM activity WHERE subject='{MODIBO}'")}
    assert len(erasing.find(road.engine, "cht", ANNA)) >= 6
    found = erasing.erase(road.engine, "cht", ANNA, f"{NAME} asked on paper", "awa")
    assert found["records"] >= 6 and found["entities"] == 1 and found["resources"] > 3 and found["answers"] > 0

    assert NAME not in whole_database(road)
    assert explained(road) == told and road.values() == values
    trace = lineage.trace(road.engine, "cht/reports/visit-08-1")
    assert trace is not None and trace["record"]["state"] == "erased" and not trace["facts"] and trace["cells"]
    road.settle()
    assert NAME not in str(road.fhir.state()), "our copy there is removed"
    assert road.openmrs.state() == clinic, "the clinic's record is the clinic's"
    assert road.values() == values
    assert {r["record"] for r in road.rows(f"SELECT record FROM activity WHERE subject='{MODIBO}'")} == others

    road.cht.edit("visit-08-1", {"fields": visit("visit-08-1", "2026-08-10", note=NAME)["fields"]})
    road.cht.edit(ANNA, {"name": f"{NAME} again"})
    road.settle()
    assert NAME not in whole_database(road), "nothing of these records comes in again"
    road.cht.delete("visit-07-1")
    road.settle()
    assert road.values() == values, "nor does a figure change when the source forgets her, too"
    for file in (tmp_path / "relais").iterdir():
        assert NAME.encode() not in file.read_bytes()
    detail = road.one("SELECT detail FROM audit WHERE event='person.erased'")["detail"]
    assert NAME not in detail and orjson.loads(detail)["records"] == found["records"]


def test_what_was_to_be_sent_about_her_is_not_sent(make_road: Make) -> None:
    road = make_road([d for d in a_few() if d["_id"] != ANNA] + [person(ANNA, NAME)])
    road.openmrs.plane.arm({"down": True})
    road.run()
    waiting = road.one("SELECT state FROM delivery WHERE kind='referral'")["state"]
    assert waiting in ("deferred", "pending")
    erasing.erase(road.engine, "cht", ANNA, "asked", "awa")
    road.openmrs.plane.arm([])
    road.later(days=1)
    road.settle()
    assert road.openmrs.state()["patients"] == []
    assert road.one("SELECT state, reason FROM delivery WHERE kind='referral'") == {
        "state": "resolved", "reason": "person.erased",
    }  # fmt: skip


def test_the_commands_of_forgetting(settled: Road, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    road = settled
    road.close()
    for source, key, reason in (("cht", "nobody", "x"), ("cht", "site-1", "x"), ("no", ANNA, "x"), ("cht", ANNA, " ")):
        assert relais(monkeypatch, "erase", source, key, "--reason", reason, "--yes") == 2, (source, key, reason)
    capfd.readouterr()
    assert relais(monkeypatch, "erase", "cht", ANNA, "--reason", "asked", "--yes", "--json") == 0
    assert orjson.loads(capfd.readouterr().out)["records"] >= 5
    assert relais(monkeypatch, "purge", "--dry-run", "--json") == 0
    found = orjson.loads(capfd.readouterr().out)
    assert found["dry_run"] and {"records", "bodies", "activities", "waiting", "keys", "body_before"} <= set(found)
    assert relais(monkeypatch, "purge") == 0
    road.open()
