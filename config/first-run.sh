#!/bin/sh
# Starts the service on embedded defaults, shows the first administrator's password once, places the
# sample call and stays in the foreground. Everything it makes is kept in $HOTLINE_STATE_DIR (./state).
set -eu
hotline=$1
here=$(cd "$(dirname "$0")/.." && pwd)
state=${HOTLINE_STATE_DIR:-$here/state}
export HOTLINE_STATE_DIR="$state"
cd "$here"

ready=$(mktemp -u)
mkfifo "$ready"
"$hotline" serve --config config/dev.toml >"$ready" &
supervisor=$!
trap 'kill "$supervisor" 2>/dev/null || true; rm -f "$ready"; wait "$supervisor" 2>/dev/null || true' EXIT INT TERM

exec 3<"$ready"
rm -f "$ready"
if ! read -r line <&3; then
    wait "$supervisor" || exit $?
fi
echo "$line"

password="$state/store/first-administrator.txt"
if [ -f "$password" ]; then
    echo
    echo "The first administrator, shown this once:"
    sed 's/^/  /' "$password"
    rm -f "$password"
fi

echo
"$hotline" call --config config/dev.toml --idempotency-key sample-call workers/background/samples/eviction-call.opus

echo
echo "Running. Ctrl-C drains and stops; the data stays in $state."
wait "$supervisor"
