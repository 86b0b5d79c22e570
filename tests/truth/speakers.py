"""Which simulator speaks for which recorded server."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.truth.cht import Cht
from tests.truth.dhis2 import V43, Legacy
from tests.truth.fhir import Hapi
from tests.truth.openmrs import OpenMrs
from tests.truth.replay import Speaker

SPEAKERS: Mapping[str, Callable[[], Speaker]] = {
    "dhis2-2.42": Legacy,
    "dhis2-2.43": V43,
    "hapi-fhir-8.8": Hapi,
    "cht-5.2": Cht,
    "openmrs-2.8": OpenMrs,
}
