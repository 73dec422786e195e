"""A model's server on a plain socket, which notices when its caller closes the connection."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(text: str) -> bytes:
    """One piece of an answer, as a chunk."""
    body = f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': text}}]})}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(body), body)


class Upstream:
    """Says `said` to each question and then nothing more; `closed` counts the callers that have gone.

    said: bytes, from the response's first on; b"" for a server that has not even answered.
    """

    def __init__(self, said: bytes) -> None:
        self._said = said
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked, self.closed = threading.Semaphore(0), threading.Semaphore(0)

    def serve(self) -> None:
        """Until the listener is closed."""
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(caller,), daemon=True).start()

    def close(self) -> None:
        """Take no more callers."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _answer(self, caller: socket.socket) -> None:
        with caller:
            head = caller.recv(65_536)
            if not head.startswith(b"POST"):
                caller.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            self.asked.release()
            with suppress(ConnectionError):  # a reset is an end as well: not all that was said had been read
                caller.sendall(self._said)
                while caller.recv(65_536):
                    pass
            self.closed.release()


@contextmanager
def upstream(said: bytes) -> Iterator[Upstream]:
    """One that listens until the block ends."""
    server = Upstream(said)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()
