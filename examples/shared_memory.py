#!/usr/bin/env python3
"""Talks to an agent through shared memory: mmap, and nothing else.

    netapp up --shared-memory /dev/shm/netapp-me
    python3 shared_memory.py /dev/shm/netapp-me submit_info
    python3 shared_memory.py /dev/shm/netapp-me say bob hello there
"""
import mmap
import os
import sys
import time

HEAD = 64  # bytes of the head; what follows is the body


class Agent:
    def __init__(self, path, size=4096, timeout=30):
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(fd, size)
        self.area = mmap.mmap(fd, size)
        os.close(fd)
        self.timeout = timeout

    def ask(self, command):
        """The body of the answer, as bytes; raises what the agent calls an error."""
        line = command.encode() + b"\n"
        if len(line) > len(self.area):
            raise ValueError("the command is longer than the area")
        self.area[: len(line)] = line
        until = time.monotonic() + self.timeout
        while True:
            word, _, code = self.area[:HEAD].split(b"\0")[0].partition(b" ")
            body = self.area[HEAD:].split(b"\0")[0]
            if word == b"done":
                return body
            if word == b"error":
                raise RuntimeError(f"{code.decode()}: {body.decode(errors='replace')}")
            if time.monotonic() > until:
                raise TimeoutError("no agent answers here")
            time.sleep(0.001)

    def answer(self, command):
        """The whole answer, in pieces where it does not fit."""
        body = self.ask(command)
        if not body.startswith(b"job "):
            return body
        job, offset, whole = body[4:].decode(), 0, b""
        while True:
            line, _, piece = self.ask(f"answer {job} {offset}").partition(b"\n")
            offset, state = line.split()
            offset, whole = int(offset), whole + piece
            if state == b"end":
                return whole


if __name__ == "__main__":
    size = int(os.environ.get("SIZE", "4096"))
    try:
        print(Agent(sys.argv[1], size).answer(" ".join(sys.argv[2:])).decode())
    except RuntimeError as error:
        sys.exit(f"error {error}")
