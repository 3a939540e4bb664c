"""``jobs/{job_id}/archive``: all artifacts of an attempt in one file, sent while it is made."""

import asyncio
from typing import Final

from tornado import web
from tornado.iostream import StreamClosedError

from jupyter_tasks.handlers import archives
from jupyter_tasks.handlers.artifacts import ArtifactFolderHandler
from jupyter_tasks.handlers.base import authorized
from jupyter_tasks.messages import ArchiveQuery

_MEDIA: Final = {"zip": "application/zip", "tar": "application/x-tar"}


class ArchiveHandler(ArtifactFolderHandler):
    """Sends archives; each costs a piece of memory, and no room on the disk."""

    @web.authenticated
    @authorized("read")
    async def get(self, job_id: str) -> None:
        """All files in one; the connection breaks off where one of them cannot be kept as it was told."""
        query = self.query(ArchiveQuery)
        folder = await self.folder(job_id, query.attempt)
        self.set_header("Content-Type", _MEDIA[query.format])
        self.set_attachment_header(f"{job_id}.{query.format}")
        pieces = archives.archived(folder, query.format, job_id)
        try:
            while piece := await asyncio.to_thread(next, pieces, b""):
                self.write(piece)
                await self.flush()
        except StreamClosedError:
            return
        except archives.ShorterError:
            self.log.info("Broke off request %s: a file became shorter", self.request_id)
            self.detach().close()
            return
        finally:
            await asyncio.to_thread(pieces.close)
        await self.finish(set_content_type=_MEDIA[query.format])
