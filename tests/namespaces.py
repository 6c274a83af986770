"""Machines for a test, on this one: each with a network, a host name, processes and a file of hosts of its own.

They are namespaces of Linux, which have no name in the system and nothing but their processes to hold them: when those
end, or this process does in whatever way, all is gone. No file of this machine is written, and its own network is left
alone. A machine sees the files of this one; what it mounts, it mounts for itself:

    with namespaces.machines("one", "two") as (one, two):
        one.run("ping", "-c1", "two")
        with two.popen("sleep", "60"):
            two.cut()  # from the network; mend() joins it again
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

# Documentation addresses (RFC 5737), which no real network has.
_NETWORK = "192.0.2"
_UNSHARE = ("unshare", "--net", "--uts", "--mount", "--pid", "--fork")
_PROGRAMS = ("unshare", "nsenter", "ip", "mount", "hostname", "bash")
# The first process of a machine. It ends when its input does, which this process holds open, and all others of the
# machine with it. Meanwhile the kernel clears away those whose parents have left them.
_FIRST = 'trap \'\' CHLD; hostname "$1"; mount --make-rprivate /; mount --bind "$2" /etc/hosts; echo up; exec cat'


def why_not() -> str:
    """Why there can be no such machines here; empty if there can."""
    if os.geteuid() != 0:
        return "machines in namespaces need root"
    if missing := [program for program in _PROGRAMS if not shutil.which(program)]:
        return f"machines in namespaces need {', '.join(missing)}; on Debian: apt install iproute2 util-linux mount"
    probe = [*_UNSHARE, "ip", "link", "add", "probe", "type", "bridge"]
    done = subprocess.run(probe, capture_output=True, text=True)
    return f"machines in namespaces cannot be made here: {done.stderr.strip()}" if done.returncode else ""


class Machine:
    """One machine; see the module. ``pid`` is that of its first process, which holds it."""

    def __init__(self, name: str, address: str, hosts: str):
        self.name, self.address = name, address
        self._holder = subprocess.Popen(
            # --kill-child: with the holder goes the first process, and with it all others.
            [*_UNSHARE, "--mount-proc", "--kill-child", "bash", "-c", _FIRST, name, name, hosts],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "up\n":
            raise RuntimeError(f"machine {name} could not be made")
        self.pid = int(pathlib.Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children").read_text())
        self._switch: Machine | None = None

    def words(self, *command: str) -> list[str]:
        """A command as it is called from outside, so that it runs in here. It is in this process's folder."""
        enter = ["nsenter", f"--target={self.pid}", "--net", "--uts", "--mount", "--pid", f"--wd={os.getcwd()}"]
        return [*enter, "--", *command]

    def popen(self, *command: str, **options) -> subprocess.Popen:
        """A command in the background, with the options of ``subprocess.Popen``."""
        return subprocess.Popen(self.words(*command), **{"text": True} | options)

    def run(self, *command: str, **options) -> str:
        """A command to its end, which must be a good one; gives its output."""
        done = subprocess.run(self.words(*command), **{"capture_output": True, "text": True} | options)
        if done.returncode:
            raise RuntimeError(f"{self.name}: {command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def plug(self, switch: "Machine") -> None:
        """Connect it with the others of a switch, by a cable that can be cut."""
        port = f"to-{self.name}"[:15]
        # From outside, where pids mean what they do here.
        cable = ["ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(self.pid)]
        subprocess.run(["nsenter", f"--target={switch.pid}", "--net", *cable], check=True)
        switch.run("ip", "link", "set", port, "master", "switch", "up")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        self._switch, self._port = switch, port

    def cut(self) -> None:
        """Cut its cable: nobody reaches it, and it reaches nobody. Its processes go on."""
        assert self._switch is not None
        self._switch.run("ip", "link", "set", self._port, "down")

    def mend(self) -> None:
        """Join what :meth:`cut` has cut."""
        assert self._switch is not None
        self._switch.run("ip", "link", "set", self._port, "up")

    def close(self) -> None:
        """End all of its processes, at once, and it with them."""
        self._holder.kill()
        self._holder.communicate()


@contextlib.contextmanager
def machines(*names: str) -> Iterator[tuple[Machine, ...]]:
    """Machines of these names, which know each other by them, on one switch.

    Raises:
      RuntimeError: they cannot be made here; see :func:`why_not`.
    """
    addresses = {name: f"{_NETWORK}.{i}" for i, name in enumerate(names, start=1)}
    with contextlib.ExitStack() as stack:
        lines = [f"{address} {name}" for name, address in addresses.items()]
        made = []
        with tempfile.NamedTemporaryFile("w", prefix="hosts-") as hosts:
            hosts.write("\n".join(["127.0.0.1 localhost", *lines]) + "\n")
            hosts.flush()
            os.chmod(hosts.name, 0o644)
            # The switch is one more machine, with no cable of its own.
            for name in ("switch", *names):
                machine = Machine(name, addresses.get(name, ""), hosts.name)
                stack.callback(machine.close)
                made.append(machine)
        switch, *others = made
        switch.run("ip", "link", "add", "switch", "type", "bridge")
        switch.run("ip", "link", "set", "switch", "up")
        for machine in others:
            machine.plug(switch)
        yield tuple(others)
