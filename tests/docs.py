"""docs.py - the parts of the documents that are made from the program.

    tests/docs.py        renews them (`make docs`)

Between "<!-- NAME: ... -->" and "<!-- end of NAME -->" stands what NAME's function returns;
`make tidy` complains when it does not.
"""

import os
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD = os.environ.get("VOLLEY_BUILD", "build")


def output(*command):
    # Called below a make, another one would tell which directory it enters.
    env = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    done = subprocess.run(command, cwd=TOP, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"docs: {' '.join(command)} failed: {done.stderr}")
    return done.stdout


def reference():
    """Every key of the configuration, as the schema has it."""
    return output(f"{BUILD}/volley", "help", "--config-reference").strip()


def modules():
    """Which directory includes which."""
    rows = ["| directory | may include |", "|---|---|"]
    for line in output("make", "-s", "print-deps").splitlines():
        module, _, others = line.partition(":")
        names = ", ".join(f"`{name}`" for name in others.split()) or "nothing"
        rows.append(f"| `{module}` | {names} |")
    return "\n".join(rows)


PARTS = {"README.md": {"reference": reference}, "ARCHITECTURE.md": {"modules": modules}}


def marked(text, name):
    """The match whose group 1 is what stands between the marks of NAME, or None."""
    return re.search(rf"<!-- {name}:[^\n]*-->\n(.*?)<!-- end of {name} -->", text, re.S)


def renewed(path, text):
    """The text of a document with its parts made anew."""
    for name, make in PARTS[path].items():
        match = marked(text, name)
        if not match:
            sys.exit(f"docs: {path} has no place for {name}")
        text = text[: match.start(1)] + make() + "\n" + text[match.end(1):]
    return text


if __name__ == "__main__":
    for document in PARTS:
        file = TOP / document
        file.write_text(renewed(document, file.read_text()))
