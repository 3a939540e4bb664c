"""Runs a Jupyter server that is killed at its Nth durable step after SIGUSR2: N LOG ROOT STATE …"""

import signal
import sys

NUMBER, LOG, ROOT, STATE, *ARGUMENTS = sys.argv[1:]
sys.path.insert(0, ROOT)

from jupyter_server.serverapp import main  # noqa: E402

from tests.crash.steps import Steps  # noqa: E402

if __name__ == "__main__":
    steps = Steps(-1, LOG, STATE)
    signal.signal(signal.SIGUSR2, lambda *_: steps.begin(int(NUMBER)))
    main(ARGUMENTS)
