"""Socket.IO: the dialects' answers and announcements as events, on the same ports as everything else.

    session    chat_stream → chat_stream_started · chat_token* · (chat_complete | chat_stream_error)
               chat_resume → the same from a token on         chat_stop → chat_complete, marked stopped

python-socketio speaks the protocol (`_wire`, which alone imports it, and only once a client is there). What is ours is the
rest: who may come in (`door`), what an event asks for (`session`), and that an answer is a cursor on its run's log
(`stream`), which waits while its socket takes nothing. Source: contracts/session.md and smarttalk.md, "Socket.IO".
"""

from rivermouth.doors.socketio.door import SocketsDoor, is_for_sockets

__all__ = ["SocketsDoor", "is_for_sockets"]
