"""Pictures and tables of jobs, by matplotlib and pandas: neither is needed for anything else."""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from jupyter_tasks.client.calls import Wire
from jupyter_tasks.errors import BadValue, NoResult
from jupyter_tasks.records import Record

_MIB = 1024 * 1024
_COLOURS = {"succeeded": "tab:green", "failed": "tab:red", "stopped": "tab:gray"}


def usage(job: Wire, records: Iterable[Record], ax: Any = None) -> Any:
    """Memory and CPUs in use over an attempt's time; the axes of the memory.

    Raises NoResult where nothing was sampled, BadValue without matplotlib.
    """
    samples = [record.header for record in records if record.header["k"] == "usage"]
    if not samples:
        raise NoResult(
            f"Job {job['id']} has no samples of what it used: they are taken once a second, on the "
            "server's own machine.",
            job=job["id"],
        )
    ax = ax or _pyplot().subplots()[1]
    times = [sample["t"] for sample in samples]
    ax.plot(times, [sample["rss_bytes"] / _MIB for sample in samples], color="tab:blue")
    ax.set_ylabel("memory in MiB (solid)")
    ax.set_ylim(bottom=0)
    ax.set_xlabel("seconds since the start")
    ax.set_title(_title(job))
    busy = ax.twinx()
    busy.step(times, _cpus(samples), where="pre", color="tab:orange", linestyle="--")
    busy.set_ylabel("CPUs in use (dashed)")
    busy.set_ylim(bottom=0)
    return ax


def calls(job: Wire, told: Iterable[Wire], ax: Any = None) -> Any:
    """Who ran when: a bar for each call of a group that has begun, a row for each worker; the axes.

    Raises NoResult where none has begun, BadValue without matplotlib.
    """
    begun = [call for call in told if call["started_at"] is not None]
    if not begun:
        raise NoResult(f"No call of group {job['id']} has begun yet.", job=job["id"])
    ax = ax or _pyplot().subplots()[1]
    start = min(call["started_at"] for call in begun)
    workers = sorted({str(call["worker"]) for call in begun}, key=lambda name: (len(name), name))
    for state in dict.fromkeys(call["state"] for call in begun):
        ours = [call for call in begun if call["state"] == state]
        ax.barh(
            [workers.index(str(call["worker"])) for call in ours],
            [call["elapsed_s"] or 0 for call in ours],
            left=[call["started_at"] - start for call in ours],
            color=_COLOURS.get(state, "tab:blue"),
            edgecolor="white",
            label=state,
        )
    ax.set_yticks(range(len(workers)), [f"worker {name}" for name in workers])
    ax.set_xlabel("seconds since the first call")
    ax.set_title(_title(job))
    ax.legend()
    return ax


def frame(told: Iterable[Wire], arguments: Sequence[Any] | None) -> Any:
    """The calls of a group as a pandas DataFrame, by their index. Raises BadValue without pandas.

    ``arguments``: the sets of arguments, where they are known; a column each for those by name.
    """
    rows = [_arguments(call, arguments) | _row(call) for call in told]
    found = _needed("pandas").DataFrame(rows)
    return found.set_index("index") if rows else found


def _arguments(call: Wire, known: Sequence[Any] | None) -> dict[str, Any]:
    if known is None:
        return {}
    given = known[call["index"]]
    return dict(given) if isinstance(given, Mapping) else {"arguments": given}


def _row(call: Wire) -> dict[str, Any]:
    error = call.get("error") or {}
    words = ": ".join(filter(None, (error.get("type"), error.get("message"))))
    return {**call, "error": words or None}


def _cpus(samples: Sequence[dict[str, Any]]) -> list[float]:
    """How many CPUs were busy before each sample: CPU seconds are told as a sum."""
    found, before = [], {"t": 0.0, "cpu_s": 0.0}
    for sample in samples:
        passed_s = sample["t"] - before["t"]
        used_s = sample["cpu_s"] - before["cpu_s"]
        found.append(max(used_s, 0.0) / passed_s if passed_s > 0 else 0.0)
        before = sample
    return found


def _title(job: Wire) -> str:
    # A dollar sign would begin a formula.
    return f"{job['name']} ({job['state']})".replace("$", r"\$")


def _pyplot() -> Any:
    return _needed("matplotlib.pyplot")


def _needed(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise BadValue(
            f"This needs {package}, which is not installed here: pip install {package}.",
            package=package,
        ) from None
