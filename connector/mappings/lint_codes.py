"""Every code ``relais check`` may report about a pack, with its words in French and English. ``docs/lint/`` has a page
for each; a test holds the two together."""

from __future__ import annotations

from collections.abc import Mapping

from connector.findings import Code
from connector.mappings.lint_codes_counting import COUNTING
from connector.mappings.lint_codes_files import FILES
from connector.mappings.lint_codes_mapping import MAPPING
from connector.mappings.lint_codes_places import PLACES
from connector.mappings.lint_codes_tracker import TRACKER

CODES: Mapping[str, Code] = {**FILES, **MAPPING, **COUNTING, **PLACES, **TRACKER}
