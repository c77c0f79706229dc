#!/usr/bin/env bash
# A whole certification of a plan of the bundle, and the same verdict again from its evidence alone.
set -uo pipefail
lockstep certify "$BUNDLE/plans/$1" --out .
code=$?
# 3 and 4 are verdicts: what is asked here is whether the machinery works.
case $code in
  0 | 3 | 4) ;;
  *) exit "$code" ;;
esac
folder=$(echo ./*/)
verified=$(lockstep verify "$folder")
if ! grep -q '^EQUAL' <<<"$verified"; then
  echo "$verified"
  exit 1
fi
head -n 1 <<<"$verified"
# The first of the certificate's reasons states it.
sed -n 's/.*"eta = \([0-9.]*\),.*/figure '"${1%.toml}"'.eta \1 ratio/p' "$folder/certificate.json" | head -n 1
