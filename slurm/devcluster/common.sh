# Sourced by every script here. Owns: where a cluster lives, its ports, and which processes are its own.
# It changes nothing by being sourced, and nobody outside its folder is ever asked to stop.
# shellcheck shell=bash disable=SC2034  # the variables are for the scripts that source this

set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin # where Debian keeps the daemons, and a user's PATH may not
umask 022                  # every user may submit jobs
ME=slurm/devcluster/${0##*/}
NODES=(n1 n2 n3 n4)
JOB_IDS=50000 # of each cluster on this machine
PROFILE=accounting
WORDS=()
DIR=${HPC_SWEEP_DEVCLUSTER:-/var/tmp/hpc-sweep-devcluster}

fail() { # CODE WHAT [HINT]: 2 your input, 3 the surroundings, 4 refused to protect something
  echo "$ME: $2" >&2
  [ $# -lt 3 ] || echo "hint: $3" >&2
  exit "$1"
}

while [ $# -gt 0 ]; do # a sourced file sees, and shifts, the arguments of the script
  case $1 in
    --dir | --profile)
      [ $# -gt 1 ] || fail 2 "$1 needs a value" "$ME --help"
      if [ "$1" = --dir ]; then DIR=$2; else PROFILE=$2; fi
      shift
      ;;
    --dir=*) DIR=${1#*=} ;;
    --profile=*) PROFILE=${1#*=} ;;
    -h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0" && exit 0 ;; # the comment at the top of the script
    -*) fail 2 "unknown option $1" "$ME --help" ;;
    *) WORDS+=("$1") ;;
  esac
  shift
done

DIR=$(realpath -ms -- "$DIR")
[[ $DIR =~ ^/[A-Za-z0-9._/-]+$ ]] || fail 2 "the folder $DIR holds a character that Slurm's files cannot" "--dir DIR"
[ ${#DIR} -le 70 ] || fail 2 "the folder $DIR is too long: a socket's path holds 107 characters" "--dir DIR"
export SLURM_CONF=$DIR/slurm.conf
unset SLURM_CLUSTERS SLURM_TIME_FORMAT SQUEUE_STATES SINFO_FORMAT # they would bend what we read

need_root() {
  [ "$(id -u)" = 0 ] || fail 3 "this needs root, because Slurm starts each job as the user who submitted it" "sudo $0 ..."
}

trust_folder() { # root acts on what the folder says, so nobody else may have written it
  [ "$(stat -c %u:%F "$DIR")" = 0:directory ] || fail 4 "$DIR is not a folder of root's" "--dir DIR"
  [ -z "$(find "$DIR" -maxdepth 0 -perm /022)" ] || fail 4 "others than root can write to $DIR" "--dir DIR"
}

lock() { # one script at a time on one cluster; the daemons are started without the descriptor
  exec 9>"$DIR/lock"
  flock -w 120 9 || fail 3 "another script has held $DIR/lock for two minutes"
}

now() { date +%s%N; }
since() { # START in nanoseconds -> "4.2"
  local tenths=$((($(now) - $1) / 100000000))
  echo "$((tenths / 10)).$((tenths % 10))"
}

wait_for() { # SECONDS COMMAND...: tries every 50 ms
  local end=$(($(now) + $1 * 1000000000))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$(now)" -lt "$end" ] || return 1
    sleep 0.05
  done
}

listening() { # PORT
  grep -qE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$1") [0-9A-F:]+ 0A " /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# --- processes: ours only while pid, start time and boot all agree, because pids are used again

identity() { # PID -> "PID START BOOT"; fails for a process that is gone or only waits to be reaped
  local stat fields
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  read -ra fields <<<"${stat##*) }" # behind the name, which may hold spaces and brackets
  [ "${fields[0]}" != Z ] && echo "$1 ${fields[19]} $(</proc/sys/kernel/random/boot_id)"
}

alive() { # NAME of a daemon
  local recorded
  { read -r recorded <"$DIR/pids/$1"; } 2>/dev/null || return 1
  [ "$(identity "${recorded%% *}")" = "$recorded" ]
}

dead() { ! alive "$1"; }

gone() { # PID ...
  local pid
  for pid; do ! identity "$pid" || return 1; done
}

pid_of() { cut -d' ' -f1 "$DIR/pids/$1"; }

start() { # NAME COMMAND...: written down before it runs, so that a killed `up` leaves nothing unknown
  local name=$1
  shift
  (
    exec 9>&- </dev/null >"$DIR/log/$name.out" 2>&1
    cd "$DIR"
    identity "$BASHPID" >"$DIR/pids/$name"
    exec setsid env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin SLURM_CONF="$SLURM_CONF" \
      MYSQL_UNIX_PORT="$DIR/db/sock" "$@" # slurmdbd knows of no option for the database's socket
  ) &
}

stop() { # SECONDS NAME...: all are asked at once, and those that have not ended by then are killed
  local name end=$(($(now) + $1 * 1000000000))
  shift
  for name; do ! alive "$name" || kill -TERM "$(pid_of "$name")" 2>/dev/null || true; done
  for name; do
    while alive "$name" && [ "$(now)" -lt "$end" ]; do sleep 0.05; done
    ! alive "$name" || kill -KILL "$(pid_of "$name")" 2>/dev/null || true
    wait_for 5 dead "$name" || fail 3 "$name (pid $(pid_of "$name")) does not end, not even killed"
    rm -f "$DIR/pids/$name"
  done
}

start_node() { # n2
  alive "$1" || start "$1" slurmd -D -N "$1"
}

node_named() { # what the user wrote: 2 or n2 -> n2
  [[ $# = 1 && $1 =~ ^n?([1-4])$ ]] || fail 2 "one node is wanted, 1 to 4" "$ME 2"
  echo "n${BASH_REMATCH[1]}"
}

node_answers() { # n2 ...: its slurmd listens, and slurmctld would give it jobs
  local node states
  for node; do listening $(($(<"$DIR/ports") + 1 + ${node#n})) || return 1; done
  states=$(timeout 5 sinfo -h -N -p v100 -o '%N %T') || return 1
  for node; do grep -qE "^$node (idle|mixed|allocated)$" <<<"$states" || return 1; done
}

stepds() { # n2 ... -> pids of the slurmstepd of those nodes, known by the log that they hold open
  local pid node
  while IFS=/ read -r _ _ pid _; do
    for node; do
      [ -z "$(find "/proc/$pid/fd" -lname "$DIR/log/slurmd-$node.log" -print -quit 2>/dev/null)" ] || echo "$pid"
    done
  done < <(find /proc/[0-9]*/exe -maxdepth 0 -lname '*/slurmstepd*' 2>/dev/null)
}

tasks() { # n2 ... -> pids of what the jobs on those nodes run, known by the environment that slurmd gave them
  local ours node
  ours=$(grep -lzxF "SLURM_CONF=$SLURM_CONF" /proc/[0-9]*/environ 2>/dev/null) || true
  for node; do
    { xargs -r grep -lzxF "SLURMD_NODENAME=$node" <<<"$ours" 2>/dev/null || true; } | cut -d/ -f3
  done
}

below() { # PID ... -> those and all that descend from them
  ps -eo pid=,ppid= | awk -v roots="$*" '
    { parent[$1] = $2 }
    END { split(roots, r, " "); for (i in r) want[r[i]]
      for (p in parent) { q = p; while (q > 1 && !(q in want)) q = parent[q]; if (q in want) print p } }'
}

kill_tasks() { # n2 ...: what runs below a stepd, and what has left it but kept its environment
  local pids stepds
  mapfile -t stepds < <(stepds "$@")
  mapfile -t pids < <(below "${stepds[@]}" | grep -vxF "$(printf '%s\n' "${stepds[@]}")"; tasks "$@")
  [ ${#pids[@]} = 0 ] || kill -KILL "${pids[@]}" 2>/dev/null || true
}

kill_jobs() { # n2 ...: the stepds too, and first, or they would live to report how their tasks ended
  local pids stepds
  mapfile -t stepds < <(stepds "$@")
  mapfile -t pids < <(below "${stepds[@]}"; tasks "$@")
  [ ${#stepds[@]} = 0 ] || kill -KILL "${stepds[@]}" 2>/dev/null || true
  [ ${#pids[@]} = 0 ] || kill -KILL "${pids[@]}" 2>/dev/null || true
  wait_for 5 gone "${stepds[@]}" "${pids[@]}" || fail 3 "a process of a job does not end, not even killed"
}

# --- the Slurm half: what a change of profile restarts

stop_slurm() { # ends every job, stops slurmctld and the nodes, and forgets the jobs (their ids are never used again)
  local first next
  [ -d "$DIR/state" ] || return 0 # nothing ran since the last time
  first=$(cut -d= -f2 "$DIR/first-job.conf")
  if alive slurmctld; then
    next=$(timeout 5 scontrol show config | awk '$1 == "NEXT_JOB_ID" { print $3 }') || true
    next=${next:-$((first + 1000))}
    timeout 5 squeue -h -o %A | sort -u | xargs -r timeout 5 scancel >/dev/null 2>&1 || true
    kill_tasks "${NODES[@]}" # or one that does not listen to TERM would hold us up for KillWait seconds
    wait_for 3 no_jobs || true # so that the accounting says CANCELLED
  else
    next=$((first + 1000)) # a guess: it died and cannot say
  fi
  stop 3 slurmctld "${NODES[@]}" # slurmctld waits for a dead node, slurmd for each control group: not we
  kill_jobs "${NODES[@]}"
  remove_cgroups "$first"
  echo "FirstJobId=$next" >"$DIR/first-job.conf"
  rm -rf "$DIR/state" "$DIR/spool"
}

remove_cgroups() { # FIRST: those of our jobs, known by id, for every cluster here has them under the same /slurm_n1
  local root job id
  for root in /sys/fs/cgroup/{freezer,memory}; do
    [ -d "$root" ] || continue
    (
      flock 8 # as slurmstepd does
      for job in "$root"/slurm_n[1-4]/uid_*/job_*; do
        id=${job##*_}
        if [[ $id =~ ^[0-9]+$ ]] && ((id >= $1 && id < $1 + JOB_IDS)); then
          find "$job" -depth -type d -exec rmdir {} \; 2>/dev/null || true
        fi
      done
      rmdir "$root"/slurm_n[1-4]/uid_* 2>/dev/null || true
      pgrep -x -r S,R,D slurmd >/dev/null || rmdir "$root"/slurm_n[1-4] 2>/dev/null || true
    ) 8<"$root"
  done
}

no_jobs() { [ -z "$(timeout 5 squeue -h -o %A -t pending,running,suspended)" ]; } # COMPLETING can last, on a dead node
