#!/bin/bash
# One study on Slurm's nodes, one or many: sbatch docs/cluster/slurm.sh STUDY RESULTS
# STUDY and RESULTS lie on a file system that all nodes share. Options of sbatch replace those below, for example
# sbatch --nodes=1 --gres=gpu:4 --time=4:00:00 docs/cluster/slurm.sh STUDY RESULTS
# Before its time is over running trials are kept resumable. The job then goes back to the queue, until the study is done.
#SBATCH --job-name=conclus
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120

set -euo pipefail
study=${1:?usage: sbatch slurm.sh STUDY RESULTS}
results=${2:?usage: sbatch slurm.sh STUDY RESULTS}
conclus=${CONCLUS_ENV:-$HOME/.conclus} # the environment that conclus is installed in, on the shared file system

# A token of this job's own, readable by its user alone; Ray's own would be ~/.ray/auth_token, readable by everyone.
# Beside it the driver's process and its exit code. When Slurm ends the job, `rm` must get to its end, too.
own=$(mktemp -d "$HOME/.conclus-job.XXXXXX")
trap 'trap "" TERM; rm -rf "$own"' EXIT
(umask 077 && "$conclus/bin/python" -c 'import secrets; print(secrets.token_hex(32))' > "$own/token")
export RAY_AUTH_TOKEN_PATH=$own/token RAY_AUTH_MODE=token

# Nodes that start slowly: Ray would give up after 30 seconds.
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=600
# When a node is stopped the study has left it: Ray would wait half a minute for what still runs there.
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0
# Ray's own memory monitor ends a whole Tune experiment; the kernel ends one trial.
export RAY_memory_monitor_refresh_ms=0 RAY_USAGE_STATS_ENABLED=0
export PATH="$conclus/bin:$PATH"

# When this job ends, for the study's budget: Slurm 22.05 does not tell its jobs. Without a time limit it stays empty.
end=$(SLURM_TIME_FORMAT=standard squeue --noheader --jobs "$SLURM_JOB_ID" --format %e || true)
end=${SLURM_JOB_END_TIME:-$(date -d "${end:-unknown}" +%s 2> /dev/null || true)}
export SLURM_JOB_END_TIME=$end

# Jobs of one user on one network get ports of their own.
read -r head < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
address=$head:$((20000 + SLURM_JOB_ID % 10000))

# symmetric-run starts Ray on every node, runs what follows -- on the first, and runs `ray stop` at the end: that ends
# every Ray of this user on these nodes, which is why they are taken --exclusive.
# --mem=0 is all of a node's memory, --cpu-bind=none all of its cores: each node counts its own, and its own cards.
# Only the head may be told to have no dashboard.
# shellcheck disable=SC2016 # the variables are each node's own
on_each_node='((SLURM_NODEID)) || set -- --include-dashboard=false "$@"
  exec ray symmetric-run --num-cpus="${SLURM_CPUS_ON_NODE:-1}" \
    ${SLURM_GPUS_ON_NODE:+--num-gpus="$SLURM_GPUS_ON_NODE"} "$@"'
# shellcheck disable=SC2016
on_the_first='conclus run "$@" & echo "$!" > "$0/driver"
  wait "$!" && code=0 || code=$?; echo "$code" > "$0/ended"; exit "$code"'
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --mem=0 --cpu-bind=none --kill-on-bad-exit=1 \
  bash -c "$on_each_node" node \
  --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" --disable-usage-stats -- \
  bash -c "$on_the_first" "$own" "$study" --results "$results" --address "$address" &
running=$!

# The driver runs on this node, the first one. A signal to the whole step would end Ray under it.
trap 'kill -USR1 "$(cat "$own/driver")" 2> /dev/null || kill "$running"' USR1
while true; do
  wait "$running" && code=0 || code=$?
  kill -0 "$running" 2> /dev/null || break # else the signal has ended the waiting alone
done

# symmetric-run exits with 0 also when Ray did not start: the driver alone knows how the study ended.
if [[ ! -s $own/ended ]]; then
  echo "Error: conclus did not run to its end: what is above tells why" >&2
  exit $((code ? code : 1))
fi
code=$(< "$own/ended")
((code != 3)) || scontrol requeue "$SLURM_JOB_ID" || true # trials are left
exit "$code"
