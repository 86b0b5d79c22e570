#!/usr/bin/env bash
# scripts/truth.sh [--server dhis2-2.42] [--all]: recorded exchanges of running servers against our simulators
# scripts/truth.sh --dhis2-url U --openmrs-url U --fhir-url U: a running server against them (docs/before-going-live.md)
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/venv.sh dev
exec .venv/bin/python -m tests.truth "$@"
