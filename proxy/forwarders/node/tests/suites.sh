#!/bin/sh
# The own tests of public packages, with the forwarder and without: the same counts. It takes minutes and
# the npm registry, so it is run by hand: suites.sh [directory to work in]
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=${1:-$(mktemp -d)}
mkdir -p "$work"
cd "$work"

fetch() { # name version
  [ -d "$1" ] && return
  npm pack --silent "$1@$2" >/dev/null
  mkdir "$1"
  tar xzf "$1-$2.tgz" -C "$1" --strip-components=1
  # What their tests need stands among their own dependencies.
  (cd "$1" && npm install --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
}

# Every request of the tests can carry a context, and every call goes to the sidecar.
forwarded() {
  THROUGHLINE_FORWARD_VIA='*' NODE_OPTIONS="--require=$here/preloads/traced-client.cjs --require=$here/../forward.cjs" "$@"
}

counts() {
  grep -E '^(# |ℹ )?(tests|pass|fail|passing|failing)|[0-9]+ (passing|failing|pending)' | tr '\n' ' '
  echo
}

both() { # name, command
  name=$1
  shift
  cd "$work/$name"
  printf '%s without: ' "$name"
  "$@" 2>&1 | tee "$work/$name.without" | counts
  printf '%s with:    ' "$name"
  forwarded "$@" 2>&1 | tee "$work/$name.with" | counts
  cd "$work"
}

fetch fastify 5.6.2
fetch needle 3.3.1
# Their key pair is not in the archive.
mkdir -p needle/test/keys
cp "$here/apps/localhost.key" needle/test/keys/ssl.key
cp "$here/apps/localhost.crt" needle/test/keys/ssl.cert
both fastify sh -c 'node --test test/*.test.js test/*/*.test.js'
both needle sh -c 'node_modules/.bin/mocha --exit --timeout 5000 test'
