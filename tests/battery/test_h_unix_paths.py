"""Unix sockets: paths, permissions, names."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest

from tests.harness import (
    TIMEOUT,
    Server,
    listener,
    needs_linux,
    needs_unix,
    run,
)
from tests.peers import (
    BLOCK,
    exactly,
    shell,
    stale,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: pipes and signals as POSIX has them")


@needs_unix
def test_h_unix_streams(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with Server("-U", path, free_port=False) as server:
        assert server.address == path
        assert run("connect", "-U", path, stdin=BLOCK) == (0, BLOCK, b"")
        assert run("connect", path, stdin=b"a slash says that it is a path") == (
            0,
            b"a slash says that it is a path",
            b"",
        )


@needs_unix
@pytest.mark.parametrize("replace", [[], ["--replace"]], ids=["", "replace"])
def test_h1_a_file_in_the_way_is_left_alone(tmp_path: Path, replace: list[str]) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    before = path.stat().st_ino
    result = run("serve", "-U", str(path), *replace)
    assert result.status == 1
    assert result.said.startswith(f"sockkit: bind to {path}: Address already in use [EADDRINUSE {errno.EADDRINUSE}]\n")
    assert (path.read_text(), path.stat().st_ino) == ("precious", before)


@needs_unix
def test_h2_a_stale_path_is_explained_and_reclaimed_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "s"
    stale(path)
    result = run("serve", "-U", str(path))
    assert result.status == 1
    assert f"bind to {path}: Address already in use [EADDRINUSE" in result.said
    assert "--replace" in result.said
    refused = run("connect", str(path))
    assert refused.status == 1
    assert f"connect to {path}: Connection refused [ECONNREFUSED" in refused.said
    with Server("-U", str(path), "--replace", free_port=False) as server:
        assert run("connect", str(path), stdin=b"x") == (0, b"x", b"")
        server.stop()
    assert not path.exists()


@needs_unix
@pytest.mark.parametrize("type", ["STREAM", "SEQPACKET", "DGRAM"])
def test_h2_replace_takes_nothing_from_the_living(tmp_path: Path, type: str) -> None:
    path = tmp_path / "s"
    with listener(socket.AF_UNIX, getattr(socket, f"SOCK_{type}"), str(path)):
        before = path.lstat().st_ino
        result = run("serve", "--type", type, "--replace", str(path))
        assert result.status == 1
        assert "Address already in use" in result.said
        assert path.lstat().st_ino == before


@needs_unix
def test_h_only_the_path_that_we_made_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Server("-U", str(path), free_port=False) as server:
        path.unlink()
        stale(path)  # somebody else's by now
        server.stop()
    assert stat.S_ISSOCK(path.lstat().st_mode)


@needs_unix
def test_h_a_path_that_is_gone_already_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Server("-U", str(path), free_port=False) as server:
        path.unlink()
        result = server.stop()
    assert result.status == -signal.SIGTERM
    assert "No such file" not in result.said


@needs_unix
@needs_linux
def test_h5_the_longest_path(tmp_path: Path) -> None:
    name = "./" + "n" * 105
    assert len(name) == 107
    with Server("-U", name, free_port=False, cwd=tmp_path) as server:
        assert server.address == name
        assert run("connect", name, stdin=b"x", cwd=tmp_path) == (0, b"x", b"")
        server.stop()
    assert os.listdir(tmp_path) == []


@needs_unix
@needs_linux
@pytest.mark.parametrize("length", [108, 109, 200])
@pytest.mark.parametrize("command", ["serve", "connect"])
def test_h5_longer_paths_are_refused_and_nothing_is_made(tmp_path: Path, command: str, length: int) -> None:
    result = run(command, "-U", "./" + "n" * (length - 2), cwd=tmp_path)
    assert result.status == 2
    assert "too long" in result.said
    assert f"{length} bytes, 107 is the limit" in result.said
    assert os.listdir(tmp_path) == []


@needs_unix
@pytest.mark.parametrize(
    ("umask", "options", "mode"),
    [
        ("077", [], 0o700),
        ("022", [], 0o755),
        ("000", [], 0o777),
        ("000", ["--socket-mode", "600"], 0o600),
        ("077", ["--socket-mode", "666"], 0o666),
    ],
)
def test_h6_permissions_of_the_path(tmp_path: Path, umask: str, options: list[str], mode: int) -> None:
    path = tmp_path / "s"
    with Server("-U", str(path), *options, free_port=False, prefix=shell(f"umask {umask}")):
        assert stat.S_IMODE(path.lstat().st_mode) == mode


@needs_linux
@pytest.mark.parametrize(
    ("name", "raw"),
    [
        (f"@sockkit-{os.getpid()}", b"\0sockkit-%d" % os.getpid()),
        ("@" + f"{os.getpid()}-".ljust(107, "x"), b"\0" + b"%d-".ljust(107, b"x") % os.getpid()),
        (rf"@{os.getpid()}\x00\x1b[31m\xff", b"\0%d\x00\x1b[31m\xff" % os.getpid()),
    ],
    ids=["plain", "long", "odd"],
)
def test_h8_abstract_names(tmp_path: Path, name: str, raw: bytes) -> None:
    if len(raw) > 108:
        raw, name = raw[:108], name[:108]
    with Server("-U", name, free_port=False, cwd=tmp_path) as server:
        assert server.address == name
        assert run("connect", name, stdin=b"x") == (0, b"x", b"")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT)
            client.connect(raw)
            client.sendall(b"y")
            assert exactly(client, 1) == b"y"
        server.stop()
    assert os.listdir(tmp_path) == []
    refused = run("connect", name)
    assert refused.status == 1
    assert f"connect to {name}: Connection refused" in refused.said


@needs_unix
@needs_linux
def test_h10_odd_names(tmp_path: Path) -> None:
    raw = b"\n\x1b]0;title\x07\xff\xc2\x9b[31m"
    name = os.fsdecode(os.fsencode(tmp_path) + b"/" + raw)
    shown = f"{tmp_path}/" + r"\n\x1b]0;title\x07\xff\u009b[31m"
    with Server("-U", name, free_port=False) as server:
        assert server.address == shown
        result = run("connect", "-v", "-U", name, stdin=b"x")
        assert (result.status, result.out) == (0, b"x")
        assert shown in result.said
        server.stop()
    assert os.listdir(tmp_path) == []
    missing = run("connect", "-U", name)
    assert missing.status == 1
    assert f"connect to {shown}: No such file or directory [ENOENT" in missing.said


@needs_unix
def test_h11_connect_to_what_is_no_socket(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "dir").mkdir()
    for name, error in (
        ("file", "ECONNREFUSED"),
        ("dir", "ECONNREFUSED"),
        ("missing", "ENOENT"),
        ("file/x", "ENOTDIR"),
    ):
        result = run("connect", "-U", str(tmp_path / name))
        assert result.status == 1
        number = getattr(errno, error)
        assert result.said.startswith(
            f"sockkit: connect to {tmp_path / name}: {os.strerror(number)} [{error} {number}]\n"
        )


@needs_unix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="CANNOT: root may connect to any socket")
def test_h11_connect_to_a_socket_that_we_may_not_use(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listener(socket.AF_UNIX, address=str(path)):
        path.chmod(0)
        result = run("connect", str(path))
    assert result.status == 1
    assert f"connect to {path}: Permission denied [EACCES {errno.EACCES}]" in result.said
