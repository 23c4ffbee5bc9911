"""A real Slurm on loopback: one controller and two nodes on this machine, as root and without systemd.

    python tests/sweep/mini_slurm.py up|down|status [FOLDER]    export SLURM_CONF=<FOLDER>/slurm.conf to use it

Debian's packages slurmctld, slurmd, slurm-client and munge are installed where they are absent. With accounting it
needs slurmdbd and mariadb-server too.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PACKAGES = {"slurmctld": "slurmctld", "slurmd": "slurmd", "squeue": "slurm-client", "munged": "munge"}
ACCOUNTING = {"slurmdbd": "slurmdbd", "mariadbd": "mariadb-server"}
PORT = 16917  # of slurmctld; its nodes and slurmdbd have the ones after it
NODES, CPUS, GPUS = 2, 2, 2

CONF = """\
ClusterName=mini
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket,cred_expire=5
SlurmctldPort={port}
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,sched_min_interval=100000,batch_sched_delay=0,bf_interval=3
GresTypes=gpu
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
JobRequeue=1
KillWait=5
MinJobAge=3600
SlurmdTimeout=15
InactiveLimit=0
Waittime=0
MessageTimeout=10
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{accounting}
PartitionName=main Nodes=n[1-{nodes}] Default=YES MaxTime=60 State=UP PriorityTier=1 GraceTime=3 PreemptMode=REQUEUE
PartitionName=urgent Nodes=n[1-{nodes}] Default=NO MaxTime=60 State=UP PriorityTier=10 PreemptMode=OFF
"""
NODE = "NodeName=n{i} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory=8000 Gres=gpu:{gpus}\n"
DBD = """\
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
LogFile={root}/slurmdbd.log
PidFile={root}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
"""


class MiniSlurm:
    """A Slurm whose files are all in one folder."""

    def __init__(self, root: Path, accounting: bool = False):
        self.root, self.accounting = root.resolve(), accounting
        self.env = {**os.environ, "SLURM_CONF": str(self.root / "slurm.conf")}

    def up(self) -> None:
        """Starts it, and waits until its nodes are there."""
        self.install()
        self.write()
        self.run("munged", "--force", f"--key-file={self.root}/munge.key", f"--socket={self.root}/munge.socket",
                 f"--pid-file={self.root}/munged.pid", f"--log-file={self.root}/munged.log",
                 f"--seed-file={self.root}/munge.seed")  # fmt: skip
        if self.accounting:
            self.start_accounting()
        self.run("slurmctld")
        for i in range(1, NODES + 1):
            self.start_node(i)
        self.wait_for(lambda: self.run("sinfo", "-h", "-N", "-p", "main", "-t", "idle", "-o", "%N").count("n") == NODES)

    def install(self) -> None:
        """Installs Debian's packages where a command is absent."""
        wanted = PACKAGES | (ACCOUNTING if self.accounting else {})
        if not (absent := {package for command, package in wanted.items() if not shutil.which(command)}):
            return
        if os.geteuid() or not shutil.which("apt-get"):
            raise RuntimeError(f"a Slurm of one's own needs {', '.join(sorted(absent))}, and root")
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *sorted(absent)]
        subprocess.run(command, check=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})

    def write(self) -> None:
        """Writes its configuration, and devices that look like GPUs."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o755)
        key = self.root / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        gres = []
        for i in range(GPUS):  # a character device whose name ends in the GPU's number: a twin of /dev/null
            device = self.root / f"gpu{i}"
            if not device.exists():
                os.mknod(device, 0o20666, os.makedev(1, 3))
            gres.append(f"NodeName=n[1-{NODES}] Name=gpu File={device}\n")
        (self.root / "gres.conf").write_text("".join(gres))
        storage = "AccountingStorageType=accounting_storage/none"
        if self.accounting:
            storage = (
                "AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost=127.0.0.1\n"
                f"AccountingStoragePort={PORT + 9}\nAccountingStoragePass={self.root}/munge.socket"
            )
        host = socket.gethostname().partition(".")[0]
        nodes = (NODE.format(i=i, host=host, port=PORT + i, cpus=CPUS, gpus=GPUS) for i in range(1, NODES + 1))
        conf = CONF.format(
            host=host, root=self.root, port=PORT, nodes=NODES, accounting=storage + "\n" + "".join(nodes)
        )
        (self.root / "slurm.conf").write_text(conf)

    def start_accounting(self) -> None:
        """Starts a database and slurmdbd."""
        db, sock = self.root / "db", self.root / "mysql.sock"
        self.run("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={db}",
                 "--auth-root-authentication-method=normal", "--skip-test-db")  # fmt: skip
        subprocess.Popen(
            ["mariadbd", "--no-defaults", "--user=root", f"--datadir={db}", f"--socket={sock}", "--skip-networking",
             f"--pid-file={self.root}/mariadbd.pid"],
            start_new_session=True, stdout=subprocess.DEVNULL, stderr=(self.root / "mariadb.log").open("w"),
        )  # fmt: skip
        self.wait_for(lambda: self.succeeds("mariadb", "--no-defaults", "-uroot", f"-S{sock}", "-e", "select 1"))
        (self.root / "slurmdbd.conf").write_text(DBD.format(root=self.root, port=PORT + 9))
        (self.root / "slurmdbd.conf").chmod(0o600)
        self.env["MYSQL_UNIX_PORT"] = str(sock)  # where MariaDB's library finds the database
        self.run("slurmdbd")
        self.wait_for(lambda: self.succeeds("sacctmgr", "-nP", "show", "cluster"))
        self.run("sacctmgr", "-i", "add", "cluster", "mini")

    def start_node(self, i: int) -> None:
        """Starts a node."""
        self.run("slurmd", "-N", f"n{i}")

    def kill_node(self, i: int) -> None:
        """Kills a node with all that runs on it, as a broken machine does: its daemons first, so that none tells."""
        log = str(self.root / f"slurmd-n{i}.log")
        daemons = [pid for pid in processes() if log in open_files(pid)]
        tasks = [pid for pid in processes() if f"SLURMD_NODENAME=n{i}\0".encode() in environment(pid)]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in [*daemons, *tasks]:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    def down(self) -> None:
        """Ends all jobs and daemons."""
        if self.pid("slurmctld"):
            self.succeeds("scancel", "--user=root")
            time.sleep(0.5)
        for name in [*(f"slurmd-n{i}" for i in range(1, NODES + 1)), "slurmctld", "slurmdbd", "mariadbd", "munged"]:
            if pid := self.pid(name):
                os.kill(pid, signal.SIGTERM)
                self.wait_for(lambda pid=pid: not Path(f"/proc/{pid}/fd/0").exists() or self.is_zombie(pid))

    def pid(self, name: str) -> int | None:
        """The process that a daemon's file names, if it is still that daemon."""
        path = self.root / f"{name}.pid"
        number = path.read_text().strip() if path.exists() else ""
        comm = Path(f"/proc/{number}/comm")
        return int(number) if number and comm.exists() and comm.read_text().startswith(name.partition("-")[0]) else None

    def is_zombie(self, pid: int) -> bool:
        """Whether a process has ended and nobody has looked."""
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"

    def run(self, *command: str) -> str:
        """What a command prints; raises where it fails."""
        return subprocess.run(command, env=self.env, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout

    def succeeds(self, *command: str) -> bool:
        """Whether a command does."""
        return not subprocess.run(command, env=self.env, capture_output=True, timeout=60).returncode

    def wait_for(self, condition: object, seconds: float = 60) -> None:
        """Waits until something is so; raises with the logs where it never is."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                logs = [f"{path.name}: {path.read_text()[-2000:]}" for path in self.root.glob("*.log")]
                raise RuntimeError("Slurm did not get there\n" + "\n".join(logs))
            time.sleep(0.1)


def processes() -> list[int]:
    """All processes."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def open_files(pid: int) -> list[str]:
    """The files that a process has open."""
    try:
        return [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return []


def environment(pid: int) -> bytes:
    """The environment that a process was started with."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


if __name__ == "__main__":
    slurm = MiniSlurm(Path(sys.argv[2] if len(sys.argv) > 2 else "/tmp/mini-slurm"))
    if sys.argv[1:2] == ["status"]:
        print(slurm.run("sinfo", "-N", "-l"), slurm.run("squeue"))
    elif sys.argv[1:2] in (["up"], ["down"]):
        getattr(slurm, sys.argv[1])()
    else:
        sys.exit(__doc__)
