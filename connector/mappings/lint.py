"""Cross-checks of a pack that was read: what each part says of the others.

Every finding has a stable code, a place, a reason and a fix; ``docs/lint.md`` lists the codes. Nothing here touches the
network: what only the servers know is asked by ``relais check --live``.
"""

from __future__ import annotations

from connector.mappings import (
    lint_categories,
    lint_clinics,
    lint_examples,
    lint_expressions,
    lint_files,
    lint_forms,
    lint_indicators,
    lint_places,
    lint_samples,
    lint_slips,
    lint_together,
    lint_tracker,
)
from connector.mappings.fact_functions import functions
from connector.mappings.linting import checking
from connector.mappings.pack import Pack
from connector.model import Finding

_CHECKS = (
    lint_files.check,
    lint_forms.check,
    lint_expressions.check,
    lint_indicators.check,
    lint_together.check,
    lint_categories.check,
    lint_places.check,
    lint_clinics.check,
    lint_tracker.check,
    lint_examples.check,
    lint_samples.check,
    lint_slips.check,
)


def lint(pack: Pack) -> list[Finding]:
    """Everything wrong or doubtful between the parts of the pack, in file order."""
    one = checking(pack)
    for check in _CHECKS:
        check(one)
    found = dict.fromkeys(one.findings.items)
    return sorted(found, key=lambda finding: (finding.file, finding.line, finding.column, finding.code))


__all__ = ["functions", "lint"]
