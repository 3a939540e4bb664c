"""Every REST route, on a real server with real jobs."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from jupyter_tasks import posix
from tests.server.conftest import Server

LONG = "exec sleep 600"


async def test_a_submitted_job_runs_and_is_found_at_its_location(server: Server) -> None:
    answer = await server.ask("POST", "api/jobs", {"spec": {"command": "exit 3"}, "tags": ["x"]})

    assert answer.status == 201
    place = answer.headers["Location"]
    assert place == f"{server.base_url}tasks/api/jobs/{answer.json['id']}"
    ended = await server.until(answer.json["id"])
    assert (ended["state"], ended["reason"], ended["exit_code"]) == ("failed", "exit", 3)


async def test_a_list_of_jobs_is_accepted_in_its_order(server: Server) -> None:
    jobs = [{"spec": {"command": "true"}, "name": f"job {n}"} for n in range(5)]

    answer = await server.ask("POST", "api/jobs", jobs)

    assert answer.status == 201
    assert [job["name"] for job in answer.json["jobs"]] == [f"job {n}" for n in range(5)]


async def test_a_list_with_one_bad_job_is_refused_whole(server: Server) -> None:
    good, bad = {"spec": {"command": "true"}}, {"spec": {"command": "true", "cwd": "gone"}}

    assert (await server.ask("POST", "api/jobs", [good, bad])).status == 400

    assert (await server.ask("GET", "api/jobs")).json == {"jobs": [], "next": None}


async def test_the_same_request_again_gets_the_same_job(server: Server) -> None:
    body = {"spec": {"command": "true"}}
    first = await server.ask("POST", "api/jobs", body, Idempotency_Key="k1")

    again = await server.ask("POST", "api/jobs", body, Idempotency_Key="k1")
    other = await server.ask("POST", "api/jobs", {**body, "name": "x"}, Idempotency_Key="k1")

    assert (first.status, again.status) == (201, 200)
    assert again.json["id"] == first.json["id"]
    assert (other.status, other.json["code"]) == (409, "duplicate_key")


async def test_the_key_of_a_deleted_job_makes_a_new_one(server: Server) -> None:
    body = {"spec": {"command": "true"}}
    first = await server.ask("POST", "api/jobs", body, Idempotency_Key="k1")
    await server.until(first.json["id"])
    await server.ask("DELETE", f"api/jobs/{first.json['id']}")

    again = await server.ask("POST", "api/jobs", body, Idempotency_Key="k1")

    assert again.status == 201
    assert again.json["id"] != first.json["id"]


async def test_an_idempotency_key_is_bounded(server: Server) -> None:
    body = {"spec": {"command": "true"}}
    answer = await server.ask("POST", "api/jobs", body, Idempotency_Key="k" * 201)
    assert (answer.status, answer.json["details"]["field"]) == (400, "Idempotency-Key")


async def test_a_list_is_filtered_and_paged(server: Server) -> None:
    made = [await server.submit(tags=["even"] if n % 2 == 0 else []) for n in range(5)]

    first = (await server.ask("GET", "api/jobs?tag=even&limit=2")).json
    rest = (await server.ask("GET", f"api/jobs?tag=even&limit=2&after={first['next']}")).json

    found = [job["id"] for job in first["jobs"] + rest["jobs"]]
    assert found == [made[n]["id"] for n in (4, 2, 0)]
    assert rest["next"] is None


async def test_a_list_takes_what_jupyter_adds_to_a_query(server: Server) -> None:
    answer = await server.ask("GET", "api/jobs?1732180000000&no_track_activity=1")
    assert answer.status == 200


async def test_secrets_stay_inside(server: Server) -> None:
    spec = {"env": {"TOKEN": "hunter2"}, "stdin": "hunter2", "command": "cat >/dev/null"}

    answer = await server.ask("POST", "api/jobs", {"spec": spec})

    assert answer.status == 201
    assert b"hunter2" not in answer.body
    assert b"hunter2" not in (await server.ask("GET", "api/jobs")).body
    assert answer.json["spec"]["env"] == {"TOKEN": "***"}


async def test_a_waiting_job_is_edited_and_keeps_what_is_masked(server: Server) -> None:
    waiting = await waiting_job(server, spec={"env": {"TOKEN": "hunter2"}})
    edit = {"version": waiting["version"], "priority": 7, "timeout_s": 5, "spec": waiting["spec"]}

    answer = await server.ask("PATCH", f"api/jobs/{waiting['id']}", edit)

    assert answer.status == 200, answer.body
    assert (answer.json["priority"], answer.json["timeout_s"]) == (7, 5)
    assert answer.json["version"] == waiting["version"] + 1
    kept = await server.manager.get(waiting["id"], None)
    assert kept.spec.env == {"TOKEN": "hunter2"}


async def test_an_edit_of_an_old_version_is_refused(server: Server) -> None:
    waiting = await waiting_job(server)
    edit = {"version": waiting["version"], "priority": 1}
    assert (await server.ask("PATCH", f"api/jobs/{waiting['id']}", edit)).status == 200

    answer = await server.ask("PATCH", f"api/jobs/{waiting['id']}", edit)

    assert (answer.status, answer.json["code"]) == (409, "stale_version")


@pytest.mark.parametrize("what", [{}, {"priority": 0}, {"tags": []}])
async def test_an_edit_that_changes_nothing_is_no_event(
    server: Server, what: dict[str, Any]
) -> None:
    waiting = await waiting_job(server)
    before = await server.manager.store.last_seq()

    answer = await server.ask(
        "PATCH", f"api/jobs/{waiting['id']}", {"version": waiting["version"], **what}
    )

    assert (answer.status, answer.json) == (200, waiting)
    assert await server.manager.store.last_seq() == before


async def test_a_bulk_action_is_for_those_jobs_alone_that_it_can_be_done_to(server: Server) -> None:
    ended = await server.submit("true", tags=["mixed"])
    await server.until(ended["id"])
    waiting = await waiting_job(server, tags=["mixed"])
    only = {"filter": {"tags": ["mixed"]}}
    done = {}
    for verb in ("resume", "pause", "resume", "restart", "run", "cancel"):
        answer = await server.ask("POST", f"api/jobs/{verb}", only)
        done[verb] = answer.json
        if verb == "restart":
            await server.until(ended["id"], "queued")
            await server.ask("POST", f"api/jobs/{ended['id']}/cancel")
    await server.until(waiting["id"])
    nobody = {"filter": {"tags": ["mixed"], "states": ["queued"]}}
    none = (await server.ask("POST", "api/jobs/delete", nobody)).json

    assert set(done) == {"resume", "pause", "restart", "run", "cancel"}
    assert all(counts == {"matched": 1, "done": 1, "refused": 0} for counts in done.values()), done
    assert none == {"matched": 0, "done": 0, "refused": 0}


async def test_a_long_unknown_name_is_shortened_in_the_middle(server: Server) -> None:
    for path in ("a" + "b" * 3000 + "c", "jobs/a" + "b" * 3000 + "c"):
        answer = await server.ask("GET", f"api/{path}")
        assert answer.status == 404
        assert "bb…bb" in answer.json["message"]
        assert len(answer.body) < 600


async def test_a_job_is_cancelled_with_a_reason(server: Server) -> None:
    job = await server.submit(LONG)
    await server.until(job["id"], "running")

    answer = await server.ask("POST", f"api/jobs/{job['id']}/cancel", {"reason": "superseded"})

    assert answer.status == 202
    ended = await server.until(job["id"])
    assert (ended["state"], ended["reason"]) == ("cancelled", "superseded")


async def test_cancel_needs_no_body(server: Server) -> None:
    job = await server.submit(LONG)
    assert (await server.ask("POST", f"api/jobs/{job['id']}/cancel")).status == 202
    assert (await server.until(job["id"]))["reason"] == "user"


async def test_a_job_is_paused_and_resumed(server: Server) -> None:
    waiting = await waiting_job(server)

    paused = await server.ask("POST", f"api/jobs/{waiting['id']}/pause")
    resumed = await server.ask("POST", f"api/jobs/{waiting['id']}/resume")

    assert (paused.status, paused.json["state"]) == (202, "paused")
    assert (resumed.status, resumed.json["state"]) == (202, "queued")


async def test_a_job_that_has_ended_is_restarted_and_both_attempts_are_told(server: Server) -> None:
    job = await server.submit("exit 1")
    await server.until(job["id"])

    answer = await server.ask("POST", f"api/jobs/{job['id']}/restart")

    assert (answer.status, answer.json["state"]) == (202, "queued")
    await server.until(job["id"])
    attempts = (await server.ask("GET", f"api/jobs/{job['id']}/attempts")).json["attempts"]
    assert [one["number"] for one in attempts] == [1, 2]
    assert {one["exit_code"] for one in attempts} == {1}


async def test_an_attempt_tells_who_holds_it_and_where_while_it_runs_and_afterwards(
    server: Server,
) -> None:
    job, long = await server.submit("true"), await server.submit(LONG)
    await server.until(long["id"], "running")
    await server.until(job["id"])

    async def place(job_id: str) -> tuple[str, int]:
        answer = await server.ask("GET", f"api/jobs/{job_id}/attempts")
        [attempt] = answer.json["attempts"]
        return attempt["host"], attempt["pid"]

    host, pid = await place(long["id"])
    assert host == posix.host()
    assert b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert (await place(job["id"]))[0] == posix.host()

    await server.ask("POST", f"api/jobs/{long['id']}/cancel")
    await server.until(long["id"])
    assert await place(long["id"]) == (host, pid)


async def test_run_starts_a_waiting_job_beyond_the_limit(server: Server) -> None:
    waiting = await waiting_job(server)
    answer = await server.ask("POST", f"api/jobs/{waiting['id']}/run")
    assert answer.status == 202
    assert await server.until(waiting["id"], "running")


@pytest.mark.parametrize("verb", ["restart", "resume"])
async def test_what_the_state_forbids_is_a_conflict_that_says_so(server: Server, verb: str) -> None:
    waiting = await waiting_job(server)
    answer = await server.ask("POST", f"api/jobs/{waiting['id']}/{verb}")
    assert (answer.status, answer.json["code"]) == (409, "illegal_transition")
    assert "queued" in answer.json["message"]


async def test_only_a_job_that_has_ended_is_deleted(server: Server) -> None:
    job = await server.submit(LONG)
    refused = await server.ask("DELETE", f"api/jobs/{job['id']}")
    await server.ask("POST", f"api/jobs/{job['id']}/cancel")
    await server.until(job["id"])

    deleted = await server.ask("DELETE", f"api/jobs/{job['id']}")

    assert refused.status == 409
    assert "ancel it first" in refused.json["message"]
    assert (deleted.status, deleted.body) == (204, b"")
    assert (await server.ask("GET", f"api/jobs/{job['id']}")).status == 404


async def test_bulk_actions_count_what_they_did(server: Server) -> None:
    jobs = [await server.submit(LONG, tags=["bulk"]) for _ in range(4)]
    only = {"filter": {"tags": ["bulk"]}}

    cancelled = await server.ask("POST", "api/jobs/cancel", only)
    for job in jobs:
        await server.until(job["id"])
    again = await server.ask("POST", "api/jobs/cancel", only)
    deleted = await server.ask("POST", "api/jobs/delete", only)

    assert (cancelled.status, cancelled.json) == (202, {"matched": 4, "done": 4, "refused": 0})
    assert again.json == {"matched": 0, "done": 0, "refused": 0}
    assert deleted.json == {"matched": 4, "done": 4, "refused": 0}


@pytest.mark.parametrize("verb", ["pause", "resume", "restart", "run"])
async def test_each_bulk_action_takes_an_empty_filter(server: Server, verb: str) -> None:
    answer = await server.ask("POST", f"api/jobs/{verb}", {"filter": {}})
    assert (answer.status, answer.json) == (202, {"matched": 0, "done": 0, "refused": 0})


async def test_a_waiting_job_is_explained(server: Server) -> None:
    waiting = await waiting_job(server)
    told = (await server.ask("GET", f"api/jobs/{waiting['id']}/explain")).json
    assert (told["state"], told["position"], told["running"], told["max_running"]) == (
        "queued",
        0,
        2,
        2,
    )
    assert "slot" in told["message"]


async def test_artifacts_are_listed_and_sent_to_be_saved(server: Server) -> None:
    job = await server.submit(
        'mkdir -p "$JUPYTER_TASKS_ARTIFACTS/sub" && cd "$JUPYTER_TASKS_ARTIFACTS" &&'
        ' printf hello > sub/"a b.txt" && printf x > top'
    )
    await server.until(job["id"])

    listed = (await server.ask("GET", f"api/jobs/{job['id']}/artifacts")).json["artifacts"]
    sent = await server.ask("GET", f"api/jobs/{job['id']}/artifacts/sub/a%20b.txt")

    assert [(one["path"], one["size_bytes"]) for one in listed] == [("sub/a b.txt", 5), ("top", 1)]
    assert (sent.status, sent.body) == (200, b"hello")
    assert sent.headers["Content-Disposition"].startswith("attachment")
    assert sent.headers["Content-Type"] == "application/octet-stream"
    assert sent.headers["Content-Length"] == "5"


async def test_nothing_outside_is_an_artifact(server: Server) -> None:
    job = await server.submit(
        'mkdir -p "$JUPYTER_TASKS_ARTIFACTS" && cd "$JUPYTER_TASKS_ARTIFACTS" &&'
        " ln -s /etc/passwd link && ln -s /etc folder && mkfifo pipe && mkdir empty"
    )
    await server.until(job["id"])
    place = f"api/jobs/{job['id']}/artifacts"

    assert (await server.ask("GET", place)).json == {"artifacts": []}
    for path in (
        "link",
        "folder/passwd",
        "pipe",
        "empty",
        "..%2F..%2Fspec.json",
        "../claim",
        "%00",
    ):
        answer = await server.ask("GET", f"{place}/{path}")
        assert (answer.status, answer.json["code"]) == (404, "not_found"), path


async def test_an_artifact_whose_name_is_no_text_does_no_harm(server: Server) -> None:
    job = await server.submit(
        'mkdir -p "$JUPYTER_TASKS_ARTIFACTS" && cd "$JUPYTER_TASKS_ARTIFACTS" &&'
        ' printf 1 > "$(printf "a\\377")" && printf 2 > "$(printf "a\\376")" && : > "b ?#"'
        " && mkdir shut && chmod 0 shut"
    )
    await server.until(job["id"])
    answer = await server.ask("GET", f"api/jobs/{job['id']}/artifacts")
    replaced = "a\N{REPLACEMENT CHARACTER}"
    told = [(one["path"], one["href"]) for one in answer.json["artifacts"]]
    assert told == [
        (replaced, "artifacts/a%FE"),
        (replaced, "artifacts/a%FF"),
        ("b ?#", "artifacts/b%20%3F%23"),
    ]
    for _, href in told:
        sent = await server.ask("GET", f"api/jobs/{job['id']}/{href}")
        assert (sent.status, sent.body) == (200, {"E": b"2", "F": b"1", "3": b""}[href[-1]])
    missing = await server.ask("GET", f"api/jobs/{job['id']}/artifacts/c%FF")
    assert (missing.status, missing.json["code"]) == (404, "not_found")
    of_attempt = await server.ask("GET", f"api/jobs/{job['id']}/artifacts?attempt=1")
    assert of_attempt.json["artifacts"][0]["href"] == "artifacts/a%FE?attempt=1"
    no_attempt = await server.ask("GET", f"api/jobs/{job['id']}/artifacts?attempt=7")
    assert no_attempt.status == 404
    assert "has no attempt 7; its newest is 1" in no_attempt.json["message"]


async def test_a_file_that_becomes_shorter_is_broken_off_and_no_failure_of_ours(
    server: Server, state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = await server.submit('dd if=/dev/null of="$JUPYTER_TASKS_ARTIFACTS/f" bs=1 seek=67108864')
    await server.until(job["id"])
    [file] = state_dir.rglob("artifacts/f")

    begun = await server.begin("GET", f"api/jobs/{job['id']}/artifacts/f")
    head = await begun.stream.read_until(b"\r\n\r\n")
    os.truncate(file, 1)
    body = await begun.stream.read_until_close()

    assert b"Content-Length: 67108864" in head
    assert len(body) < 67108864
    assert [one.message for one in caplog.records if one.levelname == "ERROR"] == []


async def test_a_large_artifact_is_sent_whole(server: Server) -> None:
    job = await server.submit(
        'mkdir -p "$JUPYTER_TASKS_ARTIFACTS" && head -c 3000000 /dev/zero'
        ' > "$JUPYTER_TASKS_ARTIFACTS/zeros"'
    )
    await server.until(job["id"])
    sent = await server.ask("GET", f"api/jobs/{job['id']}/artifacts/zeros")
    assert sent.body == bytes(3_000_000)


async def test_the_status_tells_what_people_ask_first(server: Server) -> None:
    await server.until((await server.submit())["id"])
    told = (await server.ask("GET", "api/status")).json
    assert (told["role"], told["max_running"]) == ("active", 2)
    assert told["counts"]["succeeded"] == 1
    assert told["socket"] == str(server.settings["jupyter_tasks_socket"])
    assert told["store"]["journal_mode"] == "wal"
    assert told["survives"]["server_crash"] is True


async def test_a_relative_folder_is_below_the_servers_root(server: Server) -> None:
    (Path(server.app.root_dir) / "sub").mkdir()
    job = await server.submit("pwd", spec={"cwd": "sub"})
    assert job["spec"]["cwd"] == f"{server.app.root_dir}/sub"
    assert (await server.until(job["id"]))["state"] == "succeeded"


async def test_a_jobs_json_has_the_fields_of_the_wire(server: Server) -> None:
    job = await server.submit("true", name="n", tags=["t"], grace_s=1)
    assert json.loads(json.dumps(job))["spec"]["kind"] == "shell"
    assert (job["name"], job["tags"], job["grace_s"], job["progress"]) == ("n", ["t"], 1.0, None)


async def waiting_job(server: Server, **fields: object) -> dict[str, object]:
    """A job that waits, because both slots are taken."""
    busy = [await server.submit(LONG) for _ in range(2)]
    for job in busy:
        await server.until(job["id"], "running")
    return await server.submit(LONG, **fields)
