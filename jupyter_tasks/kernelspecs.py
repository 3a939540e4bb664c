"""Which kernels this server may start, and how: what the installed kernelspecs say.

Only kernels that are plain processes of this machine: their supervisor is their parent.
"""

import asyncio
import errno
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any, Final

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from traitlets import TraitError

from jupyter_tasks.errors import BadMessage
from jupyter_tasks.model import CodeSpec, NotebookSpec

_LOCAL: Final = "local-provisioner"
#: What a kernelspec of IPython starts.
_LAUNCHER: Final = "ipykernel"
_PYTHONS: Final = frozenset(
    {"python", f"python{sys.version_info[0]}", "python{}.{}".format(*sys.version_info[:2])}
)
#: Options that stand for themselves and say what is loaded and how, not what is run.
_OPTION: Final = re.compile("-(?:[BEIOPsbdquv]+|[XW].+)")


class KernelSpecs:
    """The kernels that the server offers, by the names of their kernelspecs."""

    def __init__(
        self,
        manager: KernelSpecManager,
        *,
        default: str,
        are_remote: bool,
        environment: Mapping[str, str],
    ) -> None:
        """Ask the server's own manager, whose allow-list holds here too.

        ``are_remote``: kernels run on a gateway. ``environment``: what kernelspecs may refer to.
        """
        self._manager = manager
        self._default = default
        self._are_remote = are_remote
        self._environment = environment

    async def checked(self, name: str | None, *, carries_values: bool = False) -> str:
        """The name, or that of the default; raises BadMessage where no such kernel can be started.

        ``carries_values``: it must be one that can be given values, or be asked for some.
        """
        name = name or self._default
        loop = asyncio.get_running_loop()
        try:
            command = await loop.run_in_executor(None, self.command, name)
        except OSError as error:
            raise BadMessage(f"{error.strerror}", field="spec.kernel") from None
        if carries_values and not any(_LAUNCHER in word for word in command["argv"]):
            raise BadMessage(
                f"The kernel {name!r} is no Python of ours: `inputs` and `outputs` need ipykernel. "
                "Let the code read and write files.",
                field="spec.kernel",
            )
        return name

    async def language_of(self, name: str) -> str:
        """The language of a kernel that has been checked, as its kernelspec names it."""
        loop = asyncio.get_running_loop()
        command = await loop.run_in_executor(None, self.command, name)
        return str(command["language"])

    def command_of(self, spec: CodeSpec | NotebookSpec) -> dict[str, Any]:
        """How the kernel of the spec is started. Blocks; raises OSError, as ``command`` does."""
        if isinstance(spec, NotebookSpec) or spec.python is None:
            return self.command(spec.kernel)
        argv = [spec.python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return {
            "name": spec.python,
            "argv": argv,
            "interpreter_words": interpreter_words(argv),
            "env": {},
            "interrupt_mode": "signal",
            "resource_dir": "",
        }

    def command(self, name: str) -> dict[str, Any]:
        """How the kernel is started. Blocks; raises OSError, whose ``strerror`` is a sentence."""
        if self._are_remote:
            raise _refusal(
                "This server's kernels run on a gateway; code needs one of this machine."
            )
        if name not in (names := self._manager.find_kernel_specs()):
            known = ", ".join(sorted(names)) or "none"
            raise _refusal(f"There is no kernel {name!r} here; there are: {known}.")
        try:
            spec = self._manager.get_kernel_spec(name)
            return self._command_in(name, spec)
        except (NoSuchKernel, ValueError, TypeError, AttributeError, TraitError) as error:
            raise _refusal(f"The kernelspec {name!r} cannot be used: {error}.") from None

    def _command_in(self, name: str, spec: KernelSpec) -> dict[str, Any]:
        argv, provisioner = list(spec.argv), spec.metadata.get("kernel_provisioner", {})
        if not all(isinstance(word, str) for word in argv):
            raise ValueError("its argv holds what is no text")
        if not any("{connection_file}" in word for word in argv):
            raise ValueError("its argv names no {connection_file}")
        if (started_by := provisioner.get("provisioner_name", _LOCAL)) != _LOCAL:
            raise ValueError(f"its kernel is started by {started_by}, not on this machine")
        return {
            "name": name,
            "argv": (command := _command(argv)),
            "interpreter_words": interpreter_words(command),
            "env": {key: self._filled(value) for key, value in spec.env.items()},
            "interrupt_mode": spec.interrupt_mode,
            "resource_dir": spec.resource_dir,
            "display_name": spec.display_name,
            "language": spec.language,
        }

    def _filled(self, value: str) -> str:
        return Template(value).safe_substitute(self._environment)


def interpreter_words(argv: list[str]) -> int | None:
    """How many words stand before ``-m ipykernel_launcher``, the interpreter being the first.

    None for another command, and for one whose interpreter is another with each job's PATH or is
    told more than how to load.
    """
    for number in range(1, len(argv) - 1):
        if argv[number : number + 2] == ["-m", "ipykernel_launcher"]:
            are_known = all(map(_OPTION.fullmatch, argv[1:number]))
            return number if are_known and Path(argv[0]).is_absolute() else None
    return None


def _command(argv: list[str]) -> list[str]:
    """As jupyter_client has it: a bare python is the server's own."""
    return [sys.executable, *argv[1:]] if argv and argv[0] in _PYTHONS else list(argv)


def _refusal(words: str) -> OSError:
    return OSError(errno.ENOENT, words)
