#!/usr/bin/env bash
# Make .venv, or reuse it when nothing it is made from has changed.   scripts/venv.sh [run|dev]
# Needs Python 3.11 or newer with its venv module, and the package index pip is set up for; everything is pinned by hash.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${1:-run}
case $profile in
run) requirements=requirements.txt ;;
dev) requirements=requirements-dev.txt ;;
*) echo "usage: scripts/venv.sh [run|dev]" >&2; exit 2 ;;
esac

python=
for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
  if [ -n "$candidate" ] && "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "Relais needs Python 3.11 or newer with its venv module (Debian: apt install python3 python3-venv)." >&2
  exit 2
fi

# dev holds everything of run, so a fresh dev environment serves both.
print_of() { cat "$1" pyproject.toml <("$python" -VV) | sha256sum | cut -d' ' -f1; }
stamped() { [ -f ".venv/.stamp-$1" ] && [ "$(cat ".venv/.stamp-$1")" = "$(print_of "$2")" ]; }
if stamped dev requirements-dev.txt || { [ "$profile" = run ] && stamped run requirements.txt; }; then
  exit 0
fi

# Two commands started at once must not build in each other's way.
exec 9<scripts/venv.sh
if command -v flock >/dev/null; then flock 9; fi
if stamped dev requirements-dev.txt || { [ "$profile" = run ] && stamped run requirements.txt; }; then
  exit 0
fi

quiet=-q
if [ -t 2 ]; then quiet=; fi
echo "Setting up .venv ($("$python" -V), about a minute the first time) ..." >&2
if ! .venv/bin/python -c "import sys; sys.exit(sys.version != '''$("$python" -c 'import sys; print(sys.version)')''')" 2>/dev/null; then
  rm -rf .venv
  "$python" -m venv .venv
fi
rm -f .venv/.stamp-*
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
echo "  installing $requirements (pinned, checked by hash) ..." >&2
.venv/bin/pip install $quiet --require-hashes --no-deps -r "$requirements" >&2
echo "  installing relais itself ..." >&2
.venv/bin/pip install -q --no-deps --no-build-isolation --editable . >&2
print_of "$requirements" >".venv/.stamp-$profile"
echo "  ready" >&2
