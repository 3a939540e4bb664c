"""Tables and cards as plain text: for pipes, files and terminals without colour. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from jupyter_tasks import units, words

Wire = Mapping[str, Any]

JOB_COLUMNS: Final = ("ID", "STATE", "PROGRESS", "NAME", "SUBMITTED", "TOOK")


def job_row(job: Wire, now: float) -> tuple[str, ...]:
    """What the columns of a list of jobs say about one."""
    return (
        job["id"],
        words.state(job),
        words.progress(job),
        words.plain(job["name"]),
        units.moment(job["created_at"], now),
        words.took(job, now),
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows below their columns' names, each column as wide as it must be."""
    lines = [tuple(columns), *map(tuple, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    padded = ("  ".join(map(str.ljust, line, widths)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)


def card(facts: Iterable[tuple[str, str]]) -> str:
    """Names and values below each other; what is empty is left out."""
    told = [(name, value) for name, value in facts if value]
    width = max((len(name) for name, _ in told), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in told)


def _function(spec: Wire) -> str:
    """What is called, and how often; nothing for a job that calls none."""
    if "load" not in spec:
        return ""
    place = spec["load"]["module"] or spec["load"]["file"]
    name = words.plain(spec["task"]) + (f" of {words.plain(place)}" if place else "")
    return name if spec["calls"] is None else f"{name}, {spec['calls']} calls"


def job_facts(job: Wire, now: float) -> list[tuple[str, str]]:
    """All that people want to know about a job."""
    spec = job["spec"]
    return [
        ("Job", f"{job['id']}  {words.plain(job['name'])}"),
        ("State", words.state(job)),
        ("Message", words.plain(job["message"])),
        ("Progress", " ".join(filter(None, (words.progress(job), words.pace_words(job, now))))),
        ("Command", words.command(job)),
        ("Function", _function(spec)),
        ("Notebook", words.plain(spec.get("path", ""))),
        ("Output", words.plain(spec.get("output", ""))),
        ("Kernel", words.plain(spec.get("kernel", ""))),
        ("Program", words.plain(spec.get("program", ""))),
        ("On host", words.plain(spec.get("host", ""))),
        ("Lease", units.duration(spec["lease_s"]) if "lease_s" in spec else ""),
        ("Folder", words.plain(spec.get("cwd", ""))),
        ("Environment", ", ".join(map(words.plain, sorted(spec.get("env", {}))))),
        ("Tags", ", ".join(map(words.plain, job["tags"]))),
        ("Queue", f"{words.plain(job['queue'])}, priority {job['priority']}"),
        *_times(job, now),
        *_limits(job),
        *_usage(job),
        ("Logs", f"jupyter tasks logs {job['id'][:8]}"),
    ]


def status_facts(status: Wire, place: str, now: float) -> list[tuple[str, str]]:
    """How a server is."""
    counts = ", ".join(f"{count} {state}" for state, count in status["counts"].items() if count)
    store = status["store"]
    return [
        ("Server", f"{place}  (process {status['pid']} on {status['host']})"),
        ("Version", status["version"]),
        ("Role", status["role"] + (", read only" if status["read_only"] else "")),
        ("Up for", units.duration(now - status["started_at"])),
        ("Running", f"{status['running']} of at most {status['max_running']}"),
        ("Jobs", counts or "none"),
        ("Survival", status["survives"]["words"]),
        ("Kept in", status["state_dir"]),
        ("Store", f"SQLite {store['sqlite']}, {store['journal_mode']}, schema {store['schema']}"),
        ("Socket", status["socket"]),
    ]


def bar(part: float | None, *, width: int, ascii_only: bool) -> str:
    """A bar that is filled as far as the job is; nothing where nobody knows."""
    if part is None:
        return ""
    full, empty = "#-" if ascii_only else "━╌"
    filled = round(part * width)
    return full * filled + empty * (width - filled)


def _times(job: Wire, now: float) -> list[tuple[str, str]]:
    return [
        ("Submitted", units.moment(job["created_at"], now)),
        ("Due", units.moment(job["due_at"], now)),
        ("Started", units.moment(job["started_at"], now)),
        ("Ended", units.moment(job["ended_at"], now)),
        ("Took", words.took(job, now)),
        ("Attempt", str(job["attempt"]) if job["attempt"] > 1 else ""),
    ]


def _limits(job: Wire) -> list[tuple[str, str]]:
    limits = [
        f"{units.duration(job['timeout_s'])} of time" if job["timeout_s"] else "",
        f"{units.size(job['memory_bytes'])} of memory" if job["memory_bytes"] else "",
    ]
    return [("Limits", ", ".join(filter(None, limits)))]


def _usage(job: Wire) -> list[tuple[str, str]]:
    cpu = "" if job["cpu_s"] is None else f"{units.duration(job['cpu_s'])} of CPU"
    peak = "" if job["peak_rss_bytes"] is None else f"{units.size(job['peak_rss_bytes'])} at most"
    printed = f"{units.size(job['output_bytes'])} of output" if job["output_bytes"] else ""
    return [("Used", ", ".join(filter(None, (cpu, peak, printed))))]
