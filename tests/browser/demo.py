"""The service that the page is tested on: `stallwatch demo`, on its embedded broker."""

import json
import signal
import socket
import subprocess
import threading
import urllib.parse
import urllib.request

# Three simulated weeks in a minute and a half; the first exceptions after about ten seconds.
SPEED = "20000"
PACKAGES = "12000"
PATIENCE = 240


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Demo:
    """A running demo that stays up at its end."""

    def __init__(self, binary):
        self.address = f"127.0.0.1:{free_port()}"
        self.origin = f"http://{self.address}"
        self.process = subprocess.Popen(
            [binary, "demo", "--packages", PACKAGES, "--speed", SPEED, "--hold",
             "--page", self.address],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.said = []
        self.is_up = threading.Event()
        self.has_ended = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()
        self._wait(self.is_up, "come up")

    def _listen(self):
        for line in self.process.stderr:
            self.said.append(line)
            if "packages in flight" in line:
                self.is_up.set()
            if "stay up until" in line:
                self.has_ended.set()
        self.is_up.set()
        self.has_ended.set()

    def _wait(self, event, what):
        if not event.wait(PATIENCE) or self.process.poll() is not None:
            raise AssertionError(f"the demo did not {what}:\n{''.join(self.said[-20:])}")

    def wait_for_the_end(self):
        """Returns once all three weeks are played; from then on nothing changes any more."""
        self._wait(self.has_ended, "play to its end")

    def ask(self, path, **query):
        """An answer of the API."""
        query = f"?{urllib.parse.urlencode(query)}" if query else ""
        with urllib.request.urlopen(f"{self.origin}/v1/{path}{query}", timeout=30) as answer:
            return json.load(answer)

    def stop(self):
        """Ends it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0, "".join(self.said[-20:])
