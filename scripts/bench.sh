#!/usr/bin/env bash
# Speed and memory, as one table. Variables: BENCH_VISITS (10000) BENCH_BIG (50000, 0 = without) BENCH_VALIDATE BENCH_PROFILE.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/venv.sh run
exec .venv/bin/python scripts/bench.py
