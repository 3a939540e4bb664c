"""Whose jobs a request is about."""

import pytest

from jupyter_tasks.access import may_see, owner_of
from jupyter_tasks.model import Job, ShellSpec

JOB = Job(
    id="0" * 16,
    owner="ada",
    spec=ShellSpec(command="true", cwd="/"),
    name="x",
    created_at=1.0,
    updated_at=1.0,
)


def test_where_people_are_told_apart_each_has_their_own_jobs() -> None:
    assert owner_of("ada", provider_identifies_people=True, account="jovyan") == "ada"


@pytest.mark.parametrize("username", ["Anonymous Callisto", "anonymous", "5f2e"])
def test_where_they_are_not_all_jobs_are_the_accounts(username: str) -> None:
    assert owner_of(username, provider_identifies_people=False, account="jovyan") == "jovyan"


@pytest.mark.parametrize(
    ("owner", "sees"), [("ada", True), ("bob", False), (None, True), ("", False)]
)
def test_a_job_is_seen_by_its_owner_and_by_the_server(owner: str | None, sees: bool) -> None:
    assert may_see(JOB, owner) is sees
