#!/usr/bin/env bash
# scripts/test.sh              all tests that need no browser, with branch coverage of mappings and engine
# scripts/test.sh --browser    those that need Chromium      scripts/test.sh --slow    those that take minutes
# scripts/test.sh ARGUMENTS    pytest with these arguments
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/venv.sh dev
# Compiled once, not in each of the hundreds of processes the tests start.
export PYTHONDONTWRITEBYTECODE= HYPOTHESIS_STORAGE_DIRECTORY=.hypothesis
case ${1:-} in
"")
  # Two runs: what coverage watches takes three times as long, and so does every process it starts.
  both=(-q -n "${WORKERS:-2}" --dist worksteal -m "not browser and not slow" -rs --durations=5)
  failed=0
  .venv/bin/pytest "${both[@]}" --part covering --cov --cov-report=term || failed=1
  .venv/bin/pytest "${both[@]}" --part rest || failed=1
  exit "$failed" ;;
--browser) shift; exec .venv/bin/pytest -q -m browser -rs "$@" ;;
--slow) shift; exec .venv/bin/pytest -q -m slow -rs "$@" ;;
*) exec .venv/bin/pytest -q "$@" ;;
esac
