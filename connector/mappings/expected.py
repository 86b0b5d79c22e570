"""The DHIS2 metadata a pack needs, by code: what a probe looks for and ``relais setup`` would make."""

from __future__ import annotations

from itertools import product
from typing import Any

from connector.mappings.pack import Pack


def expected_metadata(pack: Pack) -> dict[str, dict[str, Any]]:
    """Data set code -> ``{"period_type", "elements": {element code: [combo codes]}, "org_units": [codes]}``."""
    found: dict[str, dict[str, Any]] = {}
    for data_set in pack.data_sets.values():
        units = sorted({row.org_unit for row in pack.org_units if row.level == data_set.level})
        found[data_set.code] = {"period_type": data_set.period_type, "elements": {}, "org_units": units}
    for indicator in pack.indicators.values():
        elements = found[pack.data_sets[indicator.data_set].code]["elements"]
        for part, element in indicator.elements.items():
            options = [list(pack.categories[name].options.values()) for name in indicator.rules[part].by]
            elements[element] = ["-".join(chosen) for chosen in product(*options)] if options else ["default"]
    return found
