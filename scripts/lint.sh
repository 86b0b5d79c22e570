#!/usr/bin/env bash
# Style, types, and who imports whom. Reports everything before it fails.
set -uo pipefail
cd "$(dirname "$0")/.."
scripts/venv.sh dev || exit
failed=0
step() {
  echo "== $1"
  shift
  "$@" || failed=1
}
step "ruff" .venv/bin/ruff check .
step "mypy --strict (core and engine)" .venv/bin/mypy
step "import-linter (who may import whom)" .venv/bin/lint-imports --no-cache
exit $failed
