"""``relais plan`` and ``relais run --plan``: numbers, what is refused, and the codes they end with."""

from __future__ import annotations

from tests.cli.line import Relais


def test_a_plan_has_a_number_and_only_that_number_is_carried_out(relais: Relais) -> None:
    made = relais("plan", "--target", "dhis2", "--json")
    assert (made.code, made.document["id"], made.document["items"]) == (0, 1, [])
    said = relais("plan", "--target", "dhis2")
    assert said.code == 0 and "relais run --plan 1" in said.err, "nothing changed: the same number"
    assert relais("plan", "--target", "nowhere").code == 2
    assert relais("run", "--plan", "1", "--dry-run").code == 2
    unknown = relais("run", "--plan", "4711", "--json")
    assert (unknown.code, unknown.document["error"]) == (2, "plan.unknown")
    done = relais("run", "--plan", "1", "--json")
    assert (done.code, done.document["plan"]) == (0, {"id": 1, "sent": 0, "left": 0, "states": {}})
