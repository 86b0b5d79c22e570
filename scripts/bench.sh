#!/usr/bin/env bash
# Speed and memory, as tables. Variables: BENCH_VISITS (10000) BENCH_BIG (50000, 0 = without) BENCH_VALIDATE BENCH_PROFILE
# BENCH_TARGETS (0 = without) BENCH_VALUES (60000) BENCH_REFERRALS (1000) BENCH_RESOURCES (40000)
# BENCH_MONTH (240000) BENCH_CONTRIBUTIONS (1000000) BENCH_COUNTING (0 = without).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/venv.sh run
exec .venv/bin/python scripts/bench.py
