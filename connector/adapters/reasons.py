"""Why a target answered as it did, in words for the people who must act."""

from __future__ import annotations

from dataclasses import dataclass

from connector.model import Verdict, Who


@dataclass(frozen=True, slots=True)
class Reason:
    """One row of a target's table of reasons. ``fr`` and ``en`` say what happened, what Relais does now and what the
    person named by ``who`` should do; never a value of a record."""

    verdict: Verdict
    who: Who
    fr: str
    en: str
    #: Nothing was sent, because the target lacks something: it is looked at again with every run, and each hour.
    held: bool = False
