"""``-o FILE.raw``: the bytes and nothing else, a file for each direction: ``FILE.sent.raw`` and ``FILE.received.raw``.

Of a server, which may have many conversations, each has its number: ``FILE.1.sent.raw``; of a client that connects again, from the
second on. Between datagrams there is nothing.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from sockkit.errors import UsageError
from sockkit.events import Closed, Data, Direction, Event, Interest, Opened
from sockkit.render import WHOLE, Wish
from sockkit.render.files import Recording, destination


class Raw:
    """See ``files.Recorder``."""

    interest = Interest.DATA | Interest.PAYLOAD
    preview = WHOLE

    def __init__(self, path: str, *, force: bool, clock: Callable[[], float], wish: Wish) -> None:
        self._stem, self._suffix = os.path.splitext(path)
        self._force = force
        self._numbered = wish.command == "serve"
        self._files: dict[tuple[int, Direction], Recording] = {}
        for direction in Direction:
            destination(self._path(1, direction), force=force)
        os.close(os.open(os.path.dirname(path) or ".", os.O_RDONLY))  # better known now

    def _path(self, session: int, direction: Direction) -> str:
        number = f".{session}" if self._numbered or session > 1 else ""
        return f"{self._stem}{number}.{direction.value}{self._suffix}"

    def __call__(self, event: Event) -> None:
        """Observe."""
        if isinstance(event, Data):
            if event.payload is not None:
                self._files[event.session, event.direction].write(event.payload)
        elif isinstance(event, Opened):
            for direction in Direction:
                path = self._path(event.session, direction)
                try:
                    self._files[event.session, direction] = Recording(path, force=self._force)
                except UsageError as error:  # of a later conversation: this is no time for bad input
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from error
        elif isinstance(event, Closed):
            for direction in Direction:
                file = self._files.pop((event.session, direction), None)
                if file is not None:
                    file.close(keep=True)

    def close(self) -> None:
        """See ``files.Recorder``."""
        for file in self._files.values():
            file.close(keep=True)
        self._files.clear()
