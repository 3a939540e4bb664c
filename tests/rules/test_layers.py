"""Imports point downwards, and every module has its place."""

import subprocess
import sys
from pathlib import Path

from tests.rules.house import ROOT


def test_the_import_contracts_hold() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    command = [lint_imports, "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
