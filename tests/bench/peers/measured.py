"""Runs a command some times and prints a line for each: seconds, processor seconds, KiB resident at most.

A program of its own since a child's ``ru_maxrss`` begins with that of whoever forked it: this one is small.
``measured.py TIMES COMMAND ARGUMENT…``
"""

import os
import sys
import time

for _ in range(int(sys.argv[1])):
    out = os.open(os.devnull, os.O_WRONLY)
    begun = time.perf_counter()
    pid = os.posix_spawnp(
        sys.argv[2],
        sys.argv[2:],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, out, 2)],
    )
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - begun
    os.close(out)
    if status:
        sys.exit(f"{sys.argv[2:]}: status {status}")
    print(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
