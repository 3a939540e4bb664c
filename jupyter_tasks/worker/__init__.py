"""The process in which functions are called: the leader of a function job.

It runs in the interpreter that the job names, which may have nothing of ours: this package needs the
standard library, and cloudpickle where something goes by value. What the job is stands in its
attempt's directory; what becomes of it is written there.
"""

import gc
import json
import os
import signal
import sys
import time
from dataclasses import replace
from typing import Any, NoReturn

from jupyter_tasks.errors import TasksError
from jupyter_tasks.worker.calling import Outcome, call
from jupyter_tasks.worker.loading import BadLoad, Work, load
from jupyter_tasks.worker.results import write, write_json
from jupyter_tasks.worker.telling import Teller

_FAILED = 1


def main(directory: str) -> None:
    """Do the work of the attempt; leaves by SystemExit where it has not succeeded."""
    with open(f"{directory}/spec.json", "rb") as file:
        spec: dict[str, Any] = json.loads(file.read())["spec"]
    try:
        work = load(spec, os.path.dirname(directory))
    except BadLoad as error:
        _fail(directory, Outcome.of_error(error, type_name=error.type_name))
    if work.calls is None:
        _call_once(directory, work)
    else:
        _call_all(directory, spec, work)


def _call_all(directory: str, spec: dict[str, Any], work: Work) -> None:
    from jupyter_tasks.worker.group import Group  # noqa: PLC0415 - a single call needs none of it

    started_at, began = time.time(), time.perf_counter()
    # Ctrl-C is for all of them together.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.freeze()  # what is looked at by each fork's collector would become its own copy
    concurrent, isolated = int(spec.get("max_concurrent", 0)), bool(spec.get("isolated"))
    try:
        group = Group(directory, work, max_concurrent=concurrent, isolated=isolated)
        group.run()
    except TasksError as error:
        _fail(directory, Outcome.of_error(error))
    elapsed_s = time.perf_counter() - began
    outcome = replace(group.outcome(), started_at=started_at, elapsed_s=elapsed_s)
    if not outcome.success:
        _fail(directory, outcome)
    write_json(directory, outcome)


def _fail(directory: str, outcome: Outcome) -> NoReturn:
    """Keep what went wrong beside the function itself, say it, and leave."""
    write_json(directory, outcome)
    print(outcome.error_words, file=sys.stderr)  # noqa: T201 - the job's own output
    sys.exit(_FAILED)


def _call_once(directory: str, work: Work) -> None:
    args, kwargs = work.only_call()
    teller = Teller()
    outcome = call(work.function, args, kwargs, teller)
    teller.flush()
    outcome = write(directory, outcome)
    if outcome.exit is not None:
        raise outcome.exit
    if not outcome.success:
        print(outcome.traceback or outcome.error_words, file=sys.stderr)  # noqa: T201 - as above
        sys.exit(_FAILED)
