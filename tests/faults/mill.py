"""A run of the engine under faults: started in a folder of its own, watched step by step, and compared
at the end with a run that nobody disturbs. Part of tools/faults."""
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time

import inputs

GRAPH = """graph: faults
seed: 7
max_bad: 1000
stages:
  count:
    with: {{count: {count}, held_out_every: 10}}
  echo:
    in: count
    workers: 2
    timeout: 1s
    memory: 64MiB
    with: {{bytes: 9000, sleep_us: {work_us}}}
{middle}  jitter:
    in: {before}
    memory: 16MiB
  bundle:
    in: jitter
    with: {{size: 6}}
  tally:
    in: bundle
    ranks: 3
    with: {{epochs: 2, recycles: 1, checkpoint_every: 50, sleep_us: {step_us}}}
"""
STORE = "  store:\n    in: echo\n    with: {path: store}\n"


def sets(values):
    """The options that override settings."""
    return [word for value in values for word in ("--set", value)]


class Failure(Exception):
    """A run that did not end as it had to."""


def children(pid):
    """The command lines of the children of pid, by number."""
    found = {}
    try:
        numbers = open(f"/proc/{pid}/task/{pid}/children").read().split()
    except OSError:
        return found
    for number in numbers:
        try:
            line = open(f"/proc/{number}/cmdline", "rb").read()
        except OSError:
            continue
        if line:
            found[int(number)] = line.replace(b"\0", b" ").decode(errors="replace")
    return found


