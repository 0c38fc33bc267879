"""What is done to a run; one function a fault, one row of the table each. A function starts what it needs,
counts what it did in mill.injected, and returns when the run has ended. Part of tools/faults."""
import os
import resource
import signal
import socket
import subprocess
import time

from mill import Failure
from net import Net

ALL = []


class Fault:
    def __init__(self, name, text, function, long, options):
        self.name, self.text, self.function, self.long, self.options = (name, text, function, long,
                                                                        options)


def fault(name, text, long=False, **options):
    """options: of Mill; long: with --full alone."""
    def put(function):
        ALL.append(Fault(name, text, function, long, options))
        return function
    return put


def torment(mill, head, act, least, most):
    """act() at random moments until the head has ended well."""
    while head.poll() is None:
        mill.pause(least, most)
        if head.poll() is None:
            act()
    mill.finish(head)


def stop(mill, pids, least, most):
    """One of them stands still for a time."""
    if not pids:
        return
    pid = mill.random.choice(pids)
    mill.hit([pid], signal.SIGSTOP)
    mill.pause(least, most)
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        pass


@fault("workers", "workers killed, every 50-500 ms")
def workers(mill):
    head = mill.head()
    torment(mill, head, lambda: mill.hit(mill.of(head, "worker:")), 0.05, 0.5)


@fault("dispatcher", "dispatcher killed, every 0.3-1 s")
def dispatcher(mill):
    head = mill.head()
    torment(mill, head, lambda: mill.hit(mill.of(head, "dispatch")), 0.3, 1)


@fault("stopped", "workers and dispatcher stopped for up to 1.5 s")
def stopped(mill):
    head = mill.head()

    torment(mill, head, lambda: stop(mill, mill.of(head, "worker:", "dispatch"), 0, 1.5), 0.1, 0.5)


@fault("ranks", "one of 3 ranks killed, every 4-6 s", step_us=30000)
def ranks(mill):
    head = mill.head()
    mill.until(10)
    torment(mill, head, lambda: mill.hit(mill.of(head, "sink:")), 4, 6)


@fault("rank-stopped", "one of 3 ranks stopped for 1-3 s", step_us=20000)
def rank_stopped(mill):
    head = mill.head()
    mill.until(10)
    torment(mill, head, lambda: stop(mill, mill.of(head, "sink:"), 1, 3), 2, 4)


@fault("head", "the head killed with all of its processes, and started again", step_us=30000)
def whole(mill):
    joined = mill.join()
    for turn in range(5):
        head = mill.head()
        mill.until(min(len(mill.steps()) + 60, len(mill.expected)))
        if turn < 4 and head.poll() is None:
            mill.hit([head.pid])
            head.wait()
    mill.finish(head)
    mill.finish(joined)


@fault("coordinator", "the coordinator killed soon after its start, again and again", step_us=30000)
def coordinator(mill):
    for _ in range(20):
        head = mill.head()
        mill.pause(0.05, 1.2)
        if head.poll() is None:
            mill.hit([head.pid])
        head.wait()
    mill.finish(mill.head())


@fault("twins", "a second head on the same run, and the first one stopped meanwhile", step_us=20000)
def twins(mill):
    head = mill.head()
    mill.until(10)
    for _ in range(5):
        os.kill(head.pid, signal.SIGSTOP)
        second = mill.head()
        if mill.finish(second, 30, None) == 0:
            raise Failure("a second head ran")
        os.kill(head.pid, signal.SIGCONT)
        mill.injected += 1
        mill.pause(0.5, 1)
    mill.finish(head)


@fault("term", "SIGTERM at a random moment, then the same command again")
def term(mill):
    for turn in range(10):
        head = mill.head()
        mill.pause(0.5, 1.5)
        if turn < 9 and head.poll() is None:
            mill.hit([head.pid], signal.SIGTERM)
        mill.finish(head)
    mill.finish(mill.head())


@fault("joined", "engines that joined and their workers killed, every 50-500 ms")
def joined(mill):
    head = mill.head("--set", "echo.workers=1")
    mates = [mill.join(), mill.join()]

    def act():
        turn = mill.random.randrange(2)
        if mill.random.random() < 0.2:
            mill.hit([mates[turn].pid])
            mates[turn].wait()
            mates[turn] = mill.join()
        else:
            mill.hit(mill.of(mates[turn], "worker:"))
    torment(mill, head, act, 0.05, 0.5)
    for mate in mates:
        mill.finish(mate)


@fault("come-and-go", "an engine joins and one leaves, every second")
def come_and_go(mill):
    head, mates = mill.head("--set", "echo.workers=1"), []

    def act():
        mates.append(mill.join())
        if len(mates) > 1:
            mate = mates.pop(0)
            mill.hit([mate.pid], signal.SIGTERM)
            mill.finish(mate, 30)
    torment(mill, head, act, 0.9, 1.1)
    for mate in mates:
        mill.finish(mate)


