"""The classic IM protocol, as a client sees it: a command word, a space, a pickled argument, and nothing between messages.

Runs on Python 3, Python 2.7 and Jython 2.7, and needs nothing but what comes with them.
"""
import pickle
import socket
import threading


class Data(pickle.Unpickler):
    """A pickle can also name classes and call functions. A chat needs neither, so whoever sends us one runs nothing here."""

    def find_class(self, module, name):
        raise pickle.UnpicklingError("the server sent more than data: %s.%s" % (module, name))


class Connection(object):
    """One connection to a server. What the server says goes to `heard`, called by a thread of its own."""

    def __init__(self, host, port, heard):
        """heard(word, argument) is told each message; heard("END", reason) is the last one."""
        self.socket = socket.create_connection((host, port))
        self.stream = self.socket.makefile("rb")
        self.heard = heard
        listener = threading.Thread(target=self.listen)
        listener.daemon = True  # it must not keep the program alive
        listener.start()

    def say(self, word, argument=None):
        """Sends one message, whole. Protocol 0 is what every Python reads."""
        message = word.encode("ascii")
        if argument is not None:
            message += b" " + pickle.dumps(argument, 0)
        self.socket.sendall(message)

    def listen(self):
        """The listening thread: waits for messages while the main thread waits for the user."""
        try:
            while True:
                word = self.read_word()
                if not word:
                    return self.heard("END", "the server has ended the connection")
                # A pickle knows where it ends, so the next message begins right behind it.
                self.heard(word, Data(self.stream).load())
        except Exception as error:
            self.heard("END", str(error))

    def read_word(self):
        """Letters up to the space that stands before the argument; empty at the end of the stream."""
        word = b""
        while True:
            letter = self.stream.read(1)
            if letter in (b"", b" "):
                return word.decode("ascii")
            word += letter

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)  # the listening thread wakes up
        except (IOError, OSError):
            pass  # the server was faster
        self.socket.close()
