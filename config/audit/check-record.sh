#!/bin/bash
# Checks that a record is in the audit log, without any program of ours: with openssl, base64 and sed.
#
#   check-record.sh audit-17.entry.json audit-17.tlog-proof log.pem
#
# The record and its proof come from `hotline audit prove`, the key once and for all from `hotline audit key --pem`.
# The proof is a C2SP tlog-proof: an index, hashes from the leaf's sibling upwards, and the signed head of the log.
set -euo pipefail
export LC_ALL=C.UTF-8

entry=$1 proof=$2 key=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sha256() { openssl dgst -sha256 -binary; }

# The head is a text, an empty line, and signatures over the text; the first is the log's own.
sed '1,/^$/d' "$proof" >"$work/note"
sed '/^$/,$d' "$work/note" >"$work/text"
sed -n 's/^— [^ ]* //p' "$work/note" | head -n 1 | base64 -d | tail -c 64 >"$work/signature"
openssl pkeyutl -verify -pubin -inkey "$key" -rawin -in "$work/text" -sigfile "$work/signature" >/dev/null ||
    { echo "the head is not signed by this key"; exit 1; }
size=$(sed -n 2p "$work/text")
root=$(sed -n 3p "$work/text")
index=$(sed -n 's/^index //p' "$proof" | head -n 1)

# A leaf is the hash of a zero byte and the entry, a node that of a one and its two halves (RFC 6962, 2.1).
{ printf '\0'; cat "$entry"; } | sha256 >"$work/hash"
at=$index last=$((size - 1))
while read -r sibling; do
    base64 -d <<<"$sibling" >"$work/sibling"
    if ((at % 2 == 1 || at == last)); then
        { printf '\1'; cat "$work/sibling" "$work/hash"; } | sha256 >"$work/next"
        while ((at % 2 == 0 && at != 0)); do ((at /= 2, last /= 2)) || true; done
    else
        { printf '\1'; cat "$work/hash" "$work/sibling"; } | sha256 >"$work/next"
    fi
    mv "$work/next" "$work/hash"
    ((at /= 2, last /= 2)) || true
done < <(sed '1,/^index /d; /^$/,$d' "$proof")

if ((last == 0)) && [ "$(base64 <"$work/hash")" = "$root" ]; then
    echo "record $((index + 1)) of $size is in $(sed -n 1p "$work/text")"
else
    echo "the record is not the one that the proof is about, or was changed"
    exit 1
fi
