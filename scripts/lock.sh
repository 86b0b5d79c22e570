#!/usr/bin/env bash
# Write requirements*.txt from pyproject.toml: pinned, with hashes, without any index address.
# Run it with the oldest Python supported, because newer ones need less. Extra arguments go to pip-compile (--upgrade).
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x .venv/bin/pip-compile ] || { echo "pip-compile is missing: run scripts/venv.sh dev first" >&2; exit 2; }
compile() {
  .venv/bin/pip-compile -q --generate-hashes --strip-extras --no-header --allow-unsafe --no-annotate \
    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options --resolver=backtracking "$@" pyproject.toml
}
compile --extra build --extra postgresql -o requirements.txt "$@"
compile --extra build --extra postgresql --extra dev -o requirements-dev.txt "$@"
compile --extra build --extra postgresql --extra analytics -o requirements-analytics.txt "$@"
if grep -nE '://|index-url|find-links|trusted-host' requirements*.txt; then
  echo "an address got into the lock files" >&2
  exit 1
fi
