"""A real Slurm on loopback: one controller and two nodes on this machine, as root and without systemd.

    python tests/sweep/mini_slurm.py install|up|down|status [FOLDER]    export SLURM_CONF=<FOLDER>/slurm.conf to use it

Debian's packages slurmctld, slurmd, slurm-client and munge are installed where they are absent. With accounting it
needs slurmdbd and mariadb-server too. Each node has a process namespace of its own: whoever kills the first process of
it kills all that runs on the node, and to the locks of runs it is another machine. Ports are those that are free, so
that several of these go on beside each other, and beside what is left of one that was killed.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

PACKAGES = {"slurmctld": "slurmctld", "slurmd": "slurmd", "squeue": "slurm-client", "munged": "munge"}
PACKAGES |= {"unshare": "util-linux", "setpriv": "util-linux"}
ACCOUNTING = {"slurmdbd": "slurmdbd", "mariadbd": "mariadb-server"}
UNSHARE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]  # a process namespace that dies with it
NODES, CPUS, GPUS = 2, 2, 2
IMPOSSIBLE = 3  # exit code where there can be no Slurm here

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
SlurmdTimeout=9
InactiveLimit=0
Waittime=0
MessageTimeout=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{accounting}
PartitionName=main Nodes=n[1-{nodes}] Default=YES MaxTime=1440 State=UP PriorityTier=1 GraceTime=3 PreemptMode=REQUEUE
PartitionName=urgent Nodes=n[1-{nodes}] Default=NO MaxTime=1440 State=UP PriorityTier=10 PreemptMode=OFF
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


class Impossible(RuntimeError):
    """There can be no Slurm on this machine, and why."""


class MiniSlurm:
    """A Slurm whose files are all in one folder; it ends with the process that started it, unless it `stays`."""

    def __init__(self, root: Path, accounting: bool = False, stays: bool = False):
        self.root, self.accounting, self.stays = root.resolve(), accounting, stays
        self.env = {**os.environ, "SLURM_CONF": str(self.root / "slurm.conf")}

    def up(self) -> None:
        """Starts it, and waits until its nodes are there."""
        self.install()
        self.down()
        self.write()
        (self.root / "munge.socket").unlink(missing_ok=True)  # of an earlier one
        files = {"key-file": "key", "seed-file": "seed", "socket": "socket", "pid-file": "pid", "log-file": "log"}
        options = [f"--{option}={self.root}/munge.{kind}" for option, kind in files.items()]
        self.start("munged", "munged", "--foreground", "--force", *options)
        self.wait_for((self.root / "munge.socket").exists)
        if self.accounting:
            self.start_accounting()
        self.start("slurmctld", "slurmctld", "-D")
        for i in range(1, NODES + 1):
            self.start_node(i)
        self.wait_for(lambda: self.state(1) == self.state(2) == "IDLE")

    def install(self) -> None:
        """Installs Debian's packages where a command is absent; raises Impossible where there can be no Slurm."""
        if os.geteuid():
            raise Impossible("a Slurm of one's own needs root")
        wanted = PACKAGES | (ACCOUNTING if self.accounting else {})
        if absent := sorted({package for command, package in wanted.items() if not shutil.which(command)}):
            if not shutil.which("apt-get"):
                raise Impossible(
                    f"a Slurm of one's own needs {', '.join(absent)}, and here is no apt-get to install them"
                )
            for command in (["update"], ["install", "--yes", "--no-install-recommends", *absent]):
                environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
                done = subprocess.run(["apt-get", "-qq", *command], env=environment, capture_output=True, text=True)
                if done.returncode:
                    last = (done.stderr.splitlines() or ["it failed"])[-1]
                    raise Impossible(f"a Slurm of one's own needs {', '.join(absent)}, and apt-get fails: {last}")
        if not self.succeeds(*UNSHARE, "true"):
            raise Impossible("a Slurm of one's own needs the right to make namespaces (unshare --pid --mount-proc)")

    def write(self) -> None:
        """Writes its configuration, and devices that look like GPUs."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o755)
        ports = free_ports(NODES + 2)
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
                f"AccountingStoragePort={ports[-1]}\nAccountingStoragePass={self.root}/munge.socket"
            )
            (self.root / "slurmdbd.conf").write_text(DBD.format(root=self.root, port=ports[-1]))
            (self.root / "slurmdbd.conf").chmod(0o600)
        host = socket.gethostname().partition(".")[0]
        nodes = (NODE.format(i=i, host=host, port=ports[i], cpus=CPUS, gpus=GPUS) for i in range(1, NODES + 1))
        conf = CONF.format(
            host=host, root=self.root, port=ports[0], nodes=NODES, accounting=storage + "\n" + "".join(nodes)
        )
        (self.root / "slurm.conf").write_text(conf)

    def start_accounting(self) -> None:
        """Starts a database and slurmdbd."""
        db, sock = self.root / "db", self.root / "mysql.sock"
        self.run("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={db}",
                 "--auth-root-authentication-method=normal", "--skip-test-db")  # fmt: skip
        self.start("mariadbd", "mariadbd", "--no-defaults", "--user=root", f"--datadir={db}", f"--socket={sock}",
                   "--skip-networking", f"--pid-file={self.root}/mariadbd.pid")  # fmt: skip
        self.wait_for(lambda: self.succeeds("mariadb", "--no-defaults", "-uroot", f"-S{sock}", "-e", "select 1"))
        self.env["MYSQL_UNIX_PORT"] = str(sock)  # where MariaDB's library finds the database
        self.start("slurmdbd", "slurmdbd", "-D")
        self.wait_for(lambda: self.succeeds("sacctmgr", "-nP", "show", "cluster"))
        self.run("sacctmgr", "-i", "add", "cluster", "mini")

    def start_node(self, i: int) -> None:
        """Starts a node. The shell is its first process, since that has to bury others' orphans."""
        self.start(f"n{i}", *UNSHARE, "bash", "-c", f"slurmd -D -N n{i}; exit")

    def kill_node(self, i: int) -> None:
        """Kills a node with all that runs on it, at once and so that none tells, as a broken machine does."""
        self.end(f"n{i}")

    def state(self, i: int) -> str:
        """The state of a node, such as IDLE, MIXED, DOWN+NOT_RESPONDING.

        sinfo is not used: it calls a node that is down mixed or completing while a job counts as being on it, which
        may not end where the node was lost while the job was ending.
        """
        return self.run("scontrol", "show", "node", f"n{i}").partition("State=")[2].split()[0]

    def down(self) -> None:
        """Ends all jobs and daemons, those of an earlier process too."""
        for name in [*(f"n{i}" for i in range(1, NODES + 1)), "slurmctld", "slurmdbd", "mariadbd", "munged"]:
            self.end(name)

    def start(self, name: str, *command: str) -> None:
        """Starts a daemon whose process `name` is written down."""
        until_we_end = [] if self.stays else ["setpriv", "--pdeathsig", "KILL"]
        with (self.root / f"{name}.out").open("a") as output:
            process = subprocess.Popen([*until_we_end, *command], env=self.env, start_new_session=True,
                                       stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # fmt: skip
        (self.root / f"{name}.process").write_text(str(process.pid))

    def end(self, name: str) -> None:
        """Kills a daemon, and waits until it is gone."""
        if not (path := self.root / f"{name}.process").exists():
            return
        pid = int(path.read_text())
        if f"SLURM_CONF={self.env['SLURM_CONF']}".encode() in environment(pid):  # not one that got its number since
            os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):  # of an earlier process
                os.waitpid(pid, 0)
            self.wait_for(lambda: not environment(pid))
        path.unlink()

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
                paths = [*self.root.glob("*.log"), *self.root.glob("*.out")]
                logs = [f"{path.name}: {path.read_text()[-2000:]}" for path in paths]
                raise RuntimeError("Slurm did not get there\n" + "\n".join(logs))
            time.sleep(0.1)


def environment(pid: int) -> bytes:
    """The environment that a process was started with; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def free_ports(n: int) -> list[int]:
    """Ports of loopback that nothing listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [one.getsockname()[1] for one in sockets]


if __name__ == "__main__":
    slurm = MiniSlurm(Path(sys.argv[2] if len(sys.argv) > 2 else "/tmp/mini-slurm"), stays=True)
    try:
        if sys.argv[1:2] in (["install"], ["up"], ["down"]):
            getattr(slurm, sys.argv[1])()
        elif sys.argv[1:2] == ["status"]:
            print(slurm.run("sinfo", "-N", "-l"), slurm.run("squeue"))
        else:
            sys.exit(__doc__)
    except Impossible as reason:
        print(reason, file=sys.stderr)
        sys.exit(IMPOSSIBLE)