def poisoned(mill, kill):
    head = mill.start(["run", mill.graph, "--run", os.path.join(mill.folder, "run" if kill else "calm"),
                       "--set", "echo.poison_every=400"])
    if kill:
        torment(mill, head, lambda: mill.hit(mill.of(head, "worker:")), 0.3, 0.9)
    else:
        mill.finish(head)


@fault("poison", "5 samples that crash, hang, fill the memory, fail, abort; workers killed")
def poison(mill):
    poisoned(mill, False)
    mill.expected = mill.steps(os.path.join(mill.folder, "calm"))
    poisoned(mill, True)
    rows = open(os.path.join(mill.run, "refused.tsv")).read().split("\n")[1:-1]
    keys = {row.split("\t")[1] for row in rows}
    if keys != {f"n{number:07}" for number in range(3, 2000, 400)}:
        raise Failure(f"other samples were set aside: {rows}")


def shim(mill, name):
    return {"LD_PRELOAD": os.path.join(os.path.dirname(mill.program), f"lib{name}.so")}


@fault("clock", "the wall clock jumps by up to ten years, every second")
def clock(mill):
    head = mill.head(shim=shim(mill, "clock_jump"))
    begun = time.monotonic()
    mill.finish(head)
    mill.injected = int(time.monotonic() - begun)


def messages_ill(mill, every):
    """The environment in which one in so many messages is lost, sent twice or overtaken."""
    return shim(mill, "message_faults") | {
        "FOLDMILL_MESSAGE_EVERY": str(every), "FOLDMILL_MESSAGE_SEED": str(mill.random.randrange(99)),
        "FOLDMILL_MESSAGE_LOG": os.path.join(mill.folder, "messages")}


def messages_count(mill):
    """All three kinds have to have come; their number."""
    letters = open(os.path.join(mill.folder, "messages")).read()
    if set(letters) != set("ldr"):
        raise Failure(f"of lost, doubled and overtaken messages there were only {set(letters)}")
    return len(letters)


@fault("messages", "1 in 200 messages of a node lost, sent twice or overtaken by the next")
def messages(mill):
    mill.finish(mill.head(shim=messages_ill(mill, 200)))
    mill.injected = messages_count(mill)


@fault("messages-far", "the same between engines, which meet over TCP")
def messages_far(mill):
    ill = messages_ill(mill, 200)
    head = mill.head("--set", "echo.workers=1", shim=ill)
    mates = [mill.join(shim=ill), mill.join(shim=ill)]
    mill.finish(head)
    for mate in mates:
        mill.finish(mate, 100)
    mill.injected = messages_count(mill)


@fault("files", "no file descriptors left for the head or a child, for a second")
def files(mill):
    head = mill.head()
    mill.until(5)

    def act():
        pids = [head.pid] + mill.of(head, "work")
        pid = mill.random.choice(pids)
        try:
            before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            used = max(int(number) for number in os.listdir(f"/proc/{pid}/fd")) + 1
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
            mill.injected += 1
            mill.pause(0.5, 1)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        except (ProcessLookupError, FileNotFoundError, ValueError):
            pass
    torment(mill, head, act, 0.2, 0.6)


@fault("disk", "the disk of run and store full, for 1-2 s", store=True, disk=True)
def disk(mill):
    head = mill.head()
    filler = os.path.join(mill.folder, "filler")

    def act():
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 65536)
            except OSError:
                pass
        mill.injected += 1
        mill.pause(1, 2)
        os.remove(filler)
    torment(mill, head, act, 0.5, 1.5)


@fault("syncs", "every 2nd to 40th sync of a file fails, in all processes; then the same command again",
       store=True)
def syncs(mill):
    for every in (2, 3, 5, 8, 13, 20, 30, 40):
        code = mill.finish(mill.head(shim=shim(mill, "sync_fail") | {
            "FOLDMILL_SYNC_FAIL": str(every)}), 60, None)
        if code not in (0, 1):
            raise Failure(f"exit code {code} with every {every}th sync")
        mill.injected += code == 1  # it ended with the reason
    mill.finish(mill.head())


@fault("map-full", "the store at its size_max; then the same command with more", store=True)
def map_full(mill):
    for size in ("64KiB", "96KiB", "128KiB"):
        code = mill.finish(mill.head("--set", f"store.size_max={size}"), 60, None)
        if code != 1:
            raise Failure(f"exit code {code}, not 1, at {size}: {mill.words()}")
        mill.injected += 1
    mill.finish(mill.head())


