"""Server-sent events, from bytes to messages; pure, and indifferent to where the bytes are cut."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of an event stream; ``id`` is None where it had none of its own."""

    event: str
    data: str
    id: str | None = None


class Parser:
    """Collects bytes and gives back whole messages; comments are passed over."""

    def __init__(self) -> None:
        """Start at the beginning of a stream."""
        #: The newest id, also where it came without a message.
        self.last_id: str | None = None
        self._rest = b""
        self._fields: dict[str, str] = {}

    def feed(self, chunk: bytes) -> list[Message]:
        """The messages that are complete now."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [message for line in lines if (message := self._line(line.rstrip(b"\r")))]

    def _line(self, line: bytes) -> Message | None:
        if not line:
            fields, self._fields = self._fields, {}
            self.last_id = fields.get("id", self.last_id)
            if "data" not in fields:
                return None
            event = fields.get("event", "message")
            return Message(event=event, data=fields["data"], id=fields.get("id"))
        name, _, value = line.decode(errors="replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data" and "data" in self._fields:
            value = f"{self._fields['data']}\n{value}"
        if name:
            self._fields[name] = value
        return None
