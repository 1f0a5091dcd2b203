"""tidy.py - the rules of the house that a machine can judge.

    tests/tidy.py             every rule over every file; one "ok" or "not ok" line for each
    tests/tidy.py --list      the rules

A rule takes a path and its text and yields (line number, what is wrong).  Beside it stand
samples that it must catch and samples that it must let through: each run tries those first,
so that a rule cannot fall asleep.  Rules that need a tool (clang-format, shellcheck, the
built program) say "skip" and why when the tool is not there.
"""

import fnmatch
import os
import pathlib
import re
import shutil
import subprocess
import sys

import docs

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD = os.environ.get("VOLLEY_BUILD", "build")
COLUMNS = 100
LINES_MAX = 600

# What the layout of C files is pinned to: versions differ in small things.
CLANG_FORMAT_MAJOR = 14

# Third-party headers and who may include them.
THIRD_PARTY = {
    "liburing.h": ("engine/io/*",),
    "openssl/*": ("engine/tls/*", "engine/message/*", "tests/unit/tls/*", "tests/unit/message/*"),
    "hiredis/*": ("queue/*",),
    "hiredis.h": ("queue/*",),
    "yaml.h": ("conf/*",),
    "ares*.h": ("engine/dns/*",),
    "idn2.h": ("engine/dns/*",),
    "cmocka.h": ("tests/*",),
}

# Bytes and a time go in, bytes and decisions come out: no way to a clock, a file or a socket.
PURE = ("engine/smtp/*", "throttle/*")
IMPURE_HEADERS = ("sys/socket.h", "unistd.h", "time.h", "sys/time.h", "pthread.h", "fcntl.h",
                  "poll.h", "sys/stat.h", "netdb.h")

BANNED = ("sprintf", "vsprintf", "strcpy", "strcat", "strncat", "strtok", "strtok_r", "atoi",
          "atol", "atoll", "gmtime", "localtime", "gets", "alloca", "setjmp", "longjmp", "system")

RULES = []


class Rule:
    def __init__(self, check, files, bad, good, needs):
        self.name = check.__name__.replace("_", "-")
        self.check = check
        self.files = files
        self.bad = bad
        self.good = good
        self.needs = needs  # () -> reason to skip, or None

    def wants(self, path):
        return any(fnmatch.fnmatch(path, pattern) for pattern in self.files)


def rule(*files, bad, good=(), needs=lambda: None):
    """bad, good: (path, text) samples."""

    def add(check):
        RULES.append(Rule(check, files, bad, good, needs))
        return check

    return add


def numbered(text):
    return enumerate(text.split("\n"), 1)


C = ("*.c", "*.h")
TEXT = (*C, "*.py", "*.sh", "*.lua", "*.yaml", "*.md", "Makefile", ".ci/*", "*.service")


def without_comments(text):
    """Blanks comments and the insides of strings and characters, keeping lines."""
    token = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

    def blank(match):
        kept = "\n" * match.group().count("\n")
        return f'""{kept}' if match.group()[0] == '"' else kept

    return token.sub(blank, text)


def includes(text):
    """(line, form, name) of each include; form is '<' or '"'."""
    for number, line in numbered(text):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)', line)
        if match:
            yield number, match.group(1), match.group(2)


# ---- every text file -----------------------------------------------------------------------


@rule(*TEXT, bad=[("a.c", "int a;\t \n"), ("a.h", "int a;"), ("a.lua", "x = 1\r\n"),
                  ("a.md", "text  \n"), ("a.c", "int a;\n\n")],
      good=[("a.c", "int a;\n"), ("empty.py", "")])
def white_space(_path, text):
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "no newline at the end"
    if text.endswith("\n\n"):
        yield text.count("\n"), "empty line at the end"
    for number, line in numbered(text):
        if line != line.rstrip():
            yield number, "space at the end of the line"


@rule(*C, "*.py", "*.sh", "*.lua", ".ci/*",
      bad=[("a.c", "x" * 101 + "\n")], good=[("a.c", "ü" * 100 + "\n")])
def columns(_path, text):
    for number, line in numbered(text):
        if len(line) > COLUMNS:
            yield number, f"{len(line)} columns, {COLUMNS} are the limit"


