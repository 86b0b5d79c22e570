"""For all tests: how long hypothesis takes to draw says something of the machine, nothing of the code."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("relais", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("relais")