@fault("scale", "one worker more and one less, every second (foldmill scale)", step_us=30000)
def scale(mill):
    head = mill.head()
    mill.until(5)

    def act():
        for count in (3, 2):
            done = subprocess.run([mill.program, "scale", f"echo={count}", mill.run],
                                  capture_output=True, text=True)
            if done.returncode and head.poll() is None:
                raise Failure(f"scale: {done.stdout + done.stderr}")
            mill.injected += done.returncode == 0
            mill.pause(0.4, 0.6)
    torment(mill, head, act, 0, 0.1)


@fault("idle", "1,000 idle handshakes at the port of the head, again every 2 s; an engine joins meanwhile",
       step_us=20000)
def idle(mill):
    head = mill.head("--advertise", "127.0.0.1", "--set", "echo.workers=1")
    mill.until(5)
    lines = open(os.path.join(mill.run, "rendezvous")).read().split("\n")
    port = int(next(line for line in lines if line.startswith("address ")).rsplit(":", 1)[1])
    mates, held = [], []

    def act():
        for one in held:
            one.close()
        held.clear()
        for _ in range(1000):
            one = socket.socket()
            held.append(one)
            one.setblocking(False)
            one.bind(("127.0.0.9", 0))
            one.connect_ex(("127.0.0.1", port))
        mill.injected += 1000
        if not mates:
            mates.append(mill.join())
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    torment(mill, head, act, 1.9, 2.1)
    for one in held:
        one.close()
    mill.finish(mates[0])


# ---- files and records ----

@fault("vanished", "a structure or an alignment deleted after the list was frozen; workers killed",
       files=1200)
def vanished(mill):
    gone, names = set(), {"structures": "{}.pdb", "alignments": "{}.a3m"}
    head = mill.head()
    lists = os.path.join(mill.run, "lists")
    while head.poll() is None and not (os.path.isdir(lists) and os.listdir(lists)):
        time.sleep(0.002)
    for number in mill.random.sample(range(400, 1200), 40):
        kind = mill.random.choice(sorted(names))
        os.remove(os.path.join(mill.folder, kind, names[kind].format(f"f{number:04}")))
        gone.add(f"f{number:04}")
    torment(mill, head, lambda: mill.hit(mill.of(head, "worker:")), 0.05, 0.2)
    mill.injected += len(gone)
    store = os.path.join(mill.folder, "store")
    rows = open(os.path.join(mill.run, "refused.tsv")).read().split("\n")[1:-1]
    refused = {row.split("\t")[1] for row in rows}
    late = mill.keys(store) & gone  # was read before it was deleted: whole, or it differs below
    if len(late) > len(gone) // 2 or refused != gone - late:
        raise Failure(f"{sorted(gone - late - refused)} not named, {sorted(refused - gone)} wrongly; "
                      f"{len(late)} were read before")
    said = mill.ask_store("diff", store + ".quiet", store)
    mill.changed = sum(f"f{number:04}" in said for number in range(1200)
                       if f"f{number:04}" not in refused)


def places(content, key):
    """Bytes of a record in LMDB's file: those behind its key, in the page of its own where it begins
    (an overflow page, flag 4; in the other pages, LMDB's own, the key stands beside others)."""
    at = -1
    while (at := content.find(key, at + 1)) >= 0:
        page = at // 4096 * 4096
        number = int.from_bytes(content[page:page + 8], "little")
        if number == page // 4096 and content[page + 10] & 4:
            return range(at, page + 4096)
    raise Failure(f"the record of {key} was not found in the file")


@fault("bits", "a bit of a stored record flipped", files=400)
def bits(mill):
    mill.finish(mill.head())
    store = os.path.join(mill.folder, "store")
    path = os.path.join(store, "data.mdb")
    keys = [f"f{number:04}" for number in mill.random.sample(range(400), 20)]
    with open(path, "r+b") as file:
        content = file.read()
        for key in keys:
            spot = mill.random.choice(places(content, key.encode()))
            file.seek(spot)
            file.write(bytes([content[spot] ^ 1 << mill.random.randrange(8)]))
        mill.injected = len(keys)
    said = mill.ask_store("verify", store, code=1)
    unnamed = [key for key in keys if key not in said]
    if unnamed:
        raise Failure(f"{unnamed} are damaged and not named: {said[-300:]}")
    mill.finish(mill.head())  # makes again what verify named
    mill.ask_store("verify", store, code=0)
    mill.ask_store("diff", store + ".quiet", store, code=0)


# ---- networks ----

def over_network(mill, act, least, most):
    """A head and an engine on two nodes, the link between them ill; the head makes a part alone."""
    net = Net(2)
    try:
        head = mill.head("--advertise", net.address(0), "--set", "echo.workers=1", net=net.name(0))
        mate = mill.join(net=net.name(1))
        mill.until(10)
        torment(mill, head, lambda: act(net), least, most)
        mill.finish(mate, 100)
    finally:
        net.close()


