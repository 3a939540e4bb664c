"""Jupyter's messages, signed and framed: the part of the kernel protocol that a supervisor needs.

Source: the Jupyter messaging protocol, version 5.4 (jupyter-client's documentation, "Messaging in
Jupyter"). Standard library alone; the sockets are for others.
"""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

Message = dict[str, Any]
_VERSION = "5.4"
_DELIMITER = b"<IDS|MSG>"
#: Signature, header, parent header, metadata, content.
_PARTS = 5


class Received(NamedTuple):
    """A message from the kernel; ``parent`` is the id of the request that it answers, if any."""

    kind: str
    parent: str
    content: Message
    metadata: Message
    buffers: Sequence[bytes] = ()


class Session:
    """One client of one kernel, with the key that both know."""

    def __init__(self) -> None:
        """Make up a key: nobody without it can speak to the kernel, or for it."""
        self.key = secrets.token_hex(32)
        self._id = secrets.token_hex(16)
        self._count = 0

    def request(self, kind: str, content: Message) -> tuple[str, list[bytes]]:
        """A new message's id and its frames."""
        self._count += 1
        header = {
            "msg_id": f"{self._id}_{self._count}",
            "msg_type": kind,
            "username": "jupyter_tasks",
            "session": self._id,
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "version": _VERSION,
        }
        parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
        return header["msg_id"], [_DELIMITER, self._sign(parts), *parts]

    def read(self, frames: Sequence[bytes]) -> Received | None:
        """The message in the frames; None for what is none of our kernel's."""
        try:
            start = frames.index(_DELIMITER) + 1
            signature, *parts = frames[start : start + _PARTS]
            buffers = frames[start + _PARTS :]
            if len(parts) != _PARTS - 1 or not hmac.compare_digest(signature, self._sign(parts)):
                return None
            header, parent, metadata, content = map(_loaded, parts)
            if not isinstance(content, dict):
                return None
            return Received(
                header["msg_type"], parent.get("msg_id", ""), content, metadata, buffers
            )
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            return None

    def _sign(self, parts: Sequence[bytes]) -> bytes:
        digest = hmac.new(self.key.encode(), digestmod=hashlib.sha256)
        for part in parts:
            digest.update(part)
        return digest.hexdigest().encode()


def _loaded(part: bytes) -> Any:
    """What Python has of no text (names of files) its kernels send as the bytes that it was."""
    return json.loads(part.decode("utf-8", "replace"))
