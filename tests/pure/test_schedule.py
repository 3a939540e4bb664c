"""Who goes next."""

from hypothesis import given
from hypothesis import strategies as st

from jupyter_tasks.model import Job, ShellSpec, State
from jupyter_tasks.schedule import Line, starting_order


def queued(number: int, *, priority: int = 0, state: State = State.QUEUED) -> Job:
    return Job(
        id=f"{number:016x}",
        owner="ann",
        spec=ShellSpec(command="true", cwd="/"),
        name="true",
        created_at=float(number),
        updated_at=float(number),
        queued_at=float(number),
        number=number,
        priority=priority,
        state=state,
    )


def a_whole_line(*jobs: Job, limit: int = 256) -> Line:
    line = Line(limit=limit)
    line.refill(jobs, is_whole=True)
    return line


def numbers(line: Line) -> list[int]:
    return [job.number for job in iter(line.pop, None)]


def test_the_higher_priority_goes_first_then_who_queued_first() -> None:
    line = a_whole_line(queued(1), queued(2, priority=5), queued(3, priority=5), queued(4))

    assert numbers(line) == [2, 3, 1, 4]


def test_a_job_that_is_no_longer_queued_leaves_the_line() -> None:
    line = a_whole_line(queued(1), queued(2))

    line.update(queued(1, state=State.CANCELLED))

    assert numbers(line) == [2]


def test_a_new_priority_moves_a_job() -> None:
    line = a_whole_line(queued(1), queued(2))

    line.update(queued(2, priority=1))

    assert numbers(line) == [2, 1]


def test_a_fresh_line_knows_nothing_and_says_so() -> None:
    line = Line()

    line.update(queued(1))

    assert line.needs_refill
    assert len(line) == 0


def test_a_line_that_is_whole_takes_a_new_job_without_asking_the_store() -> None:
    line = a_whole_line()

    line.update(queued(1))

    assert not line.needs_refill
    assert numbers(line) == [1]


def test_a_full_line_lets_its_last_go_and_asks_the_store_when_it_is_empty() -> None:
    line = a_whole_line(queued(1), queued(2), limit=2)

    line.update(queued(3))

    assert numbers(line) == [1, 2]
    assert line.needs_refill


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(-2, 2)), max_size=60), st.integers(1, 8))
def test_what_comes_out_is_always_a_head_of_the_true_queue(
    arrivals: list[tuple[int, int]], limit: int
) -> None:
    line = a_whole_line(limit=limit)
    truth: dict[str, Job] = {}
    for number, priority in arrivals:
        job = queued(number, priority=priority)
        line.update(job)
        truth[job.id] = job

    out = list(iter(line.pop, None))

    assert out == sorted(truth.values(), key=starting_order)[: len(out)]
    assert len(out) == len(truth) or line.needs_refill


def test_a_job_that_came_while_the_store_was_read_is_not_forgotten() -> None:
    line, late = Line(), queued(1)
    # Not kept: a refill is under way, which has read the store before this one came.
    line.update(late)

    line.refill([], is_whole=True)

    assert line.needs_refill
    line.refill([late], is_whole=True)
    assert line.pop() == late
