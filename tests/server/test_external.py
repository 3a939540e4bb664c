"""Programs that run elsewhere and report: progress, output, result, end, silence, wishes."""

import base64
import json
from typing import Any

from tests.eventually import eventually_async
from tests.server.conftest import Answer, Server


async def submit(server: Server, lease_s: float = 300, **fields: Any) -> str:
    spec = {"kind": "external", "lease_s": lease_s, "program": "solver.R", "host": "elsewhere"}
    answer = await server.ask("POST", "api/jobs", {"spec": spec, **fields})
    assert answer.status == 201, answer.body
    job_id: str = answer.json["id"]
    return job_id


async def report(server: Server, job_id: str, body: Any = b"", **headers: str) -> Answer:
    return await server.ask("POST", f"api/jobs/{job_id}/report", body, **headers)


async def output(server: Server, job_id: str, form: str = "text") -> bytes:
    return (await server.ask("GET", f"api/jobs/{job_id}/output?format={form}")).body


async def test_a_program_elsewhere_takes_no_slot_and_runs_at_once(server: Server) -> None:
    held = [await server.submit("exec sleep 600") for _ in range(4)]
    job_id = await submit(server)

    job = await server.until(job_id, "running")

    assert (job["attempt"], job["name"], job["kind"]) == (1, "solver.R", "external")
    assert job["spec"] == {
        "kind": "external",
        "lease_s": 300,
        "program": "solver.R",
        "host": "elsewhere",
    }
    for one in held:
        await server.ask("POST", f"api/jobs/{one['id']}/cancel")


async def test_running_programs_elsewhere_leave_the_slots_to_others(server: Server) -> None:
    for _ in range(8):
        await submit(server)

    job = await server.until((await server.submit())["id"])

    assert job["state"] == "succeeded"
    assert (await server.ask("GET", "api/status")).json["running"] == 0


async def test_what_it_reports_is_the_jobs_progress_and_output(server: Server) -> None:
    job_id = await submit(server)

    answer = await report(
        server, job_id, {"progress": "3/12 third file", "out": "a\n", "err": "b\n"}
    )

    assert answer.status == 200, answer.body
    assert answer.json == {
        "job": job_id,
        "attempt": 1,
        "state": answer.json["state"],
        "cancel": False,
        "pause": False,
        "lease_s": 300,
        "is_new": True,
    }
    job = await server.job(job_id)
    told = {"value": 3, "total": 12, "message": "third file", "source": "report"}
    assert job["progress"] == told
    assert await output(server, job_id) == b"a\nb\n"


async def test_bytes_that_are_no_text_are_kept_as_they_are(server: Server) -> None:
    job_id = await submit(server)
    data = bytes(range(256))

    await report(server, job_id, {"out_b64": base64.b64encode(data).decode()})

    assert await output(server, job_id) == data


async def test_its_output_reaches_who_follows_it(server: Server) -> None:
    job_id = await submit(server)
    begun = await server.begin("GET", f"api/jobs/{job_id}/output?follow=true")
    await begun.answer()

    await report(server, job_id, {"out": "first\n"})
    await begun.stream.read_until(b"first\n")
    await report(server, job_id, {"out": "last\n", "exit_code": 0})

    assert b"last\n" in await begun.stream.read_until(b"0\r\n\r\n")
    begun.close()


async def test_it_ends_as_it_says(server: Server) -> None:
    ends = [
        ({"end": "succeeded"}, ("succeeded", "", 0)),
        ({"exit_code": 0}, ("succeeded", "", 0)),
        ({"exit_code": 3}, ("failed", "exit", 3)),
        ({"end": "failed", "message": "no licence"}, ("failed", "error", None)),
        ({"end": "cancelled"}, ("cancelled", "program", None)),
    ]
    for body, expected in ends:
        job_id = await submit(server)
        answer = await report(server, job_id, body)
        job = await server.job(job_id)
        assert answer.json["state"] == job["state"]
        assert (job["state"], job["reason"], job["exit_code"]) == expected
        assert job["message"] == body.get("message", "")


async def test_who_reports_after_the_end_is_told_so(server: Server) -> None:
    job_id = await submit(server)
    await report(server, job_id, {"exit_code": 0})

    answer = await report(server, job_id, {"out": "late"})

    assert (answer.status, answer.json["code"]) == (409, "conflict")
    assert f"Job {job_id} is succeeded" in answer.json["message"]
    assert await output(server, job_id) == b""


async def test_the_same_report_again_changes_nothing(server: Server) -> None:
    job_id = await submit(server)
    first = {"out": "once\n"}
    last = {"out": "end\n", "exit_code": 0}

    news = [
        (await report(server, job_id, body, Idempotency_Key=key)).json["is_new"]
        for body, key in [(first, "a"), (first, "a"), (first, "b"), (last, "c"), (last, "c")]
    ]

    assert news == [True, False, True, True, False]
    assert await output(server, job_id) == b"once\nonce\nend\n"


async def test_silence_longer_than_the_lease_loses_it(server: Server) -> None:
    job_id = await submit(server, lease_s=1)

    job = await server.until(job_id)

    assert (job["state"], job["reason"]) == ("lost", "silent")
    assert job["message"] == "Its program has not reported for 1 s; it may still run elsewhere."
    assert (await report(server, job_id)).status == 409


