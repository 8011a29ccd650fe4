"""Files that came with a command: their address holds their bytes."""

import base64

from storage.domain import Attached


def attached(data: bytes, *, name: str = "picture.png", size_bytes: int | None = None) -> Attached:
    size = len(data) if size_bytes is None else size_bytes
    return Attached(name=name, size_bytes=size, address=base64.b64encode(data).decode())


async def read(file: Attached) -> bytes:
    return base64.b64decode(file.address)
