"""``connect --retry``, ``--wait-for`` and ``--reconnect``: one attempt after the other, and one connection after the other.

What an attempt failed with is held back until it is known whether there is another one: then it is a line about a state,
else the errors themselves are said, and that it was given up. stdin is not read before there is a connection, and what the peer
did not take of it goes to the next one.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Protocol

from sockkit import stdio
from sockkit.errors import Exit, OutputGone, Signalled, UsageError, describe
from sockkit.events import Env, Event, Failed, Handshake, Level, Lost, Note, Opened, Refused, Retrying
from sockkit.loop import ERROR, HANGUP, Loop
from sockkit.retry import FIRST_DELAY, LOOK_FIRST, LOOK_MOST, MOST_DELAY, ONCE, STEADY, Patience, Policy, passing

if TYPE_CHECKING:
    from sockkit.addresses import Target
    from sockkit.commands.connect import ConnectPlan
    from sockkit.semantics import Semantics
    from sockkit.sessions import Session

    class Call(Protocol):
        """What is done again and again.

        Attributes:
            timeout: seconds that an attempt may take.
            session: the conversation that the last attempt led to, or None.
        """

        timeout: float
        session: Session | None

        def once(self, loop: Loop, target: Target) -> Exit:
            """One attempt, and the conversation that it leads to."""


LAST_LOOK = 0.25
"""Seconds that an attempt gets at least, however near the limit is."""


def check(plan: ConnectPlan, means: Semantics | None, family: int | None) -> None:
    """See ``ConnectPlan.check_again``."""
    flag = "--retry" if plan.retry is not None else "--wait-for" if plan.wait_for is not None else "--reconnect"
    delays = ((plan.retry_delay, "--retry-delay"), (plan.retry_max_delay, "--retry-max-delay"))
    for given, delay in delays:
        if given is not None and plan.retry is None and not plan.reconnect:
            raise UsageError("there is no --retry N or --reconnect whose attempts it could space", option=delay)
        if given is not None and plan.wait_for is not None:
            raise UsageError(f"--wait-for looks several times a second by itself: leave {delay} out", option=delay)
    if plan.retry_delay is not None and plan.retry_max_delay is not None and plan.retry_delay > plan.retry_max_delay:
        raise UsageError("it is shorter than --retry-delay, the first of the waits", option="--retry-max-delay")
    if plan.retry is not None and plan.wait_for is not None:
        raise UsageError("--retry counts attempts, --wait-for seconds: give one", option="--wait-for")
    if plan.fileno is not None:
        raise UsageError("a socket that is lent cannot be made again: leave --fileno or this out", option=flag)
    if plan.reconnect and plan.zero:
        raise UsageError("-z is done when somebody answers: leave --reconnect out", option="--reconnect")
    if plan.reconnect and plan.replay is not None:
        raise UsageError("a recording is played to one connection: leave --reconnect out", option="--reconnect")
    if plan.reconnect and plan.runs_program:
        text = "a program has one conversation (--retry and --wait-for begin it): leave --exec out"
        raise UsageError(text, option="--reconnect")
    if means is None:
        return
    from sockkit.commands.endpoint import AF_UNIX

    if not means.connections and (plan.reconnect or family != AF_UNIX):
        text = "a datagram socket has no connection that could be waited for: leave -u out"
        raise UsageError(text, option="--reconnect" if plan.reconnect else flag)
    if plan.reconnect and means.boundaries:
        raise UsageError(
            "it goes on with a stream of bytes; messages are not kept for a next peer", option="--reconnect"
        )


class Again:
    """The attempts of a run.

    Attributes:
        env: the surroundings for what is done again: its observer is ours.
        before: the conversation whose connection is gone, or None.
        lost: something was, and it was said.
    """

    def __init__(self, plan: ConnectPlan, env: Env, peer: str) -> None:
        self._outer = env
        self.env = env._replace(observer=self.observe)
        self.before: Session | None = None
        self._plan = plan
        self._peer = peer
        self._tls = plan.tls
        self._random = random.Random(plan.seed).random
        self._held: list[Event] = []
        self._holding = False
        self.lost = False
        first = plan.retry_delay or FIRST_DELAY
        most = plan.retry_max_delay or max(MOST_DELAY, first)
        if plan.wait_for is not None:
            self._policy = self._afterwards = Policy(math.inf, plan.wait_for, LOOK_FIRST, LOOK_MOST, names=True)
        elif plan.retry is not None:
            self._policy = Policy(plan.retry + 1, None, first, most)
            self._afterwards = Policy(plan.retry, None, first, most, names=True)
        else:
            self._policy, self._afterwards = ONCE, Policy(math.inf, None, first, most, names=True)
        self._patience = Patience(self._policy, env.clock(), self._random)

    def observe(self, event: Event) -> None:
        """Pass on what happens; hold back what an attempt fails with."""
        if self._holding:
            if isinstance(event, Failed) or (isinstance(event, Note) and event.level is Level.WARNING):
                self._held.append(event)
                return
            if isinstance(event, Handshake) or (isinstance(event, Opened) and not self._tls):
                self._release()
        elif isinstance(event, Lost):
            self.lost = True
        self._outer.observer(event)

    def _release(self) -> None:
        self._holding = False
        held, self._held = self._held, []
        for event in held:
            self._outer.observer(event)

    def run(self, loop: Loop, call: Call, target: Target) -> Exit:
        """Until there is nothing more to do, or to try.

        Raises:
            Signalled, OutputGone: how the process is to end. And what ``call.once`` raises.
        """
        clock, timeout = self.env.clock, call.timeout
        while True:
            left = self._patience.left(clock())
            call.timeout = timeout if left is None else min(timeout, max(left, LAST_LOOK))
            self._held, self._holding = [], True
            begun = clock()
            try:
                status = call.once(loop, target)
            except BaseException as end:
                if self._holding:
                    self._break_off(end, ())
                raise
            session, failures = call.session, [event for event in self._held if isinstance(event, Failed)]
            if status is Exit.OK and session is None:  # -z
                return status
            if not self._holding:
                assert session is not None
                self.before, kept = session, session.kept
                if not (session.settings.reconnect and session.peer_gone) or (session.input_over and not kept):
                    return Exit.FAILED if self.lost else status
                if kept:
                    text = f"{len(kept)} bytes that this connection did not take are for the next one"
                    self._outer.observer(Note(clock(), session.number, Level.INFO, text))
                if self._patience.policy is not self._afterwards or clock() - begun >= STEADY:
                    self._patience = Patience(self._afterwards, clock(), self._random, attempt=0)
            if not self._go_on(loop, failures):
                return Exit.FAILED

    def _go_on(self, loop: Loop, failures: list[Failed]) -> bool:
        """Wait for the next attempt; False: there is none, and what failed has been said."""
        clock, patience = self.env.clock, self._patience
        names = patience.policy.names
        hopeless = bool(failures) and not any(passing(failed.error, names=names) for failed in failures)
        made = patience.attempt
        delay = None if hopeless else patience.next(clock())
        if delay is None:
            self._release()
            if hopeless and patience.policy is not ONCE:
                text = "not tried again: what is wrong does not pass by waiting"
                self._outer.observer(Note(clock(), 0, Level.WARNING, text))
            elif made > 1 or patience.policy is self._afterwards:
                text = f"gave up on {self._peer} after {self._made(made)}"
                error = failures[-1].error if failures else ConnectionError("the peer is gone")
                self._outer.observer(Failed(clock(), 0, text, error, None))
            self._lose_kept()
            return False
        refused = tuple(Refused(failed.operation, failed.error) for failed in failures)
        self._outer.observer(Retrying(clock(), patience.attempt, patience.attempts, delay, refused))
        try:
            self._wait(loop, delay)
        except BaseException as end:
            patience.attempt = made
            self._break_off(end, refused)
            raise
        return True

    def _made(self, count: int) -> str:
        return f"{count} attempt{'s' * (count != 1)} in {self._patience.elapsed(self.env.clock()):.1f} s"

    def _break_off(self, end: BaseException, refused: tuple[Refused, ...]) -> None:
        """There is no connection, and something else ended the run."""
        if isinstance(end, Signalled):
            last = f", the last: {describe(refused[-1].error)}" if refused else ""
            text = f"interrupted while waiting for {self._peer}: {self._made(self._patience.attempt)}{last}"
            self._outer.observer(Note(self.env.clock(), 0, Level.WARNING, text))
        elif not isinstance(end, OutputGone):
            self._release()
        self._lose_kept()

    def _lose_kept(self) -> None:
        kept = self.before.kept if self.before is not None else b""
        if kept:
            self.lost = True
            why = "read from stdin, and there was no further connection to take it"
            self._outer.observer(Lost(self.env.clock(), 0, len(kept), why))

    def _wait(self, loop: Loop, seconds: float) -> None:
        """Nothing is read meanwhile. A reader of stdout that goes away is noticed, and ends the run."""
        fd = self.env.stdout
        watched = not (self._plan.zero or self._plan.send_only) and stdio.waited_for(fd)

        def gone(mask: int) -> None:
            if mask & (ERROR | HANGUP):
                raise OutputGone

        timer = loop.later(seconds, loop.stop)
        try:
            if watched:
                loop.watch(fd, 0, gone)
            loop.run()
        finally:
            timer.cancel()
            if watched:
                loop.forget(fd)
        if loop.signal is not None:
            raise Signalled(loop.signal)
