"""A task's typed fields: from a function's signature, from and to text, checked, with defaults.

Standard library alone: the same code runs where a task is written, in the server that checks what
is asked of it, and beside the function that runs.
"""

from jupyter_tasks.fields.shape import About, Field, FieldType, Scalar
from jupyter_tasks.fields.signatures import checked_field, fields_of, to_python
from jupyter_tasks.fields.values import parse, parse_texts, schema, to_texts

__all__ = [
    "About",
    "Field",
    "FieldType",
    "Scalar",
    "checked_field",
    "fields_of",
    "parse",
    "parse_texts",
    "schema",
    "to_python",
    "to_texts",
]

for _name in ("About", "Field"):
    # People and pickles know them by the name under which they are offered.
    globals()[_name].__module__ = __name__
