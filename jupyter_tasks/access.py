"""Who owns a job and who may see it: pure rules, without a server or a store.

What an action is called and whether a user may do it at all is for Jupyter's authorizer to say;
here it is decided whose jobs that user has.
"""

from jupyter_tasks.model import Job


def owner_of(username: str, provider_identifies_people: bool, account: str) -> str:
    """Whose jobs the user of a request has.

    Where people are told apart it is their user name. With a shared token, a password or none, each
    cookie-less request has another random name: then all belong to the operating system's account.
    """
    return username if provider_identifies_people else account


def may_see(job: Job, owner: str | None) -> bool:
    """Whether the job is the owner's; None stands for the server itself, which sees all."""
    return owner is None or job.owner == owner
