"""WebSocket frames as a server sends them (RFC 6455, 5.2): whole messages, unmasked, uncompressed.

Made here, so that many can be sent by one write, and one of them to many clients.
"""

import asyncio
import struct
from contextlib import suppress
from typing import Final

from tornado.iostream import IOStream, SSLIOStream

_TEXT: Final = 0x81
_BINARY: Final = 0x82


def text(message: bytes) -> bytes:
    """A frame with JSON."""
    return _head(_TEXT, len(message)) + message


def binary_head(line: bytes, size: int) -> bytes:
    """What precedes so many raw bytes in a frame of a line of JSON and those bytes."""
    return b"%b%b\n" % (_head(_BINARY, len(line) + 1 + size), line)


def put(stream: IOStream, head: bytes, data: bytes) -> "asyncio.Future[None]":
    """Send both, one after the other, without a copy of what the socket takes at once.

    They come after all that has been written; done when they are sent.
    """
    sent = 0
    if not (stream.closed() or stream.writing() or isinstance(stream, SSLIOStream)):
        # Any error comes again from the stream's own write, which sees to it.
        with suppress(OSError):
            sent = stream.socket.sendmsg([head, data])
    if sent < len(head):
        return stream.write(head[sent:] + data)
    return stream.write(memoryview(data)[sent - len(head) :])


def _head(kind: int, size: int) -> bytes:
    if size < 126:
        return struct.pack("!BB", kind, size)
    if size < 1 << 16:
        return struct.pack("!BBH", kind, 126, size)
    return struct.pack("!BBQ", kind, 127, size)
