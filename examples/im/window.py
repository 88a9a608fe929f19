"""A chat in a window: the listening thread takes notices, the main thread draws and takes what you type.

    python3 window.py NAME [HOST [PORT]]

Only the main thread may touch the window, so the listening thread puts what it hears into a queue, and the window looks
into it ten times a second. Needs tkinter, which Debian has as python3-tk.
"""
import sys

try:
    import queue
    import tkinter as tk
except ImportError:  # Python 2
    import Queue as queue
    import Tkinter as tk

from connection import Connection

LOOK_MS = 100  # how often the window looks for what was heard


class Window(object):
    def __init__(self, root, name, host, port):
        self.root = root
        self.name = name
        self.heard = queue.Queue()
        self.people = []
        self.conversations = []  # numbers, in the order of the list
        self.lines = {}  # number of a conversation: what was said in it
        self.here = None
        self.build()
        self.connection = Connection(host, port, lambda word, argument: self.heard.put((word, argument)))
        self.connection.say("REGISTER", [name, "online"])
        self.connection.say("LIST_CONVERSATIONS")
        root.protocol("WM_DELETE_WINDOW", self.quit)
        self.look()

    # The window.

    def build(self):
        self.root.title("IM: %s" % self.name)
        self.root.geometry("720x420")
        left = tk.Frame(self.root)
        left.pack(side=tk.LEFT, fill=tk.Y, padx=6, pady=6)
        tk.Label(left, text="Here now").pack(anchor=tk.W)
        self.people_list = tk.Listbox(left, selectmode=tk.EXTENDED, width=26, height=9, exportselection=False)
        self.people_list.pack(fill=tk.BOTH, expand=True)
        tk.Button(left, text="Invite the selected", command=self.invite).pack(fill=tk.X, pady=(2, 8))
        tk.Label(left, text="Conversations").pack(anchor=tk.W)
        self.conversation_list = tk.Listbox(left, width=26, height=7, exportselection=False)
        self.conversation_list.bind("<<ListboxSelect>>", lambda event: self.choose())
        self.conversation_list.pack(fill=tk.BOTH, expand=True)
        tk.Button(left, text="Leave", command=self.leave).pack(fill=tk.X, pady=(2, 0))

        right = tk.Frame(self.root)
        right.pack(side=tk.LEFT, fill=tk.BOTH, expand=True, padx=(0, 6), pady=6)
        self.bar = tk.Label(right, anchor=tk.W, text="Select people and invite them, or choose a conversation.")
        self.entry = tk.Entry(right)
        self.entry.bind("<Return>", lambda event: self.send())
        self.text = tk.Text(right, state=tk.DISABLED, wrap=tk.WORD, width=50, height=18)
        self.bar.pack(side=tk.TOP, fill=tk.X)
        self.entry.pack(side=tk.BOTTOM, fill=tk.X)
        self.text.pack(side=tk.TOP, fill=tk.BOTH, expand=True, pady=(2, 6))
        self.entry.focus_set()

    def show_people(self):
        self.people_list.delete(0, tk.END)
        for who, status in self.people:
            self.people_list.insert(tk.END, "%s (%s)" % (who, status))

    def show_conversations(self):
        self.conversation_list.delete(0, tk.END)
        for number in self.conversations:
            self.conversation_list.insert(tk.END, "conversation %s" % number)
        if self.here in self.conversations:
            self.conversation_list.selection_set(self.conversations.index(self.here))

    def show_text(self):
        self.text.config(state=tk.NORMAL)
        self.text.delete("1.0", tk.END)
        self.text.insert(tk.END, "".join(self.lines.get(self.here, [])))
        self.text.see(tk.END)
        self.text.config(state=tk.DISABLED)

    # What the server says.

    def look(self):
        """Takes what the listening thread heard since the last look."""
        while not self.heard.empty():
            self.take(*self.heard.get())
        self.root.after(LOOK_MS, self.look)

    def take(self, word, argument):
        if word == "ONLINE_USERS":
            self.people = sorted(argument.items())
            self.show_people()
        elif word == "CONVERSATIONS":
            for number in argument:
                self.open(number)
        elif word == "INVITATION":
            number, source = argument
            self.open(number)
            self.note(number, "%s invites to conversation %s\n" % (source, number))
            if self.here is None or source == self.name:
                self.go(number)
        elif word == "MESSAGE":
            number, sender, text = argument
            self.open(number)
            self.note(number, "%s: %s\n" % (sender, text))
        elif word in ("ERROR", "END"):
            self.bar.config(text=argument)

    def open(self, number):
        if number not in self.conversations:
            self.conversations = sorted(self.conversations + [number])
            self.show_conversations()

    def note(self, number, line):
        self.lines.setdefault(number, []).append(line)
        if number == self.here:
            self.show_text()

    # What the user does.

    def invite(self):
        names = [self.people[at][0] for at in self.people_list.curselection()]
        others = [who for who in names if who != self.name]
        if others:
            self.connection.say("INVITE", others)

    def choose(self):
        chosen = self.conversation_list.curselection()
        if chosen:
            self.go(self.conversations[chosen[0]])

    def go(self, number):
        self.here = number
        self.connection.say("JOIN", [number])  # also brings what was said before
        self.bar.config(text="Conversation %s" % number)
        self.show_conversations()
        self.show_text()
        self.entry.focus_set()

    def leave(self):
        if self.here is not None:
            self.connection.say("LEAVE", [self.here])
            self.conversations.remove(self.here)
            self.here = None
            self.bar.config(text="You left.")
            self.show_conversations()
            self.show_text()

    def send(self):
        line = self.entry.get().strip()
        if line and self.here is not None:
            self.connection.say("SEND_MESSAGE", [self.here, line])
            self.entry.delete(0, tk.END)

    def quit(self):
        self.connection.say("GOODBYE")
        self.connection.close()
        self.root.destroy()


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3, 4):
        sys.exit(__doc__)
    server = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
    door = int(sys.argv[3]) if len(sys.argv) > 3 else 6666
    window = tk.Tk()
    Window(window, sys.argv[1], server, door)
    window.mainloop()
