# shellcheck shell=bash disable=SC2154
# Part of `images`: layers made of what is needed from Debian's packages, and nothing else. Packages are unpacked, not
# installed; then the wanted programs are copied with the libraries they load, so no shell and no package manager comes along
# unless it is wanted. PostgreSQL comes from Debian's next release, forky, whose PostgreSQL is 18: a dump tool must not be older
# than the server.

# unpack SUITE DIRECTORY PACKAGE...: the packages and what they depend on, from Debian's archive with its security updates.
# Signatures are checked; the date until which a suite's index is valid is not, because mirrors of a suite that is not released
# yet fall behind by more than that.
unpack() {
  local suite=$1 directory=$2 packages
  shift 2
  packages=$(IFS=,; echo "$*")
  command -v mmdebstrap >/dev/null || die "mmdebstrap is missing: run '$cluster prerequisites'"
  if ! mmdebstrap --quiet --mode=root --variant=extract --components=main --include="$packages" --format=directory \
    --aptopt='Acquire::Check-Valid-Until "false"' "$suite" "$directory" 2>"$temporary/log"; then
    tail -n 20 "$temporary/log" >&2
    die "mmdebstrap cannot unpack $packages from Debian's archive; see above"
  fi
}

# take TREE ROOT PATTERN...: copy paths, and the libraries that their programs and modules load.
take() {
  local tree=$1 root=$2 pattern file libraries=$1/usr/lib/x86_64-linux-gnu
  shift 2
  mkdir -p "$root"/usr/{bin,lib,lib64,sbin} "$root/tmp"
  chmod 1777 "$root/tmp"
  for file in bin lib lib64 sbin; do [ -e "$root/$file" ] || ln -s "usr/$file" "$root/$file"; done
  for pattern in "$@"; do
    # shellcheck disable=SC2086
    (cd "$tree" && cp -a --parents $pattern "$root/")
  done
  { find "$root/usr" -type f \( -perm -100 -o -name '*.so*' \) | while read -r file; do
      "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" --list "$file" 2>/dev/null || true
    done; } | grep -o "$tree/[^ ]*" | sort -u | while read -r file; do
      install -D -m 0755 "$file" "$root/${file#"$tree/"}"
    done
  mkdir -p "$root/usr/lib64"
  ln -sfn ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$root/usr/lib64/ld-linux-x86-64.so.2"
  install -D -m 0755 "$libraries/ld-linux-x86-64.so.2" "$root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
  (cd "$tree" && find usr/share/doc -name copyright -exec cp --parents {} "$root/" \;)   # the licences ask for it
}

# certificates TREE ROOT: the public certificate authorities, where OpenSSL and rustls look for them.
certificates() {
  mkdir -p "$2/etc/ssl/certs" "$2/usr/lib/ssl"
  cat "$1"/usr/share/ca-certificates/mozilla/*.crt >"$2/etc/ssl/certs/ca-certificates.crt"
  ln -sfn /etc/ssl/certs/ca-certificates.crt "$2/usr/lib/ssl/cert.pem"
}

# user ROOT NAME ID: libpq and initdb want a name for the user that they run as.
user() {
  mkdir -p "$1/etc"
  printf 'root:x:0:0::/:/sbin/nologin\n%s:x:%s:%s::/:/sbin/nologin\n' "$2" "$3" "$3" >"$1/etc/passwd"
  printf 'root:x:0:\n%s:x:%s:\n' "$2" "$3" >"$1/etc/group"
}

fill_certificates() {
  unpack trixie "$temporary/tree-ca" ca-certificates
  certificates "$temporary/tree-ca" "$1"
  rm -rf "$temporary/tree-ca" "$1/usr"
  user "$1" sluice 65532
}

fill_client() {
  local tree=$temporary/tree-client tools=usr/lib/postgresql/18/bin
  unpack forky "$tree" postgresql-client-18 ca-certificates
  take "$tree" "$1" "$tools/pg_dump $tools/pg_restore $tools/psql"
  certificates "$tree" "$1"
  user "$1" sluice 65532
  "$tree/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path "$1/usr/lib/x86_64-linux-gnu" "$1/$tools/pg_dump" --version
  rm -rf "$tree"
}

fill_server() {
  local tree=$temporary/tree-server tools=usr/lib/postgresql/18
  unpack forky "$tree" postgresql-18 postgresql-client-18 dash coreutils libc-bin tzdata
  rm -rf "$tree/$tools/lib/bitcode" "$tree/$tools/lib/"llvm*   # just-in-time compilation would bring 130 MB
  take "$tree" "$1" "$tools/bin/* $tools/lib usr/share/postgresql/18 usr/share/zoneinfo" \
    "usr/lib/locale/C.utf8 usr/bin/dash usr/bin/sh usr/bin/cat usr/bin/id usr/bin/locale usr/bin/ls usr/bin/mkdir usr/bin/mv usr/bin/rm usr/bin/sleep"
  user "$1" postgres 999
  mkdir -p "$1/var/lib/postgresql/data" "$1/var/run/postgresql" "$1/docker-entrypoint-initdb.d"
  chmod 1777 "$1/var/lib/postgresql/data" "$1/var/run/postgresql"
  rm -rf "$tree"
}
