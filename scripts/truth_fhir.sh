#!/usr/bin/env bash
# The FHIR part of `make truth` against a HAPI FHIR R4 server made of published packages: Java and Maven from Debian, the
# jars from Maven Central by the coordinates in tests/truth/hapi/pom.xml. Nothing of it is kept in the project.
# Variables: TRUTH_CACHE (where it is put together), TRUTH_WAIT (600: seconds until the server has to answer).
set -euo pipefail
cd "$(dirname "$0")/.."
made="$PWD/tests/truth/hapi"
cache="${TRUTH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/relais-hapi}"
mkdir -p "$cache/classes"

say() { printf '%s\n' "$*" >&2; }

missing=()
command -v javac >/dev/null || missing+=(openjdk-17-jdk-headless)
command -v mvn >/dev/null || missing+=(maven)
if ((${#missing[@]})); then
  if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    say "Not there: ${missing[*]}. On Debian: sudo apt-get install ${missing[*]}. Nothing was asked."
    exit 1
  fi
  if ! { apt-get update -q && apt-get install -qy --no-install-recommends "${missing[@]}"; } >"$cache/apt.log" 2>&1; then
    say "Could not install ${missing[*]} from Debian ($cache/apt.log). Nothing was asked."
    exit 1
  fi
fi

if [[ ! -s "$cache/classpath" || "$made/pom.xml" -nt "$cache/classpath" ]]; then
  say "Fetching HAPI FHIR from Maven Central into Maven's own folder (some 250 packages, the first time only) ..."
  rm -f "$cache/classpath"
  if ! mvn -B -q -f "$made/pom.xml" dependency:build-classpath -Dmdep.outputFile="$cache/classpath" >"$cache/maven.log" 2>&1; then
    rm -f "$cache/classpath"
    say "HAPI FHIR could not be had from Maven Central, so it was not asked: $(grep -m1 'Could not' "$cache/maven.log" || tail -1 "$cache/maven.log")"
    exit 1
  fi
fi
if ! javac -proc:none -cp "$(cat "$cache/classpath")" -d "$cache/classes" "$made/FhirServer.java" >"$cache/javac.log" 2>&1; then
  say "The server could not be put together ($cache/javac.log). Nothing was asked."
  exit 1
fi

: >"$cache/server.out"
say "Starting HAPI FHIR (a minute, longer on a busy machine) ..."
java -Xmx1g -cp "$cache/classes:$(cat "$cache/classpath")" FhirServer 0 >"$cache/server.out" 2>"$cache/server.log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT
for ((second = 0; second < ${TRUTH_WAIT:-600}; second++)); do
  address=$(grep -m1 '^http' "$cache/server.out" || true)
  [[ -n $address ]] && break
  if ! kill -0 "$server" 2>/dev/null; then
    say "HAPI FHIR did not start: $(grep -m1 'Exception' "$cache/server.log" || tail -1 "$cache/server.log")"
    exit 1
  fi
  sleep 1
done
if [[ -z $address ]]; then
  say "HAPI FHIR did not answer within ${TRUTH_WAIT:-600} seconds."
  exit 1
fi
scripts/truth.sh --fhir-url "$address"
