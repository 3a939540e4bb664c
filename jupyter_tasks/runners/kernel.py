"""A fresh kernel: starts it, talks to it, keeps what it says, and sees it off.

The kernel is this process's child, as a command would be. What is said to it goes over zmq sockets in
the file system, which nobody else can enter. Rich outputs are kept as nbformat has them. What it is
asked to run, and in which order, is for the runner of each kind to know.
"""

import contextlib
import json
import math
import os
import signal
import time

import zmq

from jupyter_tasks import attempt, posix
from jupyter_tasks.runners import leaving, shell, warm
from jupyter_tasks.runners.base import CannotStart, Message, Stage, Started, Timer
from jupyter_tasks.runners.endings import how
from jupyter_tasks.runners.wire import Received, Session

#: A kernel that says nothing for so long after its start is taken to hang.
_READY_WITHIN_S = 120.0
#: Asked again: what a kernel published before we were subscribed is lost.
_ASK_AGAIN_S = 0.5
#: A kernel that listens answers at once, whatever it has to say.
_ASK_WARM_AGAIN_S = 0.01
#: After the answer, for the last of what is published.
_IDLE_WITHIN_S = 5.0
_LEAVE_WITHIN_S = 60.0
#: Any other kernel: as long as every client of kernels waits.
_SHUT_DOWN_WITHIN_S = 5.0
#: Who has been behind for so long asks the kernel to wait.
_BEHIND_S = 0.1
_RECONNECT_MS = 5
_LAST_WORD_MS = 100
#: So long messages are taken before others have their turn.
_TURN_S = 0.02
_LAST_WORDS_BYTES = 8192
_ECHOES = "ipython"
_IPYKERNEL = "ipykernel"
#: What child processes print is read from the pipe: ipykernel loses what comes just before its end.
_CATCH_NOTHING = "--IPKernelApp.capture_fd_output=False"
_STREAMS = {"stdout": "out", "stderr": "err"}
#: The channels' numbers stand in for ports.
_CHANNELS = {"shell": 1, "iopub": 2, "stdin": 3, "control": 4, "hb": 5}


