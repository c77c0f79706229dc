"""A Slurm of one's own on this machine: munge, slurmctld and one slurmd a host, all in a folder, on free ports.

Its hosts are names for this one machine (Debian's slurmd may run several times on one host). Nothing of a Slurm that is
installed for real is touched.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "unshare")
START_LIMIT_S = 60


def reason_to_skip():
    missing = [name for name in PROGRAMS if shutil.which(name, path=search_path()) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if os.geteuid() != 0:
        return "slurmd takes root"
    return None


def search_path():
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class PrivateSlurm:
    """`switches`: name -> hosts; a switch above all of them joins them."""

    def __init__(self, folder, switches, cpus=4):
        self.folder = pathlib.Path(folder)
        self.folder.chmod(0o755)  # munged wants its socket to be reachable
        self.hosts = [host for hosts in switches.values() for host in hosts]
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH"))},
            "PATH": search_path(),
            "SLURM_CONF": str(self.folder / "slurm.conf"),
        }
        for name in ("state", "spool", "log", *(f"tmp/{host}" for host in self.hosts)):
            (self.folder / name).mkdir(parents=True)
        self.write_configuration(switches, cpus)
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def write_configuration(self, switches, cpus):
        here = socket.gethostname().split(".")[0]
        controller_port, *ports = free_ports(1 + len(self.hosts))
        nodes = "\n".join(
            f"NodeName={host} NodeHostname={here} NodeAddr=127.0.0.1 Port={port} CPUs={cpus}"
            for host, port in zip(self.hosts, ports)
        )
        # cred_expire: a requeued job may begin again after that long. TmpFS: PMIx needs a folder for each host.
        (self.folder / "slurm.conf").write_text(
            f"""ClusterName=private
SlurmctldHost={here}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmctldLogFile={self.folder}/log/slurmctld.log
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={self.folder}/spool/%n
SlurmdPidFile={self.folder}/slurmd-%n.pid
SlurmdLogFile={self.folder}/log/slurmd-%n.log
TmpFS={self.folder}/tmp/%n
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={self.folder}/munge.socket,cred_expire=5
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
TopologyPlugin=topology/tree
ReturnToService=2
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
        )
        lines = [f"SwitchName={name} Nodes={','.join(hosts)}" for name, hosts in switches.items()]
        lines.append(f"SwitchName=wan Switches={','.join(switches)}")
        (self.folder / "topology.conf").write_text("\n".join(lines) + "\n")
        (self.folder / "cgroup.conf").write_text("IgnoreSystemd=yes\nCgroupPlugin=autodetect\n")
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)

    def start(self):
        munge = [
            f"--{name}={self.folder}/{file}"
            for name, file in {
                "socket": "munge.socket", "key-file": "munge.key", "pid-file": "munged.pid",
                "seed-file": "munged.seed", "log-file": "log/munged.log",
            }.items()
        ]  # fmt: skip
        self.run("munged", "--force", *munge)
        self.run("slurmctld")
        for host in self.hosts:
            self.run("slurmd", "-N", host)
        self.wait_until(lambda: self.run("sinfo", "-h", "-t", "idle", "-o", "%D").strip() == str(len(self.hosts)))

    def stop(self):
        for file in [*self.folder.glob("slurmd-*.pid"), *self.folder.glob("slurmctld.pid"), *self.folder.glob("munged.pid")]:
            try:
                os.kill(int(file.read_text()), signal.SIGTERM)
            except (OSError, ValueError):
                pass
        self.wait_until(lambda: not [*self.folder.glob("slurmd-*.pid"), *self.folder.glob("slurmctld.pid")])

    def run(self, *command):
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=START_LIMIT_S)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
        return done.stdout

    def submit(self, *arguments, **environment):
        """Returns the number of the job."""
        self.environment.update(environment)
        return self.run("sbatch", "--parsable", *arguments).strip()

    def job(self, number):
        """What Slurm knows of a job, by name."""
        words = self.run("scontrol", "show", "job", "-o", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    @staticmethod
    def wait_until(condition, limit_s=START_LIMIT_S):
        end = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError("waited in vain")
            time.sleep(0.1)
