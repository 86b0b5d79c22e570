"""Commands that look: status, plan, explain, trace, deliveries, quarantine; and what a person does about it."""

from __future__ import annotations

import getpass
from typing import Annotated, Any

import typer

from connector import __version__
from connector.cli.app import Json, app, house, leave
from connector.cli.output import json_out, out, say, state, table
from connector.engine import lineage
from connector.engine import plan as planning
from connector.engine import status as standing
from connector.engine.actions import Actions

Where = Annotated[list[str] | None, typer.Option("--where", help="target=…, state=…, kind=…, reason=…, record=…")]


def _where(pairs: list[str] | None) -> dict[str, Any]:
    found = {}
    for pair in pairs or []:
        name, _, value = pair.partition("=")
        if name not in ("target", "state", "kind", "reason", "record") or not value:
            raise typer.BadParameter(f"--where {pair}: target=, state=, kind=, reason= or record=")
        found[name] = value
    return found


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "command line"


@app.command()
def status(json: Json = False) -> None:
    """Tout va-t-il bien ? Sinon, qui doit faire quoi ? / Is all well? If not, who must do what?"""
    with house(strict=False) as made:
        document = standing.status(made.engine, __version__)
        reasons = made.engine.reasons
    if json:
        json_out(document)
    else:
        out.print(state(document["state"]))
        table(
            [
                say("Connexion", "Connection"),
                say("état", "state"),
                say("en file", "waiting"),
                say("mis de côté", "parked"),
                say("dernier succès", "last success"),
                say("raison", "reason"),
            ],
            [
                [
                    c["name"],
                    state(c["state"]),
                    c.get("waiting", ""),
                    c.get("parked", ""),
                    (c.get("last_success") or "")[:16],
                    _sentence(reasons, c.get("reason")),
                ]
                for c in document["connections"]
            ],
        )
        out.print(
            say(
                f"{document['quarantined']} en quarantaine, {document['parked']} mis de côté, {document['held_values']} valeurs retenues",
                f"{document['quarantined']} in quarantine, {document['parked']} parked, {document['held_values']} values held",
            )
        )
    leave(standing.exit_code(document))


def _sentence(reasons: Any, code: str | None) -> str:
    if not code:
        return ""
    reason = reasons.get(code)
    return f"{code}: {say(reason.fr, reason.en)}" if reason else code


@app.command()
def plan(
    target: Annotated[str | None, typer.Option()] = None,
    period: Annotated[str | None, typer.Option()] = None,
    json: Json = False,
) -> None:
    """Ce qui serait envoyé, et ce qui est retenu. / What would be sent, and what is held back."""
    with house() as made:
        document = planning.plan(made.engine, target, period)
    if json:
        json_out(document)
        return
    out.print(
        say(
            f"{document['new']} nouvelles, {document['changed']} changées, {document['removed']} retirées, {document['same']} inchangées",
            f"{document['new']} new, {document['changed']} changed, {document['removed']} removed, {document['same']} same",
        )
    )
    table(
        [say("quoi", "what"), say("où", "where"), say("valeur", "value"), say("acceptée", "accepted")],
        [
            [
                i["what"],
                i.get("key") or f"{i['org_unit']} {i['period']} {i['data_element']} {i['combo']}",
                i.get("value"),
                i.get("accepted"),
            ]
            for i in document["items"][:40]
        ],
    )
    held = [b for b in document["blocked"] if b["state"] in ("held", "rejected", "parked", "waiting_person", "kept")]
    if held:
        table(
            [
                say("retenu", "held back"),
                say("où", "where"),
                say("Relais", "Relais"),
                say("là-bas", "there"),
                say("raison", "reason"),
            ],
            [
                [
                    state(b["state"]),
                    b.get("key") or f"{b['org_unit']} {b['period']} {b['data_element']} {b['combo']}",
                    b.get("value"),
                    b.get("there"),
                    b["reason"],
                ]
                for b in held[:40]
            ],
            title="",
        )


