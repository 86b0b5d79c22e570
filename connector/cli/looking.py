"""Commands that look: status, plan, explain, trace, deliveries, quarantine; and what a person does about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.markup import escape

from connector import __version__, bootstrap
from connector.cli.app import Json, app, house, leave, me
from connector.cli.output import (
    Watching,
    entries,
    err,
    flag_words,
    flagged_words,
    json_out,
    local,
    out,
    plain,
    say,
    show_flags,
    state,
    table,
    who,
)
from connector.engine import kept_plans, lineage, runs
from connector.engine import status as standing
from connector.engine.actions import Actions
from connector.engine.mapping import read_flags

Where = Annotated[list[str] | None, typer.Option("--where", help="target=…, state=…, kind=…, reason=…, record=…")]


def chosen(pairs: list[str] | None) -> dict[str, Any]:
    found = {}
    for pair in pairs or []:
        name, _, value = pair.partition("=")
        if name not in ("target", "state", "kind", "reason", "record") or not value:
            raise typer.BadParameter(f"--where {pair}: target=, state=, kind=, reason= or record=")
        found[name] = value
    return found


@app.command()
def status(json: Json = False) -> None:
    """Tout va-t-il bien ? Sinon, qui doit faire quoi ? / Is all well? If not, who must do what?"""
    with house(strict=False) as made:
        document = standing.status(made.engine, __version__)
        reasons, zone = made.engine.reasons, made.pack.zone
    if json:
        json_out(document)
    else:
        out.print(state(document["state"]))
        entries(
            [
                say("Connexion", "Connection"),
                say("état", "state"),
                say("en file", "waiting"),
                say("mis de côté", "parked"),
                say("dernier succès", "last success"),
            ],
            [
                (
                    [
                        c["name"],
                        state(c["state"]),
                        c.get("waiting", ""),
                        c.get("parked", ""),
                        local(c.get("last_success"), zone),
                    ],
                    [escape(_why(c, reasons, zone))],
                )
                for c in document["connections"]
            ],
        )
        if n := document["flagged"]:
            out.print(flagged_words(n))
        out.print(
            say(
                f"{document['quarantined']} en quarantaine, {document['parked']} mis de côté, {document['held_values']} valeurs retenues",
                f"{document['quarantined']} in quarantine, {document['parked']} parked, {document['held_values']} values held",
            )
        )
        for words in [*_expiring(document), *_clinic(document), *_ministry(document), *_history(document)]:
            out.print(words)
    leave(standing.exit_code(document))


def _why(connection: dict[str, Any], reasons: Any, zone: str) -> str:
    """Why a connection is as it is, and who must act; nothing where all is well."""
    if paused := connection.get("paused"):
        return pause_words(paused)
    acts = who(connection["who"]) if connection["who"] != "nobody" else ""
    if connection["state"] == "silent":
        since, limit = local(connection["last_record"], zone), connection["silent_after"]
        words = say(
            f"Sa fiche la plus récente est du {since} ; silent_after admet {limit}.",
            f"Its youngest record is of {since}; silent_after allows {limit}.",
        )
    elif connection.get("reason"):
        words = sentence(reasons, connection["reason"])
    elif reason := connection.get("waiting_reason"):
        words = sentence(reasons, reason)
        if connection.get("next_try"):
            again = local(connection["next_try"], zone)
            words += say(f" Prochain essai : {again}", f" Next try: {again}")
    elif reason := connection.get("parked_reason"):
        words = sentence(reasons, reason) + say(
            f" Les voir : relais deliveries --where target={connection['name']} --where state=parked",
            f" See them: relais deliveries --where target={connection['name']} --where state=parked",
        )
    else:
        return ""
    return f"{words} ({acts})" if acts else words


def _expiring(document: dict[str, Any]) -> list[str]:
    lines = []
    for one in document["expiring"]:
        day, acts = one["ends"][:10], who(one["who"])
        lines.append(
            say(
                f"{one['name']} : un jeton de notre compte expire le {day} ; après, plus rien n'y part. Créez-en un autre (Profil → "
                f"Jetons d'accès personnels) et donnez-le à Relais (token dans connector.yaml) ({acts})",
                f"{one['name']}: a token of our account expires on {day}; after that nothing more leaves for it. Make another (Profile → "
                f"Personal access tokens) and give it to Relais (token in connector.yaml) ({acts})",
            )
        )
    return lines


def _clinic(document: dict[str, Any]) -> list[str]:
    lines = []
    if n := document["matches"]:
        lines.append(
            say(
                f"{n} personnes référées ressemblent à un dossier de la clinique : la clinique dit qui c'est, relais matches list",
                f"{n} referred people look like a patient of the clinic: the clinic says who it is, relais matches list",
            )
        )
    if n := document["referrals"]["overdue"]:
        lines.append(
            say(
                f"Références non vues à temps (24 h si urgent, 3 jours sinon) : {n} sur {document['referrals']['open']} en cours. "
                "L'ASC est prévenu ; les voir : page Références.",
                f"Referrals not seen in time (24 h if urgent, else 3 days): {n} of {document['referrals']['open']} open. "
                "The CHW is told; see them: page Referrals.",
            )
        )
    return lines


def _ministry(document: dict[str, Any]) -> list[str]:
    """What waits for approval or for a period to be opened, and who is missing."""
    lines = []
    if n := document["awaiting_release"]:
        lines.append(
            say(f"{n} envois attendent une approbation : relais approve dhis2 --period P",
                f"{n} deliveries wait for approval: relais approve dhis2 --period P")
        )  # fmt: skip
    if n := document["period_closed"]:
        lines.append(
            say(
                f"{n} envois attendent une période close dans DHIS2",
                f"{n} deliveries wait for a period closed in DHIS2",
            )
        )
    for one in document["completeness"]:
        lines.append(
            say(
                f"{one['data_set']} {one['period']} : {one['reported']} sur {one['expected']} ont transmis",
                f"{one['data_set']} {one['period']}: {one['reported']} of {one['expected']} have reported",
            )
        )
    return lines


def _history(document: dict[str, Any]) -> list[str]:
    """How far what was asked of history is."""
    lines = []
    for job in document["history"]:
        about = " ".join([*job.get("indicators", ()), job.get("periods", ""), *job.get("where", {}).values()]).strip()
        lines.append(
            say(
                f"{job['what']} {job['id']} ({about or '–'}) : {job['done']} fiches reprises sur {job['records']}, demandé "
                f"par {job['by']} le {job['at'][:10]}",
                f"{job['what']} {job['id']} ({about or '–'}): {job['done']} of {job['records']} records taken up, asked for "
                f"by {job['by']} on {job['at'][:10]}",
            )
        )
    return lines


def pause_words(paused: dict[str, Any]) -> str:
    """Who paused it, why, and until when."""
    until = paused.get("until")
    ends = say(f"en pause jusqu'à {until[:16]}", f"paused until {until[:16]}") if until else say("en pause", "paused")
    return f"{ends} ({paused.get('by') or '–'}: {paused.get('reason') or '–'})"


def note_words(row: dict[str, Any]) -> str:
    return f"{row['note']} ({row['note_by'] or '–'})" if row.get("note") else ""


def sentence(reasons: Any, code: str | None, *, coded: bool = True) -> str:
    if not code:
        return ""
    reason = reasons.get(code)
    if not reason:
        return code if coded else ""
    words = say(reason.fr, reason.en)
    return f"{code}: {words}" if coded else words


def place_words(row: dict[str, Any]) -> str:
    """Where in the pack a quarantined record failed, and what about: ``org_units.csv place S9``."""
    where = f"{row['file'] or ''}{':' + str(row['line']) if row['line'] else ''}"
    return " ".join(word for word in (where, row["path"], row["detail"]) if word)


@app.command()
def plan(
    target: Annotated[str | None, typer.Option()] = None,
    period: Annotated[str | None, typer.Option()] = None,
    json: Json = False,
) -> None:
    """Ce qui serait envoyé, et ce qui est retenu. / What would be sent, and what is held back.

    What was received is mapped and counted first; nothing is read from a source and nothing is sent. The plan is kept:
    `relais run --plan ID` sends just that.
    """
    with house() as made:
        bootstrap.settle_in()
        if target is not None and target not in made.pack.targets:
            raise typer.BadParameter(f"{target}: {', '.join(made.pack.targets)}")
        with Watching() as step:
            made.engine.progress = step
            busy = not runs.count(made.engine)
        document = kept_plans.keep(made.engine, me(), target, period)
        reasons = made.engine.reasons
        read = made.store.read(lambda unit: unit.last_read())
    if json:
        json_out(document)
        return
    _show_plan(document, reasons)
    if busy and (document["unmapped"] or document["uncounted"]):
        err.print(
            say(
                f"Un autre processus tient la base : {document['unmapped']} fiches reçues ne sont pas encore comptées ici.",
                f"Another process holds the database: {document['unmapped']} records received are not counted here yet.",
            )
        )
    seen = read[:16].replace("T", " ") if read else say("jamais", "never")
    err.print(
        say(
            f"Rien n'est parti. Sources lues pour la dernière fois : {seen} (les relire : relais run --dry-run). Envoyer "
            f"exactement ceci : relais run --plan {document['id']}",
            f"Nothing was sent. Sources last read: {seen} (read them again: relais run --dry-run). To send exactly this: "
            f"relais run --plan {document['id']}",
        )
    )


#: what -> mark, style, French, English
WHAT = {
    "new": ("+", "green", "nouvelle", "new"),
    "changed": ("~", "yellow", "changée", "changed"),
    "removed": ("−", "red", "retirée", "removed"),
}


def _where(item: dict[str, Any]) -> str:
    return str(item.get("key") or f"{item['data_element']} {item['combo']} {item['org_unit']} {item['period']}")


def _because(item: dict[str, Any]) -> list[str]:
    """Each record that came or left, or the one of a key: a line of its own."""
    found = item.get("because") or {}
    if "record" in found:
        return [str(found["record"])]
    words = [
        f"+ {one['record']}" + (say(" (corrigée)", " (edited)") if one["edited"] else "")
        for one in found.get("came", ())
    ]
    more = found.get("came_total", 0) - len(found.get("came", ()))
    words += [f"+ {more}…"] if more > 0 else []
    words += [
        f"− {one['record']}" + (say(" (supprimée)", " (deleted)") if one["state"] == "deleted" else "")
        for one in found.get("left", ())
    ]
    return words


def _show_plan(document: dict[str, Any], reasons: Any) -> None:
    out.print(
        say(
            f"[bold]{document['id']}[/]  + {document['new']} nouvelles  ~ {document['changed']} changées  − {document['removed']} retirées  "
            f"= {document['same']} inchangées  ! {len(document['blocked'])} retenues",
            f"[bold]{document['id']}[/]  + {document['new']} new  ~ {document['changed']} changed  − {document['removed']} removed  "
            f"= {document['same']} same  ! {len(document['blocked'])} held back",
        )
    )
    if document["frozen"]:
        out.print(
            say(
                f"{document['frozen']} fiches purgées restent figées à leur ancienne version.",
                f"{document['frozen']} purged records stay frozen at their old version.",
            )
        )
    rows = []
    for item in document["items"][:40]:
        mark, style, *_ = WHAT[item["what"]]
        change = "" if item.get("key") else f"{item['accepted'] or '–'} → {item['sends'] or '–'}"
        because, lead = _because(item), say("à cause de ", "because of ")
        words = [escape(lead + ("\n" + " " * len(lead)).join(because))] if because else []
        rows.append(([f"[{style}]{mark}[/]", item["target"], escape(_where(item)), change], words))
    if rows:
        entries(["", say("cible", "target"), say("où", "where"), say("valeur", "value")], rows)
        if sum(document[kind] for kind in WHAT) > len(rows):
            out.print(say(f"… {len(rows)} premières montrées", f"… the first {len(rows)} shown"))
    if document["completions"]:
        shown = ", ".join(f"{c['data_set']} {c['org_unit']} {c['period']}" for c in document["completions"][:5])
        out.print(
            say(
                f"Ensuite, {len(document['completions'])} mois peuvent être déclarés complets : {shown}",
                f"After that {len(document['completions'])} periods can be declared complete: {shown}",
            )
        )
    held = [b for b in document["blocked"] if b["state"] not in ("old", "shadow")]
    if held:
        entries(
            [say("retenu", "held back"), say("où", "where"), "Relais", say("là-bas", "there")],
            [
                (
                    [
                        state(b["state"]),
                        escape(b["target"] if b.get("kind") == "target" else _where(b)),
                        b.get("value"),
                        b.get("there"),
                    ],
                    [escape(sentence(reasons, b["reason"]))],
                )
                for b in held[:40]
            ],
        )
    older = len(document["blocked"]) - len(held)
    if older:
        out.print(
            say(
                f"{older} valeurs calculées et jamais envoyées (avant live_from, ou mode shadow).",
                f"{older} values computed and never sent (before live_from, or shadow mode).",
            )
        )


#: Revisions of a record shown, the newest.
REVISIONS = 10


@app.command()
def trace(
    source: Annotated[str, typer.Argument(help="Source, or source/stream/key.")],
    key: Annotated[str | None, typer.Argument()] = None,
    json: Json = False,
) -> None:
    """Une fiche vers l'avant : traduction, faits, cellules, envois. / One record forwards."""
    with house() as made:
        records = [source] if key is None else made.store.read(lambda unit: unit.find_records(source, key))
        reasons = made.engine.reasons
        documents = [d for r in records if (d := lineage.trace(made.engine, r)) is not None]
        resources = {}
        if documents:
            Actions(made.engine).read_audit("record.traced", documents[0]["record"]["id"], me())
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
    if q := document["quarantine"]:
        out.print(f"[bold red]{q['code']}[/] {escape(place_words(q))}")
        out.print(sentence(reasons, q["code"], coded=False))
    if len(document["revisions"]) > 1:
        table(
            [say("révision", "revision"), say("reçue le", "received at")],
            [
                [
                    r["revision"][:40] + (say(" (compte)", " (counts)") if r["revision"] == record["revision"] else ""),
                    r["received_at"][:19],
                ]
                for r in document["revisions"][-REVISIONS:]
            ],
        )
    if document["facts"] or document["derived"]:
        table(
            [say("fait", "fact"), say("valeur", "value"), ""],
            [
                [f["name"], "•••" if f["masked"] else plain(f["value"]), _remark(f, derived=bool(n))]
                for n, facts in enumerate((document["facts"], document["derived"]))
                for f in facts
            ],
        )
    show_flags(document["flags"])
    if document["cells"]:
        _show_cells(document["cells"], reasons)
    if document["deliveries"]:
        table(
            [say("envoi", "delivery"), say("cible", "target"), say("état", "state")],
            [[d["id"], f"{d['target']} {d['kind']}", state(d["state"])] for d in document["deliveries"]],
        )
    if document["resources"]:
        entries(
            [say("ressource FHIR", "FHIR resource"), say("état", "state")],
            [([escape(r["key"]), state(r["state"])], []) for r in document["resources"]],
        )


