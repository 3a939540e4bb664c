"""Values in a file: how variables of one Python come into another, and what they become comes back.

A line of JSON tells which Python has written the file and what the values are called; then come the
bytes that cloudpickle makes of them. To read those runs code: clients and kernels do it, no server.
"""

import json
import os
import pickle
import platform
from collections.abc import Iterable, Mapping, MutableMapping
from keyword import iskeyword
from pathlib import Path
from typing import IO, Any, Final

from jupyter_tasks.errors import BadValue, told_if_full

_HEADER_BYTES: Final = 64 * 1024
_MAX_WORDS: Final = 300
#: What is said of a disk without room.
FULL: Final = "The disk is full: there is no room for the values of the job."
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
#: What can be done about a value that cannot go there.
_REMEDIES: Final = {
    "into the job": "Make it in the job's own code instead.",
    "out of the job": "Take what can be pickled of it, or write it to a file of the job's own.",
}


class _Nowhere:
    """Takes what is written and keeps nothing."""

    def write(self, data: Any) -> int:
        return len(data)


def pack(
    values: Mapping[str, Any],
    file: IO[bytes],
    *,
    where: str,
    parts: Mapping[str, Any] | None = None,
    plainly: bool = False,
) -> None:
    """Write the values; raises BadValue, which names the one that cannot be, or OSError.

    ``where``: "into the job" or "out of the job". ``parts``: what the values are made of, by the
    names that people know; else they are known by their own. ``plainly``: by name where that can be,
    also what lives in ``__main__``: for a process where nothing of a user's does.
    """
    header = {**python_here(), "names": list(values)}
    file.write(json.dumps(header).encode() + b"\n")
    try:
        if not (plainly and _is_dumped(dict(values), file)):
            import cloudpickle  # noqa: PLC0415 - whoever carries no values does not need it

            cloudpickle.dump(dict(values), file, protocol=pickle.DEFAULT_PROTOCOL)
    except Exception as error:
        # Whatever a value's own code may raise; one that can be packed alone is not to blame.
        for name, value in (parts or values).items():
            _must_be_packable(name, value, where)
        if isinstance(error, OSError):
            raise
        names = _listed(values)
        raise BadValue(f"{names} cannot be carried {where} together: {_words(error)}.") from error


def _is_dumped(values: dict[str, Any], file: IO[bytes]) -> bool:
    """Whether plain pickle could write them: ten times as quick, and alike for what both can carry."""
    start = file.tell()
    try:
        pickle.dump(values, file, pickle.DEFAULT_PROTOCOL)
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - whatever a value's own code may raise; the next one tells
        file.seek(start)
        file.truncate()
        return False
    return True


def packed_alone(value: Any, *, where: str) -> bytes:
    """The bytes of one value without a header, plainly; raises BadValue, which calls it ``result``."""
    try:
        return pickle.dumps(value, pickle.DEFAULT_PROTOCOL)
    except Exception:  # noqa: BLE001 - whatever a value's own code may raise; the next one tells
        import cloudpickle  # noqa: PLC0415 - as above

        try:
            return bytes(cloudpickle.dumps(value, protocol=pickle.DEFAULT_PROTOCOL))
        except Exception as error:
            raise BadValue(
                f"`result` cannot be carried {where}: {_words(error)}. {_REMEDIES[where]}"
            ) from error


def unpacked_alone(data: bytes) -> Any:
    """The value that ``packed_alone`` has made bytes of, by running what it brings along."""
    try:
        return pickle.loads(data)  # noqa: S301 - whose it is, his is the code
    except Exception as error:
        raise BadValue(
            f"The result cannot be brought here: {_words(error)}. What it is made of must be "
            "importable here, too."
        ) from error


def unpack(file: IO[bytes], *, where: str = "here") -> dict[str, Any]:
    """Read the values, by running what they bring along; raises BadValue."""
    header = _header(file.readline(_HEADER_BYTES))
    must_be_alike(header)
    try:
        values: dict[str, Any] = pickle.load(file)  # noqa: S301 - whose they are, his is the code
    except Exception as error:
        raise BadValue(
            f"{_listed(header['names'])} cannot be brought {where}: {_words(error)}. What it is made "
            "of must be importable there, too.",
            names=header["names"],
        ) from error
    return values


def must_be_names(names: Iterable[str], what: str) -> None:
    """Refuse what no variable can be called; ``what`` tells where it was said."""
    for name in names:
        if not is_name(name):
            raise BadValue(f"{name!r} in {what} is no name of a variable.", name=name)


def is_name(name: str) -> bool:
    """Whether a variable can be called so."""
    return name.isidentifier() and not iskeyword(name)


def chosen(names: Iterable[str], namespace: Mapping[str, Any], otherwise: str) -> dict[str, Any]:
    """The values of these names; raises BadValue with ``otherwise`` for one that is not set."""
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in namespace:
            raise BadValue(f"`{name}` {otherwise}.", name=name)
    return {name: namespace[name] for name in wanted}


# -- in the kernel of a job ------------------------------------------------------------------------


def take_in(path: str) -> None:
    """Put the values of the file into the namespace of this kernel."""
    with Path(path).open("rb") as file:
        _namespace().update(unpack(file, where="into the job"))


def take_out(path: str, names: Iterable[str]) -> None:
    """Write the values of these names, all or none: the file is there, on disk, when it returns."""
    values = chosen(names, _namespace(), "is not set at the end of the code")
    part = Path(f"{path}.part")
    try:
        with told_if_full(FULL), os.fdopen(os.open(part, _NEW, 0o600), "wb") as file:
            pack(values, file, where="out of the job")
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _namespace() -> MutableMapping[str, Any]:
    from IPython import get_ipython  # noqa: PLC0415 - there, it has been loaded

    namespace: MutableMapping[str, Any] = get_ipython().user_ns
    return namespace


# -- small parts -----------------------------------------------------------------------------------


def python_here() -> dict[str, str]:
    """Which Python this is, as what it writes says it."""
    implementation = platform.python_implementation().lower()
    return {"python": platform.python_version(), "implementation": implementation}


def _must_be_packable(name: str, value: Any, where: str) -> None:
    import cloudpickle  # noqa: PLC0415 - has been loaded

    try:
        cloudpickle.dump(value, _Nowhere(), protocol=pickle.DEFAULT_PROTOCOL)
    except Exception as error:
        raise BadValue(
            f"`{name}` cannot be carried {where}: {_words(error)}. {_REMEDIES[where]}", name=name
        ) from error


def _header(line: bytes) -> dict[str, Any]:
    try:
        header = json.loads(line)
        if {"python", "implementation", "names"} <= header.keys():
            return dict(header)
    except (ValueError, AttributeError):
        pass  # told below, as is what has another shape
    raise BadValue("This is no file of values: it does not begin with a line that says so.")


def must_be_alike(header: Mapping[str, Any]) -> None:
    """Refuse bytes of another Python: what they say holds for one minor version."""
    here = python_here()
    if _kind_of(header) == _kind_of(here):
        return
    there, ours = (f"{one['implementation']} {one['python']}" for one in (header, here))
    raise BadValue(
        f"The values were written by {there}, and this is {ours}: values go between Pythons of the "
        "same minor version only.",
        written_by=there,
        read_by=ours,
    )


def _kind_of(python: Mapping[str, Any]) -> tuple[str, list[str]]:
    return str(python["implementation"]), str(python["python"]).split(".")[:2]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _words(error: Exception) -> str:
    words = f"{type(error).__name__}: {error}".strip().rstrip(":.")
    return words if len(words) <= _MAX_WORDS else f"{words[:_MAX_WORDS]}…"
