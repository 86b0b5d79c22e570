"""The pack as the environment gives it, and what ``relais check`` says of it.

Apart from ``bootstrap``, because who only reads a pack needs neither database nor servers, and waits for neither.
"""

from __future__ import annotations

import os

from connector.mappings import config, lint
from connector.mappings.pack import Pack
from connector.model import Finding
from connector.settings import Settings


def load(settings: Settings, *, strict: bool = True) -> tuple[Pack, list[Finding]]:
    """The pack and what lint says of it; without ``strict`` a missing secret is only a warning.

    Raises PackBroken when nothing can be loaded.
    """
    pack, findings = config.load_pack(settings.pack, os.environ, settings.secrets_dir, strict=strict)
    return pack, findings + lint.lint(pack)