def _remark(fact: dict[str, Any], *, derived: bool) -> str:
    if fact.get("implausible"):
        return say("invraisemblable", "implausible")
    return say("déduit", "derived") if derived else ""


def _show_cells(cells: list[dict[str, Any]], reasons: Any) -> None:
    entries(
        [say("cellule", "cell"), say("unité", "org unit"), say("période", "period")],
        [
            (
                [escape(f"{c['data_element']} {c['combo']}"), escape(c["org_unit"]), c["period"]],
                [
                    say(f"compte pour {c['amount']}", f"amount {c['amount']}")
                    + say(f" · valeur {_or(c['value'])}", f" · value {_or(c['value'])}")
                    + say(f" · accepté {_or(c['accepted'])}", f" · accepted {_or(c['accepted'])}")
                    + f" · {state(c['state'] or '–')}",
                    *(
                        say("envoyé", "sent")
                        + f" {s['at'][:19]} · {_or(s['value'])} · {state(s['verdict'])} "
                        + escape(sentence(reasons, s["reason"]))
                        for s in c["sends"]
                    ),
                ],
            )
            for c in cells
        ],
    )


def _or(value: Any) -> str:
    return "–" if value is None else str(value)


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
        rows = made.store.read(lambda unit: unit.list_deliveries(chosen(where), limit, after))
        paused = [c for c in standing.status(made.engine, __version__)["connections"] if c["state"] == "paused"]
    if json:
        json_out(rows)
        return
    for one in paused:
        out.print(f"[yellow]{one['name']}[/]: {pause_words(one['paused'])}")
    entries(
        ["id", say("cible", "target"), say("échecs", "failures"), say("état", "state"), say("clé", "key")],
        [
            (
                [r["id"], r["target"], r["tries"], state(r["state"]), escape(r["key"])],
                [" · ".join(word for word in (r["reason"], who(r["who"]), escape(note_words(r))) if word)],
            )
            for r in rows
        ],
    )


