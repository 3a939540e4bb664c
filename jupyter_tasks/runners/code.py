"""Runs source text in a fresh kernel: values in, the code, values out."""

from jupyter_tasks.runners import shell
from jupyter_tasks.runners.base import Message, Stage
from jupyter_tasks.runners.carrying import Carrier
from jupyter_tasks.runners.endings import code_end, how, is_success, raised
from jupyter_tasks.runners.kernel import KernelRunner


class CodeRunner(KernelRunner):
    """One kernel, one piece of code (base.Runner)."""

    def __init__(self, spec: Message, stage: Stage) -> None:
        """Start nothing yet."""
        super().__init__(spec, stage)
        self._carrier = Carrier(spec, stage.directory, self._kernel["name"])
        self._code_reply: Message | None = None

    def _next(self) -> None:
        """Values in, the code, values out, the end."""
        if self._carrier.trouble:
            self._dismiss()
        elif not self._has_begun:
            if not self._carries(self._carrier.before()):
                self._run(self._spec["source"])
        elif not (self._is_code_done() and self._carries(self._carrier.after())):
            self._dismiss()

    def _carries(self, request: Message | None) -> bool:
        """Ask for what carries values, where there are any to carry."""
        if request is None:
            return False
        self._ask_for(request)
        return True

    def _is_code_done(self) -> bool:
        return self._code_reply is not None and is_success(code_end(self._code_reply))

    def _replied(self, reply: Message) -> None:
        if self._carrier.is_busy:
            self._carrier.heard(reply)
        else:
            self._code_reply = reply

    def _ended(self, status: int | None) -> Message:
        """What became of the code, or of its kernel if that ended first."""
        if self._carrier.trouble:
            return raised(self._carrier.trouble)
        if self._carrier.is_busy:
            return {
                **self._death(status),
                "outcome": "kernel_died",
                "message": self._carrier.ended(how(shell.outcome(status))),
            }
        if self._code_reply is None:
            return self._death(status)
        end = code_end(self._code_reply)
        if is_success(end) and not self._carrier.is_done:
            return raised(self._carrier.ended(how(shell.outcome(status))))
        return end
