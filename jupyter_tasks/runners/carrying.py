"""Carries values into a kernel before its code runs, and out of it afterwards.

What it asks of the kernel leaves no trace there: no code runs, an expression is evaluated. Knows
what to ask and what the answers mean; the conversation itself is the runner's.
"""

from jupyter_tasks import attempt
from jupyter_tasks.runners.base import Message

_NAME = "values"
_MODULE = "jupyter_tasks.values"
#: Errors whose words say all.
_OURS = ("BadValue", "NoSpace")
_NEEDED = ("jupyter_tasks", "cloudpickle")
_MAX_WORDS = 1000
_REQUEST = {"silent": True, "store_history": False, "allow_stdin": False, "stop_on_error": False}


class Carrier:
    """The values of one attempt. ``trouble`` says what went wrong, in words for people."""

    def __init__(self, spec: Message, directory: str, python: str) -> None:
        """Ask nothing yet. ``python`` is what to call the kernel."""
        self.trouble = ""
        self._python = python
        self._inputs = attempt.inputs_beside(directory) if spec.get("inputs") else ""
        self._outputs = [str(name) for name in spec.get("outputs") or ()]
        self._result = f"{directory}/{attempt.RESULT_FILE}"
        self._doing = ""

    @property
    def is_busy(self) -> bool:
        """Whether the kernel has not answered yet."""
        return bool(self._doing)

    @property
    def is_done(self) -> bool:
        """Whether all that was asked for has been kept."""
        return not self._outputs

    def before(self) -> Message | None:
        """What to ask before the code runs; None where there is nothing (any more)."""
        if not self._inputs:
            return None
        path, self._inputs = self._inputs, ""
        self._doing = "taking its values in"
        return _request(f"take_in({path!r})")

    def after(self) -> Message | None:
        """What to ask when the code has succeeded; None where there is nothing (any more)."""
        if not self._outputs:
            return None
        self._doing = f"keeping {_listed(self._outputs)}"
        return _request(f"take_out({self._result!r}, {self._outputs!r})")

    def heard(self, reply: Message) -> None:
        """Take the kernel's answer."""
        told = (reply.get("user_expressions") or {}).get(_NAME) or reply
        if told.get("status") != "ok":
            self.trouble = self._words(told)
        elif self._doing.startswith("keeping"):
            self._outputs = []
        self._doing = ""

    def ended(self, how: str) -> str:
        """What to say of a kernel that has ended by itself too early."""
        missed = f"before {_listed(self._outputs)} could be kept"
        what = f"while {self._doing}" if self._doing else missed
        return f"The kernel {self._python!r} ended {how} {what}."

    def _words(self, told: Message) -> str:
        name, words = str(told.get("ename", "")), str(told.get("evalue", ""))
        if name in _OURS:
            return _shortened(words)
        if name in ("ModuleNotFoundError", "ImportError") and any(n in words for n in _NEEDED):
            return (
                f"{self._python} cannot carry values, it lacks what does: {_shortened(words)}. "
                "Install jupyter_tasks there, too."
            )
        what = self._doing or "carrying values"
        return f"The kernel failed while {what}: {name}: {_shortened(words)}"


def _request(call: str) -> Message:
    # Whatever the code has done to names of its own: these are found without any.
    expression = f"__import__({_MODULE!r}, fromlist=['values']).{call}"
    return {**_REQUEST, "code": "", "user_expressions": {_NAME: expression}}


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _shortened(words: str) -> str:
    return words if len(words) <= _MAX_WORDS else f"{words[:_MAX_WORDS]}…"