@app.command()
def explain(
    target: Annotated[str, typer.Argument(help="dhis2")],
    key: Annotated[list[str] | None, typer.Argument(help="ELEMENT ORG_UNIT PERIOD [COMBO]")] = None,
    data_element: Annotated[str | None, typer.Option()] = None,
    org_unit: Annotated[str | None, typer.Option()] = None,
    period: Annotated[str | None, typer.Option()] = None,
    combo: Annotated[str, typer.Option()] = "default",
    json: Json = False,
) -> None:
    """Une valeur jusqu'à ses fiches, sa règle, ses envois. / A value down to its records, rule, sends."""
    parts = list(key or []) + [None] * 4
    element, unit_code, pe = data_element or parts[0], org_unit or parts[1], period or parts[2]
    if not (element and unit_code and pe):
        raise typer.BadParameter("--data-element, --org-unit, --period")
    with house() as made:
        document = lineage.explain(made.engine, element, unit_code, pe, parts[3] or combo)
    if document is None:
        json_out(None) if json else out.print(say("Rien n'a été compté là.", "Nothing was counted there."))
        leave(1)
    if json:
        json_out(document)
        return
    assert document is not None
    value = document["value"]
    name = value["name"].get(say("fr", "en"), value["data_element"])
    out.print(f"[bold]{name}[/] · {value['org_unit']} · {value['period']} · {value['combo']}")
    out.print(
        say(
            f"Relais compte {value['current']}, DHIS2 a accepté {value['accepted']}",
            f"Relais counts {value['current']}, DHIS2 accepted {value['accepted']}",
        )
        + (say(f", là-bas : {value['there']}", f", there: {value['there']}") if value["there"] else "")
        + f" ({state(value['state'])})"
    )
    rule = document["rule"]
    out.print(f"{rule['indicator']}.{rule['part']}: {rule['where']}  [dim]{rule.get('file')}:{rule.get('line')}[/]")
    table([say("lieu", "place"), "n"], [[r["label"], r["n"]] for r in document["led"]])
    table(
        [say("fiche", "record"), "date", say("agent", "worker"), say("compte pour", "amount")],
        [[r["record"], r["date"], r["worker"], r["amount"]] for r in document["records"]],
    )
    table(
        [say("envoyé le", "sent at"), say("valeur", "value"), say("réponse", "answer")],
        [[s["at"][:19], s["value"], f"{s['verdict']} {s['reason'] or ''}"] for s in document["sends"]],
    )


@app.command()
def trace(
    source: Annotated[str, typer.Argument(help="Source, or source/stream/key.")],
    key: Annotated[str | None, typer.Argument()] = None,
    json: Json = False,
) -> None:
    """Une fiche vers l'avant : traduction, faits, cellules, envois. / One record forwards."""
    with house() as made:
        records = [source] if key is None else made.store.read(lambda unit: unit.find_records(source, key))
        documents = [d for r in records if (d := lineage.trace(made.engine, r)) is not None]
        resources = {}
        if documents and documents[0]["resources"]:
            resources = made.store.read(lambda unit: _resources(made.engine, unit, documents[0]["record"]["id"]))
    if not documents:
        json_out(None) if json else out.print(say("Fiche inconnue.", "Unknown record."))
        leave(1)
    document = documents[0]
    if json:
        json_out({**document, "fhir": list(resources.values())})
        return
    record = document["record"]
    out.print(f"[bold]{record['id']}[/] · {record['form']} · {state(record['state'])} · {record['date'] or ''}")
    if document["quarantine"]:
        q = document["quarantine"]
        out.print(f"[bold red]{q['code']}[/] {q['file'] or ''}:{q['line'] or ''} {q['path'] or ''}")
    table(
        [say("fait", "fact"), say("valeur", "value")],
        [[f["name"], "•••" if f["masked"] else f["value"]] for f in document["facts"]],
    )
    table(
        [
            say("cellule", "cell"),
            say("unité", "org unit"),
            say("période", "period"),
            say("compte pour", "amount"),
            say("valeur", "value"),
        ],
        [
            [f"{c['data_element']} {c['combo']}", c["org_unit"], c["period"], c["amount"], c["value"]]
            for c in document["cells"]
        ],
    )
    table(
        [say("envoi", "delivery"), say("cible", "target"), say("état", "state")],
        [[d["id"], f"{d['target']} {d['kind']}", state(d["state"])] for d in document["deliveries"]],
    )
    table(
        [say("ressource FHIR", "FHIR resource"), say("état", "state")],
        [[r["key"], state(r["state"])] for r in document["resources"]],
    )


def _resources(engine: Any, unit: Any, record: str) -> dict[str, Any]:
    from connector.engine.resources import _of_records, key_of

    return {key_of(r): r for r in _of_records(engine, unit, [record])}


@app.command()
def deliveries(
    where: Where = None,
    limit: Annotated[int, typer.Option()] = 50,
    after: Annotated[int, typer.Option()] = 0,
    json: Json = False,
) -> None:
    """Les envois, les plus récents d'abord. / Deliveries, newest first."""
    with house() as made:
        rows = made.store.read(lambda unit: unit.list_deliveries(_where(where), limit, after))
    if json:
        json_out(rows)
        return
    table(
        [
            "id",
            say("cible", "target"),
            say("clé", "key"),
            say("état", "state"),
            say("essais", "tries"),
            say("raison", "reason"),
            say("qui", "who"),
        ],
        [[r["id"], r["target"], r["key"], state(r["state"]), r["tries"], r["reason"], r["who"]] for r in rows],
    )


