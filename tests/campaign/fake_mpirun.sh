#!/bin/bash
# Stands in for mpirun: starts the ranks on this machine, ends them all when one fails, and passes its status on.
# FAKE_MPIRUN=slots|unreachable|recovery makes it complain, or ignore lost ranks, as mpirun does.
ranks=1
while [ $# -gt 0 ]; do
  case "$1" in
    -np) ranks=$2; shift 2 ;;
    --oversubscribe) shift ;;
    --bind-to | --host | --hostfile) shift 2 ;;
    --mca) shift 3 ;;
    *) break ;;
  esac
done

case "$FAKE_MPIRUN" in
  slots)
    echo "There are not enough slots available in the system to satisfy the $ranks"
    echo "slots that were requested by the application:"
    exit 1
    ;;
  unreachable)
    echo "ssh: connect to host gpu-b1 port 22: No route to host" >&2
    echo "ORTE was unable to reliably start one or more daemons." >&2
    exit 255
    ;;
esac

pids=()
for ((rank = 0; rank < ranks; ++rank)); do
  FAKE_RANK=$rank "$@" &
  pids+=($!)
done
trap 'kill -TERM "${pids[@]}" 2>/dev/null; exit 1' TERM
status=0
for ((rank = 0; rank < ranks; ++rank)); do
  wait -n
  code=$?
  if [ "$code" -ne 0 ] && [ "$FAKE_MPIRUN" != recovery ]; then
    echo "mpirun noticed that process rank 1 with PID 0 on node here exited on signal 9 (Killed)."
    kill -KILL "${pids[@]}" 2>/dev/null
    exit "$code"
  fi
done
exit "$status"
