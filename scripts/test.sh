#!/usr/bin/env bash
# scripts/test.sh              all tests that need no browser, with branch coverage of mappings and engine
# scripts/test.sh --browser    those that need Chromium      scripts/test.sh --slow    those that take minutes
# scripts/test.sh ARGUMENTS    pytest with these arguments
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/venv.sh dev
export PYTHONDONTWRITEBYTECODE=${PYTHONDONTWRITEBYTECODE:-} HYPOTHESIS_STORAGE_DIRECTORY=.hypothesis
case ${1:-} in
"")
  exec .venv/bin/pytest -q -n "${WORKERS:-2}" --dist worksteal -m "not browser and not slow" -rs --durations=5 \
    --cov --cov-report=term ;;
--browser) shift; exec .venv/bin/pytest -q -m browser -rs "$@" ;;
--slow) shift; exec .venv/bin/pytest -q -m slow -rs "$@" ;;
*) exec .venv/bin/pytest -q "$@" ;;
esac
