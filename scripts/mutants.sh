#!/usr/bin/env bash
# Do the tests notice faults in the mappings and the counting?   scripts/mutants.sh [--seed 7] [--count 30]
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/venv.sh dev
exec .venv/bin/python scripts/mutants.py "$@"
