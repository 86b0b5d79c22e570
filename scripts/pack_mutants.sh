#!/usr/bin/env bash
# Are mistakes in a pack noticed by check and by its examples?   scripts/pack_mutants.sh [--seed 7] [--count 1000]
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/venv.sh dev
exec .venv/bin/python scripts/pack_mutants.py "$@"
