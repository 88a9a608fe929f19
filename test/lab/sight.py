"""What a NAT does to packets, seen by plain sockets. For the lab's own tests.

serve PORT               answers each datagram and each connection with the address that it came from, on all addresses
ask tcp|udp FROM TO...   from the local port FROM, asks each HOST:PORT of TO in turn; prints the answers
try tcp|udp FROM TO S    sends from the local port FROM to HOST:PORT until something comes back, S seconds at most; prints how it ended
meet tcp|udp FROM TO S   the same, once a line comes on stdin; whoever comes to FROM from elsewhere counts too
"""

import errno
import select
import socket
import sys
import time

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def bound(kind, port):
    made = socket.socket(socket.AF_INET, KINDS[kind])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("0.0.0.0", port))
    return made


def place(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def serve(port):
    tcp, udp = bound("tcp", port), bound("udp", port)
    tcp.listen(64)
    print("ready", flush=True)
    while True:
        for ready in select.select([tcp, udp], [], [])[0]:
            if ready is udp:
                _, (host, its) = udp.recvfrom(2048)
                udp.sendto(f"{host}:{its}".encode(), (host, its))
            else:
                peer, (host, its) = tcp.accept()
                peer.sendall(f"{host}:{its}".encode())
                peer.close()


def ask(kind, port, targets):
    udp = bound(kind, port) if kind == "udp" else None
    for target in targets:
        asker = udp or bound(kind, port)
        asker.settimeout(2)
        if udp:
            asker.sendto(b"?", place(target))
        else:
            asker.connect(place(target))
        print(asker.recv(2048).decode(), flush=True)
        if not udp:
            # Gone without a trace, so that the port is free at once.
            asker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            asker.close()


def attempt(kind, port, target, seconds, listener=None):
    end, last = time.monotonic() + seconds, "nothing"
    while time.monotonic() < end:
        asker = bound(kind, port)
        asker.setblocking(False)
        patience = 0.5 if kind == "udp" else 3
        try:
            if kind == "udp":
                asker.sendto(b"?", place(target))
                select.select([asker], [], [], min(patience, max(0.05, end - time.monotonic())))
                # From wherever: its port may be another one than was known.
                _, source = asker.recvfrom(2048)
                asker.sendto(b"!", source)
                return "open"
            asker.connect_ex(place(target))
            heard = [listener] if listener else []
            came, done, _ = select.select(heard, [asker], [], min(patience, max(0.05, end - time.monotonic())))
            if came:
                return "open"
            failure = asker.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if done else None
            if failure == 0:
                return "open"
            if failure is not None:
                last = "reset" if failure == errno.ECONNREFUSED else errno.errorcode[failure]
                time.sleep(0.05)
        except BlockingIOError:
            pass
        except OSError as error:
            last = "reset" if error.errno == errno.ECONNREFUSED else str(error)
            time.sleep(0.05)
        finally:
            asker.close()
    return last


def meet(kind, port, target, seconds):
    listener = None
    if kind == "tcp":
        listener = bound(kind, port)
        listener.listen(4)
    print("ready", flush=True)
    sys.stdin.readline()
    return attempt(kind, port, target, seconds, listener)


def main():
    what, *words = sys.argv[1:]
    if what == "serve":
        serve(int(words[0]))
    elif what == "ask":
        ask(words[0], int(words[1]), words[2:])
    else:
        kind, port, target, seconds = words
        print((meet if what == "meet" else attempt)(kind, int(port), target, float(seconds)))


main()
