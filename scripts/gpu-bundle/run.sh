#!/usr/bin/env bash
# Runs every check of the bundle on this machine and writes one small result file. Needs bash, coreutils, sed, grep, awk
# and an NVIDIA driver; neither a network nor root.
set -u

usage() {
  cat <<'TEXT'
Usage: run.sh [--only NAME] [--logs FOLDER] [OUT.json]

Runs the checks of checks.txt one after the other and writes what came out to OUT.json (gpu-check.json), anew after each.
  --only NAME      that check only; may be given again
  --logs FOLDER    keep what each check printed (the result file has the last lines)

CUDA's libraries are looked for in LD_LIBRARY_PATH, in pip's wheels (site-packages/nvidia/*/lib), in $CUDA_HOME and in
/usr/local/cuda*. Exit codes: 0 all passed or skipped, 2 bad usage, 3 a check failed, 5 nothing could be run.
TEXT
}
say() { echo "gpu-check: $1"; }
fail() { echo "gpu-check: error: $1" >&2; exit "${2:-5}"; }

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 5
out=gpu-check.json logs= only=() words=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) usage; exit 0 ;;
    --only) [ $# -ge 2 ] || fail "--only needs a name; see --help" 2; only+=("$2"); shift ;;
    --logs) [ $# -ge 2 ] || fail "--logs needs a folder; see --help" 2; logs=$2; shift ;;
    -*) fail "unknown argument '$1'; see --help" 2 ;;
    *) words+=("$1") ;;
  esac
  shift
done
[ ${#words[@]} -le 1 ] || fail "one result file is enough; see --help" 2
[ ${#words[@]} -eq 0 ] || out=${words[0]}
case "$out" in /*) ;; *) out=$PWD/$out ;; esac
: >"$out" || fail "cannot write $out" 2
for name in ${only[@]+"${only[@]}"}; do
  grep -qE "^$name +" "$here/checks.txt" || fail "checks.txt has no check '$name'" 2
done

packed=unknown commit=unknown glibc_needed=2.0 cuda_libraries=
while IFS='=' read -r key value; do
  case "$key" in
    packed) packed=$value ;;
    commit) commit=$value ;;
    glibc_needed) glibc_needed=$value ;;
    cuda_libraries) cuda_libraries=$value ;;
  esac
done <"$here/bundle.env"

# ---- JSON by hand: a bare machine need not have anything that writes it
json_string() { # of ASCII alone, so that no byte of a log can break the file
  local text
  text=$(printf '%s' "$1" | LC_ALL=C tr -cd '\11\12\40-\176')
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  text=${text//$'\t'/\\t}
  printf '"%s"' "$text"
}
member() { printf '%s: %s' "$(json_string "$1")" "$(json_string "$2")"; }
joined() { # arguments, with ", " between them
  local text= part
  for part in "$@"; do text+=${text:+, }$part; done
  printf '%s' "$text"
}

# ---- the C library: programs linked against a newer one do not start
glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | awk '{ print $2 }')
[ -n "$glibc" ] || glibc=$(ldd --version 2>/dev/null | sed -n '1s/.* //p')
too_old=
if [ -n "$glibc" ] && [ "$(printf '%s\n' "$glibc_needed" "$glibc" | sort -V | head -n 1)" != "$glibc_needed" ]; then
  too_old="the programs need glibc $glibc_needed and this machine has $glibc"
fi

# ---- CUDA's libraries and the driver's
places() {
  local root path
  tr ':' '\n' <<<"${LD_LIBRARY_PATH:-}"
  for root in "${VIRTUAL_ENV:-}" "${CONDA_PREFIX:-}" "${HOME:-}/.local" /usr/local /usr /opt/conda; do
    [ -z "$root" ] || printf '%s\n' "$root"/lib/python3*/*-packages/nvidia/*/lib
  done
  if command -v python3 >/dev/null; then
    while read -r path; do
      [ -z "$path" ] || printf '%s\n' "$path"/nvidia/*/lib
    done < <(python3 -c 'import sys; print("\n".join(sys.path))' 2>/dev/null)
  fi
  [ -z "${CUDA_HOME:-}" ] || printf '%s\n' "$CUDA_HOME/lib64" "$CUDA_HOME/lib"
  printf '%s\n' /usr/local/cuda/lib64 /usr/local/cuda-*/lib64 /usr/local/cuda*/targets/x86_64-linux/lib \
    /usr/lib/x86_64-linux-gnu /usr/lib64 /lib64 /usr/local/nvidia/lib64 /usr/local/lib /run/opengl-driver/lib
}
all_places=$(places)
place_of() {
  local folder
  while read -r folder; do
    if [ -n "$folder" ] && [ -e "$folder/$1" ]; then
      echo "$folder"
      return
    fi
  done <<<"$all_places"
}
cuda_path= found_libraries=() missing_libraries=()
for name in $cuda_libraries libcuda.so.1 libnvidia-ml.so.1; do
  folder=$(place_of "$name")
  if [ -z "$folder" ]; then
    missing_libraries+=("$name")
    found_libraries+=("$(json_string "$name"): null")
    continue
  fi
  found_libraries+=("$(member "$name" "$folder/$name")")
  case ":$cuda_path:" in *":$folder:"*) ;; *) cuda_path+=${cuda_path:+:}$folder ;; esac
