# shellcheck shell=bash
# Time, medians and tables. Sourced by the sections.
set -euo pipefail
export LC_ALL=C

# Microseconds.
clock() { printf '%s' "${EPOCHREALTIME/./}"; }

# Appends the microseconds that a command takes to a file; its output goes to FILE.log.
timed() {
  local file=$1 began
  shift
  began=$(clock)
  "$@" >"$file.log" 2>&1 </dev/null || { printf 'bench: failed: %s\n' "$*" >&2; tail -n 20 "$file.log" >&2; return 1; }
  printf '%s\n' $(($(clock) - began)) >>"$file"
}

# Statistics of the numbers in a file, one per line.
median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
least() { sort -n "$1" | head -n 1; }
most() { sort -n "$1" | tail -n 1; }

# MICROSECONDS as seconds or milliseconds.
seconds() { awk -v us="$1" 'BEGIN { printf "%.2f s", us / 1e6 }'; }
milliseconds() { awk -v us="$1" 'BEGIN { printf us < 10000 ? "%.1f ms" : "%.0f ms", us / 1e3 }'; }

# A file's median with its range, in the unit of the given function: `6.01 s (5.92–6.30)`.
spread() {
  local unit=$1 file=$2 low high
  low=$($unit "$(least "$file")")
  high=$($unit "$(most "$file")")
  printf '%s (%s–%s)' "$($unit "$(median "$file")")" "${low% *}" "${high% *}"
}

# The ratio of two files' medians.
ratio() { awk -v a="$(median "$1")" -v b="$(median "$2")" 'BEGIN { printf "%.2f", a / b }'; }

# Calls a function once for each name, $BENCH_ROUNDS times over, each time in another order: what disturbs the machine disturbs all.
rounds() {
  local function=$1 round name
  shift
  local names=("$@")
  for ((round = 1; round <= BENCH_ROUNDS; round++)); do
    for name in "${names[@]}"; do
      "$function" "$name" "$round"
    done
    names=("${names[@]:1}" "${names[0]}")
  done
}

# An empty database, after everything earlier is on the disk. The one before is dropped and its files are forgotten first: ext4 does not
# give out the inodes of deleted files for 5 s and checks each of them instead, which costs the process that makes files next.
fresh_database() {
  psql -Xq -c "drop database if exists $1 with (force)" -c checkpoint 2>/dev/null
  sync
  sleep 6
  psql -Xq -c "create database $1 template template0" -c checkpoint
}

# The connection URL of a database.
url() { printf 'postgres://%s@/%s?host=%s&port=%s' "$PGUSER" "$1" "$PGHOST" "$PGPORT"; }

# Writes a manifest. Arguments: the section `snapshot` and further sections, in YAML.
manifest() {
  cat <<END
apiVersion: sluice.dev/v1alpha1
kind: DatabaseMigration
metadata: {name: bench, namespace: bench}
spec:
  database: {secretRef: {name: bench-db}}
  migrations: {configMaps: [bench-migrations]}
  snapshot: $1
  ${2:-}
END
}

# `sluice run`. Arguments: the manifest, the folder of migrations, the database.
sluice_run() {
  DATABASE_URL=$(url "$3") "$SLUICE_BINARY" run --file "$1" --source "$2" --snapshot-dir "$BENCH_WORK/snapshots"
}

# The line under a table that says how it came about.
setting() {
  printf '\n%s rounds in turn, median (least–most). %s cores, %s. `tests/bench/run %s`\n' \
    "$BENCH_ROUNDS" "$(nproc)" "$BENCH_SERVER" "$(basename "$0")"
}