@rule(*C, "*.py", "*.lua", "*.yaml", bad=[("a.c", "\tint a;\n")], good=[("a.c", "    int a;\n")])
def tabs(_path, text):
    for number, line in numbered(text):
        if "\t" in line:
            yield number, "a tab"


LEFT_OPEN = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")


@rule(*TEXT, bad=[("a.c", "/* TO" "DO later */\n"), ("a.sh", "# FIX" "ME\n")],
      good=[("a.sh", "mktemp -d x.XXXXXX\n")])
def left_open(_path, text):
    for number, line in numbered(text):
        match = LEFT_OPEN.search(line)
        if match:
            yield number, f"{match.group()} is not for the tree: do it, or say in words why not"


# A home or checkout of somebody; /root and /home of the roots made for checks are theirs.
MACHINE = re.compile(r"(?<![\w.$}])/(?:home|root|work|Users)/\w")


@rule(*TEXT, bad=[("a.py", "open('/ho" "me/ann/x')\n"), ("a.md", "see /ro" "ot/x\n")],
      good=[("a.md", "$HOME/x and ~/x and docs/work/x\n")])
def machine_paths(path, text):
    if path == "tests/clean_root.sh":
        return
    for number, line in numbered(text):
        if MACHINE.search(line):
            yield number, "a path of one machine"


# ---- C -------------------------------------------------------------------------------------


def clang_format_missing():
    if not clang_format():
        return f"clang-format {CLANG_FORMAT_MAJOR} is not installed"
    return None


def clang_format():
    for name in (f"clang-format-{CLANG_FORMAT_MAJOR}", "clang-format"):
        if shutil.which(name):
            version = subprocess.run([name, "--version"], capture_output=True, text=True).stdout
            if f" {CLANG_FORMAT_MAJOR}." in version:
                return name
    return None


_misformed = None


def misformed():
    """path -> line of the first thing that clang-format would change, for the whole tree."""
    global _misformed
    if _misformed is None:
        paths = [p for p in tracked() if p.endswith((".c", ".h"))]
        done = subprocess.run([clang_format(), "--dry-run", *paths], stderr=subprocess.PIPE,
                              text=True, cwd=TOP)
        _misformed = {}
        for path, line in re.findall(r"(?m)^(\S+):(\d+):\d+: warning", done.stderr):
            _misformed.setdefault(path, int(line))
    return _misformed


@rule(*C, bad=[("a.c", "int f(void){return 1;}\n")],
      good=[("a.c", "int f(void)\n{\n    return 1;\n}\n")], needs=clang_format_missing)
def form(path, text):
    if path in tracked():  # one run of clang-format for all of them
        line = misformed().get(path)
    else:
        done = subprocess.run([clang_format(), "--dry-run"], input=text, capture_output=True,
                              text=True, cwd=TOP)
        line = 1 if done.stderr else None
    if line:
        yield line, f"not as clang-format has it: run clang-format -i {path}"


@rule(*C, bad=[("engine/base/a.c", "int a;\n"), ("a.c", "/*\n * b.c - x.\n */\n")],
      good=[("engine/base/a.c", "/*\n * a.c - keeps one integer.\n */\nint a;\n"),
            ("tests/fuzz/fuzz_a.c", "/* modules: base */\n/*\n * fuzz_a.c - x.\n */\n")])
def head(path, text):
    name = path.rsplit("/", 1)[-1]
    text = re.sub(r"\A/\* modules: [^\n]*\n", "", text)
    if not re.match(rf"/\*\n \* {re.escape(name)} - \S", text):
        yield 1, f'starts with "/*\\n * {name} - what it is for."'


@rule("*.h", bad=[("engine/base/a.h", "/* */\n#ifndef A_H\n#define A_H\n#endif\n")],
      good=[("queue/a_b.h", "#ifndef VOLLEY_QUEUE_A_B_H\n#define VOLLEY_QUEUE_A_B_H\n#endif\n")])
def guard(path, text):
    parts = path.removesuffix(".h").split("/")
    name = "_".join(["VOLLEY"] + parts[parts[0] == "engine":]).upper() + "_H"
    name = re.sub(r"\W", "_", name).replace("TESTS_UNIT_", "TEST_")
    if f"#ifndef {name}\n#define {name}\n" not in text or not text.endswith("#endif\n"):
        yield 1, f"the guard is {name}"


