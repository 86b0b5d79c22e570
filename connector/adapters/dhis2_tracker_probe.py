"""Is this DHIS2 fit for ``tracker.yaml``? Pure: from what was read to findings with a fix each. ``about`` of a finding:
``tracker`` and the steps to what it speaks of in that file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from connector.adapters.dhis2_probe import Asked, account_of, in_reach, no_units, server
from connector.adapters.dhis2_tracker_metadata import Field, Program
from connector.findings import Code, Pair, found
from connector.mappings.pack import Sent, Tracker
from connector.model import Finding, Severity, Who

_NOTHING = ("Rien ne part tant que cela dure.", "Nothing leaves while that lasts.")
_REFUSED = ("DHIS2 refuserait chacun de ces envois.", "DHIS2 would refuse every one of these.")
_SHARE = (
    "Dans l'application Maintenance, partagez le programme et ses étapes en écriture des données.",
    "In the Maintenance app, share the program and its stages with data write access.",
)

FINDINGS: Mapping[str, Code] = {
    "dhis2.program_missing": Code(
        ("le programme {name} n'est pas dans DHIS2", "program {name} is not in DHIS2"),
        _NOTHING,
        ("Corrigez program, ou partagez-le avec notre utilisateur.", "Mend program, or share it with our user."),
    ),
    "dhis2.program_no_person": Code(
        ("le programme {name} n'inscrit personne", "program {name} registers nobody"),
        _NOTHING,
        ("Nommez un programme avec inscription.", "Name a program with registration."),
    ),
    "dhis2.program_no_write": Code(
        ("notre utilisateur ne peut pas écrire les données de {name}", "our user may not write data of {name}"),
        _NOTHING,
        _SHARE,
        who=Who.TARGET_ADMIN,
    ),
    "dhis2.program_unit_not_assigned": Code(
        (
            "l'unité {name} n'est pas affectée au programme {program}",
            "org unit {name} is not assigned to program {program}",
        ),
        _REFUSED,
        (
            "Maintenance → Programmes → accès → unités d'organisation : affectez-la ; ou corrigez org_units.csv.",
            "Maintenance → Programs → Access → Organisation units: assign it; or mend org_units.csv.",
        ),
        who=Who.TARGET_ADMIN,
    ),
    "dhis2.stage_missing": Code(
        ("l'étape {name} n'est pas dans le programme", "stage {name} is not in the program"),
        _REFUSED,
        (
            "Corrigez id ; une étape sans code se nomme par son identifiant.",
            "Mend id; a stage without a code is named by its identifier.",
        ),
    ),
    "dhis2.stage_once": Code(
        ("l'étape {name} ne se répète pas", "stage {name} is not repeatable"),
        (
            "La deuxième fiche d'une personne serait refusée (E1039).",
            "The second record of a person would be refused (E1039).",
        ),
        ("Rendez l'étape répétable dans DHIS2.", "Make the stage repeatable in DHIS2."),
        Severity.WARNING,
        Who.TARGET_ADMIN,
    ),
    "dhis2.attribute_missing": Code(
        ("l'attribut {name} n'est pas dans le programme", "attribute {name} is not in the program"),
        _REFUSED,
        ("Ajoutez-le au programme, ou corrigez le code.", "Add it to the program, or mend the code."),
    ),
    "dhis2.stage_element_missing": Code(
        ("l'élément de données {name} n'est pas dans l'étape", "data element {name} is not in the stage"),
        _REFUSED,
        ("Ajoutez-le à l'étape, ou corrigez le code.", "Add it to the stage, or mend the code."),
    ),
    "dhis2.field_needed": Code(
        ("{name} est obligatoire dans DHIS2 et tracker.yaml ne l'envoie pas",
         "{name} is mandatory in DHIS2 and tracker.yaml does not send it"),
        _REFUSED,
        ("Donnez-lui un fait, ou levez l'obligation dans DHIS2.", "Give it a fact, or lift the obligation in DHIS2."),
    ),
}  # fmt: skip


def examine(
    name: str,
    asked: Asked,
    tracker: Tracker,
    program: Program | None,
    units: Collection[str] = (),
    elsewhere: Collection[str] = (),
) -> list[Finding]:
    """``program``: what the server has under its code. ``units``: codes of the org units that events are written to;
    ``elsewhere``: those of them that are in DHIS2, though not in the program. No authority is asked of an account here:
    sharing and org units decide. That a unit opens later is no finding: the tracker takes its events (tr-ou-closed)."""
    account = account_of(asked.info, asked.me)
    findings = [*server(name, asked.info), *no_units(account), *_program(tracker, program)]
    for code in units if program is not None else ():
        if code in program.units or code not in elsewhere:
            findings += in_reach(code, program.units.get(code), account, None)
        else:
            about = ("org_unit", code)
            findings.append(
                found(
                    FINDINGS, "dhis2.program_unit_not_assigned", {"name": code, "program": tracker.program}, about=about
                )
            )
    return list(dict.fromkeys(findings))


def _found(code: str, *about: str, **words: str | int | Pair) -> Finding:
    return found(FINDINGS, code, words, about=("tracker", *about))


def _program(tracker: Tracker, program: Program | None) -> Iterator[Finding]:
    if program is None:
        yield _found("dhis2.program_missing", "program", name=tracker.program)
        return
    if not program.entity_type:
        yield _found("dhis2.program_no_person", "program", name=tracker.program)
    if not program.writable:
        yield _found("dhis2.program_no_write", "program", name=tracker.program)
    yield from _fields("dhis2.attribute_missing", ("attributes",), tracker.attributes, program.attributes)
    for one in tracker.stages:
        stage = program.stages.get(one.stage)
        if stage is None:
            yield _found("dhis2.stage_missing", "stages", one.stage, "id", name=one.stage)
            continue
        if not stage.repeatable:
            yield _found("dhis2.stage_once", "stages", one.stage, "id", name=one.stage)
        steps = ("stages", one.stage, "data_elements")
        yield from _fields("dhis2.stage_element_missing", steps, one.data_elements, stage.elements)


def _fields(
    missing: str, steps: tuple[str, ...], sent: Mapping[str, Sent], known: Mapping[str, Field]
) -> Iterator[Finding]:
    for code in sent:
        if code not in known:
            yield _found(missing, *steps, code, name=code)
    for code, one in known.items():
        if one.needed and code not in sent:
            yield _found("dhis2.field_needed", *steps, name=code)
