"""Nodes as network namespaces, on one bridge: links that go down, lose packets, in one direction too."""
import os
import subprocess


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Net:
    """Nodes 0..count-1 with addresses 10.213.N.1 and following."""

    def __init__(self, count):
        self.prefix = f"fm{os.getpid() % 100000}"
        self.count, self.part = count, os.getpid() % 200 + 20
        self.bridge = f"{self.prefix}b"
        self.made = []
        self.add(self.bridge)
        ip("-n", self.bridge, "link", "add", "br0", "type", "bridge")
        ip("-n", self.bridge, "link", "set", "br0", "up")
        for i in range(count):
            self.add(self.name(i))
            ip("-n", self.bridge, "link", "add", f"p{i}", "type", "veth", "peer", "name", "eth0",
               "netns", self.name(i))
            ip("-n", self.bridge, "link", "set", f"p{i}", "master", "br0", "up")
            ip("-n", self.name(i), "addr", "add", f"{self.address(i)}/24", "dev", "eth0")
            ip("-n", self.name(i), "link", "set", "eth0", "up")

    def add(self, name):
        ip("netns", "add", name)
        self.made.append(name)
        ip("-n", name, "link", "set", "lo", "up")

    def name(self, node):
        return f"{self.prefix}n{node}"

    def address(self, node):
        return f"10.213.{self.part}.{node + 1}"

    def cut(self, node):
        ip("-n", self.bridge, "link", "set", f"p{node}", "down")

    def mend(self, node):
        ip("-n", self.bridge, "link", "set", f"p{node}", "up")

    def rule(self, node, *words):
        """A packet filter on what arrives at a node; none: away with all."""
        name = ["ip", "netns", "exec", self.name(node), "nft"]
        subprocess.run([*name, "flush", "ruleset"], check=True, capture_output=True)
        if words:
            text = ("table inet faults { chain in { type filter hook input priority 0; "
                    + " ".join(words) + "; }; }")
            subprocess.run([*name, text], check=True, capture_output=True)

    def close(self):
        for name in self.made:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
