#!/usr/bin/env bash
# A Slurm of one node on this machine, for trying out job scripts. Needs root and Debian's packages:
#   apt-get install -y --no-install-recommends slurmctld slurmd slurm-client munge
#
#   slurm_node.sh start DIR [CPUS]   start munged, slurmctld and slurmd, which keep all their files in DIR
#   export SLURM_CONF=DIR/slurm.conf
#   slurm_node.sh stop DIR           cancel the jobs and stop the three daemons
#
# Nothing outside DIR is written, no service of the machine is touched, and no user of Debian's is needed.
set -euo pipefail

wait_for() { # SECONDS WHAT COMMAND...: until the command succeeds
    local seconds=$1 what=$2
    shift 2
    for _ in $(seq $((seconds * 5))); do
        ! "$@" > /dev/null 2>&1 || return 0
        sleep 0.2
    done
    echo "slurm_node.sh: error: ${what} did not come up in ${seconds} s; see ${dir}/*.log" >&2
    return 1
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'
}

# What needs cgroups, systemd or a database is off: a container has none of them. config_overrides lets the node have
# more CPUs than the machine, so that two workers run side by side anywhere.
write_config() { # CPUS
    local memory
    memory=$(awk '$1 == "MemTotal:" { print int($2 / 1024) }' /proc/meminfo)
    cat > "${dir}/slurm.conf" << END
ClusterName=one
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
StateSaveLocation=${dir}/state
SlurmdSpoolDir=${dir}/spool
SlurmctldPidFile=${dir}/slurmctld.pid
SlurmdPidFile=${dir}/slurmd.pid
SlurmctldLogFile=${dir}/slurmctld.log
SlurmdLogFile=${dir}/slurmd.log
AuthType=auth/munge
AuthInfo=socket=${dir}/munge.socket
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1
KillWait=2
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$1 RealMemory=${memory} State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
    # without a file slurmd asks the system for its version of cgroups and may give up
    echo "CgroupPlugin=cgroup/v1" > "${dir}/cgroup.conf"
}

start() { # [CPUS]
    mkdir -p "${dir}"/{state,spool}
    chmod 755 "${dir}"
    head -c 1024 /dev/urandom > "${dir}/munge.key"
    chmod 600 "${dir}/munge.key"
    munged --force --socket="${dir}/munge.socket" --key-file="${dir}/munge.key" --pid-file="${dir}/munged.pid" \
        --log-file="${dir}/munged.log" --seed-file="${dir}/munged.seed"
    write_config "${1:-4}"
    export SLURM_CONF=${dir}/slurm.conf
    slurmctld -f "${SLURM_CONF}"
    wait_for 20 slurmctld scontrol ping
    slurmd -f "${SLURM_CONF}"
    wait_for 20 "the node" sh -c "sinfo --noheader --format=%t | grep -qx idle"
}

stop() {
    local name pid
    export SLURM_CONF=${dir}/slurm.conf
    scancel --user="$(id -un)" 2> /dev/null || true
    for name in slurmd slurmctld munged; do
        [ -s "${dir}/${name}.pid" ] || continue
        pid=$(cat "${dir}/${name}.pid")
        kill "${pid}" 2> /dev/null || true
        timeout 20 tail --pid="${pid}" -f /dev/null || kill -9 "${pid}"
    done
}

dir=$(realpath -m "${2:?usage: slurm_node.sh start|stop DIR}")
case $1 in
    start) start "${3:-4}" ;;
    stop) stop ;;
    *) echo "usage: slurm_node.sh start|stop DIR" >&2 && exit 2 ;;
esac
