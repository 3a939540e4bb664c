"""The supervisor's own life: takes attempts from its channel, one at a time, and answers its peers."""

import signal
import socket
from typing import Any

from jupyter_tasks import posix
from jupyter_tasks.supervisor.artifacts import ArtifactFolder
from jupyter_tasks.supervisor.holding import Holding
from jupyter_tasks.supervisor.loop import Loop
from jupyter_tasks.supervisor.peers import Doors, Message, Peer

#: How long a supervisor without work waits for the next attempt.
_IDLE_S = 0.25
_FIRST_IDLE_S = 5.0
_MAX_PEERS = 64


class Supervisor:
    """Serves one channel; ``directory`` is that of the attempt it holds, None between two."""

    def __init__(self, channel_fd: int) -> None:
        """Listen to the channel; doors are opened with the first attempt."""
        posix.become_subreaper()
        self.directory: str | None = None
        self._loop = Loop()
        self._loop.on_signal(signal.SIGCHLD, self._child_ended)
        self._is_done = False
        self._is_last = False
        self._holding: Holding | None = None
        self._doors: Doors | None = None
        self._artifacts = ArtifactFolder()
        self._peers: set[Peer] = set()
        self._channel = self._meet(socket.socket(fileno=channel_fd))
        self._channel.wants_news = True
        self._patience = self._loop.after(_FIRST_IDLE_S, self._leave)

    def serve(self) -> None:
        """Work until there is none."""
        while not self._is_done:
            self._loop.run_once()

    def close(self) -> None:
        """Hang up, and remove what lies outside the attempt directory."""
        if self._doors is not None:
            self._doors.close()
        for peer in tuple(self._peers):
            peer.close()

    # -- peers ------------------------------------------------------------------------------------

    def _meet(self, sock: socket.socket) -> Peer:
        peer = Peer(self._loop, sock, self._hear, self._bye)
        self._peers.add(peer)
        return peer

    def _bye(self, peer: Peer) -> None:
        self._peers.discard(peer)
        if peer is self._channel and self._holding is None:
            self._leave()

    def _hear(self, peer: Peer, message: Message) -> None:
        do = message.get("do")
        if do == "run" and peer is self._channel and self._holding is None:
            self._take(str(message.get("dir")))
        elif do == "leave" and peer is self._channel:
            self._is_last = True
            if self._holding is None:
                self._leave()
        elif do == "hello":
            peer.wants_news = True
            peer.say(self._state())
        elif self._holding is None:
            peer.say({"say": "error", "message": f"Nothing is held here that could {do}."})
        elif do == "bell" and isinstance(message.get("size"), int):
            peer.bell = message["size"]
            self._ring(self._holding.size)
        elif not self._holding.obey(message):
            peer.say({"say": "error", "message": f"Cannot {do!r}: unknown, or not now."})

    def _state(self) -> Message:
        state = {} if self._holding is None else self._holding.state()
        return {"say": "state", **state}

    def _ring(self, size: int) -> None:
        """Tell those who asked that the output has grown beyond what they know."""
        for peer in tuple(self._peers):
            if peer.bell is not None and size > peer.bell:
                peer.bell = None
                peer.say({"say": "bell", "size": size})

    def _tell(self, message: Message) -> None:
        for peer in tuple(self._peers):
            if peer.wants_news:
                peer.say(message)

    # -- attempts ---------------------------------------------------------------------------------

    def _take(self, directory: str) -> None:
        self._patience.cancel()
        try:
            holding, doors = self._claimed(directory)
        except (OSError, ValueError) as error:
            # Nothing was claimed: another supervisor may have better luck.
            words = f"The attempt in {directory} cannot be claimed: {error}."
            self._channel.say({"say": "error", "message": words})
            self._leave()
            return
        if holding is None:
            self._channel.say({"say": "fenced", "dir": directory})
            self._wait()
            return
        doors.hear_reports()  # what came since the last attempt belongs to nobody
        self.directory = directory
        self._holding = holding
        holding.start(doors.report)

    def _claimed(self, directory: str) -> tuple[Holding | None, Doors]:
        """The attempt, claimed by us; None if somebody did before."""
        holding = Holding(
            directory,
            self._loop,
            self._artifacts,
            hear_reports=self._hear_reports,
            tell=self._tell,
            ring=self._ring,
            done=self._done,
        )
        if self._doors is None:
            self._doors = Doors(self._loop, holding.runtime_dir, self._came, self._reported)
        else:
            self._doors.mend()
        is_ours = holding.claim(self._doors.control, self._doors.report)
        return holding if is_ours else None, self._doors

    def _done(self, end: dict[str, Any]) -> None:
        """The attempt's end is on disk: say so, and be ready for the next."""
        holding = self._holding
        assert holding is not None
        self._ring(holding.size)
        for peer in tuple(self._peers):
            if peer.wants_news or peer.bell is not None:
                peer.bell = None
                peer.say({"say": "ended", "dir": holding.directory, **holding.identity, "end": end})
        self._holding = None
        self.directory = None
        # Who could not be ended might still report, and would count as the next attempt's.
        if self._is_last or end["leftover_pids"] or not self._channel.is_open:
            self._leave()
        else:
            self._wait()

    def _wait(self) -> None:
        self._patience = self._loop.after(_IDLE_S, self._leave)

    def _leave(self) -> None:
        self._is_done = True

    def _came(self, sock: socket.socket) -> None:
        if len(self._peers) < _MAX_PEERS:
            self._meet(sock)
        else:
            sock.close()

    def _child_ended(self) -> None:
        if self._holding is not None:
            self._holding.reap()

    def _hear_reports(self) -> None:
        assert self._doors is not None
        self._doors.hear_reports()

    def _reported(self, data: bytes) -> None:
        if self._holding is not None:
            self._holding.reported(data)
