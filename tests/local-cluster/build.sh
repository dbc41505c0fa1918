# shellcheck shell=bash disable=SC2154
# Part of `cluster`: builds every component from its Go module into $bin.
# Versions are pinned by modules/*/go.mod and by the three tools below. A component is built again when its pin changes.

components=(kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl etcd
  containerd containerd-shim-runc-v2 ctr cni/bridge cni/loopback cni/host-local cni/portmap coredns crane helm pause)

# have NAME PIN: NAME was already built from exactly PIN.
have() { [ -x "$bin/$1" ] && [ "$(cat "$bin/.pins/$1" 2>/dev/null)" = "$2" ]; }

# built NAME PIN: remember it, only after the build succeeded.
built() { mkdir -p "$(dirname "$bin/.pins/$1")"; echo "$2" >"$bin/.pins/$1"; }

# asked NAME: the caller of `cluster build` wants it.
asked() { [ ${#only[@]} = 0 ] || [[ " ${only[*]} " == *" $1 "* ]]; }

# from_module MODULE NAME PACKAGE [go build flags]: build PACKAGE as $bin/NAME with the versions of modules/MODULE.
from_module() {
  local module=$here/modules/$1 name=$2 package=$3 pin; shift 3
  asked "$name" || return 0
  pin=$(cat "$module/go.mod" "$module/go.sum" - <<<"$package $*" | sha256sum | cut -d' ' -f1)
  ! have "$name" "$pin" || return 0
  say "building $name"
  (cd "$module" && go build -o "$bin/$name" "$@" "$package")
  built "$name" "$pin"
}

# tool NAME PACKAGE@VERSION: a program that is a module of its own.
tool() {
  asked "$1" && ! have "$1" "$2" || return 0
  say "building $1"
  GOBIN=$bin go install -ldflags '-s -w' "$2"
  built "$1" "$2"
}

build() {
  local only=("$@") name
  for name in "$@"; do [[ " ${components[*]} " == *" $name "* ]] || die "there is no component '$name': ${components[*]}"; done
  command -v go >/dev/null || die "go is missing: install Go 1.26 or newer from https://go.dev/dl and put it on PATH"
  command -v gcc >/dev/null || die "gcc is missing: run '$here/cluster prerequisites'"
  mkdir -p "$bin/cni"
  exec 8>"$cache/build.lock"; flock 8   # two callers at once: the second finds everything built
  export CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOWORK=off
  local version stamp=k8s.io/component-base/version
  version=$(awk '$1 == "require" && $2 == "k8s.io/kubernetes" {print $3}' "$here/modules/kubernetes/go.mod")
  # A build from the module does not know its own version, and clients read it: Helm's kubeVersion for one.
  stamp="-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=1 -X $stamp.gitMinor=$(cut -d. -f2 <<<"$version")"
  for name in kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do
    from_module kubernetes "$name" "k8s.io/kubernetes/cmd/$name" -ldflags "$stamp"
  done
  from_module etcd etcd go.etcd.io/etcd/server/v3 -ldflags '-s -w'
  for name in containerd containerd-shim-runc-v2 ctr; do
    from_module containerd "$name" "github.com/containerd/containerd/v2/cmd/$name" -ldflags '-s -w'
  done
  for name in main/bridge main/loopback ipam/host-local meta/portmap; do
    from_module cni "cni/${name#*/}" "github.com/containernetworking/plugins/plugins/$name" -ldflags '-s -w'
  done
  tool coredns github.com/coredns/coredns@v1.13.1
  tool crane github.com/google/go-containerregistry/cmd/crane@v0.20.6
  tool helm helm.sh/helm/v4/cmd/helm@v4.3.1
  # What every Pod's sandbox runs: one static program that waits.
  [ -x "$bin/pause" ] || printf '#include <unistd.h>\nint main(void) { for (;;) pause(); }\n' | gcc -static -Os -s -x c -o "$bin/pause" -
  exec 8>&-
}
