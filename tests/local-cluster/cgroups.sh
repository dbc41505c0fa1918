# shellcheck shell=bash disable=SC2154
# Part of `cluster`: a control group of our own, so that another kubelet on this machine and ours leave each other's Pods
# alone. The kubelet and containerd both write it themselves (driver `cgroupfs`), so no systemd has to be asked.
#
# cgroup v1 has a hierarchy for each controller, and a group in each of them is all it takes. v2 has one hierarchy and two rules:
#   * A group has the controllers that its parent hands on, and the kubelet does not start when its root lacks one it uses.
#   * A group that hands on controllers has no processes of its own. Only the root of the whole machine may. In a container
#     the top group is not that root and the container's processes are in it: they move into a group beside ours until `down`.

cgroup_top=/sys/fs/cgroup
cgroup_others=sluice-others

make_cgroups() {
  local hierarchy
  if [ -e $cgroup_top/cgroup.controllers ]; then make_unified_cgroup; return; fi
  for hierarchy in $cgroup_top/*/; do
    if [ -e "$hierarchy/cgroup.procs" ]; then mkdir -p "$hierarchy/$netns"; fi
  done
}

make_unified_cgroup() {
  local withheld
  [ -w $cgroup_top/cgroup.subtree_control ] || die "$cgroup_top is read-only: in a container, run it with --privileged"
  # Every group has a type but the root of the machine. Nothing may be handed on before: a group that has processes and hands
  # on cpu or pids makes those below it threaded, and no process can move there any more.
  if [ -e $cgroup_top/cgroup.type ] && [ -n "$(cat $cgroup_top/cgroup.procs)" ]; then
    move_processes $cgroup_top $cgroup_top/$cgroup_others
  fi
  withheld=$(hand_on)
  [ -z "$withheld" ] || die "these controllers of $cgroup_top cannot be handed on to the node, and the kubelet needs them:" \
    "$withheld (something else may hold them: a cgroup v1 mount, or a real-time process in the case of cpu)"
  mkdir -p "$cgroup_top/$netns"
}

# hand_on: gives the controllers of the top group to the groups in it; prints those that the kubelet uses and cannot get.
hand_on() {
  local controller withheld=()
  for controller in $(cat $cgroup_top/cgroup.controllers); do
    if ! echo "+$controller" >$cgroup_top/cgroup.subtree_control && [[ " cpu cpuset hugetlb memory pids " == *" $controller "* ]]; then
      withheld+=("$controller")
    fi
  done 2>/dev/null
  echo "${withheld[*]}"
}

# move_processes FROM TO: all of them, and those that they start meanwhile.
move_processes() {
  local process deadline=$((SECONDS + 10))
  mkdir -p "$2"
  while [ -n "$(cat "$1/cgroup.procs")" ]; do
    # One that is gone by now is no fault.
    for process in $(cat "$1/cgroup.procs"); do echo "$process" >"$2/cgroup.procs" || true; done 2>/dev/null
    [ $SECONDS -lt $deadline ] || die "these processes cannot be moved from the control group $1 to $2: $(tr '\n' ' ' <"$1/cgroup.procs")"
  done
}

# restore_cgroups: where processes had to move, everything as it was.
restore_cgroups() {
  local controller
  [ -d $cgroup_top/$cgroup_others ] || return 0
  for controller in $(cat $cgroup_top/cgroup.subtree_control); do
    if ! echo "-$controller" 2>/dev/null >$cgroup_top/cgroup.subtree_control; then
      say "something else uses the controller $controller by now: this container's processes stay in $cgroup_top/$cgroup_others"
      return 0
    fi
  done
  move_processes $cgroup_top/$cgroup_others $cgroup_top
  rmdir $cgroup_top/$cgroup_others
}
