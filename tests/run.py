"""run.py - builds and runs the parts of the tests, and counts.

    tests/run.py PART...        parts: tidy unit dialogue sim asan tsan fuzz e2e

`make test` and its smaller sisters call this.  Each part builds what it needs, runs its
programs with a time limit, and shows a line for each with its count and time.  Failures
are printed in full at the end, then the one line that says it all: "N passed, N failed",
with ", N skipped" where something was.  The exit code is 1 when anything failed.

A single test is one cmocka test, one dialogue file, one pytest item, one tidy rule, one
fuzz target or a run of simulated seeds.  A program that dies, hangs or does not build is one
failure more.

Environment: VOLLEY_BUILD (build), VOLLEY_JOBS (2), FUZZ_SECONDS for each target (3), SEEDS and
SEED for the simulator (1000 seeds from 1), ONLY (a part of the name of the programs, dialogues
or pytest items to run), MAKE.
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD = os.environ.get("VOLLEY_BUILD", "build")
JOBS = int(os.environ.get("VOLLEY_JOBS") or 2)
MAKE = os.environ.get("MAKE", "make")
ONLY = os.environ.get("ONLY", "")
PYTHON = sys.executable

PROGRAM_LIMIT_S = 120  # for one unit test program; sanitizers get three times that
E2E_LIMIT_S = 600
SIM_LIMIT_S = int(os.environ.get("SIM_LIMIT_S") or 300)  # for a share of the seeds

SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


class Outcome:
    """What one program's tests came to."""

    def __init__(self, name):
        self.name = name
        self.passed = 0
        self.failed = []  # names
        self.skipped = []  # "name: reason"
        self.output = ""
        self.seconds = 0.0


class Tally:
    """All outcomes so far; prints progress."""

    def __init__(self):
        self.outcomes = []
        self.parts = []
        self.lock = threading.Lock()

    def add(self, outcome):
        with self.lock:
            self.outcomes.append(outcome)
            text = f"{outcome.passed} passed"
            if outcome.failed:
                text += f", {len(outcome.failed)} FAILED"
            if outcome.skipped:
                text += f", {len(outcome.skipped)} skipped"
            print(f"  {outcome.name:<40} {text:<28} {outcome.seconds:6.1f} s", flush=True)

    def broken(self, name, output):
        """Something that should have given tests gave none."""
        outcome = Outcome(name)
        outcome.failed.append(name)
        outcome.output = output
        self.add(outcome)

    def report(self):
        failed = [o for o in self.outcomes if o.failed]
        skips = [s for o in self.outcomes for s in o.skipped]
        for outcome in failed:
            print(f"\n==== {outcome.name}: failed: {', '.join(outcome.failed)}")
            print(outcome.output.rstrip())
        if skips:
            print("\nskipped:")
            for text in sorted(set(skips)):
                print(f"  {text}")
        print("\ntime: " + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.parts))
        passed = sum(o.passed for o in self.outcomes)
        line = f"{passed} passed, {sum(len(o.failed) for o in failed)} failed"
        if skips:
            line += f", {len(skips)} skipped"
        print(line, flush=True)
        (TOP / BUILD).mkdir(parents=True, exist_ok=True)
        (TOP / BUILD / "summary").write_text(line + "\n")
        return 1 if failed or not passed else 0


TALLY = Tally()


