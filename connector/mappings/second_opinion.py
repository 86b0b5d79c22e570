"""A second reader of the same standard: ``fhir.resources`` in its R4B part, structurally R4 for the types used here.

It knows no codes and takes a hundred times as long as :mod:`r4`, so it never stands in the way of a record: previews,
the check of an export and the tests ask it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from connector.mappings.r4 import Problem


def problems(resource: Mapping[str, Any]) -> list[Problem]:
    """What the second reader does not accept, without the values; empty when it accepts the resource."""
    from fhir.resources.R4B import get_fhir_model_class  # takes half a second, and most processes never ask
    from pydantic import ValidationError

    kind = str(resource.get("resourceType"))
    try:
        model = get_fhir_model_class(kind)
    except KeyError:
        return [Problem("resourceType", "not a resource type of R4B")]
    try:
        model.model_validate(orjson.loads(orjson.dumps(resource)))
    except ValidationError as error:
        return [Problem(".".join([kind, *map(str, one["loc"])]), one["msg"]) for one in error.errors()]
    except (TypeError, ValueError):
        return [Problem(kind, "holds what JSON cannot")]
    return []
