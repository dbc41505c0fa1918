#!/bin/sh
# PostgreSQL for the demo and the tests. Makes the database at the first start, as an ordinary user, then runs the server.
#   PGDATA             where the data live; default /var/lib/postgresql/data
#   POSTGRES_PASSWORD  of the superuser; required at the first start
#   POSTGRES_USER      the superuser; default postgres
#   POSTGRES_DB        a database to make; default the superuser's name
#   /docker-entrypoint-initdb.d/*.sql and *.sh run once, in that database, in the order of their names
# Arguments go to the server: -c fsync=off, say.
set -eu

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}

server=
# SIGTERM would wait for every client to leave: end them, and shut down cleanly.
trap '[ -z "$server" ] || kill -INT "$server"' TERM INT

first_start() {
    if [ -z "${POSTGRES_PASSWORD:-}" ]; then
        echo "POSTGRES_PASSWORD is empty: set it, from a Secret" >&2
        exit 1
    fi
    # Built beside its place and moved there last: a start that was interrupted is simply done again.
    rm -rf "$PGDATA/.new"
    mkdir -p "$PGDATA/.new"
    ( umask 077; printf '%s\n' "$POSTGRES_PASSWORD" >"$PGDATA/.new/password" )
    initdb -D "$PGDATA/.new/data" -U "$user" --pwfile="$PGDATA/.new/password" -A scram-sha-256 --auth-local=trust \
        -E UTF8 --locale=C.UTF-8 >/dev/null
    rm "$PGDATA/.new/password"
    echo "host all all all scram-sha-256" >>"$PGDATA/.new/data/pg_hba.conf"
    # Only on a socket until everything is there, so that no probe and no client sees a half-made database.
    pg_ctl -D "$PGDATA/.new/data" -w -s -o "-c listen_addresses='' -c unix_socket_directories='$PGDATA/.new'" start
    run() { psql -h "$PGDATA/.new" -X -q -v ON_ERROR_STOP=1 -U "$user" -d "$@"; }
    if [ "$database" != postgres ]; then
        # shellcheck disable=SC2016 # psql quotes the name
        echo 'CREATE DATABASE :"name"' | run postgres -v name="$database"
    fi
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sql) echo "running $file"; run "$database" -f "$file" ;;
            *.sh) echo "running $file"; PGHOST=$PGDATA/.new PGUSER=$user PGDATABASE=$database sh "$file" ;;
        esac
    done
    pg_ctl -D "$PGDATA/.new/data" -w -s -m fast stop
    mv "$PGDATA/.new/data" "$PGDATA/cluster"
    rm -rf "$PGDATA/.new"
}

mkdir -p "$PGDATA"
if [ ! -d "$PGDATA/cluster" ]; then first_start; fi
unset POSTGRES_PASSWORD

sockets=$PGDATA
if [ -w /var/run/postgresql ]; then sockets=/var/run/postgresql,$PGDATA; fi
postgres -D "$PGDATA/cluster" -c listen_addresses='*' -c unix_socket_directories="$sockets" "$@" &
server=$!
# A signal ends the first wait; the second one is for the server's own end.
status=0
wait "$server" || status=$?
if kill -0 "$server" 2>/dev/null; then
    status=0
    wait "$server" || status=$?
fi
exit "$status"
