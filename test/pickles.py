"""Stands between a test and a real pickle module; runs on Python 2.7, Jython 2.7 and Python 3.

Each line in is JSON: {"load": hex} is answered by what the pickle holds, as JSON; {"dump": value} by the pickles of it, one
for each protocol that this Python knows, as hex. Floats that JSON has not are spelt out.
"""
import binascii
import json
import pickle
import sys


def plain(value):
    if isinstance(value, dict):
        return dict((str(key), plain(held)) for key, held in value.items())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return repr(value)
    return value


for line in iter(sys.stdin.readline, ""):
    asked = json.loads(line)
    if "load" in asked:
        answer = plain(pickle.loads(binascii.unhexlify(asked["load"].encode("ascii"))))
    else:
        answer = [
            binascii.hexlify(pickle.dumps(asked["dump"], protocol)).decode("ascii")
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ]
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