@app.command()
def quarantine(
    source: Annotated[str | None, typer.Option()] = None,
    code: Annotated[str | None, typer.Option()] = None,
    limit: Annotated[int, typer.Option()] = 100,
    flagged: Annotated[
        bool, typer.Option("--flagged", help="Records that count, with an answer that could not be used.")
    ] = False,
    json: Json = False,
) -> None:
    """Les fiches qui n'ont pas pu être traduites. / Records that could not be mapped.

    With --flagged: those that were mapped, without the answers that could not be used. They are not in quarantine and
    count, but not by these answers; correct them at the source.
    """
    with house() as made:
        if flagged:
            _show_flagged(made.store.read(lambda unit: _flagged(unit, source, code, limit)), json)
            return
        where = {k: v for k, v in (("source", source), ("code", code)) if v}
        rows = made.store.read(lambda unit: unit.list_quarantine(where, limit))
        reasons = made.engine.reasons
    if json:
        json_out(rows)
        return
    _show_held(
        rows,
        lambda r: [
            escape(sentence(reasons, r["code"])),
            " · ".join(escape(word) for word in dict.fromkeys((r["form"], place_words(r), who(r["who"]))) if word),
        ],
    )


def _show_held(rows: list[dict[str, Any]], words: Callable[[dict[str, Any]], list[str]]) -> None:
    """Records by their whole keys, each with its lines of words below."""
    entries([say("fiche", "record")], [([escape(f"{r['source']}/{r['stream']}/{r['key']}")], words(r)) for r in rows])


def _flagged(unit: Any, source: str | None, code: str | None, limit: int) -> list[dict[str, Any]]:
    rows = unit.list_flagged({"source": source} if source else {}, limit, code or "")
    return [
        {**row, "flags": [{"code": f["code"], "fact": f["fact"]} for f in read_flags(row["flags"])]} for row in rows
    ]


def _show_flagged(rows: list[dict[str, Any]], json: bool) -> None:
    if json:
        json_out(rows)
        return
    _show_held(rows, lambda r: [flag_words(flag) for flag in r["flags"]])
