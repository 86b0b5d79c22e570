#!/usr/bin/env bash
# Speed and memory, as one table.   scripts/bench.sh [--visits 10000 50000]
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/venv.sh run
exec .venv/bin/python scripts/bench.py "$@"
