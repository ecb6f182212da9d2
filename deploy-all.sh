#!/usr/bin/env bash
# Deploys every app whose code changed, in the manifest's order, and proves that the new revision runs.
# The same as `migrate deploy`; takes the same words, such as: ./deploy-all.sh chat-service --dry-run
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
for program in .venv/bin/migrate "$(command -v migrate || true)"; do
  if [ -n "$program" ] && [ -x "$program" ]; then
    exec "$program" deploy "$@"
  fi
done
echo "the command migrate is not installed; run \`make venv\`, or: python3 -m venv .venv && .venv/bin/pip install -e ." >&2
exit 1
