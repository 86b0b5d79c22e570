"""What a target holds at this moment, asked because a person wants to know. Nothing is written, here or there.

A person waits for the answer, perhaps on a weak link: there is a time limit, and it also holds where the network itself
does not give up (a name that cannot be resolved). Few questions are under way at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from connector.engine import pauses, reconcile
from connector.engine.delivery import LOCKED
from connector.engine.engine import Engine
from connector.errors import ConfigError, TargetUnreadable
from connector.model import Delivery
from connector.ports import Target

#: Seconds that a person waits at most.
SECONDS = 8.0

#: Questions under way at once.
AT_ONCE = 2

#: After the account was refused, so many seconds nothing is asked: a lock-out is worse than no answer.
REFUSED = 600.0

#: state -> French, English. ``{there}``: what the target holds, ``{ours}``: what Relais counts.
WORDS = {
    "equal": (
        "Au moment de la question, la cible a {there}, comme Relais.",
        "When asked, the target holds {there}, as Relais does.",
    ),
    "different": (
        "Au moment de la question, la cible a {there} ; Relais compte {ours}.",
        "When asked, the target holds {there}; Relais counts {ours}.",
    ),
    "nothing": (
        "Au moment de la question, il n'y a rien là-bas ; Relais compte {ours}.",
        "When asked, there is nothing there; Relais counts {ours}.",
    ),
    "unreadable": (
        "Ce que la cible contient n'a pas pu être lu. {reason}",
        "What the target holds could not be read. {reason}",
    ),
    "not_asked": ("La cible n'a pas été interrogée. {reason}", "The target was not asked. {reason}"),
}

#: The same of what is no figure.
WORDS_OF_DELIVERY = {
    **WORDS,
    "equal": (
        "Au moment de la question, la cible contient ce qui est voulu.",
        "When asked, the target holds what is wanted.",
    ),
    "different": (
        "Au moment de la question, la cible contient autre chose que ce qui est voulu.",
        "When asked, the target holds something else than what is wanted.",
    ),
    "nothing": (
        "Au moment de la question, il n'y a rien là-bas sous cette clé.",
        "When asked, there is nothing there under this key.",
    ),
}


def _of_account(code: str | None) -> bool:
    return bool(code) and ("credentials" in str(code) or any(word in str(code) for word in LOCKED))


Ask = Callable[[Target], Awaitable[dict[str, Any]]]


class Asker:
    """Asks targets with adapters of its own, from a thread of its own. ``another``: name -> such an adapter."""

    def __init__(
        self,
        engine: Engine,
        another: Callable[[str], AbstractAsyncContextManager[Target]],
        *,
        seconds: float = SECONDS,
        at_once: int = AT_ONCE,
    ) -> None:
        self.engine = engine
        self.another = another
        self.seconds = seconds
        self._refused_at: dict[str, float] = {}
        self._turns = threading.BoundedSemaphore(at_once)

    def value(self, cell: Mapping[str, Any]) -> dict[str, Any]:
        """What DHIS2 holds of a cell: ``state`` (equal | different | nothing | unreadable | not_asked), ``value``,
        ``at``, ``reason`` (a code), ``words`` (fr, en). Compared with what Relais counts now."""
        config = self.engine.target_of("dhis2")
        data_set = self.engine.pack.data_sets.get(cell["data_set"])
        if config is None or data_set is None:
            return self._told("not_asked", "target.unreadable")

        async def ask(target: Any) -> dict[str, Any]:
            held = await target.read_block(data_set.code, cell["org_unit"], cell["period"])
            there, ours = held.get((cell["data_element"], cell["combo"])), cell["value"]
            zeros = (None, "0", "")  # DHIS2 drops insignificant zeros; where nothing counts any more a zero is wanted
            same = there == ours or (there in zeros and ours in zeros)
            state = "equal" if same else "nothing" if there is None else "different"
            return self._told(state, there=there, ours=ours)

        return self._asked(config.name, ask)

    def delivery(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Whether a target holds what a delivery wants there; ``value`` stays empty."""
        wanted: Delivery | None = self.engine.store.read(
            lambda unit: reconcile.payload_of(self.engine, unit, dict(row))
        )
        if wanted is None:
            return self._told("not_asked", "resource.not_rebuilt")

        async def ask(target: Target) -> dict[str, Any]:
            observed = await target.look_up(wanted)
            gone = observed is None
            same = bool(wanted.payload.get("deleted")) if observed is None else observed.matches
            return self._told("equal" if same else "nothing" if gone else "different", words=WORDS_OF_DELIVERY)

        return self._asked(row["target"], ask)

    # -- the question

    def _asked(self, name: str, ask: Ask) -> dict[str, Any]:
        refused = self.engine.store.read(lambda unit: self._refused(name, unit.row_of_target(name)))
        if refused:
            return self._told("not_asked", refused)
        if not self._turns.acquire(blocking=False):
            return self._told("not_asked", "asked.busy")
        answer: list[dict[str, Any]] = []
        thread = threading.Thread(target=self._in_thread, args=(name, ask, answer), name="relais-ask", daemon=True)
        thread.start()
        thread.join(self.seconds + 0.5)
        return answer[0] if answer else self._told("unreadable", "asked.too_slow")

    def _refused(self, name: str, row: Mapping[str, Any]) -> str | None:
        if pauses.of(self.engine, row):
            return "asked.paused"
        at = self._refused_at.get(name)
        lately = at is not None and self.engine.clock.steady()[1] - at < REFUSED
        return "asked.credentials" if lately or row.get("refusals") or _of_account(row.get("reason")) else None

    def _in_thread(self, name: str, ask: Ask, answer: list[dict[str, Any]]) -> None:
        try:
            answer.append(asyncio.run(self._inside(name, ask)))
        except Exception:  # whatever went wrong, a person is told that there is no answer
            answer.append(self._told("unreadable", "target.unreadable"))
        finally:
            self._turns.release()

    async def _inside(self, name: str, ask: Ask) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self.seconds), self.another(name) as target:
                return await ask(target)
        except TimeoutError:
            return self._told("unreadable", "asked.too_slow")
        except (TargetUnreadable, ConfigError) as error:
            code = getattr(error, "reason", "") or str(error)
            if _of_account(code):
                self._refused_at[name] = self.engine.clock.steady()[1]
            return self._told("unreadable", code if code in self.engine.reasons else "target.unreadable")

    def _told(
        self,
        state: str,
        reason: str | None = None,
        *,
        there: str | None = None,
        ours: str | None = None,
        words: Mapping[str, tuple[str, str]] = WORDS,
    ) -> dict[str, Any]:
        said = self.engine.reasons.get(reason or "")
        french, english = words[state]
        values = {"there": there or "–", "ours": ours or "0"}
        return {
            "state": state,
            "value": there,
            "at": self.engine.now(),
            "reason": reason,
            "words": {
                "fr": french.format(**values, reason=said.fr if said else "").strip(),
                "en": english.format(**values, reason=said.en if said else "").strip(),
            },
        }
