#!/usr/bin/env bash
# Makes what the project is developed and run with, and nothing outside the project's folder:
#   .venv          Python 3.13 with requirements/local.txt (the CDK library, Node, what the functions use), or with
#                  requirements/dev.txt (the same, tests and tools)
#   .engine        Python 3.13 with requirements/engine.txt (the local AWS engine, kept apart: its Lambda workers see
#                  its packages)
#   node_modules   the CDK CLI of package-lock.json
#   tests/npm/node_modules   with dev only: the browser and the clients that tests drive
# bootstrap.sh local | dev: dev is local and more, so an environment made for dev serves both.
# Idempotent: each of them is left alone while its lock file is the one it was made from.
set -euo pipefail
wanted=${1:-dev}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# All three are set on some machines and break a plain installation here.
unset VIRTUAL_ENV PYTHONPATH PYTHONHOME

say() { printf 'bootstrap: %s\n' "$*"; }
die() {
  printf 'bootstrap: %s\n' "$*" >&2
  exit 1
}

is_python_313() { [ "$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = 3.13 ]; }

# pyenv's folder, also when HOME is not the one pyenv was installed for: PYENV_ROOT, or the shims folder on PATH.
pyenv_roots() {
  [ -z "${PYENV_ROOT:-}" ] || printf '%s\n' "$PYENV_ROOT"
  printf '%s\n' "$PATH" | tr ':' '\n' | sed -n 's#/shims/*$##p'
  printf '%s\n' "$HOME/.pyenv"
}

# A python3.13 on PATH may be a shim that only prints an error, hence each candidate is run.
find_python() {
  local candidate root
  while IFS= read -r candidate; do
    if is_python_313 "$candidate"; then printf '%s\n' "$candidate" && return; fi
  done < <(type -aP python3.13 || true)
  while IFS= read -r root; do
    for candidate in "$root"/versions/3.13*/bin/python3.13; do
      if is_python_313 "$candidate"; then printf '%s\n' "$candidate" && return; fi
    done
  done < <(pyenv_roots)
  return 1
}

# uv from PATH, else the locked version of it in a small environment of its own.
find_uv() {
  local candidate any
  for candidate in "$(type -P uv || true)" .venv/bin/uv .uv/bin/uv; do
    if [ -n "$candidate" ] && "$candidate" --version >/dev/null 2>&1; then printf '%s\n' "$candidate" && return; fi
  done
  any=${1:-$(type -P python3 || true)}
  [ -n "$any" ] || die "neither uv nor any python3 was found on PATH"
  rm -rf .uv
  "$any" -m venv .uv >&2 || die "$any cannot make a virtual environment; install uv or Python 3.13"
  awk '/^[^ #]/ { wanted = /^uv==/ } wanted' requirements/dev.txt >.uv/lock.txt
  .uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .uv/lock.txt >&2
  printf '%s\n' .uv/bin/uv
}

# beside COMMAND...: goes on without waiting for it; all_stand waits, and fails where one of them did.
others=""
beside() {
  "$@" &
  others="$others $!"
}
all_stand() {
  local other
  for other in $others; do
    wait "$other" || die "one of these could not be made"
  done
}
trap wait EXIT # whatever ends this, nothing is left that still installs

fresh() { [ -x "$1/bin/python" ] && is_python_313 "$1/bin/python" && cmp -s "$2" "$1/made-from"; }

# make_environment FOLDER LOCK
make_environment() {
  say "$1 <- $2"
  if ! { [ -x "$1/bin/python" ] && is_python_313 "$1/bin/python"; }; then
    "$uv" venv --quiet --clear --python "$python" "$1"
  fi
  "$uv" pip sync --quiet --require-hashes --python "$1/bin/python" "$2"
  cp "$2" "$1/made-from"
}

stands() { fresh .venv requirements/dev.txt || { [ "$wanted" = local ] && fresh .venv requirements/local.txt; }; }

if ! stands || ! fresh .engine requirements/engine.txt; then
  python=$(find_python) || python=""
  uv=$(find_uv "$python")
  if [ -z "$python" ]; then
    "$uv" python install --quiet 3.13 || die "no Python 3.13 on this machine, and uv could not fetch one"
    python=$("$uv" python find 3.13)
  fi
  # The engine runs Lambda code with the interpreter it was made with: one path for both, never another download.
  export UV_PYTHON_DOWNLOADS=never
  # Beside each other: most of both is waiting for packages.
  fresh .engine requirements/engine.txt || beside make_environment .engine requirements/engine.txt
  stands || make_environment .venv "requirements/$wanted.txt"
fi

# make_node_modules FOLDER
make_node_modules() {
  if ! cmp -s "$1/package-lock.json" "$1/node_modules/made-from"; then
    say "$1/node_modules <- $1/package-lock.json"
    .venv/bin/npm ci --prefix "$1" --silent --no-audit --no-fund --ignore-scripts
    cp "$1/package-lock.json" "$1/node_modules/made-from"
  fi
}

beside make_node_modules .
[ "$wanted" = local ] || make_node_modules tests/npm
all_stand
