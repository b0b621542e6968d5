#!/usr/bin/python3
"""Stands for a paging service: writes down what Alertmanager sends to port 9095, with its token or not at all.

    pager.py FILE   Appends a line for each alert that it is told: path, status, name.
"""

import http.server
import json
import pathlib
import sys


class Pager(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        token = pathlib.Path(f"/etc/prometheus/aura-{self.path.strip('/')}-token")
        if not token.exists() or self.headers["Authorization"] != f"Bearer {token.read_text().strip()}":
            self.send_error(401)
            return
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open(sys.argv[1], "a", encoding="utf-8") as file:
            for alert in told["alerts"]:
                print(self.path, alert["status"], alert["labels"]["alertname"], file=file)
        self.send_response(200)
        self.end_headers()


http.server.HTTPServer(("127.0.0.1", 9095), Pager).serve_forever()
