"""What an IPython kernel is asked when its code has ended: to leave, with all that the code has started.

Told by a ``shutdown_request``, ipykernel can hang for ever: its control thread then has a last word to
publish while its main thread closes the socket for that. So its main thread is asked to come to an end
by itself, as a Python does: threads are waited for, exit functions run, files are closed.

Nothing of a job outlives it, and ipykernel would wait for half a minute for processes that ignore
SIGTERM (as Python's own resource tracker does), or that have ended and nobody has waited for.
"""

from jupyter_tasks.runners.base import Message

#: First politely, then by force; to wait for them is what only their parent can.
_END_CHILDREN = (
    "(lambda psutil: [psutil.wait_procs([child for child in psutil.Process().children(recursive=True)"
    " if not child.send_signal(number)], timeout=wait_s) for number, wait_s in ((15, 1), (9, 2))]"
    " and None)(__import__('psutil'))"
)
_STOP = "(lambda loop: loop.add_callback(loop.stop))(__import__('tornado.ioloop').ioloop.IOLoop.current())"


def request(*, has_children: bool) -> Message:
    """The content of the ``execute_request`` that asks for it; no code runs, expressions are evaluated."""
    asked = {"children": _END_CHILDREN} if has_children else {}
    return {
        "code": "",
        "silent": True,
        "store_history": False,
        "user_expressions": {**asked, "stop": _STOP},
        "allow_stdin": False,
        "stop_on_error": False,
    }
