"""The barest echo that Python can be: epoll, recv_into, send. No ends passed on, no back-pressure, nothing observed."""

import select
import socket
import sys


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    sys.stderr.write("listening on {}:{}\n".format(*listener.getsockname()))
    sys.stderr.flush()
    epoll = select.epoll()
    epoll.register(listener.fileno(), select.EPOLLIN)
    accepting = listener.fileno()
    clients: dict[int, socket.socket] = {}
    buffer = memoryview(bytearray(65536))
    while True:
        for fd, _ in epoll.poll():
            if fd == accepting:
                sock, _ = listener.accept()
                clients[sock.fileno()] = sock
                epoll.register(sock.fileno(), select.EPOLLIN)
                continue
            sock = clients[fd]
            size = sock.recv_into(buffer)
            if size:
                sock.send(buffer[:size])
            else:
                del clients[fd]
                sock.close()


main()
