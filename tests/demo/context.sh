# shellcheck shell=bash disable=SC2154
# Part of the demo: which cluster, and what a person would inspect when a step fails.

# tools: what a cluster of the user's is spoken to with; our own cluster's build serves when the machine has none.
tools() {
  local name
  PATH=$PATH:$("$top/tests/local-cluster/cluster" bin)
  for name in kubectl helm jq; do
    command -v "$name" >/dev/null || { echo "demo: $name is missing: install it, or run 'make cluster-up' once, which builds kubectl and helm" >&2; exit 1; }
  done
}

# What the demo made carries this label, and nothing else is ever replaced or removed.
label=app.kubernetes.io/created-by=sluice-demo

# free NAMESPACE: it does not exist, or the demo made it.
free() {
  [ -z "$(kubectl get namespace "$1" --ignore-not-found -o name)" ] || [ -n "$(kubectl get namespace -l "$label,kubernetes.io/metadata.name=$1" -o name)" ]
}

# nobody_elses: on a cluster of the user's, stop before anything of theirs is touched.
nobody_elses() {
  local name
  for name in medical sluice-system; do
    free "$name" || { echo "demo: the namespace $name exists in the cluster '$CONTEXT' and is not the demo's: nothing was changed" >&2; exit 1; }
  done
  if [ -n "$(kubectl get crd databasemigrations.sluice.dev --ignore-not-found -o name)" ] && [ -z "$(kubectl get namespace sluice-system --ignore-not-found -o name)" ]; then
    echo "demo: Sluice's kinds exist in the cluster '$CONTEXT' and are not the demo's: nothing was changed" >&2
    exit 1
  fi
}

# choose_cluster: the cluster of CONTEXT, or our own. Never the caller's current context.
choose_cluster() {
  if [ -n "${CONTEXT:-}" ]; then
    tools
    local name missing=()
    for name in SLUICE_IMAGE SLUICE_STAGE_IMAGE POSTGRES_IMAGE APP_IMAGE; do
      [[ "${!name:-}" == *:*@sha256:* ]] || missing+=("$name")
    done
    if [ ${#missing[@]} -gt 0 ]; then
      echo "demo: with CONTEXT, push the images where the cluster '$CONTEXT' pulls from (deploy/Dockerfile) and name them" \
        "as repository:tag@sha256:… in ${missing[*]}" >&2
      exit 2
    fi
    mkdir -p "$top/target/demo"
    kubectl config view --minify --flatten --context="$CONTEXT" >"$top/target/demo/kubeconfig"
    export KUBECONFIG=$top/target/demo/kubeconfig
    nobody_elses
  elif [ -z "${SLUICE_DEMO_READY:-}" ]; then
    SLUICE_DEMO_READY=yes exec "$top/tests/local-cluster/with-cluster" "$0" "$@"
  fi
}

# diagnose: runs when a step failed.
diagnose() {
  trap - ERR
  printf '\ndemo: this step failed. What a person would inspect next:\n' >&2
  {
    printf '\n$ kubectl -n medical get dbm,jobs,pods,deployments\n'; kubectl -n medical get dbm,jobs,pods,deployments -o wide
    printf '\n$ kubectl -n medical describe dbm records\n'; kubectl -n medical describe dbm records
    printf '\n$ kubectl -n medical get events\n'; kubectl -n medical get events --sort-by=.lastTimestamp | tail -n 20
    printf '\nThe logs of the stages:\n'
    kubectl -n medical logs --selector app.kubernetes.io/managed-by=sluice --all-containers --prefix --tail 20
    printf '\nThe log of the controller:\n'
    kubectl -n sluice-system logs --selector app.kubernetes.io/name=sluice --tail -1 | grep -F medical | tail -n 20
  } >&2 2>&1 || true
  exit 1
}

look_around() {
  title "Look around"
  if [ -n "${CONTEXT:-}" ]; then
    printf '    kubectl --context %s -n medical describe dbm records\n    CONTEXT=%s make demo-down\n' "$CONTEXT" "$CONTEXT"
  else
    printf '    eval "$(tests/local-cluster/cluster env)"\n    kubectl -n medical describe dbm records\n    make demo-down\n'
  fi
}
