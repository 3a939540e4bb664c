"""How code in a kernel has ended, as the attempt's end tells it. Pure."""

from jupyter_tasks.runners.base import Message

_MAX_WORDS = 500


def code_end(reply: Message) -> Message:
    """What became of the code, by the kernel's answer."""
    if reply.get("status") == "ok":
        return {"outcome": "exited", "exit_code": 0, "signal": None, "message": ""}
    if reply.get("ename") == "SystemExit":
        return _exited(str(reply.get("evalue", "")))
    return raised(_error_words(reply))


def raised(words: str) -> Message:
    """An error has ended it."""
    return {"outcome": "raised", "exit_code": None, "signal": None, "message": words}


def is_success(end: Message) -> bool:
    """Whether it has come to its last line."""
    return (end["outcome"], end["exit_code"]) == ("exited", 0)


def how(end: Message) -> str:
    """How a process has ended, for people."""
    signalled = f"by signal {end['signal']}"
    return signalled if end["signal"] else f"with exit code {end['exit_code']}"


def _exited(value: str) -> Message:
    """How a Python that is no kernel would have ended: ``sys.exit(value)``."""
    is_number = value.removeprefix("-").isdigit()
    code = int(value) & 0xFF if is_number else int(value not in ("", "None"))
    words = "" if is_number or not code else value[:_MAX_WORDS]
    return {"outcome": "exited", "exit_code": code, "signal": None, "message": words}


def _error_words(reply: Message) -> str:
    words = f"{reply.get('ename', 'Error')}: {reply.get('evalue', '')}".strip().rstrip(":")
    return words if len(words) <= _MAX_WORDS else f"{words[:_MAX_WORDS]}…"