async def test_a_job_that_is_restarted_waits_for_reports_again(server: Server) -> None:
    job_id = await submit(server)
    await report(server, job_id, {"out": "one", "exit_code": 1})

    await server.ask("POST", f"api/jobs/{job_id}/restart")
    stale = await report(server, job_id, {"attempt": 1, "out": "stale"})
    answer = await report(server, job_id, {"attempt": 2, "out": "two", "exit_code": 0})

    assert stale.status == 409
    assert answer.status == 200, answer.body
    assert await output(server, job_id) == b"two"
    assert (await server.job(job_id))["state"] == "succeeded"


async def test_a_program_learns_by_its_next_report_that_it_should_end(server: Server) -> None:
    job_id = await submit(server)
    await server.until(job_id, "running")
    await server.ask("POST", f"api/jobs/{job_id}/cancel", {"reason": "too hot"})

    told = (await report(server, job_id)).json
    await report(server, job_id, {"end": "failed", "exit_code": 130})

    assert (told["state"], told["cancel"]) == ("running", True)
    job = await server.job(job_id)
    assert (job["state"], job["reason"]) == ("cancelled", "too hot")


async def test_a_program_that_hears_no_cancel_is_cancelled_after_its_grace(server: Server) -> None:
    job_id = await submit(server, grace_s=0.1)
    await server.until(job_id, "running")

    await server.ask("POST", f"api/jobs/{job_id}/cancel")

    job = await server.until(job_id)
    assert (job["state"], job["reason"]) == ("cancelled", "user")
    assert "may still run elsewhere" in job["message"]


async def test_a_timeout_holds_for_it_too(server: Server) -> None:
    job = await server.until(await submit(server, timeout_s=0.1))

    assert (job["state"], job["reason"]) == ("failed", "timeout")


async def test_a_program_pauses_when_it_says_so_and_goes_on_when_it_is_told(server: Server) -> None:
    job_id = await submit(server, lease_s=1)
    await server.until(job_id, "running")
    await server.ask("POST", f"api/jobs/{job_id}/pause")
    wished = (await report(server, job_id)).json

    stands = (await report(server, job_id, {"paused": True})).json
    await server.ask("POST", f"api/jobs/{job_id}/resume")
    goes_on = await server.until(job_id, "running")

    assert (wished["state"], wished["pause"]) == ("running", True)
    assert (stands["state"], stands["pause"]) == ("paused", True)
    assert goes_on["reason"] == ""
    assert (await report(server, job_id)).json["pause"] is False


async def test_a_job_of_another_kind_takes_no_reports(server: Server) -> None:
    job_id = (await server.submit("exec sleep 600"))["id"]

    answer = await report(server, job_id, {"progress": "1/2"})

    assert answer.status == 409
    assert "$JUPYTER_TASKS_REPORT" in answer.json["message"]
    await server.ask("POST", f"api/jobs/{job_id}/cancel")


async def test_a_bad_report_names_its_field_and_keeps_nothing(server: Server) -> None:
    job_id = await submit(server)
    bad = {
        "progress": {"progress": "many"},
        "out_b64": {"out": "x", "out_b64": "?"},
        "exit_code": {"end": "succeeded", "exit_code": 1},
        "message": {"message": "x"},
        "paused": {"paused": True, "end": "failed"},
    }
    for field, body in bad.items():
        answer = await report(server, job_id, body)
        assert (answer.status, answer.json["details"].get("field")) == (400, field), answer.body
    assert await output(server, job_id) == b""


async def test_what_cannot_be_done_elsewhere_is_refused_at_the_submit(server: Server) -> None:
    spec = {"kind": "external"}
    for field, value in {"on_lost": "requeue", "memory_bytes": 2**30}.items():
        answer = await server.ask("POST", "api/jobs", {"spec": spec, field: value})
        assert answer.status == 400
        assert f"`{field}`" in answer.json["message"]


async def test_one_report_may_not_print_more_than_its_share(server: Server) -> None:
    job_id = await submit(server, max_output_bytes=64 * 1024)

    answer = await report(server, job_id, {"out": "x" * (8 * 1024 + 1)})

    assert (answer.status, answer.json["code"]) == (413, "too_large")


async def test_the_output_keeps_head_and_tail_within_its_bound(server: Server) -> None:
    job_id = await submit(server, max_output_bytes=64 * 1024)
    for number in range(40):
        piece = f"{number:04}".encode() * 1024
        answer = await report(server, job_id, {"out": piece.decode()})
        assert answer.status == 200, answer.body

    kept = await output(server, job_id)

    assert kept.startswith(b"0000")
    assert kept.endswith(b"0039")
    assert len(kept) <= 72 * 1024


async def test_its_result_is_kept_as_json(server: Server) -> None:
    job_id = await submit(server)

    await report(server, job_id, {"result": {"loss": 0.1}, "end": "succeeded"})

    answer = await server.ask("GET", f"api/jobs/{job_id}/result")
    assert answer.status == 200, answer.body
    told = answer.json
    assert (told["success"], told["data"], told["error"]) == (True, {"loss": 0.1}, None)


async def test_a_record_names_each_report_that_has_a_key(server: Server) -> None:
    job_id = await submit(server)
    await report(server, job_id, {"progress": "50%"}, Idempotency_Key="k1")

    async def records() -> list[dict[str, Any]]:
        lines = (await output(server, job_id, "json")).splitlines()
        return [json.loads(line) for line in lines]

    kinds = [record["k"] for record in await eventually_async(records, what="records") or []]
    assert kinds == ["progress", "report"]