def run(command, limit_s, env=None, on_line=None, gentle=False):
    """Runs a program in a process group of its own and returns (exit code, output).

    After limit_s the group is killed and the code is None; `gentle` interrupts it first, so
    that it can take down what it started.  What the program left in its group goes too.
    """
    process = subprocess.Popen(
        command, cwd=TOP, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    late = threading.Event()

    def end():
        late.set()
        if gentle:
            os.killpg(process.pid, signal.SIGINT)
            for _ in range(200):
                if process.poll() is not None:
                    break
                time.sleep(0.1)
        kill_group(process.pid)

    timer = threading.Timer(limit_s, end)
    timer.start()
    lines = []
    try:
        for raw in process.stdout:
            line = raw.decode("utf-8", "replace")
            lines.append(line)
            if on_line:
                on_line(line.rstrip("\n"))
        process.wait()
    finally:
        timer.cancel()
        kill_group(process.pid)
    output = "".join(lines)
    if late.is_set():
        return None, output + f"\n(ended after {limit_s} s)\n"
    return process.returncode, output


def kill_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def how_it_ended(code):
    if code is None:
        return "timed out"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit {code}"


# ---- reading counts ----------------------------------------------------------------------

CMOCKA = re.compile(r"^\[ *(RUN|OK|FAILED|SKIPPED|ERROR|LINE) *\] *(.*)$")
TAP = re.compile(r"^(ok|not ok)\b *\d* *-? *(.*)$")


def count_lines(outcome, output, code):
    """Counts cmocka's "[ OK ] name" lines and TAP's "ok name" lines in one program's output.

    A cmocka test that was begun and neither passed nor skipped has failed, however the
    program ended: standard error and output may come in any order.
    """
    begun, ended = [], []
    for line in output.splitlines():
        cmocka = CMOCKA.match(line)
        tap = TAP.match(line)
        if cmocka:
            word, name = cmocka.groups()
            if word == "RUN":
                begun.append(name)
            elif word == "OK":
                ended.append(name)
                outcome.passed += 1
            elif word == "SKIPPED" and name in begun:
                ended.append(name)
                outcome.skipped.append(f"{outcome.name}: {name}")
        elif tap:
            name, _, note = tap.group(2).partition(" # ")
            if note.lower().startswith("skip"):
                outcome.skipped.append(f"{outcome.name}: {name}: {note[4:].strip()}")
            elif tap.group(1) == "ok":
                outcome.passed += 1
            else:
                outcome.failed.append(name)
    for name in ended:
        if name in begun:
            begun.remove(name)
    outcome.failed += begun
    nothing = not outcome.passed and not outcome.failed and not outcome.skipped
    if (code != 0 and not outcome.failed) or nothing:
        outcome.failed.append(f"{outcome.name} ({how_it_ended(code)})")


def run_program(command, name, limit_s, env=None):
    outcome = Outcome(name)
    start = time.monotonic()
    code, output = run(command, limit_s, env)
    outcome.seconds = time.monotonic() - start
    outcome.output = output + ("" if code == 0 else f"({how_it_ended(code)})\n")
    count_lines(outcome, output, code)
    TALLY.add(outcome)


# ---- building ----------------------------------------------------------------------------


def make(what, *args):
    """Builds; False (and a failure) when that did not work."""
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    start = time.monotonic()
    done = subprocess.run(
        [MAKE, f"-j{JOBS}", "--no-print-directory", *args], cwd=TOP, env=env,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0:
        TALLY.broken(f"{what}: build", output)
        return False
    print(f"  (built in {time.monotonic() - start:.1f} s)", flush=True)
    return True


def in_parallel(jobs):
    """Runs argument lists of run_program(), JOBS at a time."""
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for future in [pool.submit(run_program, *job) for job in jobs]:
            future.result()


def unit_names():
    sources = sorted((TOP / "tests/unit").glob("*/test_*.c"))
    names = [str(s.relative_to(TOP / "tests").with_suffix("")) for s in sources]
    return [n for n in names if ONLY in n]


# ---- parts -------------------------------------------------------------------------------


def unit_jobs(names, build, prefix="", wrap=(), env=None, slow=1):
    return [([*wrap, f"{build}/{n}"], prefix + n, PROGRAM_LIMIT_S * slow, env) for n in names]


def dialogue_jobs(build, prefix="", wrap=(), env=None, slow=1):
    if not list((TOP / "tests/dialogue").glob("*.c")):
        return []
    files = [str(f.relative_to(TOP)) for f in sorted((TOP / "tests/dialogue").glob("**/*.smtp"))]
    files = [f for f in files if ONLY in f]
    if not files:
        return []
    return [([*wrap, f"{build}/dialogue/run", *files], prefix + "dialogue",
             PROGRAM_LIMIT_S * slow, env)]


def part_unit():
    names = unit_names()
    if make("unit", f"BUILD={BUILD}", *[f"{BUILD}/{n}" for n in names]):
        in_parallel(unit_jobs(names, BUILD))


def part_dialogue():
    if make("dialogue", f"BUILD={BUILD}", "dialogue-bins"):
        in_parallel(dialogue_jobs(BUILD))


def sim_jobs(build, seeds, prefix="", env=None, slow=1):
    """Shares of the seeds, one a core."""
    first = int(os.environ.get("SEED") or 1)
    if ONLY and ONLY not in "sim":
        return []
    share = -(-seeds // JOBS)
    return [([f"{build}/sim/sim", "--seed", str(first + n * share), "--seeds", str(share)],
             f"{prefix}sim ({share:,} seeds from {first + n * share})", SIM_LIMIT_S * slow, env)
            for n in range(JOBS)]


def part_sim():
    if make("sim", f"BUILD={BUILD}", f"{BUILD}/sim/sim"):
        in_parallel(sim_jobs(BUILD, int(os.environ.get("SEEDS") or 1000)))


def sanitized(name, flags, wrap=()):
    build = f"{BUILD}/{name}"
    names = unit_names()
    if make(name, f"BUILD={build}", f"SAN={flags}", "OPT=-O1 -g", "dialogue-bins",
            *[f"{build}/{n}" for n in names]):
        how = (build, f"{name}/", wrap, SANITIZER_ENV, 3)
        in_parallel(unit_jobs(names, *how) + dialogue_jobs(*how))
        return build
    return None


def part_asan():
    """And a whole run and drain: leaks of the engine show at its end."""
    build = sanitized("asan", "address,undefined")
    flags = ("SAN=address,undefined", "OPT=-O1 -g")
    if build and make("asan", f"BUILD={build}", *flags, f"{build}/sim/sim"):
        in_parallel(sim_jobs(build, 100, "asan/", SANITIZER_ENV))
    if build and (not ONLY or ONLY == "delivery") and make("asan", f"BUILD={build}", *flags, "all"):
        # One backend is enough here: the other has its unit tests under the sanitizers too.
        e2e(build, ["tests/e2e/test_delivery.py", "tests/e2e/test_refusals.py"], "asan/e2e",
            {**SANITIZER_ENV, "VOLLEY_BACKENDS": "uring"})


def part_tsan():
    # The thread sanitizer of gcc 12 cannot map its shadow when the kernel places programs
    # with more than 28 random bits.
    sanitized("tsan", "thread", ("setarch", "--addr-no-randomize"))


def part_tidy():
    # Some rules ask the program.
    make("tidy", f"BUILD={BUILD}", "all")
    run_program([PYTHON, "tests/tidy.py"], "tidy", 120, {"VOLLEY_BUILD": BUILD})


def part_fuzz():
    if not shutil.which("clang"):
        skipped = Outcome("fuzz")
        skipped.skipped.append("fuzz: clang is not installed")
        TALLY.add(skipped)
        return
    targets = [s.stem for s in sorted((TOP / "tests/fuzz").glob("fuzz_*.c")) if ONLY in s.stem]
    build = f"{BUILD}/clang"
    if not targets or not make("fuzz", f"BUILD={build}", "CC=clang", "FUZZING=1", "OPT=-O1 -g",
                               "SAN=fuzzer-no-link,address,undefined", "fuzz-bins"):
        return
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(lambda t: fuzz_one(build, t), targets))


def fuzz_one(build, target):
    name = target.removeprefix("fuzz_")
    grown = TOP / build / "corpus" / name  # what the fuzzer finds; the seeds stay as they are
    found = TOP / "tests/fuzz/found"
    grown.mkdir(parents=True, exist_ok=True)
    found.mkdir(exist_ok=True)
    seeds = TOP / "tests/fuzz/corpus" / name
    command = [f"{build}/fuzz/{target}", str(grown)] + ([str(seeds)] if seeds.is_dir() else [])
    seconds = int(os.environ.get("FUZZ_SECONDS") or 3)
    command += [f"-max_total_time={seconds}", f"-artifact_prefix={found}/{name}-", "-timeout=10",
                "-rss_limit_mb=2048", "-print_final_stats=1"]
    words = TOP / "tests/fuzz/dict" / f"{name}.dict"
    if words.exists():
        command.append(f"-dict={words}")
    outcome = Outcome(f"fuzz/{name}")
    start = time.monotonic()
    code, output = run(command, seconds + 60, SANITIZER_ENV)
    outcome.seconds = time.monotonic() - start
    if code == 0:
        outcome.passed = 1
        runs = re.search(r"number_of_executed_units: (\d+)", output)
        if runs:
            outcome.name += f" ({int(runs.group(1)):,} runs)"
    else:
        outcome.failed.append(outcome.name)
        outcome.output = output[-8000:] + f"({how_it_ended(code)})\n"
    TALLY.add(outcome)


def part_e2e():
    if make("e2e", f"BUILD={BUILD}", "all"):
        e2e(BUILD, ["tests/e2e"], "e2e")


def e2e(build, where, name, env=None):
    """pytest, in shards side by side, one more than cores: most tests wait most of the time."""
    shards = 1 if ONLY else JOBS + 1
    with concurrent.futures.ThreadPoolExecutor(shards) as pool:
        jobs = [pool.submit(e2e_shard, build, where, name, env, n, shards) for n in range(shards)]
        for job in jobs:
            job.result()


def e2e_shard(build, where, name, env, number, count):
    report = TOP / build / f"e2e-{number}.xml"
    report.unlink(missing_ok=True)
    command = [PYTHON, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--color=no",
               f"--junitxml={report}", *where] + (["-k", ONLY] if ONLY else [])
    env = {**(env or {}), "VOLLEY_BUILD": build, "VOLLEY_SHARD": f"{number}/{count}"}
    if count > 1:
        name += f"/{number}"
    progress = Progress(name + "/")
    code, output = run(command, E2E_LIMIT_S, env, progress.line, gentle=True)
    progress.close()
    outcome = Outcome(name)
    outcome.output = output
    outcome.seconds = time.monotonic() - progress.begun
    try:
        count_junit(outcome, report)
    except (OSError, xml.etree.ElementTree.ParseError):
        pass
    if code not in (0, 1) or (code == 1 and not outcome.failed):
        outcome.failed.append(f"{outcome.name}: pytest ({how_it_ended(code)})")
    TALLY.add(outcome)


class Progress:
    """A line for each file of pytest items as it is done, and for each failure at once."""

    ITEM = re.compile(r"^(\S+?\.py)::(.*?) (PASSED|FAILED|ERROR|SKIPPED)\b")

    def __init__(self, prefix):
        self.prefix = prefix
        self.begun = self.start = time.monotonic()
        self.file = None
        self.count = 0

    def line(self, text):
        match = self.ITEM.match(text)
        if not match:
            return
        if match.group(1) != self.file:
            self.close()
            self.file = match.group(1)
        self.count += 1
        if match.group(3) in ("FAILED", "ERROR"):
            print(f"  {self.prefix}{match.group(2)} {match.group(3)}", flush=True)

    def close(self):
        if self.file:
            name = self.prefix + pathlib.Path(self.file).stem
            seconds = time.monotonic() - self.start
            print(f"    {name:<38} {f'{self.count} run':<28} {seconds:6.1f} s", flush=True)
        self.start = time.monotonic()
        self.count = 0


def count_junit(outcome, path):
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname', '').split('.')[-1]}::{case.get('name')}"
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            outcome.failed.append(name)
        elif skip is not None:
            outcome.skipped.append(f"e2e/{name}: {skip.get('message')}")
        else:
            outcome.passed += 1


PARTS = {
    "tidy": part_tidy,
    "unit": part_unit,
    "dialogue": part_dialogue,
    "asan": part_asan,
    "tsan": part_tsan,
    "fuzz": part_fuzz,
    "sim": part_sim,
    "e2e": part_e2e,
}


def main(names):
    unknown = [n for n in names if n not in PARTS]
    if not names or unknown:
        print(f"usage: run.py {'|'.join(PARTS)} ...", file=sys.stderr)
        return 2
    for number, name in enumerate(names, 1):
        print(f"[{number}/{len(names)}] {name}", flush=True)
        start = time.monotonic()
        PARTS[name]()
        TALLY.parts.append((name, time.monotonic() - start))
    return TALLY.report()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
