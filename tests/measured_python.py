"""The Python of fork servers and supervisors while coverage is measured.

They run isolated (-I -S), which keeps coverage from starting in them as it does in other processes.
So the tests name this script as their ``python_command``: it drops those options, and runs the rest.
"""

import sys


def main() -> None:
    """Run ``[options] -c CODE [argument …]``."""
    at = sys.argv.index("-c")
    code, sys.argv = sys.argv[at + 1], ["-c", *sys.argv[at + 2 :]]
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - as -c does


if __name__ == "__main__":
    main()
