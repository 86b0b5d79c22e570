"""Commands for the keys of machines: token new, token list, token revoke."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

import typer

from connector.cli.app import Json, app, house, me
from connector.cli.output import err, json_out, out, say, table
from connector.engine import tokens
from connector.engine.status import span

token_app = typer.Typer(help="Ce qui laisse entrer un programme. / What lets a program in.", no_args_is_help=True)
app.add_typer(token_app, name="token")


@token_app.command("new")
def token_new(
    name: Annotated[str, typer.Option(help="What it is for, such as `prometheus`; it is shown in lists.")],
    role: Annotated[str, typer.Option(help=" | ".join(tokens.ROLES))],
    expires: Annotated[str | None, typer.Option(help="Valid for so long: `90d`. Not given: until revoked.")] = None,
    source: Annotated[str | None, typer.Option(help="With `submit`: the only source it may push to.")] = None,
    json: Json = False,
) -> None:
    """Un jeton pour une machine, montré une seule fois. / A token for a machine, shown this once."""
    try:
        lasts = span(expires) if expires else None
    except ValueError:
        raise typer.BadParameter("--expires: 90d, 12h") from None
    token = f"relais_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"
    with house(strict=False) as made:
        found = tokens.make(made.engine, token, name=name, role=role, by=me(), lasts=lasts, source=source)
    if json:
        json_out({"token": token, **found})
        return
    typer.echo(token)
    err.print(
        say(
            "Ce jeton n'est montré qu'ici et Relais ne le garde pas. L'appelant l'envoie ainsi : Authorization: Bearer JETON",
            "This token is shown only here and Relais does not keep it. The caller sends it as: Authorization: Bearer TOKEN",
        )
    )


@token_app.command("list")
def token_list(json: Json = False) -> None:
    """Les jetons, leur rôle et leur dernier usage. / The tokens, their role and when they were last used."""
    with house(strict=False) as made:
        found = tokens.listed(made.engine)
    if json:
        json_out({"tokens": found})
        return
    words = {
        "active": say("valable", "valid"),
        "expired": say("[yellow]expiré[/]", "[yellow]expired[/]"),
        "revoked": say("[dim]révoqué[/]", "[dim]revoked[/]"),
    }
    rows: list[list[Any]] = [
        [one["name"], one["role"], one["source"], words[one["state"]], one["expires"], one["last_used"]]
        for one in found
    ]
    table(
        [
            say("Jeton", "Token"),
            say("rôle", "role"),
            "source",
            say("état", "state"),
            say("expire", "expires"),
            say("dernier usage", "last used"),
        ],
        rows,
    )


@token_app.command("revoke")
def token_revoke(
    name: Annotated[str, typer.Argument(help="Name of the token.")],
    json: Json = False,
) -> None:
    """Ne plus laisser entrer ce jeton. / Let this token in no more."""
    with house(strict=False) as made:
        changed = tokens.revoke(made.engine, name, me())
    if json:
        json_out({"revoked": name, "changed": changed})
    else:
        out.print(say(f"{name} : révoqué", f"{name}: revoked"))
