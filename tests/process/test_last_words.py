"""What one end of a channel says before it goes is heard, whatever it has left unread."""

import asyncio
import signal
import socket
from typing import Any

from jupyter_tasks.executors.channel import Channel
from jupyter_tasks.supervisor.loop import Loop
from jupyter_tasks.supervisor.peers import Peer

LAST_WORDS = b'{"say": "no_process"}'


def left_in_a_hurry(*, unread: bytes) -> socket.socket:
    """Our end of a channel whose other end has spoken, and gone without reading what we said."""
    ours, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.send(unread)
    other.send(LAST_WORDS)
    other.close()
    return ours


async def test_a_server_hears_the_last_words_of_a_supervisor() -> None:
    heard: list[Any] = []
    gone = asyncio.Event()
    sock = left_in_a_hurry(unread=b'{"do": "run"}')
    channel = Channel(sock, lambda _, words: heard.append(words), lambda _: gone.set())
    await asyncio.wait_for(gone.wait(), 10)
    assert heard == [{"say": "no_process"}]
    assert not channel.is_open


async def test_a_server_hears_them_when_it_speaks_itself() -> None:
    heard: list[Any] = []
    gone = asyncio.Event()
    sock = left_in_a_hurry(unread=b'{"do": "run"}')
    channel = Channel(sock, lambda _, words: heard.append(words), lambda _: gone.set())
    channel.send({"do": "hello"})
    await asyncio.wait_for(gone.wait(), 10)
    assert heard == [{"say": "no_process"}]


def test_a_supervisor_hears_the_last_words_of_a_server() -> None:
    heard: list[Any] = []
    former = signal.set_wakeup_fd(-1)
    try:
        loop = Loop()
        sock = left_in_a_hurry(unread=b'{"say": "progress"}')
        peer = Peer(loop, sock, lambda _, words: heard.append(words), lambda _: None)
        while peer.is_open:
            loop.run_once()
    finally:
        signal.set_wakeup_fd(former)
    assert heard == [{"say": "no_process"}]
