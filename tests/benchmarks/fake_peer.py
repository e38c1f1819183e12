"""A peer that misbehaves on every text that has ``BAD`` in it, as it is told."""

import json
import subprocess
import sys
import time

MODE = sys.argv[1]


def say(data):
    sys.stdout.buffer.write(data + b"\n")
    sys.stdout.buffer.flush()


def answer(request):
    return {"id": request["id"], "text": request["text"][::2], "seconds": 0.25}


def misbehave(request):
    number = request["id"]
    match MODE:
        case "crash":
            sys.exit("the model is missing")
        case "hang":
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            time.sleep(600)
        case "wrong id":
            say(json.dumps({"id": number + 1, "text": ""}).encode())
        case "larger":
            say(json.dumps({"id": number, "text": request["text"] * 3}).encode())
        case "not utf-8":
            say(b'{"id": %d, "text": "caf\xe9"}' % number)
        case "half a character":
            say(b'{"id": %d, "text": "\\ud800"}' % number)
        case "no json":
            say(b"loading the model ... done")
        case "neither":
            say(b'{"id": %d}' % number)
        case "says why not":
            say(json.dumps({"id": number, "error": "no such kind"}).encode())
        case "no time at all":
            say(json.dumps({"id": number, "text": "x", "seconds": -1}).encode())


if MODE == "never begins":
    time.sleep(600)
kinds = ["log"] if MODE == "logs alone" else None
say(json.dumps({"name": MODE, "version": "1\x1b[2J", "kinds": kinds}).encode())
for line in sys.stdin.buffer:
    asked = json.loads(line)
    if "BAD" in asked["text"]:
        misbehave(asked)
    else:
        say(json.dumps(answer(asked)).encode())
