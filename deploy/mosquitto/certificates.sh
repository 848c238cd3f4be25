#!/bin/sh
# An authority of your own, a certificate for the broker, and one for each name: a node, a camera or sensor, or SCADA. Run it again for more names.
#
# usage: sh certificates.sh FOLDER BROKER NAME...
#   FOLDER  of keys and certificates; is made. ca.key in it signs all others: keep it on a machine that you trust, and nowhere else.
#   BROKER  host name or address under which the broker is reached
#   NAME    common name: node.id of a daemon, the id of a camera or sensor; a name that is there already is left as it is
set -eu
DAYS_CA=3650 DAYS=825

if [ $# -lt 3 ]; then
  echo "usage: sh certificates.sh FOLDER BROKER NAME..." >&2
  exit 2
fi
command -v openssl >/dev/null || { echo "openssl is needed: apt install openssl" >&2; exit 1; }
folder=$1 host=$2
shift 2
for name in "$host" "$@"; do
  case $name in
    "" | -* | *[!A-Za-z0-9._:-]*) echo "'$name' is no name: letters, digits, '.', '_' and '-'" >&2; exit 2 ;;
  esac
done
for name in "$@"; do
  case $name in
    ca | broker) echo "'$name' is a file of this script's own: take another name" >&2; exit 2 ;;
  esac
done
case $host in
  *:*) kind=IP ;;
  *[!0-9.]*) kind=DNS ;;
  *) kind=IP ;;
esac

umask 077 # keys are readable by their owner only
mkdir -p "$folder"
cd "$folder"

sign() { # NAME, purpose, names beside the common name
  [ ! -e "$1.pem" ] || { echo "$1.pem is there already, and stays"; return; }
  printf 'basicConstraints=CA:FALSE\nextendedKeyUsage=%s\n%s\n' "$2" "${3:-}" >extensions
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -out request -subj "/CN=$1" 2>errors || failed
  openssl x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days $DAYS -extfile extensions -out new.pem 2>errors || failed
  chmod 644 new.pem
  mv new.pem "$1.pem"
  rm -f extensions request errors
  echo "$1.pem and $1.key, for $DAYS days"
}

failed() {
  cat errors >&2
  exit 1
}

if [ ! -e ca.pem ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -days $DAYS_CA -subj "/CN=plant-ca" 2>errors || failed
  chmod 644 ca.pem
  echo "ca.pem for every machine, and ca.key for none"
fi
[ -e ca.key ] || { echo "$folder has ca.pem and no ca.key: run this where the authority's key is" >&2; exit 1; }
sign broker serverAuth "subjectAltName=$kind:$host,DNS:localhost,IP:127.0.0.1"
for name in "$@"; do
  sign "$name" clientAuth
done
