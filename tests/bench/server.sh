# shellcheck shell=bash
# A PostgreSQL that lives as long as a benchmark: default settings, fsync on, its data on the disk. Sourced by run.

server_start() {
  local folder=$1 bins
  bins=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
  server_bin=${PG_BIN:-$bins}
  [ -x "$server_bin/initdb" ] || { echo "bench: PostgreSQL is missing: apt-get install postgresql, or set PG_BIN" >&2; return 1; }
  server_data=$folder/data
  mkdir "$server_data" "$folder/socket"
  # PostgreSQL refuses to run as root.
  server_as=()
  if [ "$(id -u)" = 0 ]; then
    local user=postgres
    getent passwd "$user" >/dev/null || user=nobody
    chown "$user" "$server_data" "$folder/socket"
    server_as=(setpriv --reuid "$user" --regid "$user" --clear-groups --)
  fi
  (cd / && "${server_as[@]}" "$server_bin/initdb" -D "$server_data" -U postgres -A trust -E UTF8 --locale=C.UTF-8) >"$folder/initdb.log"
  (cd / && "${server_as[@]}" "$server_bin/pg_ctl" -D "$server_data" -w -s -l "$server_data/log" \
    -o "-k $folder/socket -c listen_addresses='' -c port=5432" start)
  export PGHOST=$folder/socket PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
  BENCH_SERVER=$(psql -XAtc "select 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1) || ', fsync ' || current_setting('fsync')")
  export BENCH_SERVER
  # So that snapshots are not timed through Debian's wrapper script.
  export PATH=$server_bin:$PATH
}

server_stop() {
  [ -z "${server_data:-}" ] || (cd / && "${server_as[@]}" "$server_bin/pg_ctl" -D "$server_data" -m immediate -w -s stop) || true
}
