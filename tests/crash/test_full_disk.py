"""A real server whose disk is full for a while: it says so, keeps what it accepted, and goes on once there is room."""

import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol

import httpx
import pytest
from servers import PATIENCE_S, Server, environment, shared, wait_until

from functions.adapters.local.store import Store

LIMIT_BYTES = 400_000  # of one file: the log of the store reaches it after a few messages
SMALL = "24m"
LARGE_BODY = {"documents": [{"name": "large.txt", "text": "word " * 20_000}]}


class Disk(Protocol):
    """What the server writes on."""

    folder: Path

    def fill(self, server: Server) -> None: ...

    def free(self, server: Server) -> None: ...


class Limited:
    """No file of the server may grow beyond a size, as with a quota."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, server: Server) -> None:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (LIMIT_BYTES, resource.RLIM_INFINITY))

    def free(self, server: Server) -> None:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class Mounted:
    """A small file system, and a file that takes all that is left of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, _server: Server) -> None:
        with suppress(OSError), self._ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def free(self, _server: Server) -> None:
        self._ballast.unlink()


@pytest.fixture(params=["limited", "mounted"])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "limited":
        yield Limited(folder)
        return
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:  # noqa: S603
        pytest.skip("no file system may be mounted here")
    try:
        yield Mounted(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S603, S607 - as it was mounted


@pytest.fixture
def server(tmp_path: Path, disk: Disk) -> Iterator[Server]:
    home = disk.folder / "home"
    no_limit = {"TROUPE_MIN_FREE_MB": "1"}  # with the usual one, nothing is taken any more long before the disk is full
    started = Server(shared(home), tmp_path / "server.log", environment(home, tmp_path) | no_limit)
    started.start()
    try:
        started.wait_until_serving()
        yield started
    finally:
        started.kill()


def test_a_full_disk_loses_nothing_and_once_there_is_room_everything_goes_on(
    disk: Disk, server: Server, tmp_path: Path
) -> None:
    accepted: list[str] = []
    with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as http:

        def post() -> httpx.Response:
            number = len(accepted)
            said = http.post(f"/conversations/c{number % 5}/messages", json={"text": f"What sorts a list? {number}"})
            if said.status_code == 202:
                accepted.append(said.json()["request"])
            return said

        def send(path: str, body: object) -> httpx.Response:
            return http.post(path, json=body)

        assert [post().status_code for _ in range(5)] == [202] * 5
        disk.fill(server)
        wait_until(lambda: post().status_code == 503, "the disk to be full")
        refused = post()
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["retry-after"]
        assert "the store cannot be used" in refused.json()["detail"]
        if isinstance(disk, Mounted):
            large = send("/collections/documents/documents", LARGE_BODY).status_code
            assert large in {503, 507}, "what is too large to travel is refused too"
        assert http.get(f"/requests/{accepted[0]}").status_code == 200, "what is there can be read"
        disk.free(server)
        wait_until(lambda: post().status_code == 202, "messages to be taken again")
        document = send("/collections/documents/documents", LARGE_BODY).json()["request"]
        for request in (*accepted, document):
            view = http.get(f"/requests/{request}", params={"wait": 30}).json()
            assert view["status"] == "settled"
            assert view["answer"], "no message that was accepted paid for the full disk"
    assert server.terminate() == 0
    log = (tmp_path / "server.log").read_text()
    assert "Traceback" not in log
    assert "could not be written" in log
    with closing(Store(disk.folder / "home")) as store:
        assert store.read("PRAGMA integrity_check") == [("ok",)]
        assert store.read("SELECT count(*) FROM request WHERE workflow = 'answer'") == [(len(accepted),)]
        assert store.read("SELECT count(*) FROM queue") == [(0,)]
        assert store.read("SELECT count(*) FROM delivery WHERE lease_until > 0") == [(0,)]
    assert list((disk.folder / "home" / "blobs").glob(".*")) == [], "nothing is half-written"
