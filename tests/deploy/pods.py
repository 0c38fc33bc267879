#!/usr/bin/env python3
"""A rehearsal of deploy/kubernetes without Kubernetes: the command lines and environments of its files, in
network namespaces as pods with names of their own, as a user without rights, with keys mounted as
secrets are. Workers start before the head, one is lost, the head comes back elsewhere; the batches are
those of an undisturbed run.

  tests/deploy/pods.py [BUILD]      wants root; 77: it is not; half a minute
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "faults"))
from net import Net  # noqa: E402

BUILD = os.path.join(ROOT, sys.argv[1] if len(sys.argv) > 1 else "build/release")
USER = 1000
GRAPH = """graph: pods
seed: 7
stages:
  count:
    with: {count: 1200}
  echo:
    in: count
    memory: 64MiB
    with: {bytes: 9000, sleep_us: 12000}
  bundle:
    in: echo
    with: {size: 4}
  tally:
    in: bundle
    with: {epochs: 2, recycles: 1, checkpoint_every: 50}
"""


def template(file, kind):
    for document in yaml.safe_load_all(open(os.path.join(ROOT, "deploy", "kubernetes", file))):
        if document["kind"] == kind:
            return document["spec"]["template"]["spec"]
    raise SystemExit(f"{file} has no {kind}")


class Cluster:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="foldmill-pods-")
        os.chmod(self.folder, 0o755)
        self.net, self.pods, self.made = Net(4), [], []
        self.log = open(self.path("log"), "w")
        os.makedirs(self.path("bin"))
        os.symlink(os.path.join(BUILD, "tests", "foldmill_probe"), self.path("bin", "foldmill"))
        shutil.copy(os.path.join(ROOT, "deploy", "container", "foldmill-pod"), self.path("bin"))
        os.makedirs(self.path("graph"))
        with open(self.path("graph", "graph.yaml"), "w") as file:
            file.write(GRAPH)
        os.makedirs(self.path("volume"))
        os.chown(self.path("volume"), USER, USER)
        subprocess.run([self.path("bin", "foldmill"), "keys", self.path("keys")], check=True,
                       stdout=self.log)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def secret(self, spec):
        """A folder as a secret is mounted for a group: links into ..data, root's, readable by it."""
        folder = self.path(f"secret{len(os.listdir(self.folder))}")
        os.makedirs(os.path.join(folder, "..2026"))
        os.symlink("..2026", os.path.join(folder, "..data"))
        volume = next(one for one in spec["volumes"] if "secret" in one)["secret"]
        for item in volume["items"]:
            target = os.path.join(folder, "..2026", item["path"])
            shutil.copy(self.path("keys", item["key"]), target)
            os.chown(target, 0, USER)
            os.chmod(target, volume["defaultMode"])
            os.symlink(os.path.join("..data", item["path"]), os.path.join(folder, item["path"]))
        os.chown(folder, 0, USER)
        os.chmod(folder, 0o3777)
        return folder

    def hosts(self, head):
        """Every pod finds the head's name at that node."""
        for node in range(4):
            folder = f"/etc/netns/{self.net.name(node)}"
            os.makedirs(folder, exist_ok=True)
            self.made.append(folder)
            with open(os.path.join(folder, "hosts"), "w") as file:
                file.write(f"127.0.0.1 localhost\n{self.net.address(head)} "
                           "foldmill-head-0.foldmill-head\n")

    def start(self, spec, name, node):
        container = spec["containers"][0]
        where = {"/etc/foldmill/graph": self.path("graph"), "/var/lib/foldmill": self.path("volume"),
                 "/etc/foldmill/keys": self.secret(spec)}
        words = []
        for word in [*container["command"], *container["args"]]:
            for mount, real in where.items():
                if word.startswith(mount + "/") or word == mount:
                    word = real + word[len(mount):]
            words.append(word)
        tmp = self.path(f"tmp-{name}-{node}-{len(self.pods)}")
        os.makedirs(tmp)
        os.chown(tmp, USER, USER)
        environment = [f"{row['name']}={row['value']}" for row in container["env"]]
        environment += [f"PATH={self.path('bin')}:/usr/bin:/bin", f"TMPDIR={tmp}"]
        pod = subprocess.Popen(
            ["ip", "netns", "exec", self.net.name(node), "unshare", "--uts", "--pid", "--fork",
             "--kill-child", "--mount-proc", "sh", "-c", 'hostname "$0"; exec "$@"', name, "setpriv",
             f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs", "env", "-i",
             *environment, *words], stdout=self.log, stderr=self.log, cwd="/")
        self.pods.append(pod)
        return pod

    def first(self, pod):
        """The process with the number 1 in the pod."""
        inner = pod.pid
        for _ in range(100):
            try:
                inner = int(open(f"/proc/{pod.pid}/task/{pod.pid}/children").read().split()[0])
                break
            except (OSError, IndexError):
                time.sleep(0.01)
        return inner

    def steps(self, run):
        try:
            rows = open(os.path.join(run, "tally.tsv")).read().split("\n")[1:-1]
        except OSError:
            return []
        return [row.split("\t")[:4] for row in rows]

    def until(self, what, seconds, text):
        end = time.monotonic() + seconds
        while not what():
            if time.monotonic() > end:
                self.log.flush()
                raise SystemExit(f"FAILED: {text}\n{open(self.log.name).read()[-2000:]}")
            time.sleep(0.05)

    def close(self):
        for pod in self.pods:
            if pod.poll() is None:
                pod.kill()
                pod.wait()
        self.net.close()
        for folder in set(self.made):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def rehearse(cluster):
    head, workers = template("head.yaml", "StatefulSet"), template("workers.yaml", "Deployment")
    run, program = cluster.path("volume", "run"), cluster.path("bin", "foldmill")
    subprocess.run([program, "run", cluster.path("graph", "graph.yaml"), "--run",
                    cluster.path("quiet"), "--quiet", "--set", "echo.sleep_us=0"], check=True)
    cluster.hosts(0)
    mates = [cluster.start(workers, f"foldmill-workers-{i}", i + 1) for i in range(2)]
    first = cluster.start(head, "foldmill-head-0", 0)
    cluster.until(lambda: len(cluster.steps(run)) >= 60, 60, "no steps")
    print(f"a head, two workers' pods that were there before: {len(cluster.steps(run))} steps")
    mates[0].kill()
    mates[0].wait()
    mates[0] = cluster.start(workers, "foldmill-workers-2", 1)
    cluster.until(lambda: len(cluster.steps(run)) >= 150, 60, "it stands when a pod is lost")
    os.kill(cluster.first(first), signal.SIGTERM)
    code = first.wait(60)
    if code != 0:
        raise SystemExit(f"FAILED: the head's pod ended with {code}")
    before = len(cluster.steps(run))
    cluster.hosts(3)
    second = cluster.start(head, "foldmill-head-0", 3)
    cluster.until(lambda: len(cluster.steps(run)) > before, 60, "it does not go on elsewhere")
    print(f"a worker's pod lost and replaced; the head drained at step {before}, and went on on another node")
    cluster.until(lambda: "state over" in open(os.path.join(run, "rendezvous")).read(), 120, "no end")
    if second.poll() is not None:
        raise SystemExit("FAILED: the head's pod ended, and would be started again")
    for mate in mates:
        if mate.wait(30) != 0:
            raise SystemExit("FAILED: a worker's pod failed")
    os.kill(cluster.first(second), signal.SIGTERM)
    second.wait(20)
    if cluster.steps(run) != cluster.steps(cluster.path("quiet")):
        raise SystemExit("FAILED: other batches")
    audit = subprocess.run([program, "audit", run], capture_output=True, text=True)
    if audit.returncode != 0:
        raise SystemExit(f"FAILED: {audit.stdout}{audit.stderr}")
    print("600 steps, the batches of the undisturbed run; the audit is clean")


def main():
    if os.geteuid() != 0 or not all(shutil.which(name) for name in ("ip", "unshare", "setpriv")):
        print("skipped: wants root, ip (iproute2) and setpriv")
        return 77
    cluster = Cluster()
    try:
        rehearse(cluster)
    finally:
        cluster.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