@app.command()
def retry(
    ids: Annotated[list[int] | None, typer.Argument()] = None,
    where: Where = None,
    dry_run: Annotated[bool, typer.Option("--dry-run")] = False,
    json: Json = False,
) -> None:
    """Réessayer des envois. / Retry deliveries."""
    with house() as made:
        chosen = list(ids or [])
        if where:
            chosen += made.store.read(lambda unit: unit.delivery_ids(_where(where)))
        elif not chosen:
            raise typer.BadParameter(say("donner des numéros ou --where", "give ids or --where"))
        count = 0 if dry_run else Actions(made.engine).retry(chosen, _me())
    document = {"chosen": len(chosen), "retried": count}
    json_out(document) if json else out.print(
        say(f"{count} sur {len(chosen)} remis en file", f"{count} of {len(chosen)} queued again")
    )


@app.command()
def park(
    ids: Annotated[list[int], typer.Argument()], reason: Annotated[str, typer.Option()], json: Json = False
) -> None:
    """Mettre des envois de côté. / Park deliveries."""
    with house() as made:
        count = Actions(made.engine).park(ids, reason, _me())
    json_out({"parked": count}) if json else out.print(str(count))


@app.command()
def resolve(
    ids: Annotated[list[int], typer.Argument()], note: Annotated[str, typer.Option()], json: Json = False
) -> None:
    """Classer avec une note. / Resolve with a note."""
    with house() as made:
        count = Actions(made.engine).resolve(ids, note, _me())
    json_out({"resolved": count}) if json else out.print(str(count))


def _settle(decision: str, period: str | None, org_unit: str | None, cells: list[int] | None) -> int:
    with house() as made:

        def held(unit: Any) -> list[int]:
            rows = unit.cells_where("state IN ('held','kept')")
            return [
                r["id"]
                for r in rows
                if (not cells or r["id"] in cells)
                and period in (None, r["period"])
                and org_unit in (None, r["org_unit"])
            ]

        chosen = made.store.read(held)
        for cell in chosen:
            Actions(made.engine).release(cell, decision, _me())
        return len(chosen)


@app.command()
def approve(
    target: Annotated[str, typer.Argument()] = "dhis2",
    period: Annotated[str | None, typer.Option()] = None,
    org_unit: Annotated[str | None, typer.Option()] = None,
    cell: Annotated[list[int] | None, typer.Option()] = None,
    json: Json = False,
) -> None:
    """Envoyer notre chiffre là où une valeur tapée est retenue. / Send ours where a typed value is held."""
    count = _settle("overwrite", period, org_unit, cell)
    json_out({"approved": count}) if json else out.print(str(count))


@app.command()
def keep(
    target: Annotated[str, typer.Argument()] = "dhis2",
    period: Annotated[str | None, typer.Option()] = None,
    org_unit: Annotated[str | None, typer.Option()] = None,
    cell: Annotated[list[int] | None, typer.Option()] = None,
    json: Json = False,
) -> None:
    """Garder la valeur tapée à la main. / Keep the value typed by hand."""
    count = _settle("keep", period, org_unit, cell)
    json_out({"kept": count}) if json else out.print(str(count))


@app.command()
def quarantine(
    source: Annotated[str | None, typer.Option()] = None,
    code: Annotated[str | None, typer.Option()] = None,
    limit: Annotated[int, typer.Option()] = 100,
    json: Json = False,
) -> None:
    """Les fiches qui n'ont pas pu être traduites. / Records that could not be mapped."""
    with house() as made:
        where = {k: v for k, v in (("source", source), ("code", code)) if v}
        rows = made.store.read(lambda unit: unit.list_quarantine(where, limit))
        reasons = made.engine.reasons
    if json:
        json_out(rows)
        return
    table(
        [
            say("fiche", "record"),
            say("formulaire", "form"),
            say("raison", "reason"),
            say("où", "where"),
            say("qui", "who"),
        ],
        [
            [
                f"{r['source']}/{r['stream']}/{r['key']}",
                r["form"],
                _sentence(reasons, r["code"]),
                f"{r['file'] or ''}:{r['line'] or ''} {r['path'] or ''}",
                r["who"],
            ]
            for r in rows
        ],
    )


@app.command()
def remap(json: Json = False) -> None:
    """Traduire à nouveau ce qui est en quarantaine. / Map the quarantined records again."""
    with house() as made:
        count = Actions(made.engine).remap(None, _me())
    json_out({"remapped": count}) if json else out.print(str(count))


@app.command()
def pause(name: Annotated[str, typer.Argument()], reason: Annotated[str, typer.Option()], json: Json = False) -> None:
    """Mettre une connexion en pause. / Pause a connection."""
    with house() as made:
        Actions(made.engine).pause(name, reason, None, _me())
    json_out({"paused": name}) if json else out.print(name)


@app.command()
def resume(name: Annotated[str, typer.Argument()], json: Json = False) -> None:
    """Reprendre une connexion. / Resume a connection."""
    with house() as made:
        Actions(made.engine).resume(name, _me())
    json_out({"resumed": name}) if json else out.print(name)
