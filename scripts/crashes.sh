#!/usr/bin/env bash
# scripts/crashes.sh [--every N] [--scenario NAME [--point K]] [--planted BUG]: see scripts/crashes.py
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/venv.sh dev
exec .venv/bin/python scripts/crashes.py "$@"
