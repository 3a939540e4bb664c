"""The route table: one row for each path. Application, OpenAPI document and tests are made from it.

Order matters: ``jobs/cancel`` stands before ``jobs/{job_id}``. A new route is a new row here.
"""

from typing import Any, Final

from jupyter_server.utils import url_path_join

from jupyter_tasks import messages
from jupyter_tasks.handlers import (
    archiving,
    artifacts,
    bulk,
    calls,
    jobs,
    output,
    reports,
    sse,
    status,
    tasks,
    values,
    viewers,
    ws,
)
from jupyter_tasks.handlers.base import TasksHandler, UnknownRouteHandler
from jupyter_tasks.messages import tasks as wire
from jupyter_tasks.messages.streams import EventsQuery, JobEventsQuery, OutputQuery
from jupyter_tasks.openapi import Action, Operation, Route

PREFIX: Final = "tasks"
_KEY: Final = {
    "Idempotency-Key": "Kept for 24 hours: the same request again gets the same jobs, and 200."
}
_LAST_EVENT: Final = {"Last-Event-ID": "Where a client was that comes back; it goes on from there."}


def _bulk(verb: str, action: Action, summary: str, handler: type[TasksHandler]) -> Route:
    operation = Operation(
        summary=summary,
        action=action,
        body=messages.BulkRequest,
        answers={202: messages.Counts},
    )
    return Route(path=f"api/jobs/{verb}", handler=handler, operations={"POST": operation})


def _ask(verb: str, action: Action, summary: str, handler: type[TasksHandler]) -> Route:
    operation = Operation(
        summary=summary, action=action, answers={202: messages.JobMessage}, errors=(409,)
    )
    return Route(
        path=f"api/jobs/{{job_id}}/{verb}", handler=handler, operations={"POST": operation}
    )


def _look(
    path: str, summary: str, handler: type[TasksHandler], answer: Any, query: Any = None
) -> Route:
    operation = Operation(summary=summary, action="read", answers={200: answer}, query=query)
    return Route(path=f"api/{path}", handler=handler, operations={"GET": operation})


_JOBS: Final = Route(
    path="api/jobs",
    handler=jobs.JobsHandler,
    operations={
        "GET": Operation(
            summary="The newest jobs that the filter accepts, page by page.",
            action="read",
            query=messages.ListQuery,
            answers={200: messages.JobsPage},
        ),
        "POST": Operation(
            summary="Submit a job, or a list of jobs all or none.",
            action="execute",
            body=messages.SubmitRequest,
            answers={
                200: (messages.JobMessage, messages.Jobs),
                201: (messages.JobMessage, messages.Jobs),
            },
            errors=(409, 507),
            headers=_KEY,
        ),
    },
)

_INPUTS: Final = Route(
    path="api/inputs",
    handler=values.InputsHandler,
    operations={
        "POST": Operation(
            summary="Upload values for a job: a file as our clients write it, as it is.",
            action="execute",
            body="application/octet-stream",
            answers={201: messages.Inputs},
            errors=(507,),
            is_local=True,
        ),
    },
)

_JOB: Final = Route(
    path="api/jobs/{job_id}",
    handler=jobs.JobHandler,
    operations={
        "GET": Operation(
            summary="The job as it is now.",
            action="read",
            answers={200: messages.JobMessage},
            errors=(405,),
        ),
        "PATCH": Operation(
            summary="Change a job that still waits. `***` means: as it is.",
            action="write",
            body=messages.JobEdit,
            answers={200: messages.JobMessage},
            errors=(405, 409),
        ),
        "DELETE": Operation(
            summary="Delete a job that has ended, with its history and its files.",
            action="write",
            answers={204: None},
            errors=(405, 409),
        ),
    },
)

_CANCEL: Final = Route(
    path="api/jobs/{job_id}/cancel",
    handler=jobs.CancelHandler,
    operations={
        "POST": Operation(
            summary="End the job and its whole process tree; a second time, at once.",
            action="write",
            body=messages.CancelRequest,
            is_body_required=False,
            answers={202: messages.JobMessage},
            errors=(409,),
        )
    },
)

