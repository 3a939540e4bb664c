"""The manager decides: it feeds events to the life cycle and carries out its effects."""

from jupyter_tasks.manager.explaining import Explanation
from jupyter_tasks.manager.manager import Manager

__all__ = ["Explanation", "Manager"]
