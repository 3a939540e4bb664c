"""What is published speaks of no machine on which it was made."""

import re
from pathlib import Path

import pytest

from tests.rules.house import ROOT, tracked_files

#: Folders that every machine has, so that their names betray none.
EVERYWHERE = {Path("/"), *map(Path, ("/home", "/mnt", "/opt", "/srv", "/tmp", "/usr", "/var/tmp"))}
SOMEBODYS_HOME = re.compile(
    rb"(?:/home/|/Users/|[A-Z]:\\Users\\)(?!jovyan\b|ann\b|me\b)[A-Za-z0-9_.-]+"
)


@pytest.mark.parametrize("path", tracked_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_names_this_machines_folders(path: Path) -> None:
    content = path.read_bytes()
    for place in {ROOT, ROOT.parent, Path.home()} - EVERYWHERE:
        assert f"{place}/".encode() not in content
    assert not SOMEBODYS_HOME.findall(content)
