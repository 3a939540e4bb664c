"""What an attempt's directory holds before its supervisor comes: the spec, and what goes with it."""

import errno
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from jupyter_tasks import attempt, inputs, notebooks, parameters
from jupyter_tasks.errors import BadMessage
from jupyter_tasks.model import CodeSpec, FunctionSpec, Job, NotebookSpec, Spec

#: How the kernel of such a spec is started; may raise OSError with a sentence.
Kernels = Callable[[CodeSpec | NotebookSpec], dict[str, Any]]


def write(
    job: Job, *, state_dir: Path, runtime_dir: Path, kernels: Kernels
) -> dict[str, Any] | None:
    """Make the directory and write the spec; returns how its kernel is started, where it has one.

    Blocks; raises OSError.
    """
    directory = attempt.create(state_dir, job.id, job.attempt)
    _must_have_inputs(job, state_dir)
    to_be_run = _to_be_run(job, kernels)
    spec = {
        "version": attempt.VERSION,
        "job": job.id,
        "attempt": job.attempt,
        "name": job.name,
        "spec": to_be_run,
        "timeout_s": job.timeout_s,
        "memory_bytes": job.memory_bytes,
        "grace_s": job.grace_s,
        "max_output_bytes": job.max_output_bytes,
        "umask": _UMASK,
        "runtime_dir": os.fspath(runtime_dir),
    }
    if not _is_written(directory, spec):
        if isinstance(job.spec, NotebookSpec):
            path = f"{directory}/{attempt.NOTEBOOK_FILE}"
            notebooks.snapshot(job.spec.root, job.spec.path, job.spec.output, path)
        attempt.write_spec(directory, spec)
    kernel: dict[str, Any] | None = to_be_run.get("kernel") if _has_kernel(job.spec) else None
    return kernel


def no_kernels(spec: CodeSpec | NotebookSpec) -> dict[str, Any]:
    """Where nobody knows any kernels."""
    raise FileNotFoundError(errno.ENOENT, f"There is no kernel {spec.kernel!r} here")


def remove_key(directory: str) -> None:
    """Remove the key to a kernel whose supervisor has died; nothing happens where there is none."""
    Path(directory, attempt.KERNEL_FILE).unlink(missing_ok=True)


def _has_kernel(spec: Spec) -> bool:
    return isinstance(spec, CodeSpec | NotebookSpec)


def _to_be_run(job: Job, kernels: Kernels) -> dict[str, Any]:
    """The spec, with what its kernelspec or its interpreter is at the moment."""
    spec = job.spec
    told: dict[str, Any] = msgspec.to_builtins(spec)
    if isinstance(spec, CodeSpec):
        return told | {"kernel": kernels(spec)}
    if isinstance(spec, NotebookSpec):
        return told | _of_notebook(spec, kernels(spec)) | {"max_output_bytes": job.max_output_bytes}
    if isinstance(spec, FunctionSpec):
        return told | {"python": spec.python or sys.executable, "cloudpickle": _CLOUDPICKLE}
    return told


def _of_notebook(spec: NotebookSpec, kernel: dict[str, Any]) -> dict[str, Any]:
    source = None
    if spec.parameters:
        try:
            source = parameters.translated(kernel["name"], kernel["language"], spec.parameters)
        except BadMessage as error:  # its kernelspec is another by now
            raise OSError(errno.EINVAL, error.message.rstrip(".")) from None
    output = os.fspath(Path(spec.root, spec.output))
    return {"kernel": kernel, "output_path": output, "parameters_source": source}


def _must_have_inputs(job: Job, state_dir: Path) -> None:
    if not inputs.settle(state_dir, job):
        words = "The file with the values that it was given has gone; submit the job anew"
        raise FileNotFoundError(errno.ENOENT, words)


def _is_written(directory: str, spec: dict[str, Any]) -> bool:
    """Whether the spec is there: a start on its way may be reading it, so it is not written again."""
    try:
        return json.dumps(attempt.read_spec(directory)) == json.dumps(spec)
    except (OSError, ValueError):
        return False


def _read_umask() -> int:
    """The umask of this process. Elsewhere than on Linux it can only be read by setting it."""
    with suppress(OSError), Path("/proc/self/status").open() as status:
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _place_of_cloudpickle() -> str | None:
    spec = find_spec("cloudpickle")
    return os.path.dirname(spec.origin) if spec is not None and spec.origin else None  # noqa: PTH120


_CLOUDPICKLE = _place_of_cloudpickle()
_UMASK = _read_umask()
