#!/usr/bin/env bash
# The whole road against simulators. Variables: SEED ONCE ZONE DHIS2 OPENMRS (empty = the default).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/venv.sh run
options=()
if [ -n "${SEED:-}" ]; then options+=(--seed "$SEED"); fi
if [ -n "${ZONE:-}" ]; then options+=(--zone "$ZONE"); fi
if [ -n "${DHIS2:-}" ]; then options+=(--dhis2 "$DHIS2"); fi
if [ -n "${OPENMRS:-}" ]; then options+=(--openmrs "$OPENMRS"); fi
if [ -n "${ONCE:-}" ] && [ "${ONCE:-}" != 0 ]; then options+=(--once --json); fi
exec .venv/bin/relais demo "${options[@]}" "$@"
