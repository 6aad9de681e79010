#!/usr/bin/env bash
# Builds and runs the native tests: native/test/run.sh [PART-OF-A-FILE-NAME ...]
# SANITIZE=1 builds them with the address and undefined-behaviour sanitizers, in a folder of its own.
# The tests in big_endian.list run a second time, built for s390x, under qemu-user; where names are
# given only with BIG_ENDIAN=1.
# Prints each binary's `ok NAME` and `FAIL NAME: why` lines; a source that does not compile and a
# test that dies are FAIL lines too. Exit status 1 when anything failed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
cd "$here" || exit 1
mkdir -p ../../build-native
base=$(cd ../../build-native && pwd)
exec 9>"$base/.lock"
flock 9
failed=0

wanted() {
  [ "$#" -eq 1 ] && return 0
  local name=$1 part
  shift
  for part in "$@"; do [[ $name == *"$part"* ]] && return 0; done
  return 1
}

# build OUT LOG ARGUMENTS...: make with output to a log; whatever can be built is built.
# The relative name is what ccache may write into the dependencies.
build() {
  local out log=$2
  out=$(realpath --relative-to=. "$1")
  shift 2
  make -s -k -j2 OUT="$out" "$@" >>"$log" 2>&1
}

# run_test OUT LOG PREFIX RUNNER NAME: runs one built test, naming it when it is not there.
run_test() {
  local out=$1 log=$2 prefix=$3 runner=$4 name=$5 status
  if [ ! -x "$out/$name" ]; then
    echo "FAIL $prefix$name: does not build, see $log"
    return 1
  fi
  # shellcheck disable=SC2086 # the runner is words, or nothing
  timeout 300 $runner "$out/$name" 9>&- | sed -u "s/^ok /ok $prefix/; s/^FAIL /FAIL $prefix/"
  status=${PIPESTATUS[0]}
  if [ "$status" -gt 1 ]; then echo "FAIL $prefix$name: ended with status $status"; fi
  return "$((status != 0))"
}

# run_tests OUT LOG PREFIX RUNNER NAMES...: two at a time; what each says comes at its end, whole.
run_tests() {
  local out=$1 log=$2 prefix=$3 runner=$4 name
  local -A running=()
  shift 4
  for name in "$@"; do
    if [ ${#running[@]} -eq 2 ]; then end_test; fi
    run_test "$out" "$log" "$prefix" "$runner" "$name" >"$out/$name.said" &
    running[$!]=$name
  done
  while [ ${#running[@]} -gt 0 ]; do end_test; done
}

# Of those that run_tests has running, the one that ends first.
end_test() {
  local pid
  if ! wait -n -p pid "${!running[@]}"; then failed=1; fi
  cat "$out/${running[$pid]}.said"
  unset "running[$pid]"
}

run_here() {
  local out=$base flags='-O1 -g1' test_flags='' log
  if [ "${SANITIZE:-0}" = 1 ]; then
    out=$base/sanitize
    flags='-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all'
    # In a test's own text it finds little, and takes half of what there is to compile.
    test_flags='-fno-sanitize=undefined'
  fi
  mkdir -p "$out"
  log=$out/build.log
  : >"$log"
  build "$out" "$log" CXXFLAGS="$flags" TEST_FLAGS="$test_flags" objects
  # With names given, a source that those tests do not need may be broken.
  if ! build "$out" "$log" CXXFLAGS="$flags" TEST_FLAGS="$test_flags" tests TESTS="$*" || [ $all = yes ]; then
    head -c 8000 "$log" >&2
  fi
  if [ $all = yes ] && grep -q 'obj/.*\.o\] Error' "$log"; then
    echo "FAIL compile: $(grep -o 'obj/.*\.o\] Error' "$log" | sed 's/\] Error//' | tr '\n' ' ')"
    failed=1
  fi
  run_tests "$out" "$log" '' '' "$@"
}

run_big_endian() {
  local out=$base/s390x log=$base/s390x/build.log
  local -a make_arguments=(CXX=s390x-linux-gnu-g++ AR=s390x-linux-gnu-ar LIBS='-static -pthread'
    DIRS='base io nbd peer disk meta' SKIP='io/uring_%')
  mkdir -p "$out"
  : >"$log"
  build "$out" "$log" "${make_arguments[@]}" objects
  build "$out" "$log" "${make_arguments[@]}" tests TESTS="$*" || head -c 4000 "$log" >&2
  run_tests "$out" "$log" 's390x_' 'qemu-s390x' "$@"
}

all=no
if [ $# -eq 0 ]; then all=yes; fi
names=()
for source in test_*.cc; do
  [ -e "$source" ] || continue
  name=${source%.cc}
  # It has a malloc of its own, as the address sanitizer does.
  if [ "${SANITIZE:-0}" = 1 ] && [ "$name" = test_engine_allocation ]; then continue; fi
  if wanted "$name" "$@"; then names+=("$name"); fi
done
run_here "${names[@]}"

big_endian=()
while read -r name; do
  case $name in '' | '#'*) continue ;; esac
  if wanted "$name" "$@"; then big_endian+=("$name"); fi
done <big_endian.list
if [ "${SANITIZE:-0}" = 1 ]; then big_endian=(); fi
if [ $all = no ] && [ "${BIG_ENDIAN:-0}" != 1 ]; then big_endian=(); fi
if [ ${#big_endian[@]} -gt 0 ]; then run_big_endian "${big_endian[@]}"; fi
exit $failed