@rule(*C, bad=[("a.c", "    strcpy(a, b);\n"), ("a.c", "x = atoi (s);\n")],
      good=[("a.c", '/* strcpy(a) */ const char *s = "strcpy(x)"; gmtime_r(&t, &m);\n'),
            ("a.c", "    mysystem(x);\n")])
def banned(_path, text):
    pattern = re.compile(rf"(?<![\w.>])({'|'.join(BANNED)})\s*\(")
    for number, line in numbered(without_comments(text)):
        match = pattern.search(line)
        if match:
            yield number, f"{match.group(1)}() is banned"


@rule(*C, bad=[("a.h", "typedef struct a { int b; } a;\n")],
      good=[("a.h", "typedef int (*f)(struct a *);\n")])
def typedef_struct(_path, text):
    for number, line in numbered(without_comments(text)):
        if re.match(r"\s*typedef\s+(struct|union)\b", line):
            yield number, "structs have no typedef"


@rule(*C, "*.py", "*.lua", bad=[("a.c", "x\n" * 601)], good=[("a.c", "x\n" * 600)])
def size(_path, text):
    lines = text.count("\n")
    if lines > LINES_MAX:
        yield lines, f"{lines} lines: there is a second concern inside"


_deps = {}


def deps():
    """Directory of a module -> directories it may include, from the Makefile."""
    if not _deps:
        for line in docs.output("make", "-s", "print-deps").splitlines():
            module, _, others = line.partition(":")
            _deps[module] = set(others.split()) | {module}
    return _deps


def module_of(path, text):
    """The module whose includes a file may use; None where any will do."""
    directory = path.rsplit("/", 1)[0]
    if path == "engine/main.c":
        return ["engine/cli"]
    match = re.match(r"tests/unit/(\w+)/", path)
    if match:
        return [d for d in deps() if d.rsplit("/", 1)[-1] == match.group(1)]
    if directory.startswith("tests/dialogue"):
        return ["engine/smtp"]
    if directory == "tests/sim":
        return ["engine/deliver"]
    if directory == "tests/fuzz":
        match = re.match(r"/\* modules: ([\w ]+?) \*/\n", text)
        names = match.group(1).split() if match else []
        return [d for d in deps() if d.rsplit("/", 1)[-1] in names]
    return [directory]


@rule(*C, bad=[("engine/base/a.c", '#include "queue/job.h"\n'),
               ("engine/smtp/a.c", '#include "b.h"\n'),
               ("engine/smtp/a.c", '#include "throttle/a.h"\n'),
               ("tests/unit/base/test_a.c", '#include "engine/io/io.h"\n'),
               ("elsewhere/a.c", '#include "engine/base/buf.h"\n'),
               ("tests/fuzz/fuzz_a.c", '/* modules: base */\n#include "engine/io/io.h"\n')],
      good=[("engine/deliver/a.c", '#include "queue/job.h"\n'),
            ("tests/fuzz/fuzz_a.c", '/* modules: io base */\n#include "engine/io/io.h"\n'),
            ("tests/unit/io/a.c", '#include "engine/base/a.h"\n#include "tests/unit/x.h"\n')])
def include_direction(path, text):
    allowed = set()
    for module in module_of(path, text):
        if module not in deps():
            yield 1, f"{module} is not among MODULES in the Makefile"
            return
        allowed |= deps()[module]
    for number, form_, name in includes(text):
        if form_ == "<":
            continue
        directory = name.rsplit("/", 1)[0] if "/" in name else ""
        if directory.startswith("tests") and path.startswith("tests/"):
            continue
        if directory not in deps():
            yield number, f'"{name}": written from the top of the tree, "engine/base/buf.h"'
        elif directory not in allowed:
            yield number, f"{path.rsplit('/', 1)[0]} may not include {directory} (Makefile, DEPS)"


@rule(*C, bad=[("engine/smtp/a.c", "#include <openssl/ssl.h>\n"),
               ("engine/io/a.c", "#include <hiredis/hiredis.h>\n")],
      good=[("engine/io/a.c", "#include <liburing.h>\n#include <string.h>\n")])