_REPORT: Final = Route(
    path="api/jobs/{job_id}/report",
    handler=reports.ReportHandler,
    operations={
        "POST": Operation(
            summary="Report on a program that runs elsewhere: progress, output, result, its end.",
            action="write",
            body=messages.ReportRequest,
            is_body_required=False,
            answers={200: messages.Reported},
            errors=(409, 507),
            headers={"Idempotency-Key": "The same report again, known by it, changes nothing."},
        )
    },
)

_OUTPUT: Final = Route(
    path="api/jobs/{job_id}/output",
    handler=output.OutputHandler,
    operations={
        "GET": Operation(
            summary="The output of an attempt: text, records or JSON lines.",
            action="read",
            query=OutputQuery,
            answers={200: ("text/plain", "application/octet-stream", "application/x-ndjson")},
            errors=(416,),
        )
    },
)

_JOB_EVENTS: Final = Route(
    path="api/jobs/{job_id}/events",
    handler=sse.JobEventsHandler,
    operations={
        "GET": Operation(
            summary="Server-sent events: the output of an attempt and the job's state, to the end.",
            action="read",
            query=JobEventsQuery,
            answers={200: "text/event-stream", 204: None},
            errors=(416,),
            headers=_LAST_EVENT,
        )
    },
)

_EVENTS: Final = Route(
    path="api/events",
    handler=sse.EventsHandler,
    operations={
        "GET": Operation(
            summary="Server-sent events: what happens to the jobs that the filter accepts.",
            action="read",
            query=EventsQuery,
            answers={200: "text/event-stream"},
            headers=_LAST_EVENT,
        )
    },
)

_SOCKET: Final = Route(
    path="api/ws",
    handler=ws.SocketHandler,
    operations={
        "GET": Operation(
            summary="A WebSocket: any number of watches and reads over one connection.",
            action="read",
            answers={101: None},
            errors=(400, 426),
        )
    },
)

_TASKS: Final = Route(
    path="api/tasks",
    handler=tasks.TasksListHandler,
    operations={
        "GET": Operation(
            summary="All tasks that can be run, and why others cannot.",
            action="read",
            answers={200: wire.Tasks},
        ),
        "POST": Operation(
            summary="Register a task: a command, or a function that was uploaded by value.",
            action="execute",
            body=wire.TaskRequest,
            answers={201: wire.TaskMessage},
            errors=(409, 507),
            is_local=True,
        ),
    },
)

_TASKS_REFRESH: Final = Route(
    path="api/tasks/refresh",
    handler=tasks.TasksRefreshHandler,
    operations={
        "POST": Operation(
            summary="Look for the tasks of modules anew.",
            action="execute",
            answers={200: wire.Tasks},
            is_local=True,
        )
    },
)

_TASK: Final = Route(
    path="api/tasks/{name}",
    handler=tasks.TaskHandler,
    operations={
        "GET": Operation(
            summary="A task with its fields.",
            action="read",
            answers={200: wire.TaskMessage},
            errors=(405,),
        ),
        "DELETE": Operation(
            summary="Remove a registered task, this one alone.",
            action="write",
            answers={204: None},
            errors=(405,),
            is_local=True,
        ),
    },
)

_TASK_JOBS: Final = Route(
    path="api/tasks/{name}/jobs",
    handler=tasks.TaskJobsHandler,
    operations={
        "POST": Operation(
            summary="Run a task as a job, with these arguments.",
            action="execute",
            body=wire.TaskJobRequest,
            answers={200: messages.JobMessage, 201: messages.JobMessage},
            errors=(409, 507),
            headers=_KEY,
        )
    },
)

_TASK_RUN: Final = Route(
    path="api/tasks/{name}/run",
    handler=tasks.TaskRunHandler,
    operations={
        "POST": Operation(
            summary="Run a task in the queue `direct` and wait for its end.",
            action="execute",
            body=wire.TaskRunRequest,
            answers={200: wire.TaskRun, 202: wire.TaskRun},
            errors=(409, 507),
            headers=_KEY,
        )
    },
)

