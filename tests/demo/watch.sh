# shellcheck shell=bash disable=SC2154
# Part of the demo: tells what happens, with the time since the last `kubectl apply`.

begin() { started=$(date +%s%N); }
begin

elapsed() { local now; now=$(date +%s%N); printf '%d.%d' $(((now - started) / 1000000000)) $(((now - started) / 100000000 % 10)); }
# apply: $work; `before` is what was true already, so that it is not told again.
apply() { before=$(milestones || true); begin; kubectl apply -k "$work" >/dev/null; }
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

# milestones: one line per condition that says something about the generation that was applied last. Ready and Stalled
# sum up the others, so they are told only when they are True.
milestones() {
  kubectl -n medical get dbm records -o json 2>/dev/null | jq -r '.metadata.generation as $now | .status.conditions[]?
    | select(.observedGeneration == $now and .reason != "Pending" and .type != "Cleared" and .type != "Reconciling")
    | select(.status == "True" or (.type != "Ready" and .type != "Stalled"))
    | "\(.type) \(.status) \(.reason) \(.message | split("\n")[0])"' | awk '{print ($1 == "Ready" ? 1 : 0), $0}' | sort -s -k 1,1 | cut -d ' ' -f 2-
}

# follow_until Ready|Failed: tells each milestone as it is reached. Failed is a migration that did not apply.
follow_until() {
  local deadline=$((SECONDS + 300)) told=$before now line type status reason message
  while :; do
    now=$(milestones || true)
    while read -r line; do
      if [ -n "$line" ] && [[ $told != *"$line"* ]]; then
        told+=$'\n'$line
        read -r type status reason message <<<"$line"
        tell "$(printf '%-13s %-7s  %-18s  %s' "$type" "$status" "$reason" "$(shorten "$message")")"
      fi
    done <<<"$now"
    if [ "$1" = Ready ] && grep -q '^Ready True' <<<"$now"; then return; fi
    if [ "$1" = Failed ] && grep -q '^Applied False MigrationFailed' <<<"$now"; then return; fi
    if [ $SECONDS -ge $deadline ]; then echo "demo: gave up waiting for the DatabaseMigration to be $1" >&2; return 1; fi
    sleep 0.1
  done
}
shorten() { if [ ${#1} -gt 84 ]; then echo "${1:0:83}…"; else echo "$1"; fi; }

# required: the requirement of the application, as the gate writes it; gate_open: whether the gate lists it.
required() {
  kubectl -n medical get deployment records-app -o json |
    jq -r '.spec.template.metadata.annotations["requires.sluice.dev/records"] | "records@" + .'
}
gate_open() { kubectl -n medical get migrationgate gates -o json 2>/dev/null | jq -e --arg it "$(required)" '.spec.satisfied | index($it)' >/dev/null; }

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