done

# ---- the surroundings of the bundle's programs; nothing else on this machine gets them
export BUNDLE=$here MACHINE_LIBRARY_PATH=${LD_LIBRARY_PATH-}
own_environment=(
  "PATH=$here/bin:$here/steps:$PATH"
  "LD_LIBRARY_PATH=$here/lib${cuda_path:+:$cuda_path}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  "OPAL_PREFIX=$here" "OPAL_BINDIR=$here/bin" "OPAL_LIBDIR=$here/lib" "OPAL_PKGLIBDIR=$here/lib/openmpi"
  "OPAL_PKGDATADIR=$here/share/openmpi" "OPAL_SYSCONFDIR=$here/etc"
  "PMIX_PREFIX=$here" "PMIX_LIBDIR=$here/lib" "PMIX_PKGLIBDIR=$here/lib/pmix" "PMIX_PKGDATADIR=$here/share/pmix"
  "HWLOC_PLUGINS_PATH=$here/lib/none"
  "OMPI_ALLOW_RUN_AS_ROOT=1" "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
  # One machine: shared memory and loopback do, and nothing is to be started elsewhere.
  "OMPI_MCA_plm=isolated" "OMPI_MCA_pml=ob1" "OMPI_MCA_btl=self,vader,tcp" "OMPI_MCA_btl_tcp_if_include=lo"
  "OMPI_MCA_oob_tcp_if_include=lo" "OMPI_MCA_btl_vader_single_copy_mechanism=none" "OMPI_MCA_osc=^ucx,rdma"
)
work=$(mktemp -d) || fail "no folder for temporary files"
trap 'rm -rf "$work"' EXIT
if [ -z "$logs" ]; then logs=$work/logs; fi
mkdir -p "$logs" || fail "cannot write $logs" 2
logs=$(cd "$logs" && pwd)

# ---- what CUDA shows
driver=
[ ! -r /proc/driver/nvidia/version ] ||
  driver=$(sed -n '1s/.* \([0-9][0-9]*\.[0-9.]*\) .*/\1/p' /proc/driver/nvidia/version)
gpu_reason= cards=null
if [ -n "$too_old" ]; then
  gpu_reason=$too_old