def cut_for(seconds):
    def act(mill, net):
        net.cut(1)
        mill.injected += 1
        time.sleep(seconds)
        net.mend(1)
    return act


@fault("cut", "the link to a node down for 1-5 s")
def cut(mill):
    over_network(mill, lambda net: cut_for(mill.random.uniform(1, 5))(mill, net), 1, 2)


@fault("cut-30", "the link to a node down for 30 s", long=True, step_us=100000)
def cut_30(mill):
    over_network(mill, lambda net: cut_for(30)(mill, net), 10, 12)


@fault("cut-120", "the link to a node down for 120 s", long=True, step_us=300000)
def cut_120(mill):
    over_network(mill, lambda net: cut_for(120)(mill, net), 20, 22)


def ruled(node, *words, least=1, most=4):
    def run(mill):
        def act(net):
            net.rule(node, *words)
            mill.injected += 1
            mill.pause(least, most)
            net.rule(node)
        over_network(mill, act, 0.5, 1)
    return run


fault("one-way", "what a node sends is dropped for 1-4 s, what it gets is not")(ruled(0, "drop"))
fault("lossy", "5 % of all packets lost on the way to the head, for 3-5 s")(
    ruled(0, "numgen random mod 100 < 5 drop", least=3, most=5))
fault("reset", "connections reset for 0.2-0.5 s")(
    ruled(0, "ip protocol tcp reject with tcp reset", least=0.2, most=0.5))


def nodes(mill, seconds):
    """Three nodes; every process of all of them is a target, and links go down."""
    net = Net(3)
    end = time.monotonic() + seconds
    try:
        heads = [mill.head("--advertise", net.address(0), net=net.name(0))]
        mates = [mill.join(net=net.name(1)), mill.join(net=net.name(2))]
        mill.until(5)
        slow = time.monotonic() + 8

        def act():
            nonlocal slow
            turn, what = mill.random.randrange(2), mill.random.random()
            if time.monotonic() > slow and heads[0].poll() is None:
                slow = time.monotonic() + mill.random.uniform(8, 14)
                if what < 0.5:
                    mill.hit(mill.of(heads[0], "sink:"))
                else:
                    mill.hit([heads[0].pid])
                    heads[0].wait()
                    heads[0] = mill.head("--advertise", net.address(0), net=net.name(0))
            elif what < 0.05:
                net.cut(turn + 1)
                mill.injected += 1
                mill.pause(1, 5)
                net.mend(turn + 1)
            elif what < 0.15:
                mill.hit([mates[turn].pid])
                mates[turn].wait()
                mates[turn] = mill.join(net=net.name(turn + 1))
            elif what < 0.25:
                stop(mill, mill.of(mates[turn], "worker:"), 0.1, 2)
            elif what < 0.4:
                mill.hit(mill.of(heads[0], "dispatch"))
            else:
                mill.hit(mill.of([heads[0], *mates][mill.random.randrange(3)], "worker:"))
        while heads[0].poll() is None and time.monotonic() < end:
            mill.pause(0.05, 0.5)
            act()
        mill.finish(heads[0], 600)
        for mate in mates:
            mill.finish(mate, 100)
    finally:
        net.close()


@fault("three-nodes", "all of this on three nodes, links down too", step_us=20000)
def three_nodes(mill):
    nodes(mill, 600)


@fault("epochs", "two epochs of 50,000 samples, 3 ranks: workers and dispatcher killed or stopped every "
       "50-500 ms, a rank or the head at ten times the longest standstill", long=True, count=50000,
       step_us=40000, work_us=0)
def epochs(mill):
    head = mill.head()
    slow = time.monotonic() + 6

    def act():
        nonlocal slow, head
        if time.monotonic() > slow:
            if mill.random.random() < 0.5:
                mill.hit(mill.of(head, "sink:"))
            else:
                mill.hit([head.pid])
                head.wait()
                head = mill.head()
            slow = time.monotonic() + mill.random.uniform(10, 12) * max(mill.gap, 0.5)
        elif mill.random.random() < 0.1:
            stop(mill, mill.of(head, "worker:", "dispatch"), 0.1, 1)
        else:
            mill.hit(mill.of(head, "worker:", "dispatch"))
    while head.poll() is None:
        mill.pause(0.05, 0.5)
        if head.poll() is None:
            act()
    mill.finish(head)


@fault("demo", "all of this on three nodes that run 1,500 steps of the demo's graph with 3 ranks", long=True,
       demo=1500)
def demo(mill):
    nodes(mill, 600)


@fault("demo-long", "the same for ten minutes, 6,000 steps", long=True, demo=6000)
def demo_long(mill):
    nodes(mill, 600)
