#!/usr/bin/env bash
# Builds and runs the native tests: native/test/run.sh [PART-OF-A-FILE-NAME ...]
# SANITIZE=1 builds them with the address and undefined-behaviour sanitizers, in a folder of its own.
# Prints each binary's `ok NAME` and `FAIL NAME: why` lines; a test that cannot be built or that dies
# is a FAIL line too. Exit status 1 when anything failed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
cd "$here" || exit 1
out=$here/../../build-native
flags='-O1 -g'
if [ "${SANITIZE:-0}" = 1 ]; then
  out=$out/sanitize
  flags='-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all'
fi
mkdir -p "$out"
out=$(cd "$out" && pwd)
exec 9>"$out/.lock"
flock 9

wanted() {
  [ "$#" -eq 1 ] && return 0
  local name=$1 part
  shift
  for part in "$@"; do [[ $name == *"$part"* ]] && return 0; done
  return 1
}

names=()
for source in test_*.cc; do
  [ -e "$source" ] || continue
  name=${source%.cc}
  if wanted "$name" "$@"; then names+=("$name"); fi
done

build() { make -s -k -j2 OUT="$out" CXXFLAGS="$flags" "$@" >>"$out/build.log" 2>&1; }
: >"$out/build.log"
failed=0
build objects || true
build tests TESTS="${names[*]}" || true
if grep -q 'error' "$out/build.log"; then head -c 8000 "$out/build.log" >&2; fi

for name in "${names[@]}"; do
  if ! build -q "$out/$name" || [ ! -x "$out/$name" ]; then
    echo "FAIL $name: does not build, see $out/build.log"
    failed=1
    continue
  fi
  timeout 120 "$out/$name" 9>&-
  status=$?
  if [ $status -gt 1 ]; then echo "FAIL $name: ended with status $status"; fi
  if [ $status -ne 0 ]; then failed=1; fi
done
exit $failed
