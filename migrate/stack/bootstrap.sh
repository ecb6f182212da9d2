#!/usr/bin/env bash
# Makes .venv complete: finds or installs Python 3.11 with venv, installs the locked packages by hash and this
# project beside them. Does its work once; it is done again when pyproject.toml or tests/requirements.lock change.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

started=$SECONDS
wanted=$({ cat pyproject.toml tests/requirements.lock 2>/dev/null || true; } | sha256sum | cut -d" " -f1)
mark=.venv/.complete
is_complete() { [ -x .venv/bin/python ] && [ "$(cat "$mark" 2>/dev/null)" = "$wanted" ]; }
is_complete && exit 0

mkdir -p .stack
exec 9>.stack/bootstrap.lock
flock -w 900 9 || { echo "another bootstrap has held .stack/bootstrap.lock for 15 minutes" >&2; exit 1; }
is_complete && exit 0

say() { echo "bootstrap: $*" >&2; }

# A Python that is new enough and has all that a virtual environment needs (Debian packs venv apart).
find_python() {
  local candidate
  for candidate in "${PYTHON:-python3}" python3.11 python3.12 python3.13 /usr/bin/python3; do
    if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    sudo "$@"
  else
    say "Python 3.11 with venv is needed; as root: apt-get install python3 python3-venv"
    return 1
  fi
}

if ! python=$(find_python); then
  command -v apt-get >/dev/null || { say "install Python 3.11 or newer with venv and run this again"; exit 1; }
  say "installing python3 and python3-venv (apt-get)"
  as_root apt-get -qq -o Acquire::Retries=3 update >&2
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
    install -y --no-install-recommends python3 python3-venv ca-certificates >&2
  python=$(find_python) || { say "this system's Python is older than 3.11: install a newer one"; exit 1; }
fi

[ -x .venv/bin/python ] || { say "creating .venv with $python"; "$python" -m venv .venv; }
.venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null

install() { .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input "$@"; }
if [ -f tests/requirements.lock ]; then
  say "installing the packages of tests/requirements.lock"
  install --require-hashes -r tests/requirements.lock
  install --no-deps -e .
else
  say "installing the packages of pyproject.toml"
  install -e '.[dev]'
fi

echo "$wanted" >"$mark"
say "ready after $((SECONDS - started)) s"