ROUTES: Final[tuple[Route, ...]] = (
    _JOBS,
    _bulk("cancel", "write", "Cancel all of these jobs.", bulk.CancelAllHandler),
    _bulk("pause", "write", "Pause all of these jobs.", bulk.PauseAllHandler),
    _bulk("resume", "write", "Resume all of these jobs.", bulk.ResumeAllHandler),
    _bulk("delete", "write", "Delete all of these jobs that have ended.", bulk.DeleteAllHandler),
    _bulk("restart", "execute", "Restart all of these jobs.", bulk.RestartAllHandler),
    _bulk("run", "execute", "Start all of these jobs now.", bulk.RunAllHandler),
    _INPUTS,
    _JOB,
    _CANCEL,
    _REPORT,
    _ask("pause", "write", "Let the job stand still.", jobs.PauseHandler),
    _ask("resume", "write", "Let the job go on.", jobs.ResumeHandler),
    _ask("restart", "execute", "Run a job that has ended again.", jobs.RestartHandler),
    _ask("run", "execute", "Start a waiting job now.", jobs.RunHandler),
    _look(
        "jobs/{job_id}/explain",
        "Why the job is as it is, and what it waits for.",
        jobs.ExplainHandler,
        messages.ExplanationMessage,
    ),
    _look(
        "jobs/{job_id}/viewers",
        "How many live views of the job this server feeds at the moment.",
        viewers.ViewersHandler,
        messages.ViewersMessage,
    ),
    _look(
        "jobs/{job_id}/attempts",
        "All attempts of the job, the oldest first.",
        jobs.AttemptsHandler,
        messages.Attempts,
    ),
    _look(
        "jobs/{job_id}/artifacts",
        "The files that an attempt left.",
        artifacts.ArtifactsHandler,
        messages.Artifacts,
        messages.AttemptQuery,
    ),
    _look(
        "jobs/{job_id}/artifacts/{path}",
        "One file that an attempt left; with `preview`, what of it can be shown safely.",
        artifacts.ArtifactHandler,
        (
            *("application/octet-stream", "text/plain", "application/json"),
            *("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/svg+xml"),
        ),
        messages.ArtifactQuery,
    ),
    _look(
        "jobs/{job_id}/archive",
        "All files that an attempt left, in one.",
        archiving.ArchiveHandler,
        ("application/zip", "application/x-tar"),
        messages.ArchiveQuery,
    ),
    _look(
        "jobs/{job_id}/result",
        "The values that an attempt was asked for and left, as a file; of a function as JSON, too.",
        values.ResultHandler,
        (messages.ResultMessage, "application/octet-stream"),
        messages.AttemptQuery,
    ),
    _TASKS,
    _TASKS_REFRESH,
    _TASK,
    _TASK_JOBS,
    _TASK_RUN,
    _look(
        "jobs/{job_id}/calls",
        "The calls of a group, in the order of their arguments, page by page.",
        calls.CallsHandler,
        messages.CallsPage,
        messages.CallsQuery,
    ),
    _OUTPUT,
    _JOB_EVENTS,
    _EVENTS,
    _SOCKET,
    _look("status", "How this server is.", status.StatusHandler, messages.Status),
    _look("openapi.json", "This document.", status.OpenApiHandler, dict[str, Any]),
)


def handlers(base_url: str = "/") -> list[tuple[str, type[Any], dict[str, Any]]]:
    """The table as tornado takes it; the last row answers what no route does."""
    status.OpenApiHandler.routes = ROUTES
    rows: list[tuple[str, type[Any], dict[str, Any]]]
    rows = [(url_path_join(base_url, PREFIX, route.pattern), route.handler, {}) for route in ROUTES]
    return [*rows, (url_path_join(base_url, PREFIX, "(?:.*)"), UnknownRouteHandler, {})]
