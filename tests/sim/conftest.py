"""Simulated worlds keep the pause between two reads as it is: a seed then does here what it does in ``make sim``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connector import http

PAUSE = http.PAUSE


@pytest.fixture(scope="package", autouse=True)
def _as_it_is() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(http, "PAUSE", PAUSE)
        yield
