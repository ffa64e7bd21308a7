"""The one place that waits.

A ``Loop`` waits for file descriptors (epoll; poll or select elsewhere), timers and signals, and calls whoever watches.
It moves no bytes itself: that is ``sessions``' part.
"""

from __future__ import annotations

import heapq
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from sockkit.events import Env

# The same numbers for poll(2) and epoll(7) on Linux; poll's on other systems.
READ: int = getattr(select, "POLLIN", 1)
URGENT: int = getattr(select, "POLLPRI", 2)
WRITE: int = getattr(select, "POLLOUT", 4)
ERROR: int = getattr(select, "POLLERR", 8)
HANGUP: int = getattr(select, "POLLHUP", 16)
PEER_ENDED: int = getattr(select, "POLLRDHUP", 0)

Handler = Callable[[int], None]
"""Called with the mask of what is ready."""


def polled(fd: int, mask: int) -> bool:
    """True if one of ``mask``, an error or a hang-up is there now. Does not wait; True where the platform cannot say."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(fd, mask)
    return bool(poll.poll(0))


def hung_up(fd: int) -> bool:
    """True if the peer of a connection has ended, or is gone, now."""
    return polled(fd, PEER_ENDED)


def ready(fd: int) -> bool:
    """True if there is something to read, or to accept, now."""
    return polled(fd, READ)


class _Epoll:
    """epoll(7). Regular files and /dev/null, which it refuses with EPERM, are always ready."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, int] = {}
        # A function of our own around it would cost a client that is alone a thirtieth of its round trips.
        self.poll: Callable[[float], list[tuple[int, int]]] = self._epoll.poll

    def register(self, fd: int, mask: int) -> None:
        try:
            self._epoll.register(fd, mask)
        except PermissionError:
            self._ready[fd] = mask & (READ | WRITE)
            self.poll = self._poll

    def modify(self, fd: int, mask: int) -> None:
        if fd in self._ready:
            self._ready[fd] = mask & (READ | WRITE)
        else:
            self._epoll.modify(fd, mask)

    def unregister(self, fd: int) -> None:
        if self._ready.pop(fd, None) is None:
            self._epoll.unregister(fd)

    def _poll(self, timeout: float) -> list[tuple[int, int]]:
        always = [(fd, mask) for fd, mask in self._ready.items() if mask]
        return self._epoll.poll(0 if always else timeout) + always

    def close(self) -> None:
        self._epoll.close()


