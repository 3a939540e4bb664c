"""What some tests need and not every machine has."""

import os
from typing import NoReturn

import pytest


def missing(what: str, remedy: str) -> NoReturn:
    """Skip the test; with JUPYTER_TASKS_BROWSER=required, where everything has to be there, fail."""
    words = f"There is no {what} here. {remedy}"
    if os.environ.get("JUPYTER_TASKS_BROWSER") == "required":
        pytest.fail(words)
    pytest.skip(words)
