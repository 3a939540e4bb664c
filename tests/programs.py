"""Small programs that jobs run. Each is an argument list; ``python`` programs run isolated."""

import sys


def python(code: str) -> list[str]:
    """Run the code in a bare interpreter."""
    return [sys.executable, "-I", "-S", "-c", code]


SLEEP = ["sleep", "300"]
EXIT_3 = "exit 3"

#: Says that it is there, then takes no notice of SIGTERM.
IGNORES_TERM = python(
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('ready', flush=True)\n"
    "time.sleep(300)\n"
)

#: A child in a session of its own, while the leader waits.
SETSID_ESCAPEE = "setsid sleep 300 & echo ready; wait"

#: A daemon: forked twice, own session, no descriptor of ours; the leader ends at once.
DAEMON = python(
    "import os, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        null = os.open('/dev/null', os.O_RDWR)\n"
    "        for fd in (0, 1, 2):\n"
    "            os.dup2(null, fd)\n"
    "        time.sleep(300)\n"
    "    os._exit(0)\n"
    "os.wait()\n"
    "print('leader ends', flush=True)\n"
)

#: A daemon that has also emptied its environment, so that no mark is left there.
UNMARKED_DAEMON = (
    "env -i setsid sh -c 'exec sleep 300' </dev/null >/dev/null 2>&1 & echo ready; wait"
)

#: A grandchild that keeps both pipes open after the leader has ended.
HOLDS_PIPE = "sleep 300 & echo leader ends"

CLOSES_STDOUT = python("import os, sys\nos.close(1)\nos.close(2)\nsys.exit(4)\n")

BINARY = python("import os\nos.write(1, bytes(range(256)) * 16 + b'\\0\\xff\\xfe\\n\"{}')\n")
LINE_10_MB = python("import sys\nsys.stdout.write('x' * 10_000_000)\n")
CR_BAR = python(
    "import sys\n"
    "for i in range(101):\n"
    "    sys.stdout.write(f'\\r{i:3d}% |{\"#\" * (i // 5):20s}|')\n"
    "    sys.stdout.flush()\n"
    "print()\n"
)

#: Forks until 200 processes were made in all, or 10 s are over; every one of them lives on.
FORK_BOMB = python(
    "import os, time\n"
    "end = time.monotonic() + 10\n"
    "fd = os.memfd_create('count')\n"
    "print('ready', flush=True)\n"
    "while time.monotonic() < end:\n"
    "    os.write(fd, b'x')\n"
    "    if os.fstat(fd).st_size >= 200:\n"
    "        break\n"
    "    os.fork()\n"
    "time.sleep(300)\n"
)

KILLS_SUPERVISOR = "sleep 300 & kill -9 $PPID; wait"


def flood(n_bytes: int) -> list[str]:
    """Write so many bytes of known content as fast as it goes."""
    return python(
        "import os\n"
        "block = (b'%063d\\n' % 7) * 1024\n"
        f"left = {n_bytes}\n"
        "while left > 0:\n"
        "    left -= os.write(1, block[:left])\n"
    )


def eats_memory(n_bytes: int) -> list[str]:
    """Hold so much memory until ended."""
    return python(
        f"import time\nheld = bytearray({n_bytes})\nheld[::4096] = b'x' * len(held[::4096])\ntime.sleep(300)\n"
    )
