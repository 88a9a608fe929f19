# A bot in Python, which knows nothing but lines of JSON: it answers "!roll 2d6", to people and in rooms.
#   netapp pipe --run 'python3 examples/bot.py'
import json
import random
import re
import sys


def roll(text):
    match = re.fullmatch(r"!roll (\d{1,2})d([1-9]\d{0,2})", text.strip())
    if not match or match[1].strip("0") == "":
        return None
    dice = [random.randint(1, int(match[2])) for _ in range(int(match[1]))]
    return f"{' + '.join(map(str, dice))} = {sum(dice)}"


for line in sys.stdin:
    event = json.loads(line)
    if event["type"] == "error":
        print(event["error"]["message"], file=sys.stderr)
    elif event["type"] == "message.received":
        message = event["data"]
        answer = roll(message["text"])
        if answer:
            action = {"op": "messages.reply", "input": {"id": message["id"], "text": answer}, "id": message["id"]}
            print(json.dumps(action), flush=True)