else
  cards=$(env "${own_environment[@]}" timeout -k 5 60 "$here/bin/gpu_facts" 2>"$logs/gpu_facts.log")
  case "$cards" in
    '{'*'"state":"ready"'*'}') ;;
    '{'*'"state":"no driver"'*'}') gpu_reason="no driver" ;;
    '{'*'"state":"'*'}') gpu_reason=$(sed 's/.*"reason":"\([^"]*\)".*/\1/' <<<"$cards") ;;
    *)
      cards=null
      gpu_reason="gpu_facts did not start: $(tail -n 1 "$logs/gpu_facts.log")"
      # Without a driver nobody looks for the rest of CUDA.
      [ -n "$driver" ] || [ -e /dev/nvidiactl ] || gpu_reason="no driver"
      ;;
  esac
fi

# ---- the result file
entries=() figures=() passed=0 failed=0 skipped=0
write_results() { # $1: whether all checks are through
  local text
  text=$(
    echo '{'
    echo "  $(member format lockstep-gpu-check), \"version\": 1, \"complete\": $1,"
    echo "  $(member date "$(date -u +%Y-%m-%dT%H:%M:%SZ)"),"
    echo "  \"bundle\": {$(member commit "$commit"), $(member packed "$packed"), $(member glibc_needed "$glibc_needed")},"
    echo "  \"machine\": {$(member host "$(uname -n)"), $(member kernel "$(uname -r)"), $(member glibc "$glibc"), \"cores\": $(nproc),"
    echo "    $(member cpu "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"), $(member nvidia_driver "$driver")},"
    echo "  \"libraries\": {$(joined ${found_libraries[@]+"${found_libraries[@]}"})},"
    echo "  \"gpus\": $cards,"
    echo "  $(member gpu_part "${gpu_reason:+skipped: }${gpu_reason:-run}"),"
    echo '  "figures": ['
    printf '    %s' "$(joined_lines ${figures[@]+"${figures[@]}"})"
    echo '  ],'
    echo '  "checks": ['
    printf '    %s' "$(joined_lines ${entries[@]+"${entries[@]}"})"
    echo '  ],'
    echo "  \"passed\": $passed, \"failed\": $failed, \"skipped\": $skipped"
    echo '}'
  )
  # Whole or not at all: a machine may be taken away at any time.
  printf '%s\n' "$text" >"$out.new" && mv "$out.new" "$out"
}
joined_lines() {
  local text= part
  for part in "$@"; do text+=${text:+,$'\n    '}$part; done
  printf '%s\n' "$text"
}

# `figure NAME VALUE UNIT [words]`, or an object of JSON on one line that begins with {"figure": and holds plain values
take_figures() { # $1: check, $2: log
  local word name value unit rest line
  local plain='("[^"\\]*"|-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?|true|false|null)'
  local object='^\{"figure": ?'$plain'(, ?"[A-Za-z0-9_.-]+": ?'$plain')*\}$'
  while read -r line; do
    [[ $line =~ $object ]] && figures+=("{$(member check "$1"), ${line#\{}")
  done < <(LC_ALL=C grep -a '^{"figure":[ -~]*}$' "$2")
  while read -r word name value unit rest; do
    [[ $name =~ ^[A-Za-z0-9_.:-]+$ && $value =~ ^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$ ]] || continue
    figures+=("{$(member check "$1"), $(member name "$name"), \"value\": $value, $(member unit "$unit"), $(member note "$rest")}")
  done < <(grep -a '^figure ' "$2")
}
count_of() { # $1: PASSED, FAILED or SKIPPED, $2: log of a GoogleTest program; 0 when it does not say
  local count
  count=$(sed -n "s/^\[  *$1 *\] \([0-9][0-9]*\) tests*[.,].*/\1/p" "$2" | awk '{ sum += $1 } END { print sum + 0 }')
  echo "${count:-0}"
}
skip_reason() { sed -n '/: Skipped$/{n;p;}' "$1" | sort -u | head -n 1; }

