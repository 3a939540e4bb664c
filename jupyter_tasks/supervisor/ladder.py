"""How a job is stopped: asked, given its grace, then killed with all its tree; and how it pauses.

Also ends what a job leaves behind when it ends by itself. Nothing is reported empty unless it is.
"""

import contextlib
import os
import signal
from collections.abc import Callable
from typing import Any

from jupyter_tasks import posix
from jupyter_tasks.supervisor.loop import Loop, Timer

_LEFTOVER_GRACE_S = 2.0
_ROUND_S = 0.02
_MAX_ROUNDS = 250


class Ladder:
    """Signals the tree below this process; ``emptied`` is called once, when nothing of it is left.

    As a subreaper we become the parent of every orphan: a tree without children of ours is empty.
    Who escaped even that, with the mark, is looked for where there is reason to.
    """

    def __init__(
        self,
        loop: Loop,
        *,
        mark: str,
        grace_s: float,
        reap: Callable[[], None],
        emptied: Callable[[], None],
        leave: Callable[[], bool],
    ) -> None:
        """Everything is calm."""
        self.leader = 0
        self.is_paused = False
        self.is_stopping = False
        self.ended_count = 0
        self._loop = loop
        self._mark = mark
        self._grace_s = grace_s
        self._reap = reap
        self._emptied = emptied
        self._leave = leave
        self._cause: str | None = None
        self._reason: str | None = None
        self._timer: Timer | None = None
        self._look_again: Timer | None = None
        self._rounds = 0
        self._leftover_pids: list[int] = []
        self._leader_has_ended = False
        self._seeks_marks = False
        self._is_empty = False

    def verdict(self) -> dict[str, Any]:
        """What is written into the end: who stopped it, and who would not go."""
        return {
            "stopped_by": self._cause,
            "stop_reason": self._reason,
            "leftover_pids": self._leftover_pids,
        }

    def close(self) -> None:
        """Nothing is to be done any more."""
        for timer in (self._timer, self._look_again):
            if timer is not None:
                timer.cancel()

    # -- what is asked ----------------------------------------------------------------------------

    def stop(self, cause: str, reason: str | None, grace_s: float | None) -> None:
        """Ask the tree to end, and see to it; asked again, kill it at once."""
        again = self.is_stopping
        if not again:
            self.is_stopping = self._seeks_marks = True
            self._cause, self._reason = cause, reason
        grace_s = self._grace_s if grace_s is None else grace_s
        if again or grace_s <= 0:
            self._kill()
            return
        if not self._leave():
            self._send(self._tree(), signal.SIGTERM)
        # Who stands still, by us or by itself, cannot hear: let it go on, to its end.
        self.resume()
        self._at(grace_s, self._kill)

    def pause(self) -> None:
        """Let everything stand still."""
        self.is_paused = True
        posix.stop_processes(self._tree)

    def resume(self) -> None:
        """Let everything go on."""
        self.is_paused = False
        self._send(self._tree(), signal.SIGCONT)

    def signal_group(self, number: int) -> None:
        """Signal the job's own process group, as a terminal would."""
        if self.leader and not self._leader_has_ended:
            # Nobody may be there any more, or nobody whom we may signal.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.leader, number)

    # -- what happens -----------------------------------------------------------------------------

    def leader_ended(self, *, is_heard: bool) -> None:
        """The first process has ended: so must the rest, after a short grace.

        ``is_heard``: somebody still holds the job's output open, perhaps one who escaped.
        """
        self._leader_has_ended = True
        self._seeks_marks = self._seeks_marks or is_heard
        if not self.is_stopping and (left := self._rest()):
            self.ended_count = len(left)
            self._send(left, signal.SIGTERM)
            self._send(left, signal.SIGCONT)
            self._at(min(_LEFTOVER_GRACE_S, self._grace_s), self._kill)
        self.look()

    def look(self) -> None:
        """After the leader, and each time that a child of ours has ended: see whether anybody is left."""
        if self._is_empty or not self._leader_has_ended or _has_children():
            return  # a child's end rings
        if self._seeks_marks and posix.marked(self._mark):
            if self._look_again is not None:
                self._look_again.cancel()
            self._look_again = self._loop.after(_ROUND_S * 2, self.look)  # a stranger's does not
        else:
            self._empty()

    # -- how it is done ---------------------------------------------------------------------------

    def _kill(self) -> None:
        """Stop all, kill all, again and again until none is left."""
        self._reap()
        if self._is_empty:
            return
        self._seeks_marks = True
        left = posix.stop_processes(self._tree)
        self._rounds += 1
        if self._rounds > _MAX_ROUNDS:
            self._leftover_pids = [process.pid for process in left]
            self._empty()
            return
        self._send(left, signal.SIGKILL)
        self._at(_ROUND_S, self._kill)

    def _at(self, delay_s: float, do: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.after(delay_s, do)

    def _empty(self) -> None:
        self._is_empty = True
        self.close()
        self._emptied()

    def _send(self, processes: list[posix.Process], number: int) -> None:
        for process in processes:
            posix.send_signal(process, number)

    def _rest(self) -> list[posix.Process]:
        """Who is left of a job that ended by itself; mostly nobody, and that is seen at once."""
        if self._seeks_marks:
            return self._tree()
        return _alive(posix.descendants(os.getpid())) if _has_children() else []

    def _tree(self) -> list[posix.Process]:
        """All that live below us, and who escaped with the mark."""
        return _alive([*posix.descendants(os.getpid()), *posix.marked(self._mark)])


def _alive(processes: list[posix.Process]) -> list[posix.Process]:
    return [process for process in dict.fromkeys(processes) if posix.is_alive(process)]


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
