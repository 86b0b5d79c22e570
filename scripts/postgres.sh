#!/usr/bin/env bash
# A PostgreSQL of our own for the tests, in var/postgres, on loopback, with a password nobody else can read.
#   scripts/postgres.sh            install it when missing (as root, Debian), start it, print RELAIS_TEST_POSTGRES=URL
#   scripts/postgres.sh stop       stop it; the data stay      scripts/postgres.sh drop   stop it and delete it
# Exit code 3 and a sentence when this machine cannot run it. Everything else is as PostgreSQL comes: fsync is on.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$PWD/var/postgres

cannot() { echo "PostgreSQL: $1" >&2; exit 3; }
find_bin() {
  local found
  for found in /usr/lib/postgresql/*/bin; do [ -x "$found/initdb" ] && bin=$found; done
  if [ -z "${bin:-}" ] && found=$(command -v initdb); then bin=$(dirname "$(readlink -f "$found")"); fi
  [ -n "${bin:-}" ]
}
# PostgreSQL refuses to run as root.
as_owner() { if [ "$(id -u)" = 0 ]; then (cd / && setpriv --reuid=postgres --regid=postgres --init-groups "$@"); else "$@"; fi; }
running() { [ -f "$place/data/postmaster.pid" ] && as_owner "$bin/pg_ctl" -D "$place/data" status >/dev/null; }

find_bin || {
  case ${1:-} in stop | drop) exit 0 ;; esac
  [ "$(id -u)" = 0 ] || cannot "it is not installed here, and only root may install it (Debian: apt install postgresql)."
  command -v apt-get >/dev/null || cannot "it is not installed here, and this is no Debian. Install version 15 or newer."
  echo "installing PostgreSQL ..." >&2
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql; } >/dev/null 2>&1 ||
    cannot "apt-get could not install it (no network, or no such package)."
  find_bin || cannot "apt-get installed it, but initdb is not to be found."
}

case ${1:-start} in
stop | drop)
  if running; then as_owner "$bin/pg_ctl" -D "$place/data" -m fast -w stop >/dev/null; fi
  if [ "$1" = drop ]; then rm -rf "$place"; fi
  exit 0 ;;
start) ;;
*) echo "usage: scripts/postgres.sh [start|stop|drop]" >&2; exit 2 ;;
esac

# Two test runs started at once must not build in each other's way.
mkdir -p var
exec 9<scripts/postgres.sh
if command -v flock >/dev/null; then flock 9; fi

if [ ! -f "$place/url" ]; then
  rm -rf "$place"
  mkdir -p "$place"
  if [ "$(id -u)" = 0 ]; then
    chown postgres "$place"
    as_owner test -x "$place" || cannot "the user postgres cannot get into $place; make the folders above it passable."
  fi
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  password=$(python3 -c 'import secrets; print(secrets.token_hex(16))')
  printf '%s\n' "$password" | as_owner sh -c "umask 077; cat >'$place/password'"
  # The letters sort by their bytes, as in SQLite.
  as_owner "$bin/initdb" -D "$place/data" -U relais --auth=scram-sha-256 --pwfile="$place/password" \
    --encoding=UTF8 --locale=C.UTF-8 >"$place.log" 2>&1 || { cat "$place.log" >&2; cannot "initdb failed."; }
  rm -f "$place/password" "$place.log"
  as_owner sh -c "cat >>'$place/data/postgresql.conf'" <<CONF
port = $port
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
CONF
  (umask 077; printf 'postgresql+psycopg://relais:%s@127.0.0.1:%s/postgres\n' "$password" "$port" >"$place/url")
fi
if ! running; then
  as_owner "$bin/pg_ctl" -D "$place/data" -l "$place/data/server.log" -w -t 60 start >/dev/null 9<&- ||
    { as_owner tail -5 "$place/data/server.log" >&2; cannot "it does not start (see the lines above)."; }
fi
echo "RELAIS_TEST_POSTGRES=$(cat "$place/url")"
