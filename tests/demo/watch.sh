# shellcheck shell=bash
# Part of the demo: tells what happens, with the time since the last `kubectl apply`.

begin() { started=$(date +%s%N); }
begin

elapsed() { local now; now=$(date +%s%N); printf '%d.%d' $(((now - started) / 1000000000)) $(((now - started) / 100000000 % 10)); }
title() { printf '\n\033[1m%s\033[0m\n' "$*"; begin; }
tell() { printf '  %6s s  %s\n' "$(elapsed)" "$*"; }
show() { printf '\n  $ %s\n' "$*"; "$@" | sed 's/^/  /'; }

# await WHAT COMMAND...: polls; a failure names what was waited for.
await() {
  local what=$1 deadline=$((SECONDS + 120)); shift
  until "$@"; do
    if [ $SECONDS -ge $deadline ]; then echo "demo: gave up waiting for $what" >&2; return 1; fi
    sleep 0.2
  done
}

# condition TYPE: its message.
condition() { kubectl -n medical get dbm records -o json | jq -r --arg type "$1" '.status.conditions[] | select(.type == $type).message'; }

# conditions: one line per condition that speaks of the generation that was applied last.
conditions() {
  kubectl -n medical get dbm records -o json 2>/dev/null | jq -r '.metadata.generation as $now | .status.conditions[]?
    | select(.observedGeneration == $now and .type != "Cleared") | "\(.type) \(.status) \(.reason) \(.message | split("\n")[0])"'
}

# follow_until Ready|Failed: tells each condition as it changes. Failed is a migration that did not apply.
follow_until() {
  local deadline=$((SECONDS + 300)) seen='' now line type status reason message
  while :; do
    now=$(conditions)
    while read -r type status reason message; do
      line="$type $status $reason"
      if [ -n "$type" ] && [[ $seen != *"|$line|"* ]]; then
        seen="$seen|$line|"
        tell "$(printf '%-13s %-5s  %-18s %.90s' "$type" "$status" "$reason" "$message")"
      fi
    done <<<"$now"
    if [ "$1" = Ready ] && grep -q '^Ready True' <<<"$now"; then return; fi
    if [ "$1" = Failed ] && grep -q '^Applied False MigrationFailed' <<<"$now"; then return; fi
    if [ $SECONDS -ge $deadline ]; then echo "demo: gave up waiting for the DatabaseMigration to be $1" >&2; return 1; fi
    sleep 0.1
  done
}

# answers: what each running Pod of the application says over HTTP, through the API server.
answers() {
  local pod
  kubectl -n medical get pods -l app.kubernetes.io/name=records-app -o json |
    jq -r '.items[] | select(.metadata.deletionTimestamp == null and any(.status.conditions[]?; .type == "Ready" and .status == "True")).metadata.name' |
    while read -r pod; do kubectl get --raw "/api/v1/namespaces/medical/pods/$pod:8080/proxy/" 2>/dev/null; done
}

# application: the answers in words.
application() {
  local said; said=$(answers | sort | uniq -c | awk '{printf "%s%s Pods answer \"release %s\"", (NR > 1 ? ", " : ""), $1, $2}')
  echo "${said:-no Pod of the application runs}"
}

serving() { [ "$(answers | sort | uniq -c | awk '{print $2, $1}')" = "$1 $2" ]; }
held() { [ -n "$(kubectl -n medical get deployment records-app -o jsonpath='{.metadata.annotations.sluice\.dev/held}')" ]; }

# ledger: what Prisma's own table says, and whether the column is there that the broken migration added first.
ledger() {
  kubectl -n medical exec deployment/records-postgres -- psql -h /var/run/postgresql -U postgres -d records -X -A -t -c \
    "SELECT count(*) || ' migrations in _prisma_migrations, ' || count(*) FILTER (WHERE finished_at IS NULL) || ' unfinished; columns \"isUnplanned\": '
       || (SELECT count(*) FROM pg_attribute WHERE attname = 'isUnplanned') FROM _prisma_migrations"
}
