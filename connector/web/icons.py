"""The marks of the pages as ``<symbol>``: a page carries those it uses, once. Shape tells the state, colour repeats it."""

from __future__ import annotations

from markupsafe import Markup

_RING = "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Z"
SYMBOLS = {
    "act": '<path fill-rule="evenodd" d="M8 .9 15.6 14.5H.4L8 .9Zm-.95 4.6.25 4.4h1.4l.25-4.4h-1.9ZM8 10.9a1 1 0 1 0 0 2 1 1 0 0 0 0-2Z"/>',
    "cal": '<path fill-rule="evenodd" d="M4 1h1.7v1.5h4.6V1H12v1.5h2.5v12h-13v-12H4V1Zm-.9 5.2V13h9.8V6.2H3.1Z"/>',
    "doc": '<path fill-rule="evenodd" d="M3 1h6.5L13 4.5V15H3V1Zm2 6v1.4h6V7H5Zm0 3v1.4h6V10H5Z"/>',
    "find": '<path fill-rule="evenodd" d="M7 1.5a5.5 5.5 0 1 0 3.2 10l3.4 3.3 1.2-1.2-3.3-3.4A5.5 5.5 0 0 0 7 1.5Zm0 1.7a3.8 3.8 0 1 1 0 7.6 3.8 3.8 0 0 1 0-7.6Z"/>',
    "lock": '<path fill-rule="evenodd" d="M4.5 7V5a3.5 3.5 0 0 1 7 0v2H13v7.5H3V7h1.5ZM6.2 7h3.6V5a1.8 1.8 0 0 0-3.6 0v2Z"/>',
    "never": '<circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="1.8" stroke-dasharray="1.6 1.54"/>',
    "no": '<path fill-rule="evenodd" d="M2 1.5h12l.5.5v12l-.5.5H2l-.5-.5V2l.5-.5Zm2.3 4L6.8 8l-2.5 2.5 1.2 1.2L8 9.2l2.5 2.5 1.2-1.2L9.2 8l2.5-2.5-1.2-1.2L8 6.8 5.5 4.3 4.3 5.5Z"/>',
    "ok": f'<path d="{_RING}m-1.1 10.3L3.8 8.2 5 7l1.9 1.9L11 4.8 12.2 6l-5.3 5.3Z"/>',
    "park": '<path d="M1.5 2.5h13v3.2h-13zM2.5 6.9h11v6.6h-11z"/>',
    "part": f'<path d="{_RING}m0 1.8v10.4A5.2 5.2 0 0 1 8 2.8Z"/>',
    "pause": f'<path fill-rule="evenodd" d="{_RING}M5.3 4.8h1.9v6.4H5.3V4.8Zm3.5 0h1.9v6.4H8.8V4.8Z"/>',
    "run": f'<path fill-rule="evenodd" d="{_RING}M6.2 4.7 11.7 8l-5.5 3.3V4.7Z"/>',
    "silent": '<circle cx="8" cy="8" r="6.1" fill="none" stroke="currentColor" stroke-width="1.7" stroke-dasharray="3.1 1.7"/><path d="M5 7.2h6v1.6H5z"/>',
    "unk": '<path fill-rule="evenodd" d="M8 .5 15.5 8 8 15.5.5 8 8 .5Zm-2.3 6h1.7c0-.5.3-.7.7-.7s.6.2.6.6c0 .8-1.6.9-1.6 2.5v.3h1.6c0-1.1 1.8-1.3 1.8-3 0-1.2-1-2-2.4-2-1.5 0-2.4.9-2.4 2.3ZM8 10.1a1 1 0 1 0 0 2 1 1 0 0 0 0-2Z"/>',
    "wait": f'<path fill-rule="evenodd" d="{_RING}m0 1.7a5.3 5.3 0 1 1 0 10.6A5.3 5.3 0 0 1 8 2.7Zm-.8 1.8v4l2.9 1.7.8-1.3-2.2-1.3V4.5H7.2Z"/>',
}

#: state word -> (meaning class, icon). Keys are catalogue keys ``state.<key>``.
PILLS = {
    # connections
    "c.ok": ("ok", "ok"), "c.running": ("run", "run"), "c.waiting": ("wait", "wait"), "c.action_needed": ("act", "act"),
    "c.silent": ("wait", "silent"), "c.paused": ("off", "pause"), "c.never_run": ("off", "never"),
    # deliveries
    "d.pending": ("off", "wait"), "d.leased": ("run", "run"), "d.accepted": ("ok", "ok"), "d.partly": ("act", "part"),
    "d.rejected": ("act", "no"), "d.deferred": ("wait", "wait"), "d.unknown": ("wait", "unk"), "d.parked": ("off", "park"),
    "d.resolved": ("off", "ok"), "d.open": ("run", "run"),
    # values
    "v.accepted": ("ok", "ok"), "v.equal": ("ok", "ok"), "v.different": ("act", "act"), "v.wanted": ("wait", "wait"),
    "v.rejected": ("act", "no"), "v.held": ("act", "act"), "v.kept": ("off", "ok"), "v.old": ("off", "never"),
    "v.shadow": ("off", "silent"), "v.none": ("off", "never"),
    # audit
    "a.ok": ("ok", "ok"), "a.broken": ("act", "act"), "a.none": ("off", "never"),
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


_BEAT = {"ok": ("ok", "v18", 1.0), "deferred": ("wait", "v9", 10.0), "nothing": ("off", "v5", 14.0), "not_run": ("off", "v2", 17.0)}


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
    return Markup('<svg class="beat" viewBox="0 0 132 20" role="img" aria-label="{}">{}</svg>').format(label, Markup(drawn))
