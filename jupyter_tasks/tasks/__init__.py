"""Tasks as people write them: a function, steps of functions, a class that drives, a command.

Light: what is imported by the code of tasks must not load the server's parts, and runs in any Python
3.11 or newer. The names are explained where they are defined.
"""

from jupyter_tasks.tasks.commands import CommandTask
from jupyter_tasks.tasks.declaring import MARK, Done, Task, definition_of, is_task, steps, task
from jupyter_tasks.tasks.definition import Definition, Source, checked, is_name

__all__ = [
    "MARK",
    "CommandTask",
    "Definition",
    "Done",
    "Source",
    "Task",
    "checked",
    "definition_of",
    "is_name",
    "is_task",
    "steps",
    "task",
]

for _name in ("CommandTask", "Done", "Task", "steps", "task"):
    # People and pickles know them by the name under which they are offered.
    globals()[_name].__module__ = __name__
