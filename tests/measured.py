"""Whether coverage is measured, and with which Python fork servers and supervisors run then."""

import os
import sys
from pathlib import Path

#: Set by `make cov`.
IS_MEASURED = bool(os.environ.get("JUPYTER_TASKS_COVERAGE"))
#: None: the product's own choice.
PYTHON = (
    [sys.executable, str(Path(__file__).with_name("measured_python.py"))] if IS_MEASURED else None
)