class _Poll:
    """poll(2): macOS and the BSDs. It takes regular files, and calls them ready."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self.register = self._poll.register
        self.modify = self._poll.modify
        self.unregister = self._poll.unregister

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        return self._poll.poll(None if timeout < 0 else timeout * 1000)

    def close(self) -> None:
        pass


class _Select:
    """select(2): Windows, where it takes sockets alone."""

    def __init__(self) -> None:
        self._masks: dict[int, int] = {}

    def register(self, fd: int, mask: int) -> None:
        self._masks[fd] = mask

    modify = register

    def unregister(self, fd: int) -> None:
        del self._masks[fd]

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        readers = [fd for fd, mask in self._masks.items() if mask & READ]
        writers = [fd for fd, mask in self._masks.items() if mask & WRITE]
        if not readers and not writers:  # which select(2) refuses there
            time.sleep(max(0.0, timeout))
            return []
        readable, writable, broken = select.select(readers, writers, writers, None if timeout < 0 else timeout)
        found: dict[int, int] = {}
        for ready, bit in ((readable, READ), (writable, WRITE), (broken, ERROR | WRITE)):
            for fd in ready:
                found[fd] = found.get(fd, 0) | bit
        return list(found.items())

    def close(self) -> None:
        pass


class Timer:
    """A callback that is due later. Cancelling one that is over does nothing."""

    __slots__ = ("callback", "due")

    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback: Callable[[], None] | None = callback

    def __lt__(self, other: Timer) -> bool:
        return self.due < other.due

    def cancel(self) -> None:
        """It is not called any more."""
        self.callback = None


ENDING = ("SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP")
"""Ctrl-C, Ctrl-backslash, kill(1), a terminal that is gone."""


class Loop:
    """Waits, and calls.

    Use it as a context manager: inside, the signals of ``ENDING`` end ``run`` instead of the process (a signal that
    was inherited as ignored stays ignored), and afterwards their dispositions are what they were.

    Attributes:
        signal: the number of the signal that ended ``run``, or None.
    """

    def __init__(self, env: Env) -> None:
        self.env = env
        self.signal: int | None = None
        self._again = False  # a second one came
        self._poller = _Epoll() if hasattr(select, "epoll") else _Poll() if hasattr(select, "poll") else _Select()
        self._handlers: dict[int, Handler] = {}
        self._masks: dict[int, int] = {}
        self._forgotten: set[int] = set()
        """In this turn."""
        self._timers: list[Timer] = []
        self._stopped = False
        self._interruptible = False
        self._dispositions: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        self._wakeup: tuple[int, int] | None = None
        self._callbacks: dict[int, Callable[[], None]] = {}

    def __enter__(self) -> Loop:
        if self.env.backlog is not None:
            self.env.backlog.attach(self._on_backlog)
        numbers = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
        try:
            for number in numbers:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._dispositions[number] = signal.signal(number, self._on_signal)
        except ValueError:
            return self  # not the main thread: signals are somebody else's
        if hasattr(os, "set_blocking") and not isinstance(self._poller, _Select):
            # A signal between two waits would be seen only at the next event: the wake-up pipe is that event.
            reading, writing = os.pipe()
            os.set_blocking(reading, False)
            os.set_blocking(writing, False)
            self._wakeup = reading, writing
            signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
            self.watch(reading, READ, self._on_wakeup)
        return self

    def __exit__(self, *exception: object) -> None:
        if self.env.backlog is not None:
            self.env.backlog.attach(None)
        if self._wakeup:
            signal.set_wakeup_fd(-1)
        for number, disposition in self._dispositions.items():
            signal.signal(number, disposition)
        if self._wakeup:
            self.forget(self._wakeup[0])
            for fd in self._wakeup:
                os.close(fd)
        self._poller.close()

    def _on_backlog(self, fd: int) -> None:
        """The story waits: it must not need another event to go on."""
        backlog = self.env.backlog
        assert backlog is not None

        def flow(mask: int) -> None:
            if backlog.flow():
                self.forget(fd)

        self.watch(fd, WRITE, flow)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._again = self.signal is not None
        self.signal = number
        self._stopped = True
        if self._interruptible:
            raise BlockingIOError

    def suspend(self) -> None:
        """Stop, as SIGTSTP stops who does not listen to it. Returns when the process is continued."""
        before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, before)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Around a call that may block although it should not: a signal ends it, as BlockingIOError."""
        self._interruptible = True
        try:
            yield
        finally:
            self._interruptible = False

    def _on_wakeup(self, mask: int) -> None:
        assert self._wakeup
        try:
            came = os.read(self._wakeup[0], 512)
        except BlockingIOError:
            return
        for number, callback in self._callbacks.items():
            if number in came:
                callback()

    def on_signal(self, number: int, callback: Callable[[], None]) -> None:
        """Call back, once or more, when a signal has come that is only news: SIGCHLD. Its disposition is kept until the end."""

        def came(number: int, frame: FrameType | None) -> None:
            if self._interruptible:
                raise BlockingIOError

        before = signal.signal(number, came)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (number,))
        self._dispositions.setdefault(number, before)
        self._callbacks[number] = callback

    def watch(self, fd: int, mask: int, handler: Handler) -> None:
        """Call ``handler`` when ``fd`` is ready for ``mask``; a mask of 0 still tells of errors and hang-ups."""
        if fd in self._handlers:
            self._handlers[fd] = handler
            if self._masks[fd] != mask:
                self._poller.modify(fd, mask)
                self._masks[fd] = mask
        else:
            self._poller.register(fd, mask)
            self._handlers[fd] = handler
            self._masks[fd] = mask

    def forget(self, fd: int) -> None:
        """Watch no longer. It must be called before the descriptor is closed; for one that is not watched it does nothing."""
        if self._handlers.pop(fd, None) is not None:
            del self._masks[fd]
            self._poller.unregister(fd)
            self._forgotten.add(fd)

    def later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back once, ``seconds`` from now."""
        timer = Timer(self.env.clock() + seconds, callback)
        heapq.heappush(self._timers, timer)
        return timer

    def stop(self) -> None:
        """``run`` returns after the callbacks of this turn."""
        self._stopped = True

    def unstop(self) -> None:
        """Take back a ``stop`` that came before ``run``; a signal is not taken back."""
        self._stopped = self.signal is not None

    def run(self) -> None:
        """Wait and call until ``stop`` or a signal."""
        handler_of, poller, timers, forgotten = self._handlers.get, self._poller, self._timers, self._forgotten
        while not self._stopped:
            for fd, mask in poller.poll(self._wait() if timers else -1):
                # A handler earlier in this turn may have forgotten this descriptor; its number may be another's by now, and
                # a hang-up of the one before would be the end of that one.
                handler = handler_of(fd)
                if handler is not None and fd not in forgotten:
                    handler(mask)
            if timers:
                self._fire()
            if forgotten:
                forgotten.clear()
        self.unstop()

    def run_on(self) -> None:
        """``run``, although a signal has come: what is still to be done before the end. Another signal ends it."""
        self._stopped = self._again
        self.run()
        self._again = False

    def wait_for(self, fd: int, mask: int) -> bool:
        """Run until ``fd`` is ready; False if ``stop``, by a timer for example, or a signal came before."""
        found = False

        def on_ready(mask: int) -> None:
            nonlocal found
            found = True
            self.stop()

        self.watch(fd, mask, on_ready)
        self.run()
        self.forget(fd)
        return found

    def _wait(self) -> float:
        while self._timers and self._timers[0].callback is None:
            heapq.heappop(self._timers)
        # poll takes at most 2**31 ms: waking early is harmless, `_fire` looks at the clock.
        return min(max(0.0, self._timers[0].due - self.env.clock()), 86400.0) if self._timers else -1

    def _fire(self) -> None:
        now = self.env.clock()
        while self._timers and self._timers[0].due <= now:
            callback = heapq.heappop(self._timers).callback
            if callback is not None:
                callback()


class Silence:
    """Calls ``over`` once when ``measure()`` has not changed for ``seconds``.

    It is looked at ten times in that while, so that what is measured needs no clock.
    """

    def __init__(self, loop: Loop, seconds: float, measure: Callable[[], object], over: Callable[[], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._measure = measure
        self._over = over
        self._seen = measure()
        self._since = loop.env.clock()
        self._timer = loop.later(seconds / 10, self._check)

    def _check(self) -> None:
        now, found = self._loop.env.clock(), self._measure()
        if found != self._seen:
            self._seen, self._since = found, now
        elif now - self._since >= self._seconds:
            self._over()
            return
        self._timer = self._loop.later(self._seconds / 10, self._check)

    def cancel(self) -> None:
        """It is not called any more."""
        self._timer.cancel()