def third_party(path, text):
    for number, form_, name in includes(text):
        for pattern, places in THIRD_PARTY.items():
            if form_ == "<" and fnmatch.fnmatch(name, pattern):
                if not any(fnmatch.fnmatch(path, place) for place in places):
                    yield number, f"<{name}> belongs to {' '.join(places)}"


@rule(*C, bad=[("throttle/a.c", "#include <time.h>\n")],
      good=[("engine/io/a.c", "#include <time.h>\n"), ("throttle/a.c", "#include <string.h>\n")])
def pure(path, text):
    if any(fnmatch.fnmatch(path, place) for place in PURE):
        for number, _, name in includes(text):
            if name in IMPURE_HEADERS:
                yield number, f"<{name}>: this module sees no clock, file or socket"


@rule("*.c", bad=[("engine/base/buf.c", '#include <a.h>\n#include "engine/base/buf.h"\n')],
      good=[("engine/base/buf.c", '#include "engine/base/buf.h"\n#include <a.h>\n')])
def own_header_first(path, text):
    own = path.removesuffix(".c") + ".h"
    if (TOP / own).exists():
        first = next(iter(includes(text)), (1, "", ""))
        # Or a private header of the same directory, which includes that.
        if first[2].rsplit("/", 1)[0] != path.rsplit("/", 1)[0]:
            yield first[0], f'"{own}" is included first'


# ---- other languages -----------------------------------------------------------------------


@rule("*.py", bad=[("a.py", '"""a.py - x.\n"""\nif\n'), ("a.py", "x = 1\n")],
      good=[("a.py", '"""a.py - x."""\nx = 1\n')])
def python(path, text):
    try:
        compile(text, path, "exec", dont_inherit=True)
    except SyntaxError as err:
        yield err.lineno or 1, str(err.msg)
        return
    name = path.rsplit("/", 1)[-1]
    if not text.startswith(f'"""{name} - '):
        yield 1, f'starts with """{name} - what it is for."""'


def tool_missing(*names):
    def needs():
        if not any(shutil.which(n) for n in names):
            return f"{names[0]} is not installed"
        return None

    return needs


def tool_lines(command, text):
    """Runs a checker on text as its standard input; its output when it is not content."""
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, cwd=TOP)
    return done.stdout.strip().splitlines() if done.returncode else []


@rule("*.sh", ".ci/*", bad=[("a.sh", "#!/bin/sh\necho $1\n")], good=[("a.sh", "#!/bin/sh\necho\n")],
      needs=tool_missing("shellcheck"))
def shell(_path, text):
    for line in tool_lines(["shellcheck", "-f", "gcc", "-"], text):
        match = re.match(r"-:(\d+):\d+: (.*)", line)
        yield (int(match.group(1)), match.group(2)) if match else (1, line)


def program_missing():
    if not (TOP / BUILD / "volley").exists():
        return f"{BUILD}/volley is not built"
    return None


@rule("conf/example*.yaml", "conf/volley*.yaml",
      bad=[("a.yaml", "hostnam: x\n")], good=[("a.yaml", "hostname: mta1.example.com\n")],
      needs=program_missing)
def configuration(_path, text):
    for line in tool_lines([f"{BUILD}/volley", "check", "-c", "/dev/stdin"], text):
        match = re.match(r"\S*:(\d+):\d+: (.*)", line)
        yield (int(match.group(1)), match.group(2)) if match else (1, line)


# ---- documents -----------------------------------------------------------------------------


def made(path, text, name):
    """Complains when a part of a document is not what it is made from."""
    match = docs.marked(text, name)
    if not match:
        yield 1, f"the marks of {name} are missing"
    elif match.group(1).strip() != docs.PARTS[path][name]().strip():
        yield text[: match.start(1)].count("\n") + 1, f"{name} is out of date: run `make docs`"


@rule("README.md", bad=[("README.md", "# x\n"),
                        ("README.md", "<!-- reference: y -->\nold\n<!-- end of reference -->\n")],
      needs=program_missing)
def reference(path, text):
    yield from made(path, text, "reference")


