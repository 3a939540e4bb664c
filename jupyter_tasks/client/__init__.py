"""The client: finds a server, submits, watches and changes jobs, and comes through crashes.

Pure flows (`calls`, `streams`, `connection` on top of `core`) decide; two thin shells carry out.
It speaks the wire alone: it knows neither manager nor store.
"""

from jupyter_tasks.client.clients import AsyncClient, Client
from jupyter_tasks.client.groups import AsyncGroupHandle, GroupHandle
from jupyter_tasks.client.handles import AsyncJobHandle, JobHandle
from jupyter_tasks.client.streams import JobEvent

__all__ = [
    "AsyncClient",
    "AsyncGroupHandle",
    "AsyncJobHandle",
    "Client",
    "GroupHandle",
    "JobEvent",
    "JobHandle",
]

for _name in __all__:
    # People and pickles know them by the name under which they are offered.
    globals()[_name].__module__ = __name__
