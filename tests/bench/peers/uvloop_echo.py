"""uvloop's echo server as its own examples write it: a protocol whose data_received writes back."""

import asyncio
import sys
from typing import cast

import uvloop


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=128)
    sys.stderr.write("listening on {}:{}\n".format(*server.sockets[0].getsockname()))
    sys.stderr.flush()
    await server.serve_forever()


uvloop.run(main())
