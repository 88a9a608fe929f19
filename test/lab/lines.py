"""Long lines: carries frames between pairs of interfaces, late, and not all of them.

The kernel's own way, tc's netem, is not in every kernel. One JSON object a line on stdin says what a line does from now on:
{"ends": ["a1", "b1"], "delayMs": 10, "loss": 0.2}; "ok" on stdout says that it does. Needs CAP_NET_RAW.
"""

import json
import os
import random
import selectors
import socket
import sys
import time
from collections import deque

SOL_PACKET = 263
PACKET_VNET_HDR = 15  # frames come and go with their offloads, so that none has to be cut or summed here
PACKET_IGNORE_OUTGOING = 23
ETH_P_ALL = 3
LARGEST = 10 + 18 + 65_536
MOST_WAITING = 4096  # frames of one direction under way: past it the newest is lost, as in a full queue


class Way:
    """One direction."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.delay, self.loss = 0.0, 0.0
        self.waiting = deque()

    def take(self):
        while True:
            try:
                frame = self.source.recv(LARGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                return  # the interface is down
            if random.random() < self.loss or len(self.waiting) >= MOST_WAITING:
                continue
            self.waiting.append((time.monotonic() + self.delay, frame))

    def give(self, now):
        while self.waiting and self.waiting[0][0] <= now:
            try:
                self.target.send(self.waiting[0][1])
            except OSError:
                pass  # the interface is down, or its queue is full: lost
            self.waiting.popleft()


def open_end(name):
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    end.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    end.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 * 1024 * 1024)
    end.bind((name, 0))
    end.setblocking(False)
    return end


def main():
    lines, ways, words = {}, [], b""
    selector = selectors.DefaultSelector()
    os.set_blocking(0, False)
    selector.register(0, selectors.EVENT_READ, None)
    while True:
        due = min((way.waiting[0][0] for way in ways if way.waiting), default=None)
        for key, _ in selector.select(None if due is None else max(0.0, due - time.monotonic())):
            if key.data is not None:
                key.data.take()
                continue
            more = os.read(0, 65_536)
            if not more:
                return
            *complete, words = (words + more).split(b"\n")
            for line in complete:
                told = json.loads(line)
                ends = tuple(told["ends"])
                if ends not in lines:
                    one, other = map(open_end, ends)
                    lines[ends] = [Way(one, other), Way(other, one)]
                    for way in lines[ends]:
                        selector.register(way.source, selectors.EVENT_READ, way)
                    ways.extend(lines[ends])
                for way in lines[ends]:
                    way.delay, way.loss = told["delayMs"] / 1000, told["loss"]
                sys.stdout.write("ok\n")
                sys.stdout.flush()
        now = time.monotonic()
        for way in ways:
            way.give(now)


main()
