# shellcheck shell=bash disable=SC2154
# Part of `cluster`: stops the node and removes what it left on the host. Works on any half of a cluster: one whose
# start failed, one that was killed, one that a reboot cut off.

# cgroups: the node's own control groups, one per hierarchy (cgroup v1 has many, v2 one).
cgroups() { find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -type d -name "$netns" 2>/dev/null || true; }

# members: the processes of Pods, by control group, and of components, by network namespace.
members() {
  local group
  ip netns pids "$netns" 2>/dev/null || true
  for group in $(cgroups); do find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null || true; done | sort -un
}

mounts() { awk -v run="$run/" -v data="$data/" 'index($2, run) == 1 || index($2, data) == 1 {print $2}' /proc/mounts | sort -r; }

stop_processes() {
  local file name pid
  # The kubelet first: it would start again what dies. The API server before etcd, or it hangs.
  for name in kubelet kube-proxy kube-controller-manager kube-scheduler coredns kube-apiserver; do
    file=$run/pid/$name
    [ ! -e "$file" ] || kill -9 "$(cat "$file")" 2>/dev/null || true
  done
  local deadline=$((SECONDS + 20))
  while pid=$(members) && [ -n "$pid" ]; do
    # shellcheck disable=SC2086
    kill -9 $pid 2>/dev/null || true
    [ $SECONDS -lt $deadline ] || die "these processes do not end: $(tr '\n' ' ' <<<"$pid")"
    sleep 0.1
  done
}

remove_cgroups() {
  local group deadline=$((SECONDS + 10))
  while group=$(cgroups) && [ -n "$group" ]; do
    # shellcheck disable=SC2086
    find $group -depth -type d -exec rmdir {} + 2>/dev/null || true
    [ $SECONDS -lt $deadline ] || { say "cannot remove the control groups $group"; return; }
    sleep 0.1
  done
}

# restore_sysctls: the kubelet changes a few kernel settings of the host; `start` noted what they were.
restore_sysctls() {
  local name value
  [ -e "$run/sysctls" ] || return 0
  while read -r name value; do sysctl -qw "$name=$value" || true; done <"$run/sysctls"
}

# remove_strays: what the kubelet and containerd leave in places that they do not let us choose, found by container id.
remove_strays() {
  local tasks=$run/containerd/io.containerd.runtime.v2.task/k8s.io directory id socket
  for directory in "$tasks"/*/; do
    [ -d "$directory" ] || continue
    id=$(basename "$directory")
    rm -rf "/run/containerd/runc/k8s.io/${id:?}" "/var/lib/cni/results/"{cni-loopback,sluice-pods}-"$id"-*
    socket=$(grep -o '/run/containerd/s/[0-9a-f]*' "$directory/bootstrap.json" 2>/dev/null || true)
    [ -z "$socket" ] || rm -f "$socket"
  done
  [ ! -d /var/log/containers ] || find /var/log/containers -type l -lname "$data/*" -delete
  # A kubelet that another user runs on this machine has more than its socket there.
  if [ "$(find /var/lib/kubelet ! -type d 2>/dev/null)" = /var/lib/kubelet/device-plugins/kubelet.sock ]; then rm -rf /var/lib/kubelet; fi
  rmdir /var/log/containers /var/lib/cni/results /var/lib/cni /run/containerd/{runc/k8s.io,runc,s,} 2>/dev/null || true
}

clear_away() {
  local mount left
  stop_processes
  for mount in $(mounts); do umount "$mount" 2>/dev/null || umount -l "$mount" 2>/dev/null || true; done
  left=$(mounts)
  [ -z "$left" ] || die "cannot unmount $left"
  remove_cgroups
  restore_cgroups
  restore_sysctls
  ip netns del "$netns" 2>/dev/null || true
  ip link del sluice-host 2>/dev/null || true
  remove_strays
  rm -rf --one-file-system "$run" "$data"
}
