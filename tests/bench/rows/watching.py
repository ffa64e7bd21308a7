"""Watching: a hex dump of all that passes, and recordings of it.

What is written goes to /dev/null (dumps) or to a file in memory where there is one (recordings): the programs are measured, not a disk.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.bench.programs import Bench, Failure
from tests.bench.registry import MORE, Contender, Contenders, Measured, at_least, benchmark

DUMPED = 128 << 20
RECORDED = 1 << 30
MEMORY = Path("/dev/shm")


def source(bench: Bench, size: int) -> int:
    """stdin: a file of ``size`` random bytes (the same megabyte over and over)."""
    path = Path(bench.path("source"))
    piece = os.urandom(1 << 20)
    with path.open("wb") as file:
        for _ in range(size >> 20):
            file.write(piece)
    fd = os.open(path, os.O_RDONLY)
    bench.later(lambda: os.close(fd))
    return fd


def null() -> int:
    return os.open(os.devnull, os.O_WRONLY)


def dumped(bench: Bench) -> int:
    return 4 << 20 if bench.quick or bench.trace is not None else DUMPED


def sockkit_dump(bench: Bench) -> Measured:
    """``sockkit connect -x`` to a server that throws it away."""
    size = dumped(bench)
    given, stderr = source(bench, size), null()
    server = bench.start(*bench.sockkit("serve", "--mode", "discard", "--once", "-p", "0"))
    port = bench.listening(server)
    begun = time.perf_counter()
    client = bench.start(*bench.sockkit("connect", "-x", "127.0.0.1", port), stdin=given, stderr=stderr)
    os.close(stderr)
    client.succeed()
    server.succeed()
    return {"MB/s": size / (time.perf_counter() - begun) / 1e6}


def ncat_dump(bench: Bench) -> Measured:
    """``ncat -x /dev/null`` to the same server."""
    size = dumped(bench) // 8  # it would take minutes
    given = source(bench, size)
    server = bench.start(*bench.sockkit("serve", "--mode", "discard", "--once", "-p", "0"))
    port = bench.listening(server)
    begun = time.perf_counter()
    client = bench.start("ncat", "--send-only", "-x", os.devnull, "127.0.0.1", port, stdin=given)
    client.succeed()
    server.succeed()
    return {"MB/s": size / (time.perf_counter() - begun) / 1e6}


def xxd(bench: Bench) -> Measured:
    """``xxd`` of the same bytes, from a file: it has no network to go through."""
    size = dumped(bench)
    given = source(bench, size)
    begun = time.perf_counter()
    bench.start("xxd", stdin=given).succeed()
    return {"MB/s": size / (time.perf_counter() - begun) / 1e6}


@benchmark(
    "dump",
    "hex dump of all that passes (-x)",
    metrics={"MB/s": MORE},
    targets=[at_least(1.0, "MB/s", "xxd"), at_least(5.0, "MB/s", "ncat -x")],
    note="128 MiB (ncat: 16) of random bytes, sent to a server that throws them away, the dump to /dev/null; xxd reads a file and sends nothing",
)
def dump() -> Contenders:
    """``-x``."""
    return {
        "sockkit": Contender(sockkit_dump),
        "xxd": Contender(xxd, needs=("xxd",)),
        "ncat -x": Contender(ncat_dump, needs=("ncat",)),
    }


def transfer(suffix: str | None, bench: Bench) -> Measured:
    """A file over TCP to a server that throws it away, recorded by the client; None: copied, and not recorded."""
    size = min(RECORDED, bench.size)
    if bench.quick:
        size = min(size, 64 << 20)
    given = source(bench, size)
    directory = tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else bench.shop.directory)
    bench.later(lambda: shutil.rmtree(directory, ignore_errors=True))
    server = bench.start(*bench.sockkit("serve", "--mode", "discard", "--once", "-p", "0"))
    port = bench.listening(server)
    option = ["--copy"] if suffix is None else ["-o", f"{directory}/recording{suffix}"]
    begun = time.perf_counter()
    bench.start(*bench.sockkit("connect", *option, "127.0.0.1", port), stdin=given).succeed()
    server.succeed()
    wall = time.perf_counter() - begun
    kept = sum(path.stat().st_size for path in Path(directory).iterdir())
    if suffix is not None and kept < size:
        raise Failure(f"-o recording{suffix}: {kept} of {size} bytes are kept")
    return {"MB/s": size / wall / 1e6}


def _recording(suffix: str) -> Contenders:
    needs = ("module:dpkt",) if suffix == ".pcapng" else ()
    return {
        "sockkit": Contender(partial(transfer, suffix), needs),
        "sockkit --copy": Contender(partial(transfer, None)),
    }


NOTE = "1 GiB of random bytes from a file to a server that throws them away; the recording is in memory"


@benchmark(
    "record-raw",
    "recording: .raw",
    metrics={"MB/s": MORE},
    targets=[at_least(0.5, "MB/s", "sockkit --copy")],
    rounds=3,
    quick_rounds=1,
    note=NOTE,
)
def record_raw() -> Contenders:
    """``-o FILE.raw``."""
    return _recording(".raw")


@benchmark(
    "record-pcapng",
    "recording: .pcapng",
    metrics={"MB/s": MORE},
    targets=[at_least(0.5, "MB/s", "sockkit --copy")],
    rounds=3,
    quick_rounds=1,
    note=NOTE,
)
def record_pcapng() -> Contenders:
    """``-o FILE.pcapng``."""
    return _recording(".pcapng")


@benchmark("record-ndjson", "recording: .ndjson", metrics={"MB/s": MORE}, rounds=3, quick_rounds=1, note=NOTE)
def record_ndjson() -> Contenders:
    """``-o FILE.ndjson``: nothing is aimed at, since base64 is most of it."""
    return _recording(".ndjson")
