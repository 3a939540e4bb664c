"""The drawn life cycle is the one that the program lives by."""

import importlib.util
import re
from types import ModuleType

import pytest

from jupyter_tasks.lifecycle import TABLE, event_name
from tests.rules.house import ROOT


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_lifecycle", ROOT / "docs/draw_lifecycle.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["README.md", "docs/lifecycle.md"])
def test_the_drawing_is_up_to_date(drawing: ModuleType, page: str) -> None:
    text = (ROOT / page).read_text()
    assert text == drawing.redrawn(text, page), "run `make diagram`"


def test_the_drawn_table_has_every_row_and_no_other(drawing: ModuleType) -> None:
    rows = [line.split(" | ") for line in drawing.table().splitlines()[2:]]
    drawn = {
        (a.strip("| `"), e.strip("`"), frozenset(re.findall(r"[a-z]+", to))) for a, e, to in rows
    }
    assert drawn == {
        (str(state), event_name(event.__new__(event)), frozenset(map(str, afters)))
        for state, row in TABLE.items()
        for event, afters in row.items()
    }


def test_the_diagram_has_every_arrow(drawing: ModuleType) -> None:
    drawn = set(re.findall(r"^    ([a-z]+) --> ([a-z]+): ", drawing.diagram(), re.MULTILINE))
    afters = {(str(a), str(b)) for a, row in TABLE.items() for to in row.values() for b in to}
    assert drawn == {(a, b) for a, b in afters if a != b}


def test_a_page_without_its_markers_is_refused(drawing: ModuleType) -> None:
    with pytest.raises(SystemExit, match="markers"):
        drawing.redrawn("no markers here", "README.md")
