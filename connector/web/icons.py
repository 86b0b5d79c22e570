"""The marks of the pages as ``<symbol>``: a page carries those it uses, once.

Shape tells the state, colour repeats it.
"""

from __future__ import annotations

import re
from pathlib import Path

from markupsafe import Markup

#: mark -> its drawing, from ``templates/symbols.svg``.
SYMBOLS = dict(
    re.findall(
        r'<symbol id="(\w+)" viewBox="0 0 16 16">(.+)</symbol>',
        (Path(__file__).parent / "templates" / "symbols.svg").read_text(encoding="utf-8"),
    )
)

#: state word -> (meaning class, icon). Keys are catalogue keys ``state.<key>``.
PILLS = {
    # connections
    "c.ok": ("ok", "ok"),
    "c.running": ("run", "run"),
    "c.waiting": ("wait", "wait"),
    "c.action_needed": ("act", "act"),
    "c.silent": ("wait", "silent"),
    "c.paused": ("off", "pause"),
    "c.never_run": ("off", "never"),
    # deliveries
    "d.pending": ("off", "wait"),
    "d.leased": ("run", "run"),
    "d.accepted": ("ok", "ok"),
    "d.partly": ("act", "part"),
    "d.rejected": ("act", "no"),
    "d.deferred": ("wait", "wait"),
    "d.unknown": ("wait", "unk"),
    "d.parked": ("off", "park"),
    "d.resolved": ("off", "ok"),
    "d.open": ("run", "run"),
    "d.held": ("act", "act"),
    "d.kept": ("off", "ok"),
    # two people, field by field
    "m.same": ("ok", "ok"),
    "m.close": ("wait", "unk"),
    "m.compatible": ("ok", "ok"),
    "m.different": ("act", "no"),
    "m.missing": ("off", "never"),
    # values
    "v.accepted": ("ok", "ok"),
    "v.equal": ("ok", "ok"),
    "v.different": ("act", "act"),
    "v.wanted": ("wait", "wait"),
    "v.rejected": ("act", "no"),
    "v.held": ("act", "act"),
    "v.kept": ("off", "ok"),
    "v.old": ("off", "never"),
    "v.shadow": ("off", "silent"),
    "v.none": ("off", "never"),
    "v.awaiting": ("act", "act"),
    "v.closed": ("act", "lock"),
    # figures of a unit, and its completion
    "f.none": ("off", "never"),
    "f.waiting": ("wait", "wait"),
    "f.accepted": ("ok", "ok"),
    "f.held": ("act", "act"),
    "f.parked": ("act", "no"),
    "f.awaiting_release": ("act", "act"),
    "f.period_closed": ("act", "lock"),
    "p.complete": ("ok", "ok"),
    "p.gaps": ("wait", "part"),
    "p.running": ("off", "never"),
    "p.sending": ("run", "run"),
    "p.refused": ("act", "no"),
    "p.missing": ("wait", "wait"),
    "p.figures": ("wait", "wait"),
    # audit
    "a.ok": ("ok", "ok"),
    "a.broken": ("act", "act"),
    "a.none": ("off", "never"),
}


class Icons:
    """Draws marks and remembers which ones a page used."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def __call__(self, name: str) -> Markup:
        self._used.add(name)
        return Markup('<svg class="i" aria-hidden="true"><use href="#{}"/></svg>').format(f"i-{name}")

    def sprite(self) -> Markup:
        symbols = "".join(
            f'<symbol id="i-{name}" viewBox="0 0 16 16">{SYMBOLS[name]}</symbol>' for name in sorted(self._used)
        )
        return Markup(f'<svg class="sprite" width="0" height="0" aria-hidden="true">{symbols}</svg>')


_BEAT = {
    "ok": ("ok", "v18", 1.0),
    "deferred": ("wait", "v9", 10.0),
    "nothing": ("off", "v5", 14.0),
    "not_run": ("off", "v2", 17.0),
}


def beat(results: list[str], label: str) -> Markup:
    """The last 30 passes: full bar done, half bar deferred, broken bar refused, stub nothing received, dot not run."""
    paths: dict[str, str] = {}
    for place, result in enumerate(results[-30:]):
        x = f"{2 + 4.4 * place:g}"
        if result == "refused":
            paths["act"] = paths.get("act", "") + f"M{x} 1v11M{x} 15v4"
        else:
            name, line, top = _BEAT.get(result, _BEAT["not_run"])
            paths[name] = paths.get(name, "") + f"M{x} {top:g}{line}"
    drawn = "".join(f'<path class="{name}" d="{path}"/>' for name, path in paths.items())
    return Markup('<svg class="beat" viewBox="0 0 132 20" role="img" aria-label="{}">{}</svg>').format(
        label, Markup(drawn)
    )
