#!/usr/bin/env bash
# Prepares a host for `migrate dokku apply`: Dokku and its plugins at pinned versions, and the key that
# deploys. Run it on the host as root, as often as you like:
#
#   ssh root@HOST 'bash -s' -- < dokku/host-setup.sh
#   ssh root@HOST 'bash -s' -- deploy "$(cat ~/.ssh/id_ed25519.pub)" < dokku/host-setup.sh   # and add a key
set -euo pipefail

dokku_version=0.38.27
plugins=${DOKKU_LIB_ROOT:-/var/lib/dokku}/plugins/available

say() { printf -- '-----> %s\n' "$*"; }

if [ "$(id -u)" -ne 0 ]; then
  echo "run this as root: plugins belong to the host, not to the dokku account" >&2
  exit 1
fi

if ! command -v dokku >/dev/null; then
  say "installing Dokku $dokku_version"
  installer=$(mktemp)
  curl -fsSL -o "$installer" "https://dokku.com/install/v$dokku_version/bootstrap.sh"
  DOKKU_TAG="v$dokku_version" bash "$installer"
  rm -f "$installer"
fi
dokku version

# install_plugin NAME URL VERSION: nothing when that version is there; an installed plugin is updated,
# because installing it again would fail.
install_plugin() {
  local name=$1 url=$2 version=$3
  if [ ! -d "$plugins/$name" ]; then
    say "installing plugin $name $version"
    dokku plugin:install "$url" --committish "$version" --name "$name"
  elif [ "$(cat "$plugins/$name/.pinned" 2>/dev/null)" != "$version" ]; then
    say "updating plugin $name to $version"
    dokku plugin:update "$name" "$version"
  fi
  printf '%s\n' "$version" >"$plugins/$name/.pinned"
}

install_plugin postgres https://github.com/dokku/dokku-postgres.git 1.48.0
install_plugin redis https://github.com/dokku/dokku-redis.git 1.43.0
install_plugin rabbitmq https://github.com/dokku/dokku-rabbitmq.git 1.40.5
install_plugin letsencrypt https://github.com/dokku/dokku-letsencrypt.git 0.25.1
install_plugin maintenance https://github.com/dokku/dokku-maintenance.git 83a62f7

# A push to a mistyped name must not create an app.
dokku apps:set --global disable-autocreation true

if [ $# -ge 2 ]; then
  if dokku ssh-keys:list "$1" >/dev/null 2>&1; then
    say "key $1 is there already"
  else
    printf '%s\n' "$2" | dokku ssh-keys:add "$1"
  fi
fi

say "done; now, on your own machine: migrate dokku doctor && migrate dokku plan"
