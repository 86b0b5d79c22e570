#!/usr/bin/env bash
# scripts/sim.sh --seeds 2000 | --seed 4711 [--trace] | --teeth | --outage 100000: see scripts/sim.py
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/venv.sh dev
exec .venv/bin/python scripts/sim.py "$@"