@rule("ARCHITECTURE.md",
      bad=[("ARCHITECTURE.md", "# x\n"),
           ("ARCHITECTURE.md", "<!-- modules: y -->\nold\n<!-- end of modules -->\n")])
def dependency_table(path, text):
    yield from made(path, text, "modules")


@rule("*.md", bad=[("README.md", "see `engine/nothing/here.c`\n"), ("a.md", "[x](gone.md)\n")],
      good=[("a.md", "`make test`, `engine/base/`, [x](https://example.com/), `build/volley`\n")])
def named_files(path, text):
    roots = {p.split("/")[0] for p in tracked() if "/" in p} - {".ci"}
    for number, line in numbered(text):
        names = re.findall(r"`([\w.-]+/[\w./-]*)`", line)
        names = [n for n in names if n.split("/")[0] in roots]
        names += [n for n in re.findall(r"\]\(([^)#]+)", line) if "://" not in n]
        for name in names:
            if not (TOP / name).exists() and not (TOP / path).parent.joinpath(name).exists():
                yield number, f"there is no {name}"


def checklist_tests(cell):
    """What a cell of the checklist names: (file, function) of each."""
    for name in cell.split(";"):
        file, _, function = (part.strip() for part in name.partition(":"))
        if "/" not in file:
            yield f"tests/dialogue/{file}.smtp", function
        elif file.startswith("e2e/"):
            yield f"tests/{file}.py", function
        else:
            yield f"tests/unit/{file}.c", function


@rule("tests/dialogue/README.md",
      bad=[("a.md", "<!-- every item -->\n| 1 | M | x | gone |\n<!-- end of every item -->\n"),
           ("a.md", "<!-- every item -->\n| 1 | M | x | smtp/test_words: gone |\n"
                    "<!-- end of every item -->\n"),
           ("a.md", "no table\n")],
      good=[("a.md", "<!-- every item -->\n| 1 | M | x | smtp/test_words: test_times; reuse |\n"
                     "| 2 | S | y | missing: because |\n<!-- end of every item -->\n")])
def checklist(_path, text):
    _, found, rest = text.partition("<!-- every item -->")
    if not found:
        yield 1, "the table of every item is gone"
    for number, line in numbered(rest.partition("<!-- end of every item -->")[0]):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 4 or not cells[0].isdigit() or cells[3].startswith("missing: "):
            continue
        for file, function in checklist_tests(cells[3]):
            path = TOP / file
            if not path.exists():
                yield number, f"there is no {file}"
            elif function and not re.search(rf"\b{re.escape(function)}\b", path.read_text()):
                yield number, f"there is no {function} in {file}"


# ---- running -------------------------------------------------------------------------------

_tracked = []


def tracked():
    """Files of the project: known to git or new; without git, all but what is built."""
    if not _tracked:
        names = []
        if shutil.which("git"):
            command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
            names = subprocess.run(command, cwd=TOP, capture_output=True, text=True).stdout.split()
        if not names:
            skip = {"build", ".git", "__pycache__", "found"}
            names = [str(p.relative_to(TOP)) for p in TOP.rglob("*")
                     if p.is_file() and not skip & set(p.relative_to(TOP).parts)]
        _tracked.extend(sorted(n for n in set(names) if (TOP / n).is_file()))
    return _tracked


def self_test(one):
    for path, text in one.bad:
        if not list(one.check(path, text)):
            yield f"does not see what is wrong with {path}: {text!r:.60}"
    for path, text in one.good:
        for _, what in one.check(path, text):
            yield f"complains about a good {path}: {text!r:.60}: {what}"


def apply(one):
    found = [f"the rule {what}" for what in self_test(one)]
    for path in tracked():
        if one.wants(path):
            text = (TOP / path).read_bytes().decode("utf-8", "replace")
            found += [f"{path}:{line}: {what}" for line, what in one.check(path, text)]
    return found


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(r.name for r in RULES))
        return 0
    failed = False
    for one in RULES:
        reason = one.needs()
        if reason:
            print(f"ok {one.name} # skip {reason}")
            continue
        found = apply(one)
        for text in found:
            print(f"# {text}")
        print(f"{'not ok' if found else 'ok'} {one.name}", flush=True)
        failed = failed or bool(found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
