#!/usr/bin/env bash
# NCCL refuses two ranks on one card unless it takes them for ranks of two hosts, which then talk by sockets.
export NCCL_HOSTID=gpu-check-${OMPI_COMM_WORLD_RANK:-0}
export NCCL_SOCKET_IFNAME=${NCCL_SOCKET_IFNAME:-lo}
exec "$@"
