"""``tracker.yaml``: its activities are about people, its facts are facts that come, its codes are answers."""

from __future__ import annotations

from connector.findings import nearest, of
from connector.mappings.linting import REFERRAL_FACTS, Checking
from connector.mappings.pack import FactRule, Place, Sent, Tracker, TrackerStage
from connector.mappings.tracker import ID
from connector.mappings.where import Step

_FILE = "tracker.yaml"


def check(one: Checking) -> None:
    tracker = one.pack.tracker
    if tracker is None:
        return
    targets = [name for name, target in one.pack.targets.items() if target.kind == "dhis2_tracker"]
    if not targets:
        one.add("tracker.no_target", one.where.value(_FILE))
    for name in targets[1:]:
        one.add("tracker.second_target", one.where.key("connector.yaml", "targets", name), target=name)
    levels = sorted({row.level for row in one.pack.org_units})
    if levels and tracker.level and tracker.level not in levels:
        place, near = one.where.value(_FILE, "level"), nearest(tracker.level, levels)
        one.add("level.unknown", place, data_set=tracker.program, level=tracker.level, nearest=near)
    _people(one, tracker)
    for number, stage in enumerate(tracker.stages):
        _stage(one, number, stage)


def _people(one: Checking, tracker: Tracker) -> None:
    """Attributes are the person's id, or what a form that registers people says."""
    rules = [rule for form in one.pack.forms.values() if form.registers == "person" for rule in form.facts]
    known = {rule.name for rule in rules} | {ID}
    for code, sent in tracker.attributes.items():
        if sent.fact not in known:
            place, near = _at(one, "attributes", code), nearest(sent.fact, known)
            one.add("tracker.person_fact", place, attribute=code, name=sent.fact, nearest=near)


def _stage(one: Checking, number: int, stage: TrackerStage) -> None:
    pack, steps = one.pack, ("stages", number)
    if stage.activity not in pack.activities:
        place, near = one.where.value(_FILE, *steps, "activity"), nearest(stage.activity, pack.activities)
        one.add("activity.unknown", place, what=of(stage.stage), name=stage.activity, nearest=near)
        return
    forms = [form for form in pack.forms.values() if form.activity == stage.activity]
    if not any(form.subject is not None for form in forms):
        place = one.where.value(_FILE, *steps, "activity")
        one.add("tracker.nobody", place, stage=stage.stage, activity=stage.activity)
    rules = {rule.name: rule for form in forms for rule in form.facts}
    produced = set(one.produced.get(stage.activity, ())) | set(pack.derived)
    for code, sent in stage.data_elements.items():
        _fact(one, (*steps, "data_elements"), code, sent, rules, produced)


def _fact(
    one: Checking, steps: tuple[Step, ...], code: str, sent: Sent, rules: dict[str, FactRule], produced: set[str]
) -> None:
    rule, concept = rules.get(sent.fact), one.pack.concepts.get(sent.fact)
    place = _at(one, *steps, code)
    if sent.fact not in produced:
        where = ("", "")
        one.add("fact.unknown", place, what=of(code), name=sent.fact, where=where, nearest=nearest(sent.fact, produced))
        return
    if rule is not None and (rule.items or rule.rows or "$options(" in rule.source):
        one.add("tracker.several", place, element=code, name=sent.fact)
    known = list(concept.answers) if concept is not None and concept.kind == "coded" else []
    if concept is not None and concept.kind == "boolean" and sent.fact not in REFERRAL_FACTS:
        known = ["true", "false"]
    for answer in sent.codes if known else ():
        if answer not in known:
            at, near = one.where.key(_FILE, *steps, code, "codes", answer), nearest(answer, known)
            one.add("code.no_answer", at, what=code, code=answer, concept=sent.fact, nearest=near)


def _at(one: Checking, *steps: Step) -> Place:
    """Where a field's fact stands, written alone or under ``fact``."""
    return one.where.value(_FILE, *steps, "fact")
