#!/usr/bin/env bash
# The jobs of deploy/slurm on a real Slurm of this machine: four slurmd, a run over three nodes, an array
# of workers beside it; one of them cancelled, the run preempted and requeued; then a run with a rank on
# each of three nodes, preempted as well. The batches are those
# of a run that nobody disturbs, and the audit is clean.
#   tests/deploy/slurm.sh [BUILD]     BUILD: build/release, which holds tests/foldmill_probe
# Wants root, slurm-wlm and munge. Exit 77: they are missing. Takes about a minute.
set -euo pipefail
cd "$(dirname "$0")/../.."
source=$PWD
export FOLDMILL=$source/${1:-build/release}/tests/foldmill_probe
for program in munged slurmctld slurmd sbatch; do
    if ! command -v $program > /dev/null; then
        echo "skipped: $program is missing (apt-get install slurm-wlm munge)"
        exit 77
    fi
done
if [ "$(id -u)" != 0 ]; then
    echo "skipped: slurmd wants root"
    exit 77
fi

nodes=4
root=$(mktemp -d /tmp/foldmill-slurm-XXXXXX)
export SLURM_CONF=$root/slurm.conf
port=$((21000 + $$ % 500 * 20))

fail() {
    echo "FAILED: $*" >&2
    squeue >&2 || true
    tail -n 15 "$root"/work/*.log "$root"/slurmctld.log >&2 || true
    exit 1
}

end() {
    scancel --user=root 2> /dev/null || true
    for file in "$root"/*.pid; do
        if [ -s "$file" ]; then kill "$(cat "$file")" 2> /dev/null || true; fi
    done
    sleep 1
    for file in "$root"/*.pid; do
        if [ -s "$file" ]; then kill -9 "$(cat "$file")" 2> /dev/null || true; fi
    done
    rm -rf "$root"
}
trap end EXIT

# A cluster of this machine's own, on loopback.
host=$(hostname -s)
mkdir -p "$root/state" "$root/work"
chmod 755 "$root"
{
    cat << CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$root/munge.socket,cred_expire=10
StateSaveLocation=$root/state
SlurmdSpoolDir=$root/spool.%n
SlurmctldPidFile=$root/slurmctld.pid
SlurmdPidFile=$root/slurmd.%n.pid
SlurmctldLogFile=$root/slurmctld.log
SlurmdLogFile=$root/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0
SlurmdParameters=config_overrides
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SrunPortRange=$((port + 1000))-$((port + 1400))
ReturnToService=2
JobRequeue=1
KillWait=5
PropagateResourceLimits=NONE
CONF
    for i in $(seq $nodes); do
        mkdir -p "$root/spool.n$i"
        echo "NodeName=n$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + i)) CPUs=4 RealMemory=512"
    done
    echo "PartitionName=all Nodes=ALL Default=YES MaxTime=10 State=UP OverSubscribe=YES"
} > "$SLURM_CONF"
head -c 128 /dev/urandom > "$root/munge.key"
chmod 400 "$root/munge.key"
munged --force --key-file="$root/munge.key" --socket="$root/munge.socket" --pid-file="$root/munged.pid" \
    --log-file="$root/munged.log" --seed-file="$root/munged.seed"
slurmctld -c -f "$SLURM_CONF"
for i in $(seq $nodes); do slurmd -c -N "n$i" -f "$SLURM_CONF"; done
for _ in $(seq 150); do
    [ "$(sinfo -h -N -o %T | grep -c '^idle$')" != $nodes ] || break
    sleep 0.1
done
[ "$(sinfo -h -N -o %T | grep -c '^idle$')" = $nodes ] || fail "the cluster did not come up"
echo "Slurm $(sinfo --version | cut -d' ' -f2), $nodes nodes"

# The doctor asks Slurm whether a job comes again: its environment does not tell.
cd "$root/work"
doctor() { # doctor OPTION: what it says in a job of that option
    sbatch "$1" --wait --output=doctor.txt --wrap "$FOLDMILL doctor" > /dev/null || true
    grep scheduler doctor.txt || fail "the doctor says nothing of Slurm: $(cat doctor.txt)"
}
doctor --no-requeue | grep -q 'sbatch --requeue' || fail "a job that is not requeued is good"
if doctor --requeue | grep -q 'sbatch --requeue'; then fail "a job that is requeued is not good"; fi

# The run that nobody disturbs.
cat > steps.yaml << 'GRAPH'
graph: steps
seed: 7
stages:
  count:
    with: {count: 800}
  echo:
    in: count
    workers: 2
    memory: 64MiB
    with: {bytes: 90000, sleep_us: 10000}
  bundle:
    in: echo
    with: {size: 4}
  tally:
    in: bundle
    with: {epochs: 6, recycles: 1, checkpoint_every: 50}
GRAPH
"$FOLDMILL" run steps.yaml --run undisturbed --quiet --set echo.sleep_us=0 || fail "undisturbed"

steps() { if [ -e "$run/tally.tsv" ]; then wc -l < "$run/tally.tsv"; else echo 0; fi; }
until_steps() { # until_steps N SECONDS
    for _ in $(seq $(($2 * 5))); do
        [ "$(steps)" -lt "$1" ] || return 0
        sleep 0.2
    done
    fail "$(steps) steps, not $1, after $2 s"
}
engines() { "$FOLDMILL" status "$run" --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["nodes"]))'; }
until_engines() {
    for _ in $(seq 150); do
        [ "$(engines 2> /dev/null || echo 0)" != "$1" ] || return 0
        sleep 0.2
    done
    fail "$(engines) engines, not $1"
}

# Three nodes, the same command on each; two workers' jobs beside them, over all nodes.
job=$(sbatch --parsable --nodes=3 --oversubscribe --signal=B:TERM@20 "$source/deploy/slurm/train.sbatch" steps.yaml --quiet)
run=$root/work/runs/steps-slurm-$job
array=$(sbatch --parsable --array=0-1 --cpus-per-task=1 --oversubscribe "$source/deploy/slurm/workers.sbatch" "$run" --quiet)
until_engines 5
echo "job $job on three nodes, array $array: 5 engines in the run"
until_steps 100 60

scancel "${array}_0"
until_engines 4
echo "an array's job was cancelled: the run goes on with 4 engines"

# What preemption and the end of the time send to the batch script.
before=$(steps)
scancel --signal=TERM --batch "$job"
for _ in $(seq 300); do
    [ "$(squeue -h -j "$job" -o %T)" != PENDING ] || break
    sleep 0.1
done
[ "$(squeue -h -j "$job" -o %T)" = PENDING ] || fail "the job was not requeued"
grep -q "requeued, to go on later" "foldmill-$job.log" || fail "it did not say so"
after=$(steps)
[ "$after" -lt 1201 ] || fail "it was done before it was stopped"
echo "preempted after step $((before - 1)): drained at step $((after - 1)), requeued"
begun=$SECONDS
until_steps $((after + 20)) 90
echo "it goes on by itself, $((SECONDS - begun)) s later"
until_engines 4
echo "the array's other job found it again"

for _ in $(seq 600); do
    [ -n "$(squeue -h -j "$job" -t pending,running,completing 2> /dev/null)" ] || break
    sleep 0.2
done
[ "$(steps)" = 1201 ] || fail "$(steps) rows, not 1201"
for _ in $(seq 100); do
    [ -n "$(squeue -h -t pending,running,completing)" ] || break
    sleep 0.2
done
[ -z "$(squeue -h -t pending,running,completing)" ] || fail "workers stay when the run is over"
diff <(cut -f 1-4 undisturbed/tally.tsv) <(cut -f 1-4 "$run/tally.tsv") || fail "other batches"
"$FOLDMILL" audit "$run" --replay 5 > audit.txt || { cat audit.txt; fail "the audit"; }
echo "1200 steps, the batches of the undisturbed run; the audit is clean"

# Ranks on three nodes, one each; the job is preempted and goes on with all of them.
"$FOLDMILL" run steps.yaml --run undisturbed-ranks --quiet --set echo.sleep_us=0 --set tally.ranks=3 \
    --set bundle.size=6 || fail "undisturbed ranks"
job=$(sbatch --parsable --nodes=3 --oversubscribe --signal=B:TERM@20 "$source/deploy/slurm/train.sbatch" steps.yaml --quiet \
    --ranks 1 --set tally.ranks=3 --set bundle.size=6)
run=$root/work/runs/steps-slurm-$job
until_steps 30 60
if cut -f 1 "$run/processes.tsv" | grep -q '^tally\.[12]$'; then fail "the head has the ranks of others"; fi
echo "job $job: a rank on each of three nodes, after step $(($(steps) - 1))"
scancel --signal=TERM --batch "$job"
for _ in $(seq 300); do
    [ "$(squeue -h -j "$job" -o %T)" != PENDING ] || break
    sleep 0.1
done
[ "$(squeue -h -j "$job" -o %T)" = PENDING ] || fail "the job of ranks was not requeued"
after=$(steps)
[ "$after" -lt 805 ] || fail "ranks were done before they were stopped"
echo "preempted, drained at step $((after - 1)), requeued"
for _ in $(seq 400); do
    [ -n "$(squeue -h -t pending,running,completing)" ] || break
    sleep 0.2
done
diff <(cut -f 1-4 undisturbed-ranks/tally.tsv) <(cut -f 1-4 "$run/tally.tsv") || fail "other batches of ranks"
"$FOLDMILL" audit "$run" > audit.txt || { cat audit.txt; fail "the audit of ranks"; }
echo "$(($(steps) - 1)) steps of ranks on three nodes, the batches of the undisturbed run; the audit is clean"
