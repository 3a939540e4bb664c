"""The state of a notebook's widgets, as front ends draw them from when the kernel has gone."""

import base64
from collections.abc import Sequence
from typing import Any

Message = dict[str, Any]
_MIME = "application/vnd.jupyter.widget-state+json"
_OF_MODEL = ("model_name", "model_module", "model_module_version")


class WidgetStates:
    """What widgets have told of themselves, over their comms."""

    def __init__(self) -> None:
        """No widget has been made."""
        self._states: dict[str, Message] = {}
        self._buffers: dict[str, dict[tuple[Any, ...], bytes]] = {}

    def heard(self, content: Message, buffers: Sequence[bytes]) -> bool:
        """Take a ``comm_open`` or ``comm_msg``; whether it has changed anything."""
        data = content.get("data")
        if not isinstance(data, dict) or not isinstance(data.get("state"), dict):
            return False
        name = str(content.get("comm_id"))
        self._states.setdefault(name, {}).update(data["state"])
        paths = [tuple(path) for path in data.get("buffer_paths") or ()]
        self._buffers.setdefault(name, {}).update(zip(paths, buffers, strict=False))
        return True

    def metadata(self) -> Message:
        """What goes into the notebook's metadata; nothing where there are no widgets."""
        states = {
            name: self._told(name, state)
            for name, state in self._states.items()
            if "_model_name" in state
        }
        if not states:
            return {}
        return {"widgets": {_MIME: {"state": states, "version_major": 2, "version_minor": 0}}}

    def _told(self, name: str, state: Message) -> Message:
        told: Message = {field: state.get(f"_{field}") for field in _OF_MODEL} | {"state": state}
        buffers = [
            {
                "path": list(path),
                "encoding": "base64",
                "data": base64.b64encode(buffer).decode("ascii"),
            }
            for path, buffer in self._buffers[name].items()
        ]
        return told | {"buffers": buffers} if buffers else told
