"""The folder of images that everything is measured on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

JPEG_MAGIC = b"\xff\xd8\xff"


class DataError(Exception):
    """A folder that cannot be measured on; the text says why and what is expected."""


@dataclasses.dataclass(frozen=True)
class Images:
    """JPEG files below a folder."""

    root: Path
    files: list[Path]
    bytes: int

    def label(self) -> str:
        """The end of the path: enough to know the data by, without the machine's folders."""
        return "/".join(self.root.parts[-2:])


def find_images(root: Path) -> Images:
    """All files below `root`, each read once so that they lie in the page cache. Only JPEGs may be there."""
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; expected one of JPEGs, such as imagenet-sample/train")
    files = sorted(file for file in root.rglob("*") if file.is_file())
    total, others = 0, []
    for file in files:
        content = file.read_bytes()
        total += len(content)
        if not content.startswith(JPEG_MAGIC):
            others.append(file)
    if not files:
        raise DataError(f"{root} holds no files; expected JPEGs")
    if others:
        raise DataError(
            f"{len(others)} of {len(files)} files below {root} are not JPEGs ({others[0].relative_to(root)}, ...);"
            " not every loader can read them, so take them out"
        )
    return Images(root, files, total)
