"""``relais explain``: a value, or what is wanted under a key, down to its records, its rule, its sendings and their proof."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from connector import bootstrap
from connector.cli.app import Json, app, house, leave, me
from connector.cli.looking import sentence
from connector.cli.output import json_out, out, say, state, table
from connector.engine import lineage, lineage_files
from connector.engine.actions import Actions
from connector.engine.asking import Asker


@app.command()
def explain(
    target: Annotated[str, typer.Argument(help="Name of a target: dhis2, openmrs, fhir ...")],
    key: Annotated[
        list[str] | None, typer.Argument(help="dhis2: ELEMENT ORG_UNIT PERIOD [COMBO]; else the key of a delivery.")
    ] = None,
    data_element: Annotated[str | None, typer.Option()] = None,
    org_unit: Annotated[str | None, typer.Option()] = None,
    period: Annotated[str | None, typer.Option()] = None,
    combo: Annotated[str, typer.Option()] = "default",
    after: Annotated[str | None, typer.Option(help="Go on with the records after this one.")] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Also ask the target what it holds now (a few seconds at most).")
    ] = False,
    why_not: Annotated[
        bool, typer.Option("--why-not", help="Also why other records of the place and period do not count here.")
    ] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Every record it counts, as CSV with semicolons.")] = False,
    open_lineage: Annotated[
        bool, typer.Option("--open-lineage", help="The form fields it is made of, as an event of OpenLineage.")
    ] = False,
    json: Json = False,
) -> None:
    """Une valeur jusqu'à ses fiches, sa règle, ses envois. / A value down to its records, rule, sends.

    With the entries of the audit trail that prove each sending. Of another target than DHIS2: what is wanted under a key
    (as relais deliveries lists them), down to its record. Works after bodies were purged.
    """
    if csv + open_lineage + json > 1:
        raise typer.BadParameter("--csv, --open-lineage, --json")
    with house() as made:
        config = made.pack.targets.get(target)
        if config is None:
            raise typer.BadParameter(f"{target}: {', '.join(made.pack.targets)}")
        if config.kind != "dhis2":
            if len(key or []) != 1 or csv or open_lineage or why_not:
                raise typer.BadParameter(f"relais explain {target} KEY [--live] [--json]")
            _explain_delivery(made, target, (key or [""])[0], live, json)
            return
        parts = list(key or []) + [None] * 4
        element, unit_code, pe = data_element or parts[0], org_unit or parts[1], period or parts[2]
        if not (element and unit_code and pe):
            raise typer.BadParameter("--data-element, --org-unit, --period")
        where = (element, unit_code, pe, parts[3] or combo)
        document = lineage.explain(made.engine, *where, after, why_not=why_not)
        cell = lineage_files.cell_at(made.engine, *where)
        if document is None or cell is None:
            found = lineage.uncounted(made.engine, *where, why_not=why_not)
            if why_not and found["not_counted"]:
                Actions(made.engine).read_audit("value.explained", f"{element}/{unit_code}/{pe}", me())
            if json:
                json_out(found if why_not else None)
            else:
                _nothing_there(made, where, found, why_not)
            leave(0 if why_not and not found["unknown"] else 1)
            return
        Actions(made.engine).read_audit("value.explained", f"{element}/{unit_code}/{pe}", me())
        if csv:
            for line in lineage_files.as_csv(made.engine, cell):
                sys.stdout.write(line)
            return
        if open_lineage:
            json_out(lineage_files.open_lineage(made.engine, cell))
            return
        if live:
            document["now"] = Asker(made.engine, made.another).value(cell)
        reasons = made.engine.reasons
    if json:
        json_out(document)
    else:
        _show_value(document, reasons, why_not)


#: Combinations named to who asked for one that is not there.
_NAMED = 8


#: What of an address the pack does not know -> French, English
UNKNOWN = {
    "data_element": ("Aucun indicateur du paquet n'est envoyé sous {0}.", "No indicator of the pack is sent as {0}."),
    "org_unit": ("{1} n'est pas dans org_units.csv.", "{1} is not in org_units.csv."),
    "period": ("{2} n'est pas une période (202608, 2026Q3 …).", "{2} is no period (202608, 2026Q3 ...)."),
    "combo": ("{0} n'a pas de combinaison {3}.", "{0} has no combination {3}."),
}


def _nothing_there(made: bootstrap.House, where: tuple[str, str, str, str], found: dict[str, Any], why: bool) -> None:
    if found["unknown"]:
        french, english = UNKNOWN[found["unknown"]]
        out.print(say(french.format(*where), english.format(*where)))
    else:
        out.print(say("Rien n'a été compté là.", "Nothing was counted there."))
    element, org_unit, period, _ = where
    counted = lineage.near(made.engine, element, org_unit, period)
    if counted:
        out.print(say("Dans ce lieu et cette période :", "In that place and period:"))
    for code, combo in counted[:_NAMED]:
        out.print(f"  relais explain dhis2 {code} {org_unit} {period} {combo}", soft_wrap=True)
    if len(counted) > _NAMED:
        out.print("  ...")
    if why and not found["unknown"]:
        _show_not_counted(found["not_counted"])
    elif found.get("more"):
        out.print(say("Pourquoi rien : ajoutez --why-not", "Why nothing: add --why-not"))


def _show_records(document: dict[str, Any]) -> None:
    table([say("lieu", "place"), "n"], [[r["label"], r["n"]] for r in document["led"]])
    table(
        [say("agent", "worker"), say("compte pour", "amount"), say("fiches", "records"), say("dernière", "last")],
        [[w["worker"], w["amount"], w["records"], w["last"]] for w in document["workers"]],
    )
    table(
        [say("fiche", "record"), "date", say("agent", "worker"), say("compte pour", "amount")],
        [[r["record"], r["date"], r["worker"], r["amount"]] for r in document["records"]],
    )


def _show_not_counted(reasons: list[dict[str, Any]]) -> None:
    if not reasons:
        out.print(
            say(
                "Aucune fiche de ce lieu et de cette période n'est laissée de côté par cet indicateur. Une fiche attendue "
                "ici n'est pas arrivée, est en quarantaine (relais quarantine) ou compte sous une autre combinaison.",
                "No record of this place and period is left out by this indicator. A record expected here has not come, is "
                "in quarantine (relais quarantine) or counts under another combination.",
            )
        )
        return
    table(
        [say("ne comptent pas ici", "do not count here"), say("pourquoi", "why"), say("par exemple", "for example")],
        [
            [
                r["n"],
                r["reason"][say("fr", "en")],
                ", ".join(r["records"]) + (f" ({r['values']})" if r["values"] else ""),
            ]
            for r in reasons
        ],
    )


def _explain_delivery(made: bootstrap.House, target: str, key: str, live: bool, json: bool) -> None:
    document = lineage.explain_delivery(made.engine, target, key)
    if document is None:
        json_out(None) if json else out.print(
            say(
                f"Rien n'a jamais été voulu sous cette clé. Les clés : relais deliveries --where target={target}",
                f"Nothing was ever wanted under this key. The keys: relais deliveries --where target={target}",
            )
        )
        leave(1)
        return
    delivery, record = document["delivery"], document["record"]
    if record is not None:
        Actions(made.engine).read_audit("record.traced", record["record"]["id"], me())
    if live:
        row = made.store.read(lambda unit: unit.delivery(target, key))
        document["now"] = Asker(made.engine, made.another).delivery(row)
    if json:
        json_out(document)
        return
    out.print(f"[bold]{delivery['target']} {delivery['key']}[/] · {delivery['kind']} · {state(delivery['state'])}")
    out.print(sentence(made.engine.reasons, delivery["reason"]))
    _show_now(document)
    if record is not None:
        mapping = record["mapping"] or {}
        out.print(
            f"{record['record']['id']} · {record['record']['date'] or ''} · "
            f"{mapping.get('file', '')} {(mapping.get('version') or '')[:12]}"
        )
    table(
        [say("essai", "attempt"), say("parti le", "sent at"), say("réponse", "answer"), "HTTP"],
        [
            [a["id"], a["started"][:19], f"{state(a['verdict'])} {sentence(made.engine.reasons, a['reason'])}",
             a["http_status"]]
            for a in document["attempts"]
        ],
    )  # fmt: skip
    _show_proof(document["proof"])


def _show_now(document: dict[str, Any]) -> None:
    if now := document.get("now"):
        out.print(say(now["words"]["fr"], now["words"]["en"]))


def _or(value: Any, nothing: str) -> str:
    return nothing if value is None else str(value)


def _show_value(document: dict[str, Any], reasons: Any, why_not: bool) -> None:
    value = document["value"]
    name = value["name"].get(say("fr", "en"), value["data_element"])
    out.print(f"[bold]{name}[/] · {value['org_unit']} · {value['period']} · {value['combo']}")
    counted = say(f"Relais compte {value['current']}", f"Relais counts {value['current']}")
    if value["current"] is None:
        counted = say("Relais ne compte plus rien", "Relais counts nothing any more")
        if value["wanted"]:
            counted += say(f" et veut {value['wanted']} là-bas", f" and wants {value['wanted']} there")
    accepted = _or(value["accepted"], say("rien encore", "nothing yet"))
    out.print(
        counted
        + say(f", DHIS2 a accepté {accepted}", f", DHIS2 accepted {accepted}")
        + (say(f", là-bas : {value['there']}", f", there: {value['there']}") if value["there"] else "")
        + (say(" (petit effectif)", " (small figure)") if value["small"] else "")
        + f" ({state(value['state'])})"
    )
    _show_now(document)
    _show_rule(document["rule"])
    if document["records"]:
        _show_records(document)
    else:
        out.print(say("Aucune fiche ne compte ici.", "No record counts here."))
        if not why_not:
            out.print(
                say("Pourquoi les fiches de ce lieu et de cette période ne comptent pas : ajoutez --why-not",
                    "Why the records of this place and period do not count: add --why-not")
            )  # fmt: skip
    for one in document["left"]:
        gone = say(" (supprimée)", " (deleted)") if one["state"] == "deleted" else ""
        out.print(
            say(f"Ne compte plus ici depuis la valeur acceptée : {one['record']}{gone}",
                f"Counts here no more since the accepted value: {one['record']}{gone}")
        )  # fmt: skip
    if document["next"]:
        out.print(
            say(
                f"{len(document['records'])} fiches montrées sur {value['records']} ; la suite : --after {document['next']} "
                "(toutes : --csv)",
                f"{len(document['records'])} of {value['records']} records shown; go on with --after {document['next']} "
                "(all: --csv)",
            )
        )
    if document["sends"]:
        table(
            [say("envoyé le", "sent at"), say("valeur", "value"), say("réponse", "answer"), "HTTP"],
            [
                [s["at"][:19], s["value"], f"{state(s['verdict'])} {sentence(reasons, s['reason'])}", s["http_status"]]
                for s in document["sends"]
            ],
        )
    else:
        out.print(say("Rien n'a encore été envoyé.", "Nothing was sent yet."))
    _show_proof(document["proof"])
    if why_not:
        _show_not_counted(document["not_counted"])


def _show_rule(rule: dict[str, Any]) -> None:
    words = rule.get("words") or {}
    if said := words.get(say("fr", "en")) or next(iter(words.values()), ""):
        out.print(said)
    out.print(f"{rule['indicator']}.{rule['part']}: {rule['where']}  [dim]{rule.get('file')}:{rule.get('line')}[/]")
    if not rule.get("version"):
        return
    since = rule["since"]
    dated = say(f" depuis le {since[:10]}", f" since {since[:10]}") if since else ""
    out.print(say(f"Version {rule['version'][:12]}", f"Version {rule['version'][:12]}") + dated)
    if rule["counted_by"] not in (None, rule["version"]):
        out.print(
            say(
                f"Ce chiffre a été compté par la version {rule['counted_by'][:12]}.",
                f"This figure was counted by version {rule['counted_by'][:12]}.",
            )
        )


def _show_proof(proof: dict[str, Any]) -> None:
    good = {
        True: say("intacte", "whole"),
        False: say("ALTÉRÉE", "ALTERED"),
        None: say("pas encore scellée", "not sealed yet"),
    }
    out.print(say("Trace d'audit :", "Audit trail:"))
    for entry in proof["entries"]:
        number = say(f"n° {entry['entry'] or '–'}", f"no. {entry['entry'] or '–'}")
        head = entry["head"]
        under = (
            say(f"tête {head['entry']} signée", f"head {head['entry']} signed") + f" {head['at'][:19]}" if head else "–"
        )
        said = good[entry["ok"]] + (f" ({entry['reason']})" if entry["reason"] else "")
        event = f"{entry['event']} {entry['attempt'] or ''}".strip()
        out.print(f"  {number} {event} {entry['at'][:19]} {entry['digest'][:16]} · {under} · {said}", soft_wrap=True)
    for attempt in proof["missing"]:
        out.print(
            say(
                f"La trace d'audit ne sait rien de l'essai {attempt} : l'entrée a été enlevée. Prévenir l'administrateur.",
                f"The audit trail knows nothing of attempt {attempt}: its entry was removed. Tell the administrator.",
            )
        )
    out.print(say(f"Vérifier toute la trace : {proof['verify']}", f"To check the whole trail: {proof['verify']}"))
