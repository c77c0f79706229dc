#!/usr/bin/env python3
"""Stands in for mpirun: starts the ranks on this machine, ends them all when one fails, and passes its status on.

FAKE_MPIRUN=slots|unreachable|recovery makes it complain, or ignore lost ranks, as mpirun does.
"""

import os
import signal
import subprocess
import sys

WORDS_OF_OPTION = {"-np": 2, "--oversubscribe": 1, "--bind-to": 2, "--host": 2, "--hostfile": 2, "--mca": 3}


def main():
    words = sys.argv[1:]
    ranks = 1
    while words and words[0] in WORDS_OF_OPTION:
        if words[0] == "-np":
            ranks = int(words[1])
        words = words[WORDS_OF_OPTION[words[0]] :]

    manner = os.environ.get("FAKE_MPIRUN", "")
    if manner == "slots":
        print(f"There are not enough slots available in the system to satisfy the {ranks}")
        print("slots that were requested by the application:")
        return 1
    if manner == "unreachable":
        print("ssh: connect to host gpu-b1 port 22: No route to host", file=sys.stderr)
        print("ORTE was unable to reliably start one or more daemons.", file=sys.stderr)
        return 255

    running = {}

    def end_all(number, _frame):
        for process in list(running.values()):
            process.send_signal(number)
        os._exit(1)

    def pass_on(number, _frame):
        for process in list(running.values()):
            process.send_signal(number)

    signal.signal(signal.SIGTERM, end_all)
    signal.signal(signal.SIGUSR1, pass_on)
    for rank in range(ranks):
        process = subprocess.Popen(words, env={**os.environ, "FAKE_RANK": str(rank)})
        running[process.pid] = process
    while running:
        pid, status = os.wait()
        running.pop(pid, None)
        if status == 0 or manner == "recovery":
            continue
        if os.WIFSIGNALED(status):
            print(f"mpirun noticed that process rank 1 with PID 0 on node here exited on signal {os.WTERMSIG(status)}.")
        for process in list(running.values()):
            process.kill()
        return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
