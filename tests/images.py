"""Makes the pictures in docs/images: ``python -m tests.images``. Real sockets, real traffic, drawn by what the terminal gets.

Each is an SVG that rich writes; they differ from run to run by ports and times, so they are made when something has changed.
"""

from __future__ import annotations

import io
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from sockkit.commands.watch import Watch, inode_of
from sockkit.events import Env, Event, Interest, Sample
from sockkit.machine import Query
from sockkit.render import Output
from sockkit.render.live import Live
from sockkit.sockdiag import Wanted

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
LOOKS = 40


class Scene:
    """A server with some clients: one that sends in bursts, one that reads slowly, two that nobody has accepted yet."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4)
        self.pairs = [self._pair() for _ in range(3)]
        self.waiting = [socket.create_connection(self.listener.getsockname()) for _ in range(2)]
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind(("127.0.0.1", 0))
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._bursts), threading.Thread(target=self._slowly)]
        for thread in self._threads:
            thread.start()

    def _pair(self) -> tuple[socket.socket, socket.socket]:
        client = socket.create_connection(self.listener.getsockname())
        return client, self.listener.accept()[0]

    def _bursts(self) -> None:
        client, server = self.pairs[0]
        step = 0
        while not self._stop.wait(0.02):
            step += 1
            client.sendall(bytes(1000 * (1 + step % 17)))
            server.recv(1 << 20)
            server.sendall(bytes(200))
            client.recv(1 << 20)

    def _slowly(self) -> None:
        client, server = self.pairs[1]
        client.setblocking(False)
        while not self._stop.wait(0.05):
            try:
                client.send(bytes(100_000))
            except BlockingIOError:
                pass
            server.recv(20_000)

    def close(self) -> None:
        """End it all."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for sock in (self.listener, self.datagrams, *self.waiting, *(end for pair in self.pairs for end in pair)):
            sock.close()


def picture(name: str, query: Query, inode: int | None = None) -> None:
    """Watch a scene for a while and keep the last picture."""
    console = Console(
        width=80, height=24, record=True, file=io.StringIO(), force_terminal=True, highlight=False, markup=False
    )
    live = Live(lambda event: None, Output(1, 2, True, True, True, True), console=console)
    last: list[dict[str, Any]] = []

    def observe(event: Event) -> None:
        if isinstance(event, Sample):
            if event.more:
                last[:] = event.sockets  # type: ignore[assignment]
                live.remember(last)
        else:
            live(event)

    watch = Watch(Env(0, 1, observe, Interest.STATE, time.monotonic), query, inode)
    for look in range(LOOKS):
        watch.look()
        time.sleep(0.1)
        if look == LOOKS // 2 and scene.pairs[2][0].fileno() >= 0:
            scene.pairs[2][0].shutdown(socket.SHUT_WR)
    console.print(live.picture(last))
    IMAGES.mkdir(exist_ok=True)
    console.save_svg(str(IMAGES / f"{name}.svg"), title=f"sockkit inspect --watch 0.1 {TITLES[name]}")


TITLES = {"watch-list": "--pid 4711", "watch-one": "--pid 4711 --fileno 4"}

if __name__ == "__main__":
    scene = Scene()
    try:
        own = Wanted(details=True)
        picture("watch-list", Query(own, str(os.getpid()), False))
        fd = scene.pairs[0][0].fileno()
        picture("watch-one", Query(Wanted(details=True)), inode_of(None, fd))
    finally:
        scene.close()
