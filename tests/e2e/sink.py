"""sink.py - volley-sink as end-to-end tests see it."""

import datetime
import json
import pathlib

from process import Process


class Sink(Process):
    """A sink on a free port; what it accepts stands in a file of JSON lines."""

    def __init__(self, program, directory, options=(), wrap=(), listen="127.0.0.1:0"):
        self.directory = pathlib.Path(directory)
        self.events_path = self.directory / "sink.jsonl"
        self.mail_path = self.directory / "mail"
        super().__init__("sink", [*wrap, program, "--listen", listen, "--events",
                                  self.events_path, "--digest", *options])
        self.address = self.wait_line(r"listening (\S+)").group(1)

    def accepted(self):
        """One dictionary for each message it answered with 250."""
        if not self.events_path.exists():
            return []
        lines = self.events_path.read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines if line]

    def recipients(self):
        return [to for message in self.accepted() for to in message["to"]]

    def times(self):
        """When messages were accepted, in seconds, in order."""
        return sorted(datetime.datetime.fromisoformat(m["time"].replace("Z", "+00:00")).timestamp()
                      for m in self.accepted())

    def letters(self):
        """Stored letters as bytes (--store)."""
        return [f.read_bytes() for f in sorted((self.mail_path / "new").iterdir())]