result= reason= seconds=0 counts=
judge() { # $1: kind, $2: exit code, $3: log, $4: limit
  local passes skips
  counts=
  result=failed
  reason=
  case $2 in
    124 | 137) reason="not done after $4 s" ;;
    0) result=passed ;;
    77) [ "$1" = run ] && result=skipped && reason=$(tail -n 1 "$3") ;;
    127) reason="could not be started: $(tail -n 1 "$3")" ;;
    *) reason="exit code $2" ;;
  esac
  [ "$1" = test ] || return 0
  passes=$(count_of PASSED "$3") skips=$(count_of SKIPPED "$3")
  counts=", \"tests_passed\": $passes, \"tests_failed\": $(count_of FAILED "$3"), \"tests_skipped\": $skips"
  if [ "$result" = passed ] && [ "$passes" -eq 0 ]; then
    # A test program that tested nothing has not passed.
    result=failed reason="no test ran"
    [ "$skips" -eq 0 ] || { result=skipped; reason=$(skip_reason "$3"); }
  fi
}
run_check() { # name kind needs ranks seconds command...
  local name=$1 kind=$2 needs=$3 ranks=$4 limit=$5 code begin log launch=() lacking
  shift 5
  log=$logs/$name.log
  : >"$log"
  result=skipped reason= counts= seconds=0
  if [ -n "$too_old" ]; then
    reason=$too_old
  elif [ "$needs" = gpu ] && [ -n "$gpu_reason" ]; then
    reason=$gpu_reason
  elif [[ $1 != *.sh ]] && lacking=$(env "${own_environment[@]}" LD_TRACE_LOADED_OBJECTS=1 "$here/bin/$1" 2>/dev/null | sed -n 's/^[[:space:]]*\([^ ]*\) => not found.*/\1/p' | tr '\n' ' ') && [ -n "$lacking" ]; then
    result=failed reason="this machine lacks ${lacking% }"
  else
    if [ "$ranks" -gt 1 ]; then
      launch=(mpirun --oversubscribe --bind-to none -np "$ranks")
      [ "$needs" != gpu ] || launch+=(own_hostid.sh)
    fi
    mkdir -p "$work/$name"
    begin=$(date +%s%N)
    (cd "$work/$name" && env "${own_environment[@]}" timeout -k 10 "$limit" ${launch[@]+"${launch[@]}"} "$@") >"$log" 2>&1 </dev/null
    code=$?
    seconds=$((($(date +%s%N) - begin) / 1000000))
    seconds=$((seconds / 1000)).$(printf '%03d' $((seconds % 1000)))
    judge "$kind" "$code" "$log" "$limit"
    take_figures "$name" "$log"
    rm -rf "${work:?}/$name"
  fi
  case $result in
    passed) passed=$((passed + 1)) ;;
    skipped) skipped=$((skipped + 1)) ;;
    *) failed=$((failed + 1)) ;;
  esac
  say "$(printf '%-8s %s%s' "$result" "$name" "${reason:+ ($reason)}")"
  # The end of a log is worth its bytes only where something is wrong.
  local tail_bytes=400
  [ "$result" != failed ] || tail_bytes=6000
  entries+=("{$(member name "$name"), $(member result "$result"), $(member reason "$reason"), \"seconds\": $seconds$counts, $(member log "$(tail -c $tail_bytes "$log")")}")
}

[ -z "$gpu_reason" ] || say "GPU part skipped: $gpu_reason"
[ -n "$gpu_reason" ] || [ ${#missing_libraries[@]} -eq 0 ] || say "not found: ${missing_libraries[*]}"
write_results false
while read -r name kind needs ranks seconds_allowed command; do
  case "$name" in '' | '#'*) continue ;; esac
  if [ ${#only[@]} -gt 0 ] && ! printf '%s\n' "${only[@]}" | grep -qx -- "$name"; then continue; fi
  # shellcheck disable=SC2086  # words of the command are words
  run_check "$name" "$kind" "$needs" "$ranks" "$seconds_allowed" $command
  write_results false
done <"$here/checks.txt"
write_results true
say "$passed passed, $failed failed, $skipped skipped; results in $out"
[ "$failed" -eq 0 ] || exit 3
