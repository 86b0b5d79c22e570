"""``openmrs.yaml``: its findings are facts of the dictionary, its answers their answers, its places ours; and what goes
to a FHIR server refers to nothing that does not."""

from __future__ import annotations

from connector.findings import nearest
from connector.mappings.fhir_sharing import REFERS, types_made, types_of
from connector.mappings.linting import Checking
from connector.mappings.yaml_nodes import Map, Scalar

_FILE = "openmrs.yaml"


def check(one: Checking) -> None:
    pack, where = one.pack, one.where
    observations = where.node(_FILE, "observations")
    for name in observations.entries if isinstance(observations, Map) else ():
        concept = pack.concepts.get(name)
        steps = ("observations", name)
        if concept is None:
            near = nearest(name, pack.concepts)
            one.add("concept.unknown", where.key(_FILE, *steps), what="", name=name, nearest=near)
            continue
        answers = where.node(_FILE, *steps, "answers")
        known = list(concept.answers) or (["yes", "no"] if concept.kind == "boolean" else [])
        _answers(one, answers, (*steps, "answers"), name, known)
    reason = pack.concepts.get("referral_reason")
    if reason is not None:
        _answers(one, where.node(_FILE, "answers", "reason"), ("answers", "reason"), reason.id, list(reason.answers))
    _treatments(one)
    _places(one)
    _profile(one)
    _types(one)


def _answers(one: Checking, node: object, steps: tuple[str, ...], concept: str, known: list[str]) -> None:
    for answer in node.entries if isinstance(node, Map) and known else ():
        if answer not in known:
            place = one.where.key(_FILE, *steps, answer)
            near = nearest(answer, known)
            one.add("code.no_answer", place, what=": ".join(steps), code=answer, concept=concept, nearest=near)


def _treatments(one: Checking) -> None:
    """A treatment is a fact that is yes or no; of the visit a referral holds what becomes an Observation."""
    node = one.where.node(_FILE, "answers", "treatment")
    asked = one.where.node(_FILE, "concepts", "treatment") is not None
    for name in node.entries if isinstance(node, Map) else ():
        place = one.where.key(_FILE, "answers", "treatment", name)
        concept = one.pack.concepts.get(name)
        if concept is None:
            near = nearest(name, one.pack.concepts)
            one.add("concept.unknown", place, what="", name=name, nearest=near)
        elif not asked or concept.kind != "boolean" or concept.fhir.get("resource") != "Observation":
            one.add("treatment.not_sent", place, name=name)


def _places(one: Checking) -> None:
    """The areas patients are sent to are places of the source."""
    known = sorted({row.place for row in one.pack.org_units if row.place})
    places = one.where.node(_FILE, "places")
    for name in places.entries if isinstance(places, Map) and known else ():
        if name not in known:
            place = one.where.key(_FILE, "places", name)
            one.add("place.unmapped", place, source="places", place=name, when=("", ""), nearest=nearest(name, known))


def _profile(one: Checking) -> None:
    """Two files may say what this OpenMRS can do."""
    said = one.where.node(_FILE, "profile")
    for name, target in one.pack.targets.items():
        profile = target.settings.get("profile")
        if target.kind == "openmrs" and isinstance(said, Scalar) and profile and profile != said.text:
            place = one.where.value("connector.yaml", "targets", name, "profile")
            one.add("profile.differs", place, target=name, one=str(profile), other=said.text)


def _types(one: Checking) -> None:
    """Of the types that a FHIR server is sent none refers to one that it is not sent."""
    made = types_made(one.pack)
    for name, target in one.pack.targets.items():
        sent = types_of(target.settings) & made if target.kind == "fhir_server" else frozenset()
        for kind in sorted(sent & REFERS.keys()):
            missing = [needed for needed in REFERS[kind] if needed in made - sent]
            if missing:
                place = one.where.key("connector.yaml", "targets", name, "types")
                one.add("fhir.type_needed", place, target=name, kind=kind, needed=", ".join(missing))
