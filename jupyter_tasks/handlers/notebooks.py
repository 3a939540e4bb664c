"""What is looked at before a notebook is accepted: the file, its kernel, its parameters, its output."""

from collections.abc import Iterable, Mapping
from typing import Any

from tornado.ioloop import IOLoop

from jupyter_tasks import parameters
from jupyter_tasks.errors import BadMessage
from jupyter_tasks.kernelspecs import KernelSpecs
from jupyter_tasks.messages import NotebookSpecMessage, SpecMessage
from jupyter_tasks.notebooks import Found, Shelf


async def look_at_notebooks(
    settings: Mapping[str, Any], root_dir: str, specs: Iterable[SpecMessage]
) -> None:
    """Put into each notebook spec its paths below the root folder, and the name of its kernel.

    Raises BadMessage where one could not be run as it is asked for.
    """
    wanted = [spec for spec in specs if isinstance(spec, NotebookSpecMessage)]
    if not wanted:
        return
    shelf = Shelf(root_dir, hidden=settings["serverapp"].contents_manager.allow_hidden)
    kernels: KernelSpecs = settings["jupyter_tasks_kernels"]
    found: dict[str, Found] = {}
    for spec in wanted:
        if spec.path not in found:
            found[spec.path] = await _in_thread(shelf.look_at, spec.path)
        notebook = found[spec.path]
        spec.path = notebook.path
        spec.kernel = await _kernel(kernels, spec.kernel, notebook)
        await _in_thread(_look_at_output, shelf, spec)
        if spec.parameters:
            language = await kernels.language_of(spec.kernel)
            await _in_thread(parameters.translated, spec.kernel, language, spec.parameters)


async def _kernel(kernels: KernelSpecs, asked: str | None, notebook: Found) -> str:
    """The kernel that was asked for, else the notebook's own, else the server's default."""
    try:
        return await kernels.checked(asked or notebook.kernel)
    except BadMessage as error:
        if asked:
            raise
        raise BadMessage(
            f"The notebook {notebook.path!r} wants a kernel that cannot be started. {error.message} "
            "Name one of them as `kernel`.",
            field="spec.kernel",
        ) from None


def _look_at_output(shelf: Shelf, spec: NotebookSpecMessage) -> None:
    if spec.output is None:
        shelf.must_be_writable_beside(spec.path)
    else:
        spec.output = shelf.must_be_writable(spec.output, spec.path)


async def _in_thread(call: Any, *arguments: Any) -> Any:
    return await IOLoop.current().run_in_executor(None, call, *arguments)
