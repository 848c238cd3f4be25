#!/bin/sh
# Make sure that the named commands are there; install their Debian packages where that is allowed, else print what to install.
# A command whose package has another name is written as COMMAND=PACKAGE.
set -eu
missing=""
for name in "$@"; do
  command -v "${name%%=*}" >/dev/null 2>&1 || [ -x "/usr/sbin/${name%%=*}" ] || missing="$missing ${name#*=}"
done
[ -z "$missing" ] && exit 0
if command -v apt-get >/dev/null 2>&1; then
  if [ "$(id -u)" = 0 ]; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null && exit 0
  elif sudo -n true 2>/dev/null; then
    sudo apt-get update -qq && sudo DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null && exit 0
  fi
fi
echo "These programs are needed and could not be installed here:$missing" >&2
echo "Install them (Debian: apt-get install$missing) and run the command again." >&2
exit 1
