"""HTTP to a server that does what a bucket does in its worst moments."""

import http.server
import io
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import ClassVar

import pytest

from runstream._transfer.contents import look_at
from runstream._transfer.http import HttpClient, TransferFailed, Unreachable
from runstream.exceptions import UserErrorException

CONTENT = bytes(range(256)) * 4_000


class Handler(http.server.BaseHTTPRequestHandler):
    """A bucket with one object that breaks off where the path says."""

    protocol_version = "HTTP/1.1"
    received: ClassVar[list[tuple[str, bytes]]] = []

    def do_GET(self) -> None:
        start, _, last = (self.headers["Range"] or "bytes=0-").removeprefix("bytes=").partition("-")
        ranged = "Range" in self.headers and "whole" not in self.path
        content = CONTENT[int(start) : int(last) + 1 if last else None] if ranged else CONTENT
        if "slow-client" in self.path:
            self._answer(400, b"<Error><Code>RequestTimeout</Code></Error>")
            return
        if "refused" in self.path:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        self.send_response(206 if ranged else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if "breaks" in self.path:
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        else:
            self.wfile.write(content)

    def do_PUT(self) -> None:
        if "early" in self.path:
            self.close_connection = True
            self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((self.headers["x-test"], body))
        self._answer(200, b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(ConnectionError):  # who asked may have left
            self.wfile.write(body)


@contextmanager
def serving(handler: type[Handler] = Handler) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def bucket() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture
def client() -> Iterator[HttpClient]:
    with closing(HttpClient()) as client:
        yield client


def read(
    client: HttpClient, url: str, start: int = 0, end: int | None = None, headers: Mapping[str, str] | None = None
) -> list[tuple[int, bytes]]:
    with closing(client.get(url, headers or {}, start, end)) as blocks:
        return [(at, bytes(block)) for at, block in blocks]


def test_blocks_come_with_their_places(client: HttpClient, bucket: str) -> None:
    blocks = read(client, f"{bucket}/object?X-Amz-Signature=1")
    assert b"".join(block for _, block in blocks) == CONTENT
    assert [at for at, _ in blocks] == [sum(len(block) for _, block in blocks[:n]) for n in range(len(blocks))]


def test_a_range_begins_where_it_is_asked_to(client: HttpClient, bucket: str) -> None:
    blocks = read(client, f"{bucket}/object", 1_000)
    assert blocks[0][0] == 1_000
    assert b"".join(block for _, block in blocks) == CONTENT[1_000:]


def test_a_range_ends_where_it_is_asked_to(client: HttpClient, bucket: str) -> None:
    assert b"".join(block for _, block in read(client, f"{bucket}/object", 1_000, 900_000)) == CONTENT[1_000:900_000]


def test_a_range_of_the_headers_counts_from_its_own_beginning(client: HttpClient, bucket: str) -> None:
    blocks = read(client, f"{bucket}/object", headers={"Range": "bytes=10-19"})
    assert blocks == [(0, CONTENT[10:20])]


def test_a_bucket_without_ranges_begins_anew(client: HttpClient, bucket: str) -> None:
    assert read(client, f"{bucket}/whole", 1_000)[0][0] == 0


def test_a_download_that_breaks_off_says_so_after_what_came(client: HttpClient, bucket: str) -> None:
    came = io.BytesIO()
    with closing(client.get(f"{bucket}/breaks", {})) as blocks, pytest.raises(TransferFailed) as caught:
        came.writelines(bytes(block) for _, block in blocks)
    assert caught.value.transient
    assert came.getvalue() == CONTENT[: len(CONTENT) // 2]


def test_a_refusal_has_the_word_of_the_bucket(client: HttpClient, bucket: str) -> None:
    with pytest.raises(TransferFailed, match="404 NoSuchKey") as caught:
        read(client, f"{bucket}/refused")
    assert caught.value.code == "NoSuchKey"
    assert not caught.value.transient


def test_a_bucket_that_waited_too_long_is_tried_again(client: HttpClient, bucket: str) -> None:
    with pytest.raises(TransferFailed, match="RequestTimeout") as caught:
        read(client, f"{bucket}/slow-client")
    assert caught.value.transient


def test_a_body_is_sent_with_its_headers(client: HttpClient, bucket: str) -> None:
    Handler.received.clear()
    client.put(f"{bucket}/object", {"x-test": "yes"}, len(CONTENT), io.BytesIO(CONTENT))
    assert Handler.received == [("yes", CONTENT)]


def test_an_early_answer_is_read_though_the_body_was_not_taken(client: HttpClient, bucket: str) -> None:
    with pytest.raises(TransferFailed) as caught:
        client.put(f"{bucket}/early", {}, 64 * len(CONTENT), io.BytesIO(64 * CONTENT))
    assert caught.value.transient  # the URL may have expired


def test_connections_are_used_again(client: HttpClient, bucket: str) -> None:
    for _ in range(3):
        read(client, f"{bucket}/object")
    assert [len(idle) for idle in client._idle.values()] == [1]


def test_nobody_listening_is_unreachable(client: HttpClient) -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9: ") as caught:
        read(client, "http://127.0.0.1:9/object?X-Amz-Signature=secret")
    assert caught.value.transient
    assert "secret" not in str(caught.value)


def test_a_closed_client_begins_nothing(client: HttpClient, bucket: str) -> None:
    client.close()
    with pytest.raises(TransferFailed, match="given up"):
        read(client, f"{bucket}/object")


def test_a_proxy_is_told_who_asks(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    proxied: list[tuple[str, str | None]] = []

    class Proxy(Handler):
        def do_GET(self) -> None:
            proxied.append((self.path, self.headers["Proxy-Authorization"]))
            super().do_GET()

    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serving(Proxy) as url:
        monkeypatch.setenv("http_proxy", url.replace("://", "://ada:p%40ss@"))
        read(client, "http://bucket.invalid/object")
        client.close()
    assert proxied == [("http://bucket.invalid/object", "Basic YWRhOnBAc3M=")]


def test_a_file_is_sent_from_its_place_on(client: HttpClient, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    Handler.received.clear()
    with look_at(tmp_path / "file").open(1_000, 500_000) as body:
        client.put(f"{bucket}/object", {"x-test": "part"}, 500_000, body)
    assert Handler.received == [("part", CONTENT[1_000:501_000])]


def test_a_file_that_became_shorter_is_told(client: HttpClient, bucket: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    content = look_at(file)
    with content.open() as body, file.open("r+b") as opened:
        opened.truncate(100)
        with pytest.raises(UserErrorException, match="was changed while it was uploaded"):
            client.put(f"{bucket}/object", {"x-test": "all"}, len(CONTENT), body)
