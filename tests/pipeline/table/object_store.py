"""A small object store that speaks S3 to whoever signs with its key: `python -m tests.pipeline.table.object_store FOLDER`.

Objects are files of the folder. A process of its own, because deltalake opens an upload without letting other threads of Python run.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from tests.processes import started

BUCKET = "irstream"
KEY_ID, SECRET = "key-of-the-test", "secret-of-the-test"


@dataclass(frozen=True)
class ObjectStore:
    """The store as a test sees it: files of a folder, and a list of the requests that were refused."""

    folder: Path
    port: int

    @property
    def options(self) -> dict[str, str]:
        """Options of a client that may use it."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "nowhere-1",
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    @property
    def objects(self) -> list[Path]:
        """All that it holds."""
        return sorted(path for path in (self.folder / BUCKET).rglob("*") if path.is_file())

    @property
    def refused(self) -> list[str]:
        """Requests that nobody had signed with `KEY_ID`."""
        log = _refusals(self.folder)
        return log.read_text().splitlines() if log.exists() else []


def _refusals(folder: Path) -> Path:
    return folder / "refused.txt"


@contextmanager
def object_store(folder: Path) -> Iterator[ObjectStore]:
    """A store on a port of this machine while the block runs."""
    (folder / BUCKET).mkdir()
    with started([sys.executable, "-m", __name__, str(folder)], dict(os.environ)) as process:
        assert process.stdout is not None
        yield ObjectStore(folder, int(process.stdout.readline()))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test reads `refused`."""

    def _begin(self) -> tuple[Path, dict[str, list[str]], bytes] | None:
        """File, query and body of a request that is signed; None where it was refused."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        if f"Credential={KEY_ID}/" not in self.headers.get("Authorization", ""):
            with _refusals(self.folder).open("a") as log:
                log.write(f"{self.command} {self.path}\n")
            self._answer(403, b"<Error><Code>AccessDenied</Code><Message>not signed</Message></Error>")
            return None
        return self.folder / unquote(url.path).lstrip("/"), parse_qs(url.query, keep_blank_values=True), body

    def _answer(self, status: int, body: bytes = b"", /, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        if (begun := self._begin()) is None:
            return
        file, query, _ = begun
        if "list-type" in query:
            self._answer(200, self._listing(query), Content_Type="application/xml")
        elif not file.is_file():
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._send(file)

    do_HEAD = do_GET

    def _send(self, file: Path) -> None:
        content, written_s = file.read_bytes(), file.stat().st_mtime
        facts: dict[str, str] = {"ETag": f'"{len(content)}"', "Last_Modified": formatdate(written_s, usegmt=True)}
        if self.command == "HEAD":
            self._answer(200, Content_Length=str(len(content)), **facts)
        elif asked := self.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start = int(first) if first else len(content) - int(last)
            stop = min(int(last) + 1, len(content)) if first and last else len(content)
            self._answer(206, content[start:stop], Content_Range=f"bytes {start}-{stop - 1}/{len(content)}", **facts)
        else:
            self._answer(200, content, **facts)

    def do_PUT(self) -> None:
        if (begun := self._begin()) is None:
            return
        file, query, body = begun
        if "partNumber" in query:
            self._part(query["uploadId"][0], int(query["partNumber"][0])).write_bytes(body)
            self._answer(200, ETag=f'"{len(body)}"')
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with file.open("xb" if self.headers.get("If-None-Match") == "*" else "wb") as written:
                written.write(body)
        except FileExistsError:
            self._answer(412)
        else:
            self._answer(200, ETag=f'"{len(body)}"')

    def do_DELETE(self) -> None:
        if (begun := self._begin()) is not None:
            begun[0].unlink(missing_ok=True)
            self._answer(204)

    def do_POST(self) -> None:
        """Uploads in parts, and the deletion of many objects."""
        if (begun := self._begin()) is None:
            return
        file, query, body = begun
        if "uploads" in query:
            made = f"<InitiateMultipartUploadResult><UploadId>{uuid.uuid4()}</UploadId></InitiateMultipartUploadResult>"
            self._answer(200, made.encode(), Content_Type="application/xml")
        elif "uploadId" in query:
            numbers = sorted(int(found.text or "") for found in ElementTree.fromstring(body).iter() if found.tag.endswith("PartNumber"))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"".join(self._part(query["uploadId"][0], number).read_bytes() for number in numbers))
            done = '<CompleteMultipartUploadResult><ETag>"done"</ETag></CompleteMultipartUploadResult>'
            self._answer(200, done.encode(), Content_Type="application/xml")
        else:
            self._delete(file, body)

    def _part(self, upload: str, number: int) -> Path:
        return self.folder / f"{upload}.{number}"

    def _delete(self, bucket: Path, body: bytes) -> None:
        keys = [found.text or "" for found in ElementTree.fromstring(body).iter() if found.tag.endswith("Key")]
        for key in keys:
            (bucket / key).unlink(missing_ok=True)
        deleted = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        self._answer(200, f"<DeleteResult>{deleted}</DeleteResult>".encode(), Content_Type="application/xml")

    def _listing(self, query: dict[str, list[str]]) -> bytes:
        prefix, delimiter, after = (query.get(name, [""])[0] for name in ("prefix", "delimiter", "start-after"))
        bucket = self.folder / BUCKET
        held = {path.relative_to(bucket).as_posix(): path.stat() for path in bucket.rglob("*") if path.is_file()}
        parts, folders = [], set()
        for key, facts in sorted(held.items()):
            below = key.removeprefix(prefix)
            if not key.startswith(prefix) or key <= after:
                continue
            if delimiter and delimiter in below:
                folders.add(prefix + below.split(delimiter)[0] + delimiter)
                continue
            written = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(facts.st_mtime))
            parts.append(f"<Contents><Key>{escape(key)}</Key><LastModified>{written}</LastModified><Size>{facts.st_size}</Size></Contents>")
        parts += [f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in sorted(folders)]
        return f"<ListBucketResult><Name>{BUCKET}</Name><IsTruncated>false</IsTruncated>{''.join(parts)}</ListBucketResult>".encode()


if __name__ == "__main__":
    _Handler.folder = Path(sys.argv[1])
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()
