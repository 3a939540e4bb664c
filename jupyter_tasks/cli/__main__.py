"""``python -m jupyter_tasks.cli``: the command line where it is not installed as a script."""

import sys

from jupyter_tasks.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
