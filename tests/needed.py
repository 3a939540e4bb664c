"""What some tests need and not every machine has."""

import os
import shutil
import subprocess
from typing import NoReturn

import pytest


def missing(what: str, remedy: str) -> NoReturn:
    """Skip the test; with JUPYTER_TASKS_BROWSER=required, where everything has to be there, fail."""
    words = f"There is no {what} here. {remedy}"
    if os.environ.get("JUPYTER_TASKS_BROWSER") == "required":
        pytest.fail(words)
    pytest.skip(words)


def r_or_missing() -> None:
    """See that R is here, with its kernel and what our guide in R needs."""
    asks = "for (name in c('IRkernel', 'curl', 'jsonlite')) loadNamespace(name)"
    if shutil.which("Rscript") is not None:
        tried = subprocess.run(["Rscript", "-e", asks], check=False, capture_output=True)
        if tried.returncode == 0:
            return
    missing("R with its kernel", "Debian: apt install r-cran-irkernel r-cran-curl")