class Mill:
    """One folder with a graph, an undisturbed run of it, and the run that suffers."""

    table, workers, always = "tally.tsv", ["--workers", "echo=2,jitter=1"], []

    def __init__(self, program, folder, seed, count=2000, store=False, step_us=4000,
                 work_us=2000, demo=0, files=0):
        """count: samples; store: with a store between two lines; step_us, work_us: of a step and a
        sample, at least; demo:
        instead of that graph the demo's, for so many steps."""
        self.program, self.folder, self.random = program, folder, random.Random(seed)
        self.run = os.path.join(folder, "run")
        self.graph = os.path.join(folder, "graph.yaml")
        self.processes, self.log = [], open(os.path.join(folder, "out"), "w")
        self.injected, self.gap, self.watching = 0, 0.0, True
        self.changed = 0  # records that are not those of the undisturbed run
        self.counted = (0, -1)  # bytes of the table and the steps in them
        os.makedirs(folder, exist_ok=True)
        quiet, fast = os.path.join(folder, "quiet"), ["tally.sleep_us=0", "echo.sleep_us=0"]
        if demo:
            self.take_demo(demo)
            fast = ["train.ranks=1"]
        elif files:
            fast, self.workers, self.table = [], [], "none.tsv"  # no steps: records are compared
            self.take_foldmill()
            inputs.make(folder, files, self.random)
            with open(self.graph, "w") as file:
                file.write(inputs.GRAPH)
        else:
            with open(self.graph, "w") as file:
                file.write(GRAPH.format(count=count, middle=STORE if store else "",
                                        before="store.train" if store else "echo", step_us=step_us, work_us=work_us))
        code = self.start(["run", self.graph, "--run", quiet, *self.always,
                           *sets(fast)]).wait(3600)
        if code != 0:
            raise Failure(f"the undisturbed run ended with {code}: {self.words()}")
        self.expected = self.steps(quiet)
        if os.path.isdir(os.path.join(folder, "store")):
            os.rename(os.path.join(folder, "store"), os.path.join(folder, "store.quiet"))
        threading.Thread(target=self.watch, daemon=True).start()

    def take_demo(self, steps):
        """The demo's graph, with three ranks and a checkpoint every 50 steps."""
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        self.graph = os.path.join(root, "graphs", "demo.yaml")
        self.take_foldmill()
        if not os.path.isdir(os.path.join(root, "build", "demo_templates")):
            raise Failure("tools/demo makes the demo's data: run it first")
        self.table, self.workers = "train.tsv", []
        self.always = sets(["train.ranks=3", "batch.size=3", f"train.steps={steps}",
                            "train.checkpoint_steps=50"])

    def take_foldmill(self):
        """The program itself instead of the one with stages for tests."""
        self.program = os.path.join(os.path.dirname(os.path.dirname(self.program)), "foldmill")

    # ---- processes ----

    def start(self, args, shim=None, net=None, before=None):
        environment = dict(os.environ)
        if shim:
            environment.update(shim)
        command = (["ip", "netns", "exec", net] if net else []) + [self.program] + args
        if "run" == args[0] and "--quiet" not in args:
            command.append("--quiet")
        process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=environment,
                                   preexec_fn=before)
        self.processes.append(process)
        return process

    def head(self, *more, **how):
        """The engine with the sink; net: the network namespace."""
        return self.start(["run", self.graph, "--run", self.run, "--head", *self.always, *more], **how)

    def join(self, *more, **how):
        return self.start(["run", "--join", self.run, *self.workers, "--wait", "60", *more], **how)

    def of(self, process, *kinds):
        """Children of an engine whose command line holds one of the words."""
        return [pid for pid, line in children(process.pid).items()
                if any(kind in line for kind in kinds)]

    def hit(self, pids, number=signal.SIGKILL):
        """A signal to a random one of them."""
        if not pids:
            return False
        try:
            os.kill(self.random.choice(pids), number)
        except ProcessLookupError:
            return False
        self.injected += 1
        return True

    def pause(self, least, most):
        time.sleep(self.random.uniform(least, most))

    # ---- progress ----

    def steps(self, run=None):
        """(step, epoch, digest) of the steps that were made."""
        path = os.path.join(run or self.run, self.table)
        try:
            rows = open(path).read().split("\n")[1:-1]
        except OSError:
            return []
        return [tuple(row.split("\t")[:3]) for row in rows]

    def watch(self):
        """The longest time without a new step, from the first step to the last."""
        most, since, last = 0, None, len(self.expected)
        while self.watching:
            made = self.newest()
            now = time.monotonic()
            if made > most:
                if since is not None:
                    self.gap = max(self.gap, now - since)
                most, since = made, now
                if made >= last:
                    return
            time.sleep(0.01)

    def newest(self):
        """The number of steps that the table holds: lines are counted where they are new, for the
        table of a long run is large, and after a restart it is shorter than it was."""
        path = os.path.join(self.run, self.table)
        try:
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self.counted[0]:
                    self.counted = (0, -1)
                file.seek(self.counted[0])
                text = file.read(size - self.counted[0])
        except OSError:
            return 0
        self.counted = (self.counted[0] + len(text), self.counted[1] + text.count(b"\n"))
        return self.counted[1]

    def until(self, steps, seconds=60):
        end = time.monotonic() + seconds
        while len(self.steps()) < steps:
            if time.monotonic() > end:
                raise Failure(f"{len(self.steps())} steps after {seconds} s, not {steps}: "
                              f"{self.words()}")
            time.sleep(0.02)

    def finish(self, process, seconds=180, code=0):
        try:
            got = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failure(f"no end after {seconds} s: {self.words()}") from None
        if code is not None and got != code:
            raise Failure(f"exit code {got}, not {code}: {self.words()}")
        return got

    def words(self):
        self.log.flush()
        return open(self.log.name).read()[-800:]

    # ---- records ----

    def ask_store(self, *words, code=None):
        """What `foldmill store` says; code: what it has to end with."""
        answer = subprocess.run([self.program, "store", *words], capture_output=True, text=True)
        if code is not None and answer.returncode != code:
            raise Failure(f"store {words[0]}: exit code {answer.returncode}: "
                          f"{(answer.stdout + answer.stderr)[-500:]}")
        return answer.stdout

    def keys(self, store):
        """The keys of the records, without those that are refused."""
        rows = [row.split("\t") for row in self.ask_store("ls", store, "--tsv").split("\n")[:-1]]
        return {row[0] for row in rows[1:] if not row[-1]}  # last: why it is refused

    # ---- the verdict ----

    def verdict(self, expected=None):
        """lost, doubled, steps with other batches; from the audit and the step table."""
        self.watching = False
        answer = subprocess.run([self.program, "audit", self.run, "--replay", "3"],
                                capture_output=True, text=True)
        text = answer.stdout + answer.stderr
        lost = sum(int(n) for n in re.findall(r"holes +(\d+)", text))
        doubled = sum(int(n) for n in re.findall(r"doubles +(\d+)", text))
        if not re.search(r"holes +\d+", text):
            raise Failure(f"the audit says: {text[-500:]}")
        made = self.steps()
        want = self.expected if expected is None else expected
        other = sum(a != b for a, b in zip(made, want)) + abs(len(made) - len(want)) + self.changed
        damaged = 0 if answer.returncode == 0 else 1
        return lost, doubled, other, damaged, text

    def close(self):
        self.watching = False
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.log.close()
