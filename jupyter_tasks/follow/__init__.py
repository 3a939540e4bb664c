"""Follows the output of attempts: reads their files by cursor and wakes readers when they grow."""

from jupyter_tasks.follow.cursor import Cursor
from jupyter_tasks.follow.follower import OutputFollower, Outputs
from jupyter_tasks.follow.segments import Gap, Slice

__all__ = ["Cursor", "Gap", "OutputFollower", "Outputs", "Slice"]
