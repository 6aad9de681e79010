#!/usr/bin/env bash
# Builds the coders of disk and wire for s390x, a big-endian machine, and compares them with the
# golden bytes under qemu-user. Prints `ok NAME` and `FAIL NAME: why` lines as native tests do.
# Needs g++-s390x-linux-gnu and qemu-user; without them that is what the FAIL line says.
# Called by hand; native/test/run.sh does the same for every test in its big_endian.list.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
compiler=${CXX:-s390x-linux-gnu-g++}
runner=${RUNNER-qemu-s390x}

for tool in "$compiler" ${runner:+"$runner"}; do
  if ! command -v "$tool" >/dev/null; then
    echo "FAIL s390x_golden: $tool is not installed (apt-get install g++-s390x-linux-gnu qemu-user)"
    exit 1
  fi
done

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
native=$root/native
sources=("$native"/base/{assert,crc32c}.cc "$native"/meta/{layout,page_codec,superblock}.cc
  "$native/peer/frame.cc" "$native/test/test_wire_golden.cc")
if ! "$compiler" -std=gnu++20 -O1 -Wall -Wextra -Werror -fno-exceptions -fno-rtti -D_GNU_SOURCE \
  -static -I"$native" -I"$native/test" -o "$out/golden" "${sources[@]}" 2>"$out/log"; then
  cat "$out/log" >&2
  echo "FAIL s390x_golden: does not build"
  exit 1
fi
export GOLDEN_DIR=$root/test/wire/golden
$runner "$out/golden" | sed 's/^ok /ok s390x_/; s/^FAIL /FAIL s390x_/'
exit "${PIPESTATUS[0]}"