class KernelRunner:
    """One kernel, one request after another (base.Runner).

    ``_next`` is called when it is ready, and whenever it has done what it was asked last.
    """

    def __init__(self, spec: Message, stage: Stage) -> None:
        """Start nothing yet."""
        self._spec = spec
        self._kernel: Message = spec["kernel"]
        self._stage = stage
        self._connection_file = f"{stage.directory}/{attempt.KERNEL_FILE}"
        self._session = Session()
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._leader = 0
        self._timer: Timer | None = None
        self._waited_s = 0.0
        self._ask_again_s = _ASK_AGAIN_S
        self._birth: warm.Birth | None = None
        self._is_answered = self._is_heard = False
        #: The last request, its reply, and whether the kernel is idle again after it.
        self._request = ""
        self._reply: Message | None = None
        self._is_idle = False
        #: Whether it has been given what the job is about: what it says from then on is output.
        self._has_begun = False
        self._is_leaving = False
        self._implementation = ""
        self._catches_nothing = any(_IPYKERNEL in word for word in self._kernel["argv"])
        self._last_words = b""
        self._behind_since = 0.0
        self._is_held = False

    def start(self, told: dict[str, str], umask: int) -> Started:
        """Start the kernel's process; raises CannotStart."""
        self._remove_files()
        path = self._connection_file
        self._write_connection(path)
        words = {"connection_file": path, "resource_dir": self._kernel.get("resource_dir", "")}
        env = {**self._kernel["env"], **self._spec.get("env", {})}
        argv = [_filled(word, words) for word in self._kernel["argv"]]
        command = {
            "command": [*argv, _CATCH_NOTHING] if self._catches_nothing else argv,
            "cwd": self._spec["cwd"],
            # A kernel asks in vain after a parent whose pid stands there from elsewhere.
            "env": {**env, "JPY_PARENT_PID": "0"},
        }
        interpreter_words = self._kernel.get("interpreter_words")
        self._birth = warm.start(command, interpreter_words, told, umask)
        started = self._birth.started if self._birth else shell.start(command, told, umask)
        self._leader = started.pid
        return started

    def began(self) -> None:
        """Ask until the kernel is there. A warm one says itself when that is."""
        self._open()
        if self._birth is None:
            self._connect()
        else:
            self._stage.loop.add(self._birth.fileno(), lambda _: self._is_born())
        self._ask()

    def _open(self) -> None:
        self._context = zmq.Context()
        for name, kind in (("shell", zmq.DEALER), ("control", zmq.DEALER), ("iopub", zmq.SUB)):
            socket = self._sockets[name] = self._context.socket(kind)
            socket.linger = 0
            socket.rcvhwm = socket.sndhwm = 0
            socket.reconnect_ivl = _RECONNECT_MS
            if kind == zmq.SUB:
                socket.subscribe(b"")

    def _connect(self) -> None:
        for name, socket in self._sockets.items():
            socket.connect(f"ipc://{self._stage.socket}-{_CHANNELS[name]}")
            self._stage.loop.add(_descriptor(socket), lambda _: self._hear())

    def _is_born(self) -> None:
        """A warm kernel listens, or has ended before."""
        assert self._birth is not None
        self._stage.loop.remove(self._birth.fileno())
        is_ready = self._birth.is_ready()
        self._birth = None
        if is_ready and self._sockets:
            self._is_answered = True
            self._implementation = _ECHOES
            self._connect()
            self._cancel_timer()
            # The broadcasting socket of ipykernel 7 says by itself that we are heard.
            self._ask_again_s = _ASK_WARM_AGAIN_S
            self._timer = self._stage.loop.after(self._ask_again_s, self._ask)

    def prints(self, kind: str, data: bytes | bytearray, size: int) -> bool:  # noqa: ARG002 - the contract's
        """What a kernel says at its start is for developers; later it is what its code's children say.

        An IPython kernel that was not told to leave that alone sends it too: it would be there twice.
        """
        if self._has_begun and (self._catches_nothing or self._implementation != _ECHOES):
            return True
        self._remember(bytes(data[:size]))
        return False

    def interrupt(self) -> bool:
        """Stop what it runs; by a message where the kernel takes no signals."""
        if self._kernel.get("interrupt_mode") != "message":
            return False
        self._say("control", "interrupt_request", {})
        return True

    def leave(self) -> bool:
        """Interrupt the code: a kernel that has nothing to do any more is then asked to leave."""
        if not self._has_begun or self._is_leaving:
            return False
        if not self.interrupt():
            self._stage.signal(signal.SIGINT)
        return True

    def outcome(self, status: int | None) -> Message:
        """What became of it; whatever it has said before its end is heard."""
        self._take()
        while not self._has_said_all() and self._is_more_coming():
            self._take()
        return self._ended(status)

    def close(self) -> None:
        """Close the sockets."""
        self._cancel_timer()
        self._is_leaving = True
        if self._birth is not None:
            self._stage.loop.remove(self._birth.fileno())
            self._birth.close()
            self._birth = None
        for socket in self._sockets.values():
            self._stage.loop.remove(_descriptor(socket))
            socket.close()
        self._sockets = {}
        if self._context is not None:
            self._context.term()
            self._context = None
        self._remove_files()

    # -- the conversation -------------------------------------------------------------------------

    def _ask(self) -> None:
        """Ask who it is: its answer on both channels says that it hears us, and we hear it."""
        if self._stage.is_paused():
            self._timer = self._stage.loop.after(_ASK_AGAIN_S, self._ask)
            return
        if self._waited_s >= _READY_WITHIN_S:
            words = f"The kernel {self._kernel['name']!r} was not ready in {_READY_WITHIN_S:.0f} s."
            self._stage.record("note", words.encode(), code="kernel_not_ready")
            self._stage.signal(signal.SIGKILL)
            return
        self._waited_s += self._ask_again_s
        self._timer = self._stage.loop.after(self._ask_again_s, self._ask)
        self._say("shell", "kernel_info_request", {})

    def _hand_over(self) -> None:
        """Both channels work: it can be asked."""
        self._cancel_timer()
        self._stage.drain()  # said before it answered, so it is there
        self._last_words = b""
        self._next()

    def _ask_for(self, content: Message) -> None:
        """Have it do that; ``_next`` is called when it has."""
        self._cancel_timer()
        self._reply, self._is_idle = None, False
        self._request = self._say("shell", "execute_request", content)

    def _run(self, source: str) -> None:
        """Have it run source text of the job."""
        self._has_begun = True
        content = {
            "code": source,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            # Nothing else waits there that an error would have to stop.
            "stop_on_error": False,
        }
        self._ask_for(content)

    def _say(self, channel: str, kind: str, content: Message) -> str:
        request, frames = self._session.request(kind, content)
        socket = self._sockets.get(channel)
        if socket is not None:
            # Nobody has connected yet: it is asked again.
            with contextlib.suppress(zmq.Again):
                socket.send_multipart(frames, zmq.NOBLOCK)
            self._stage.loop.after(0, self._hear)
        return request

    def _hear(self) -> None:
        """Take what has come: a zmq socket rings once for any number of messages.

        But not all of what comes without end: who cancels must be heard, too.
        """
        if self._take(_TURN_S):
            self._caught_up()
        else:
            self._fall_behind()
            self._stage.loop.after(0, self._hear)
        self._go_on()

    def _go_on(self) -> None:
        """Do what is next, where it is time for that."""
        if self._is_leaving:
            return
        if not self._request:
            if self._is_answered and self._is_heard:
                self._hand_over()
        elif self._reply is not None and self._is_idle:
            self._next()

    def _fall_behind(self) -> None:
        """What a kernel publishes faster than it is kept would fill our memory: let it stand still."""
        now = time.monotonic()
        self._behind_since = self._behind_since or now
        if not self._is_held and now - self._behind_since > _BEHIND_S:
            self._is_held = True
            self._stage.hold()

    def _caught_up(self) -> None:
        self._behind_since = 0.0
        if self._is_held:
            self._is_held = False
            self._stage.release()

    def _take(self, within_s: float = math.inf) -> bool:
        """Take what has come to each socket, for so long; whether none is left."""
        until = time.monotonic() + within_s
        left = list(self._sockets.items())
        while left and time.monotonic() < until:
            left = [(name, socket) for name, socket in left if self._take_one(name, socket)]
        return not left

    def _has_said_all(self) -> bool:
        return bool(self._reply and self._is_idle)

    def _is_more_coming(self) -> bool:
        """Whether a kernel that has gone still had a word on its way: zmq brings it by a thread."""
        return any(socket.poll(_LAST_WORD_MS) for socket in self._sockets.values())

    def _take_one(self, name: str, socket: "zmq.Socket[bytes]") -> bool:
        frames = _received(socket)
        if frames is None:
            return False
        message = self._session.read(frames)
        try:
            if message is None:
                # Not signed: the welcome of the broadcasting socket, or nobody we know.
                self._is_heard = self._is_heard or name == "iopub"
            elif name == "shell":
                self._answered(message)
            elif name == "iopub":
                self._published(message)
        except (TypeError, ValueError, AttributeError, RecursionError) as error:
            words = f"A message of the kernel could not be kept: {error}."
            self._stage.record("note", words.encode("utf-8", "replace"), code="message_dropped")
        return True

    def _answered(self, message: Received) -> None:
        if message.kind == "kernel_info_reply":
            self._is_answered = True
            self._implementation = str(message.content.get("implementation"))
        elif message.kind == "execute_reply" and message.parent == self._request:
            self._reply = message.content
            self._replied(message.content)
            # A kernel whose publishing broke would never say that it is idle.
            self._timer = self._stage.loop.after(_IDLE_WITHIN_S, self._give_up_idle)

    def _published(self, message: Received) -> None:
        self._is_heard = True
        match message.kind:
            case "status" if message.parent == self._request and self._request:
                self._is_idle = message.content.get("execution_state") == "idle"
            case "stream":
                self._streamed(message)
            case "display_data" | "execute_result" | "error":
                self._show("display", message.kind, message)
            case "update_display_data":
                self._show("update", "display_data", message)
            case "clear_output":
                self._clear(message)

    def _streamed(self, message: Received) -> None:
        text = str(message.content.get("text", "")).encode("utf-8", "replace")
        if self._has_begun:
            self._stage.output(_STREAMS.get(message.content.get("name", ""), "out"), text)
        else:
            self._remember(text)  # said before it was given anything to run

    def _clear(self, message: Received) -> None:
        self._stage.record("clear", wait=bool(message.content.get("wait")))

    def _remember(self, words: bytes) -> None:
        """Keep what a kernel says beside its job's output: it counts should the kernel die."""
        self._last_words = (self._last_words + words)[-_LAST_WORDS_BYTES:]

    def _show(self, kind: str, output_type: str, message: Received) -> tuple[Message, int]:
        """Keep an output as nbformat has it, under its display id where it has one.

        Returns it, and how many bytes it has.
        """
        content = message.content
        display_id = (content.get("transient") or {}).get("display_id")
        output: Message = {"output_type": output_type}
        output |= {name: value for name, value in content.items() if name != "transient"}
        fields = {} if display_id is None else {"display_id": str(display_id)}
        encoded = json.dumps(output).encode()
        self._stage.record(kind, encoded, **fields)
        return output, len(encoded)

    def _give_up_idle(self) -> None:
        self._is_idle = True
        self._go_on()

    # -- what each kind knows -----------------------------------------------------------------------

    def _next(self) -> None:
        """Ask for what is next (``_ask_for``, ``_run``), or ``_dismiss`` it."""
        raise NotImplementedError

    def _doing(self) -> str:
        """What it does, as its death would interrupt it."""
        return "ran the code"

    def _replied(self, reply: Message) -> None:
        """Take the answer to the last request, perhaps the last word of a kernel that dies."""

    def _ended(self, status: int | None) -> Message:
        """How the attempt ended, now that the kernel has; nothing more is coming."""
        raise NotImplementedError

    def _dismiss(self) -> None:
        """All is said: the kernel may go, with what its threads still have to do."""
        if self._is_leaving:
            return
        self._cancel_timer()
        self._is_leaving = True
        if self._implementation == _ECHOES:
            has_children = bool(posix.descendants(self._leader))
            self._say("shell", "execute_request", leaving.request(has_children=has_children))
            self._timer = self._stage.loop.after(_LEAVE_WITHIN_S, self._put_out)
        else:
            self._say("control", "shutdown_request", {"restart": False})
            self._timer = self._stage.loop.after(_SHUT_DOWN_WITHIN_S, self._put_out)

    def _put_out(self) -> None:
        """It does not go; standing still does not count."""
        if self._stage.is_paused():
            self._timer = self._stage.loop.after(_SHUT_DOWN_WITHIN_S, self._put_out)
            return
        words = "The kernel did not leave after its code, and was ended."
        self._stage.record("note", words.encode(), code="kernel_ended")
        self._stage.signal(signal.SIGKILL)

    # -- small parts ------------------------------------------------------------------------------

    def _death(self, status: int | None) -> Message:
        """The kernel has ended too early."""
        end = shell.outcome(status)
        if self._last_words:
            self._stage.output("err", self._last_words)
        ended = how(end)
        name = self._kernel["name"]
        if not self._has_begun:
            words = f"The kernel {name!r} ended {ended} before it was ready; its output says more."
            return {**end, "outcome": "not_started", "message": words}
        words = f"The kernel {name!r} died while it {self._doing()}: it ended {ended}."
        if end["signal"] == signal.SIGKILL:
            words += " Perhaps the machine ran out of memory."
        return {**end, "outcome": "kernel_died", "message": words}

    def _write_connection(self, path: str) -> None:
        connection = {
            "transport": "ipc",
            "ip": self._stage.socket,
            "key": self._session.key,
            "signature_scheme": "hmac-sha256",
            "kernel_name": self._kernel["name"],
            **{f"{name}_port": number for name, number in _CHANNELS.items()},
        }
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(fd, "w", encoding="utf-8") as file:
                json.dump(connection, file)
        except OSError as error:
            words = f"{path} cannot be written: {error.strerror}."
            raise CannotStart(words) from None

    def _remove_files(self) -> None:
        sockets = (f"{self._stage.socket}-{number}" for number in _CHANNELS.values())
        for path in (self._connection_file, *sockets):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _filled(word: str, words: dict[str, str]) -> str:
    for name, value in words.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def _descriptor(socket: "zmq.Socket[bytes]") -> int:
    """What rings when something may have come."""
    return int(socket.getsockopt(zmq.FD))


def _received(socket: "zmq.Socket[bytes]") -> list[bytes] | None:
    try:
        return socket.recv_multipart(zmq.NOBLOCK)
    except zmq.Again:
        return None
