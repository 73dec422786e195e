"""Servers killed, stores killed, networks cut, in the middle of answers, again and again: is all that was seen still there?

model      a model's server whose every answer follows from its question, so that a client knows what is true
http       requests whose connection may break at any byte
forms      the ways in which clients ask, and what each can read of an answer
client     asks, or watches, and comes back whenever it is cut off, until it has been told the end
replica    a server as a process of its own
proxy      a TCP proxy that can stop forwarding
site       replicas with what they need: SQLite alone, or Redis and PostgreSQL
faults     what is done to a site
verdict    what must hold afterwards
rounds     one round: clients, a fault, and the verdict
"""
