#!/bin/sh
# Start the edge: write nginx.conf from its template, then become nginx.
#
# In:  the environment (see the header of nginx.conf beside this file).
# Out: $EDGE_DIR/nginx.conf, and nginx in the foreground. SIGQUIT ends it after its open answers.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
: "${EDGE_DIR:=/tmp/edge}"
: "${SLUICE_LISTEN:=8080}"
: "${SLUICE_METRICS_LISTEN:=9101}"
: "${SLUICE_WORKERS:=2}"
: "${SLUICE_CONNECTIONS:=16384}"
: "${SLUICE_CACHE_MAX:=1g}"
: "${SLUICE_PLAYER_DIR:=$here/player}"
: "${SLUICE_TRUSTED_PROXIES:=}"
: "${SLUICE_SEND_TIMEOUT:=10s}"
: "${SLUICE_KEEPALIVE_TIMEOUT:=75s}"
export EDGE_DIR

# A value becomes part of nginx's configuration, so only plain characters are allowed.
for name in EDGE_DIR SLUICE_LISTEN SLUICE_METRICS_LISTEN SLUICE_WORKERS SLUICE_CONNECTIONS \
    SLUICE_CACHE_MAX SLUICE_PLAYER_DIR SLUICE_TRUSTED_PROXIES SLUICE_SEND_TIMEOUT \
    SLUICE_KEEPALIVE_TIMEOUT; do
    eval "value=\$$name"
    case $value in
    *[!A-Za-z0-9./:,_\ \[\]-]*)
        echo "$name has a character that is not allowed: use letters, digits and . / : , _ - [ ]" >&2
        exit 64
        ;;
    esac
done

proxies=
for network in $(echo "$SLUICE_TRUSTED_PROXIES" | tr ',' ' '); do
    proxies="$proxies set_real_ip_from $network;"
done
# nginx starts its workers as another user only when it is root, as in tests on a developer's machine.
user=
if [ "$(id -u)" = 0 ]; then user="user root;"; fi

# A worker may open no more files than the hard limit.
files=$((SLUICE_CONNECTIONS * 2 + 1024))
most=$(ulimit -H -n)
if [ "$most" != unlimited ] && [ "$most" -lt "$files" ]; then files=$most; fi

mkdir -p "$EDGE_DIR/temp" "$EDGE_DIR/cache"
sed -e '/^#/d' \
    -e "s|@USER@|$user|" \
    -e "s|@HERE@|$here|g" \
    -e "s|@EDGE_DIR@|$EDGE_DIR|g" \
    -e "s|@LISTEN@|$SLUICE_LISTEN|g" \
    -e "s|@METRICS_LISTEN@|$SLUICE_METRICS_LISTEN|g" \
    -e "s|@WORKERS@|$SLUICE_WORKERS|g" \
    -e "s|@CONNECTIONS@|$SLUICE_CONNECTIONS|g" \
    -e "s|@FILES@|$files|g" \
    -e "s|@CACHE_MAX@|$SLUICE_CACHE_MAX|g" \
    -e "s|@PLAYER_DIR@|$SLUICE_PLAYER_DIR|g" \
    -e "s|@TRUSTED_PROXIES@|$proxies|g" \
    -e "s|@SEND_TIMEOUT@|$SLUICE_SEND_TIMEOUT|g" \
    -e "s|@KEEPALIVE_TIMEOUT@|$SLUICE_KEEPALIVE_TIMEOUT|g" \
    "$here/nginx.conf" >"$EDGE_DIR/nginx.conf"

exec nginx -e stderr -p "$EDGE_DIR" -c "$EDGE_DIR/nginx.conf" -g 'daemon off;'
