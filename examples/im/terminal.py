"""A chat in the terminal: one thread listens to the server, the other one to you.

    python3 terminal.py NAME [HOST [PORT]]
    jython terminal.py NAME [HOST [PORT]]
"""
from __future__ import print_function

import sys

from connection import Connection

HELP = """\
/invite NAME...   begins a conversation with these people
/join N           joins conversation N, and talks there from now on
/talk N           talks in conversation N from now on
/leave N          leaves conversation N
/list             shows your conversations
/status WORDS     says how you are
/quit             says goodbye
Everything else is said in the conversation where you talk."""

if sys.version_info[0] == 2:
    ask = raw_input  # noqa: F821: Python 2 and Jython have it
else:
    ask = input


def show(line):
    """Prints one line whole, although two threads print. Python 2 wants bytes where the text is not plain."""
    if sys.version_info[0] == 2 and isinstance(line, unicode):  # noqa: F821
        line = line.encode("utf-8")
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Chat(object):
    def __init__(self, name, host, port):
        self.name = name
        self.here = None  # the conversation in which we talk
        self.connection = Connection(host, port, self.heard)
        self.connection.say("REGISTER", [name, "online"])

    # What the server says. The listening thread comes here.

    def heard(self, word, argument):
        if word == "MESSAGE":
            conversation, sender, text = argument
            show(u"[%s] %s: %s" % (conversation, sender, text))
        elif word == "INVITATION":
            conversation, source = argument
            show(u"* %s invites you to conversation %s: /join %s" % (source, conversation, conversation))
        elif word == "ONLINE_USERS":
            people = [u"%s (%s)" % (who, argument[who]) for who in sorted(argument)]
            show(u"* here: %s" % u", ".join(people))
        elif word == "CONVERSATIONS":
            for conversation in sorted(argument):
                show(u"* conversation %s: %s" % (conversation, u", ".join(argument[conversation])))
            show(u"* %d conversations" % len(argument))
        elif word == "ERROR":
            show(u"! %s" % argument)
        elif word == "END":
            show(u"! %s" % argument)

    # What you type. The main thread stays here.

    def run(self):
        show(u"* /help shows what you can type")
        while True:
            try:
                line = ask().strip()
            except (EOFError, KeyboardInterrupt):
                line = "/quit"
            if line == "/quit":
                break
            if line:
                self.typed(line)
        self.connection.say("GOODBYE")
        self.connection.close()

    def typed(self, line):
        words = line.split()
        command, rest = words[0], words[1:]
        if command == "/help":
            show(HELP)
        elif command == "/list":
            self.connection.say("LIST_CONVERSATIONS")
        elif command == "/status":
            self.connection.say("STATUS", [" ".join(rest)])
        elif command == "/invite":
            self.connection.say("INVITE", rest)
        elif command in ("/join", "/talk", "/leave"):
            self.go(command, rest)
        elif command.startswith("/"):
            show(u"! there is no %s; /help shows what there is" % command)
        elif self.here is None:
            show(u"! you talk nowhere yet: /join N first")
        else:
            self.connection.say("SEND_MESSAGE", [self.here, line])

    def go(self, command, rest):
        if len(rest) != 1 or not rest[0].isdigit():
            return show(u"! which conversation? %s N" % command)
        conversation = int(rest[0])
        if command == "/leave":
            self.connection.say("LEAVE", [conversation])
            self.here = None
        else:
            if command == "/join":
                self.connection.say("JOIN", [conversation])
            self.here = conversation


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3, 4):
        sys.exit(__doc__)
    host = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
    port = int(sys.argv[3]) if len(sys.argv) > 3 else 6666
    Chat(sys.argv[1], host, port).run()
