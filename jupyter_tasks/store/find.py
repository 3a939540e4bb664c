"""Lists: which ranges of which index a filter means, merged newest first, page by page.

The tally of the jobs says which ranges hold anything at all, so that a list merges the few that do
and never sorts. What no range ensures is asked of each candidate's row, and a page looks at a
bounded number of candidates: it may be short, even empty, while ``Page.after`` says where to go on.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jupyter_tasks.contracts import Page
from jupyter_tasks.errors import BadMessage
from jupyter_tasks.model import Filter, folded
from jupyter_tasks.store import text_index
from jupyter_tasks.store.columns import NUMBER
from jupyter_tasks.store.queries import query
from jupyter_tasks.store.rows import job_of, to_json

#: How many candidates a page looks at, at most: some 10 ms.
LOOKS: Final = 10_000
#: How many ranges are merged, at most.
_WIDTH: Final = 24
#: How far the candidates for the driving range are counted to compare them.
_PROBE: Final = 1000
_END: Final = 2**63 - 1
_LINE: Final = "owner, states, kinds and queues"

Sort = tuple[str, str, str, str]  # owner, queue, kind, state


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ranges:
    """Some ranges of one index. ``covers`` names what of the filter needs no second look."""

    query: str
    keys: Sequence[tuple[Any, ...]]
    covers: frozenset[str] = frozenset()
    #: How many candidates there are, where that is known without counting.
    size: int | None = None

    def sql(self) -> str:
        one = query(self.query)
        if self.query == "range_numbers":
            return one
        return "\nUNION ALL\n".join([one] * len(self.keys)) + "\nORDER BY number DESC LIMIT ?"

    def parameters(self, below: int, limit: int) -> list[Any]:
        if self.query == "range_numbers":
            return [to_json([n for (n,) in self.keys if n < below]), limit]
        return [value for key in self.keys for value in (below, *key)] + [limit]


def find(
    connection: sqlite3.Connection,
    wanted: Filter,
    limit: int,
    after: str | None,
    *,
    looks: int = LOOKS,
) -> Page:
    """The newest jobs that the filter accepts, below the key, among the next ``looks`` candidates."""
    below = _number_of(after)
    plan = _plan(connection, wanted)
    if plan is None:
        return Page(jobs=(), after=None)
    ranges, rest = plan
    looks = looks if rest.terms else limit + 1
    rows = connection.execute(
        rest.page(ranges), [*ranges.parameters(below, looks), *rest.values, limit + 1]
    ).fetchall()
    jobs = tuple(job for row in rows[:limit] if (job := job_of(row)) is not None)
    if len(rows) > limit:
        return Page(jobs=jobs, after=str(rows[limit - 1][NUMBER]))
    is_bounded = bool(rest.terms)
    return Page(
        jobs=jobs, after=_looked_at(connection, ranges, below, looks) if is_bounded else None
    )


def _number_of(after: str | None) -> int:
    if after is None:
        return _END
    if not (after.isascii() and after.isdigit() and len(after) < 19):
        raise BadMessage(
            f"{after!r} is no key of a page; take the one that came with the page before.",
            after=after,
        )
    return int(after)


def _looked_at(
    connection: sqlite3.Connection, ranges: _Ranges, below: int, looks: int
) -> str | None:
    """Where to go on after a page that was not filled; None where everything was looked at."""
    sql = query("looked_at").replace("{ranges}", ranges.sql())
    count, last = connection.execute(sql, ranges.parameters(below, looks)).fetchone()
    return str(last) if count >= looks else None


# -- which ranges ---------------------------------------------------------------------------------


def _plan(connection: sqlite3.Connection, wanted: Filter) -> "tuple[_Ranges, _Rest] | None":
    """The ranges that promise the least work, and what is left to ask; None: there is nothing."""
    tally = {
        (owner, queue, kind, state): n
        for owner, queue, kind, state, n in connection.execute(query("tally")).fetchall()
    }
    sorts = {sort: n for sort, n in tally.items() if _is_wanted(sort, wanted)}
    if not sorts:
        return None
    plans = [
        (ranges, _rest(wanted, ranges)) for ranges in _choices(connection, wanted, tally, sorts)
    ]
    for plan in plans:
        if not plan[1].terms or len(plans) == 1:
            return plan
    uncounted = [plan for plan in plans if plan[0].size is None]
    if len(uncounted) == 1 and all((plan[0].size or LOOKS) >= LOOKS for plan in plans):
        return uncounted[0]  # to count could only show that it is the shorter one
    return min(plans, key=lambda plan: _size(connection, plan[0]))


def _is_wanted(sort: Sort, wanted: Filter) -> bool:
    owner, queue, kind, state = sort
    return (
        (wanted.owner is None or owner == wanted.owner)
        and (not wanted.queues or queue in wanted.queues)
        and (not wanted.kinds or kind in wanted.kinds)
        and (not wanted.states or state in wanted.states)
    )


def _choices(
    connection: sqlite3.Connection,
    wanted: Filter,
    tally: Mapping[Sort, int],
    sorts: Mapping[Sort, int],
) -> list[_Ranges]:
    if wanted.ids:
        return [_of_ids(connection, wanted.ids)]
    pairs = sorted({(owner, state) for owner, _, _, state in sorts})
    wide = sum(n for (owner, _, _, state), n in tally.items() if (owner, state) in set(pairs))
    covers = frozenset({_LINE} if wide == sum(sorts.values()) else ())
    choices: list[_Ranges] = []
    if len(pairs) <= _WIDTH:
        choices += [_of_tag(tag, pairs, covers) for tag in dict.fromkeys(wanted.tags)]
    text = folded(wanted.text)
    if text_index.serves(connection, text):
        keys = [(text_index.expression(text),)]
        choices.append(_Ranges(query="range_text", keys=keys))
    return [*choices, _of_sorts(tally, sorts, pairs, covers)]


def _of_tag(tag: str, pairs: Sequence[tuple[str, str]], covers: frozenset[str]) -> _Ranges:
    keys = [(owner, tag, state) for owner, state in pairs]
    return _Ranges(query="range_tag", keys=keys, covers=covers | {f"tag {tag}"})


def _of_ids(connection: sqlite3.Connection, ids: Sequence[str]) -> _Ranges:
    rows = connection.execute(query("numbers"), (to_json(ids),)).fetchall()
    return _Ranges(query="range_numbers", keys=sorted(set(rows), reverse=True))


def _of_sorts(
    tally: Mapping[Sort, int],
    sorts: Mapping[Sort, int],
    pairs: Sequence[tuple[str, str]],
    covers: frozenset[str],
) -> _Ranges:
    """Everything, the states, or the lines: the fewest ranges that are exact, else the narrowest."""
    size = sum(sorts.values())
    line = frozenset({_LINE})
    if size == sum(tally.values()):
        return _Ranges(query="range_all", keys=[()], covers=line, size=size)
    if len(sorts) <= _WIDTH and not covers:
        return _Ranges(query="range_line", keys=sorted(sorts), covers=line, size=size)
    if len(pairs) <= _WIDTH:
        return _Ranges(query="range_state", keys=pairs, covers=covers, size=size)
    return _Ranges(query="range_all", keys=[()], size=sum(tally.values()))


def _size(connection: sqlite3.Connection, ranges: _Ranges) -> int:
    """How many candidates there are; where they are more than a glance shows: many."""
    if ranges.size is not None:
        return ranges.size
    sql = query("size").replace("{ranges}", ranges.sql())
    count = int(connection.execute(sql, ranges.parameters(_END, _PROBE)).fetchone()[0])
    return count if count < _PROBE else LOOKS


# -- what is left to ask --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    """Conditions on the row of a candidate, with their values."""

    terms: tuple[str, ...]
    values: tuple[object, ...]

    def page(self, ranges: _Ranges) -> str:
        rest = " AND ".join(self.terms) or "1"
        return query("page").replace("{ranges}", ranges.sql()).replace("{rest}", rest)


def _rest(wanted: Filter, ranges: _Ranges) -> _Rest:
    asked: list[tuple[str, object]] = []
    if _LINE not in ranges.covers:
        if wanted.owner is not None:
            asked.append(("rest_owner", wanted.owner))
        sets = {"states": wanted.states, "kinds": wanted.kinds, "queues": wanted.queues}
        asked.extend((f"rest_{name}", to_json(values)) for name, values in sets.items() if values)
    tags = [tag for tag in dict.fromkeys(wanted.tags) if f"tag {tag}" not in ranges.covers]
    asked.extend(("rest_tag", tag) for tag in tags)
    if wanted.text:
        asked.append(("rest_text", folded(wanted.text)))
    return _Rest(
        terms=tuple(query(name) for name, _ in asked), values=tuple(value for _, value in asked)
    )
