"""A gate before the service: lets requests pass, or stands in the way as a test wants it."""

import json
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Gate:
    """Listens on a port of its own and hands requests on to the service."""

    def __init__(self, origin):
        self.behind = origin
        self.token = None
        self.refuse = None
        self.changes = {}
        self.replaced = None
        self.asked = []
        gate = self

        class Handler(BaseHTTPRequestHandler):
            """One request."""

            def do_GET(self):
                """Refused, or what the service answers."""
                gate.asked.append(self.path)
                if self.path.startswith("/v1/"):
                    if gate.token and self.headers.get("authorization") != f"Bearer {gate.token}":
                        return self.answer(401, {"error": "show the token"}, {})
                    if gate.refuse:
                        return self.answer(gate.refuse, {"error": "ask again"}, {"retry-after": "2"})
                return self.hand_on()

            def answer(self, status, body, headers):
                """An answer of the gate's own."""
                self.send_response(status)
                text = json.dumps(body).encode()
                for name, value in {**headers, "content-type": "application/json",
                                    "content-length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def hand_on(self):
                """Asks the service; streams are handed on as they come."""
                try:
                    with urllib.request.urlopen(gate.behind + self.path, timeout=60) as answer:
                        self.send_response(answer.status)
                        for name, value in answer.headers.items():
                            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                                self.send_header(name, value)
                        self.send_header("connection", "close")
                        self.end_headers()
                        if self.path.startswith("/v1/tap"):
                            while piece := answer.read1():
                                self.wfile.write(piece)
                        else:
                            self.wfile.write(gate.shown(self.path, answer.read()))
                except urllib.error.HTTPError as refused:
                    self.answer(refused.code, json.load(refused), {})
                except (OSError, TimeoutError):
                    # The browser has gone, as it does when it leaves a view.
                    pass

            def log_message(self, *_):
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def shown(self, path, body):
        """With another text in its place, or changed by what is given for such a path."""
        if self.replaced:
            body = body.replace(*(json.dumps(text, ensure_ascii=False).encode() for text in self.replaced))
        for part, change in self.changes.items():
            if path.startswith(f"/v1/{part}"):
                answer = json.loads(body)
                change(answer)
                body = json.dumps(answer).encode()
        return body

    def stop(self):
        """Closes the port."""
        self.server.shutdown()
        self.server.server_close()
