"""Has many TCP sockets, in processes of 2,000 each, until its stdin ends: ``crowd.py COUNT``. Says ``ready`` when all are connected."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

EACH = 2000


def _hold(count: int, listener: socket.socket, ready: int, until: int) -> None:
    held = []
    for _ in range(count // 2):
        client = socket.socket()
        client.connect(listener.getsockname())
        held += [client, listener.accept()[0]]
    os.write(ready, b"x")
    os.read(until, 1)


def main() -> None:
    """See the module."""
    if os.geteuid() == 0:  # a network namespace of its own has no loopback yet
        subprocess.run(["ip", "link", "set", "lo", "up"], check=False)
    count = int(sys.argv[1])
    until, end = os.pipe()
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    children = []
    for begun in range(0, count, EACH):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(end)
            _hold(min(EACH, count - begun), listener, writing, until)
            os._exit(0)
        children.append(pid)
        os.close(writing)
        assert os.read(reading, 1) == b"x"
    print("ready", flush=True)
    sys.stdin.read()
    os.close(end)
    for pid in children:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
