"""Which simulator speaks for which recorded server."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.truth.dhis2 import Legacy
from tests.truth.replay import Speaker

SPEAKERS: Mapping[str, Callable[[], Speaker]] = {"dhis2-2.42": Legacy}
