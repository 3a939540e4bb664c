"""WebSocket frames as a server sends them (RFC 6455, 5.2): whole messages, unmasked, uncompressed.

Made here, so that many can be sent by one write, and one of them to many clients.
"""

import struct
from typing import Final

_TEXT: Final = 0x81
_BINARY: Final = 0x82


def text(message: bytes) -> bytes:
    """A frame with JSON."""
    return _head(_TEXT, len(message)) + message


def binary(line: bytes, data: bytes) -> bytes:
    """A frame with a line of JSON and raw bytes after it."""
    return b"%b%b\n%b" % (_head(_BINARY, len(line) + 1 + len(data)), line, data)


def _head(kind: int, size: int) -> bytes:
    if size < 126:
        return struct.pack("!BB", kind, size)
    if size < 1 << 16:
        return struct.pack("!BBH", kind, 126, size)
    return struct.pack("!BBQ", kind, 127, size)
