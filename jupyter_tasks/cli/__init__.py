"""The command line: ``jupyter tasks VERB``. Reads arguments, calls the client, prints.

What a verb does stands in `verbs`, how things look in `words`, `tables` and `screen`. rich and httpx
are loaded where they are first used: ``--help`` has no need of them.
"""

from jupyter_tasks.cli.app import main

__all__ = ["main"]
