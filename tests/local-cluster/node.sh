# shellcheck shell=bash disable=SC2154
# Part of `cluster`: starts the node. Each component runs in the node's network namespace, logs to $run/log and leaves
# its process id in $run/pid.

spawn() {
  local name=$1; shift
  (let_go; exec setsid nohup nsenter --net="/run/netns/$netns" "$@") >>"$run/log/$name.log" 2>&1 </dev/null &
  echo $! >"$run/pid/$name"
}

# let_go: closes what the caller had open. A lock that a daemon keeps open is never free again.
let_go() {
  local open
  for open in "/proc/$BASHPID/fd/"*; do
    open=${open##*/}
    if [ "$open" -gt 2 ]; then eval "exec $open>&-"; fi
  done
}

# restart NAME: kills a component and starts it again with the same arguments, as a crash would.
restart() {
  local name=$1 pid words
  pid=$(cat "$run/pid/$name" 2>/dev/null) && alive "$run/pid/$name" || die "no component $name runs"
  mapfile -d '' -t words <"/proc/$pid/cmdline"
  kill -9 "$pid"
  await 10 "$name to end" gone "$pid"
  KUBECONFIG=$run/admin.kubeconfig spawn "$name" "${words[@]}"
  await 60 "the cluster to answer" answers
}
# A process that no parent waited for is gone, too, once its last thread is: until then its sockets are open.
gone() {
  local threads
  kill -0 "$1" 2>/dev/null && grep -q '^State:.[^Z]' "/proc/$1/status" && return 1
  threads=("/proc/$1/task/"*)
  [ ${#threads[@]} -le 1 ]
}

start() {
  mkdir -p "$run"/{log,pid,pki} "$data"/{etcd,registry,kubelet}
  export KUBECONFIG=$run/admin.kubeconfig
  network
  keys
  note_sysctls
  make_cgroups
  control_plane
  container_runtime
  await 60 "the API server" kubectl get --raw /readyz
  controllers
  start_kubelet
  service_network
  KUBECONFIG=$run/admin.kubeconfig spawn volumes "$here/volumes" "$data/volumes"
  await 30 "the registry" crane catalog --insecure "$registry"
  tar -C "$bin" --mtime=@0 -cf "$run/pause.tar" pause
  image "$registry/pause:1" "$run/pause.tar" --entrypoint /pause >/dev/null
  await 60 "node node1 to be Ready" kubectl wait --for=condition=Ready node/node1 --timeout=0
  await 60 "the default service account" kubectl get serviceaccount default
  await 30 "the storage class" kubectl get storageclass local
}

network() {
  local range route
  for range in 10.99.0.0/24 $pods $services; do
    route=$(ip -4 route show root "$range")
    [ -z "$route" ] || die "the address range $range is in use on this machine: $route"
  done
  ip netns add "$netns"
  ip link add sluice-host type veth peer name eth0 netns "$netns"
  ip addr add $host_ip/24 dev sluice-host; ip link set sluice-host up
  ip route add $pods via $node_ip; ip route add $services via $node_ip
  ip netns exec "$netns" sh -c "ip link set lo up; ip addr add $node_ip/24 dev eth0; ip link set eth0 up
    ip route add default via $host_ip; sysctl -qw net.ipv4.ip_forward=1"
}

# keys: a certificate authority, one certificate per identity, and a kubeconfig for the administrator and the node.
keys() (
  cd "$run/pki"
  key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }
  leaf() {
    key "$1.key"
    openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -out "$1.crt" -extfile names 2>/dev/null
  }
  kubeconfig() {
    local to=(--kubeconfig "$run/$1.kubeconfig")
    kubectl config "${to[@]}" set-cluster sluice-local --server=https://$node_ip:6443 --certificate-authority=ca.crt --embed-certs
    kubectl config "${to[@]}" set-credentials "$1" --client-certificate="$1.crt" --client-key="$1.key" --embed-certs
    kubectl config "${to[@]}" set-context sluice-local --cluster=sluice-local --user="$1"
    kubectl config "${to[@]}" use-context sluice-local
  }
  umask 077
  key sa.key; openssl pkey -in sa.key -pubout -out sa.pub
  key ca.key; openssl req -x509 -new -key ca.key -out ca.crt -days 365 -subj /CN=sluice-local
  echo "subjectAltName=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:node1,IP:127.0.0.1,IP:${services%.*}.1,IP:$node_ip" >names
  leaf apiserver /CN=kube-apiserver
  leaf admin /O=system:masters/CN=admin
  leaf node /O=system:nodes/CN=system:node:node1
  { kubeconfig node; kubeconfig admin; } >/dev/null
)

# What the kubelet sets for the whole machine; `down` puts the old values back.
note_sysctls() {
  local name
  for name in vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes; do
    if sysctl -n "$name" >/dev/null 2>&1; then echo "$name $(sysctl -n "$name")"; fi
  done >"$run/sysctls"
}

control_plane() {
  local etcd=http://127.0.0.1:2379
  spawn etcd etcd --data-dir "$data/etcd" --unsafe-no-fsync --listen-client-urls $etcd --advertise-client-urls $etcd \
    --listen-peer-urls http://127.0.0.1:2380
  spawn kube-apiserver kube-apiserver --etcd-servers=$etcd --secure-port=6443 --advertise-address=$node_ip \
    --cert-dir="$run/pki" --tls-cert-file="$run/pki/apiserver.crt" --tls-private-key-file="$run/pki/apiserver.key" \
    --client-ca-file="$run/pki/ca.crt" --service-account-issuer=https://kubernetes.default.svc \
    --service-account-key-file="$run/pki/sa.pub" --service-account-signing-key-file="$run/pki/sa.key" \
    --authorization-mode=Node,RBAC --service-cluster-ip-range=$services --allow-privileged=true \
    --kubelet-client-certificate="$run/pki/admin.crt" --kubelet-client-key="$run/pki/admin.key" \
    --kubelet-preferred-address-types=InternalIP --shutdown-delay-duration=0s --shutdown-watch-termination-grace-period=1s
  spawn registry crane registry serve --address $registry --disk "$data/registry"
}

controllers() {
  spawn kube-controller-manager kube-controller-manager --kubeconfig="$run/admin.kubeconfig" --use-service-account-credentials \
    --service-account-private-key-file="$run/pki/sa.key" --root-ca-file="$run/pki/ca.crt" --cert-dir="$run/pki" --leader-elect=false \
    --flex-volume-plugin-dir="$data/volume-plugins"
  spawn kube-scheduler kube-scheduler --kubeconfig="$run/admin.kubeconfig" --cert-dir="$run/pki" --leader-elect=false
}

# runc must be built with seccomp (Debian's is), or restricted Pods are refused.
container_runtime() {
  # restrict_oom_score_adj: works without CAP_SYS_RESOURCE. The opt and NRI plugins would create directories in /opt.
  cat >"$run/containerd.toml" <<TOML
version = 3
root = "$data/containerd"
state = "$run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
  address = "$run/containerd.sock"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "$registry/pause:1"
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = "$run/registries"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["$bin/cni"]
  conf_dir = "$run/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = "$(command -v runc)"
  SystemdCgroup = false
TOML
  mkdir -p "$run/registries/$registry" "$run/cni"
  printf 'server = "http://%s"\n[host."http://%s"]\n  capabilities = ["pull", "resolve"]\n' $registry $registry >"$run/registries/$registry/hosts.toml"
  cat >"$run/cni/10-pods.conflist" <<JSON
{"cniVersion": "1.0.0", "name": "sluice-pods", "plugins": [
  {"type": "bridge", "bridge": "pods0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$data/addresses", "ranges": [[{"subnet": "$pods"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
  spawn containerd containerd -c "$run/containerd.toml"
}

start_kubelet() {
  # failCgroupV1: runs where the machine still has cgroup v1. cgroupDriver: as containerd's SystemdCgroup says; see cgroups.sh.
  # The eviction settings: runs on a disk full of caches.
  cat >"$run/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failSwapOn: false
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /$netns
enforceNodeAllocatable: []
localStorageCapacityIsolation: false
evictionHard: {memory.available: 50Mi}
imageGCHighThresholdPercent: 100
maxPods: 250
containerRuntimeEndpoint: unix://$run/containerd.sock
podLogsDir: $data/pod-logs
volumePluginDir: $data/volume-plugins
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: $run/pki/ca.crt}}
authorization: {mode: AlwaysAllow}
tlsCertFile: $run/pki/node.crt
tlsPrivateKeyFile: $run/pki/node.key
clusterDomain: cluster.local
clusterDNS: [$dns]
YAML
  await 30 "containerd" ctr -a "$run/containerd.sock" version
  spawn kubelet kubelet --config="$run/kubelet.yaml" --kubeconfig="$run/node.kubeconfig" --hostname-override=node1 \
    --node-ip=$node_ip --root-dir="$data/kubelet" --cert-dir="$run/pki"
}

# service_network: kube-proxy for services, CoreDNS on the node's own address behind the usual service for names.
service_network() {
  cat >"$run/proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: node1
clusterCIDR: $pods
clientConnection: {kubeconfig: $run/admin.kubeconfig}
conntrack: {maxPerCore: 0}
YAML
  spawn kube-proxy kube-proxy --config="$run/proxy.yaml"
  printf '.:53 {\n  bind %s\n  errors\n  kubernetes cluster.local {\n    kubeconfig %s\n  }\n}\n' $node_ip "$run/admin.kubeconfig" >"$run/Corefile"
  spawn coredns coredns -conf "$run/Corefile"
  kubectl apply -f - >/dev/null <<YAML
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: $dns, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-node, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
endpoints: [{addresses: [$node_ip]}]
ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53}]
YAML
}
