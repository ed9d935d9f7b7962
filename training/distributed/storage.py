"""Folder of a training, on disk or in an object store: a few small files by name."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from pyarrow import fs


class Storage:
    """Files below a folder or URL such as `s3://bucket/run`."""

    def __init__(self, place: str) -> None:
        """Know the place; a path is made absolute."""
        if "://" in place:
            self._files, self.root = fs.FileSystem.from_uri(place)
            self.place = place
        else:
            self._files, self.root = fs.LocalFileSystem(), str(Path(place).resolve())
            self.place = self.root

    def read(self, name: str) -> bytes | None:
        """Bytes of a file; None where it is not there. A name that begins with the root is a path."""
        path = name if name.startswith(self.root) else f"{self.root}/{name}"
        if self._files.get_file_info(path).type != fs.FileType.File:
            return None
        with self._files.open_input_stream(path) as file:
            return bytes(file.read())

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole: readers see it as it was, or as it is."""
        path = f"{self.root}/{name}"
        self._files.create_dir(str(path.rpartition("/")[0]), recursive=True)
        partial = f"{path}.{uuid4().hex}.partial"  # several processes may write one file
        with self._files.open_output_stream(partial) as file:
            file.write(content)
        self._files.move(partial, path)

    def delete(self, name: str) -> None:
        """Delete a file, where it is there."""
        if self.read(name) is not None:
            self._files.delete_file(f"{self.root}/{name}")

    def names(self, folder: str) -> list[str]:
        """Paths of the files in a folder, in order."""
        path = folder if folder.startswith(self.root) else f"{self.root}/{folder}"
        found = self._files.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return sorted(each.path for each in found if each.type == fs.FileType.File)
