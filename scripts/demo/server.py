"""Serves the demo project's API with the code as it is on disk at each request.

    python server.py PORT

Run in the project's directory with its ``src`` on the path; a process per request
stands for the reloading that development servers do.
"""

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

ANSWER = """
import json, sys
from datetime import date
from parcels.api import answer
from parcels.store import load
print(json.dumps(answer(sys.argv[1], load(), date(2025, 11, 3))[1]))
"""


class Handler(BaseHTTPRequestHandler):
    """Answers every GET by asking the project's code anew."""

    def do_GET(self) -> None:
        """Run the project's ``answer`` on the path."""
        command = [sys.executable, "-c", ANSWER, self.path]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603
        self.send_response(200)
        self.end_headers()
        self.wfile.write(done.stdout)

    def log_message(self, *_: object) -> None:
        """Say nothing: the agent's commands are what is recorded."""


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
