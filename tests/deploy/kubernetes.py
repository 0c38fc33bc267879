#!/usr/bin/env python3
"""The files of deploy/kubernetes: against the schemas of Kubernetes (strictly: no unknown field), and
against each other, the container file and the program: names, selectors, ports, keys, options. Then
the same check must find planted mistakes.

  tests/deploy/kubernetes.py [BUILD]    BUILD: build/release; 77: the schemas are not to be had
"""
import copy
import importlib
import os
import re
import subprocess
import sys

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(ROOT, "deploy", "kubernetes")
BUILD = os.path.join(ROOT, sys.argv[1] if len(sys.argv) > 1 else "build/release")
VERSIONS = ["1.29", "1.34"]
GIVEN = {("Secret", "foldmill-keys"), ("ConfigMap", "foldmill-graph"),
         ("PersistentVolumeClaim", "foldmill-data")}  # made by people, as deploy/README.md says
KEYS = {"head": {"public", "head.key"}, "workers": {"public", "worker.key"}}


def schemas():
    """kubernetes_validate, installed beside the build where it is missing; exit 77 without."""
    target = os.path.join(ROOT, "build", "kubernetes-validate")
    sys.path.insert(0, target)
    try:
        import kubernetes_validate
    except ImportError:
        done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--target", target,
                               "kubernetes-validate"], capture_output=True, text=True)
        if done.returncode != 0:
            print("skipped: the schemas (kubernetes-validate of PyPI) are not to be had")
            sys.exit(77)
        importlib.invalidate_caches()
        import kubernetes_validate
    return kubernetes_validate


def load():
    documents = []
    for name in sorted(os.listdir(FOLDER)):
        with open(os.path.join(FOLDER, name)) as file:
            documents += [document for document in yaml.safe_load_all(file) if document]
    return documents


def matches(selector, labels):
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def check_pod(owner, pod, documents, options, found):
    labels, spec = pod["metadata"]["labels"], pod["spec"]
    part = labels.get("part")
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    claims = {claim["metadata"]["name"] for claim in owner["spec"].get("volumeClaimTemplates", [])}
    for name, volume in volumes.items():
        for kind, reference in (("Secret", volume.get("secret", {}).get("secretName")),
                                ("ConfigMap", volume.get("configMap", {}).get("name")),
                                ("PersistentVolumeClaim",
                                 volume.get("persistentVolumeClaim", {}).get("claimName"))):
            if reference and (kind, reference) not in GIVEN:
                found.append(f"{part}: nobody makes the {kind} {reference}")
        if "secret" in volume:
            keys = {item["path"] for item in volume["secret"].get("items", [])}
            if keys != KEYS.get(part):
                found.append(f"{part}: has the keys {sorted(keys)}")
            if volume["secret"].get("defaultMode") != 0o440:
                found.append(f"{part}: keys that others may read")
    for container in spec["containers"]:
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes and mount["name"] not in claims:
                found.append(f"{part}: there is no volume {mount['name']}")
        paths = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
        for word in container["args"]:
            if word.startswith("--") and word not in options:
                found.append(f"{part}: foldmill run has no {word}")
            if word.startswith("/") and not any(word.startswith(path) for path in paths):
                found.append(f"{part}: {word} is on no volume")
        environment = {row["name"]: row["value"] for row in container.get("env", [])}
        host, _, port = environment.get("FOLDMILL_HEAD", "").partition(":")
        heads = [one for one in documents if one["kind"] == "StatefulSet"]
        names = {f"{one['metadata']['name']}-0.{one['spec']['serviceName']}" for one in heads}
        if host not in names:
            found.append(f"{part}: FOLDMILL_HEAD is no pod: {host}")
        for one in documents:
            if one["kind"] == "Service" and matches(one["spec"]["selector"], {"app": "foldmill",
                                                                             "part": "head"}):
                ports = {row["port"] for row in one["spec"]["ports"]}
                if ports != {int(port or 0), int(port or 0) + 1}:
                    found.append(f"{part}: the service has the ports {ports}, not {port} and the next")
        security = container.get("securityContext", {})
        if (security.get("allowPrivilegeEscalation") is not False
                or not security.get("readOnlyRootFilesystem")
                or not spec.get("securityContext", {}).get("runAsNonRoot")):
            found.append(f"{part}: has rights that it does not need")
        if not container.get("resources", {}).get("limits", {}).get("memory"):
            found.append(f"{part}: its memory has no limit")


def check(documents, options):
    """What is wrong, as texts."""
    found, pods = [], []
    for document in documents:
        if "template" in document.get("spec", {}):
            pod = document["spec"]["template"]
            pods.append(pod["metadata"]["labels"])
            if not matches(document["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"]):
                found.append(f"{document['metadata']['name']} does not select its own pods")
            check_pod(document, pod, documents, options, found)
        if document["kind"] == "StatefulSet":
            services = {one["metadata"]["name"] for one in documents if one["kind"] == "Service"}
            if document["spec"]["serviceName"] not in services:
                found.append(f"there is no service {document['spec']['serviceName']}")
            if document["spec"]["replicas"] != 1:
                found.append("a run has one head")
    for document in documents:
        selectors = []
        if document["kind"] == "Service":
            selectors.append(document["spec"]["selector"])
        if document["kind"] == "NetworkPolicy":
            selectors.append(document["spec"]["podSelector"]["matchLabels"])
            for rule in document["spec"].get("ingress", []):
                selectors += [one["podSelector"]["matchLabels"] for one in rule.get("from", [])]
        for selector in selectors:
            if not any(matches(selector, labels) for labels in pods):
                found.append(f"{document['kind']} {document['metadata']['name']} selects nobody: "
                             f"{selector}")
    return found


def against_schemas(validate, documents):
    found = []
    for document in documents:
        for version in VERSIONS:
            try:
                validate.validate(document, version, strict=True)
            except validate.ValidationError as error:
                found.append(f"{document['kind']}: {error.message}")
    return found


def change(documents, kind, path, value):
    """A copy with one value replaced, in the first document of a kind; None: taken away."""
    documents = copy.deepcopy(documents)
    at = next(document for document in documents if document["kind"] == kind)
    for key in path[:-1]:
        at = at[key]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return documents


def mutants(documents):
    pod = ["spec", "template", "spec"]
    first = pod + ["containers", 0]
    yield change(documents, "Deployment", ["spec", "replica"], 3)
    yield change(documents, "Deployment", ["spec", "selector", "matchLabels", "part"], "head")
    yield change(documents, "Service", ["spec", "selector", "part"], "heads")
    yield change(documents, "Service", ["spec", "ports", 1, "port"], 9312)
    yield change(documents, "StatefulSet", ["spec", "serviceName"], "head")
    yield change(documents, "StatefulSet", ["spec", "replicas"], 2)
    yield change(documents, "StatefulSet", first + ["args", 2], "--runs")
    yield change(documents, "StatefulSet", first + ["args", 3], "/elsewhere/run")
    yield change(documents, "StatefulSet", first + ["volumeMounts", 0, "name"], "runs")
    yield change(documents, "Deployment", first + ["env", 0, "value"], "foldmill-head:9310")
    yield change(documents, "Deployment", first + ["resources", "limits", "memory"], None)
    yield change(documents, "Deployment", first + ["resources", "limits", "memory"], {"Gi": 3})
    yield change(documents, "Deployment", first + ["securityContext", "readOnlyRootFilesystem"], False)
    yield change(documents, "Deployment", pod + ["volumes", 1, "secret", "secretName"], "keys")
    yield change(documents, "Deployment", pod + ["volumes", 1, "secret", "items", 1, "path"], "head.key")
    yield change(documents, "NetworkPolicy", ["spec", "podSelector", "matchLabels", "part"], "all")


def check_container(found):
    """What the program is linked to comes with packages that the container file installs."""
    text = open(os.path.join(ROOT, "deploy", "container", "Containerfile")).read()
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
        for path in source.split():
            if not os.path.exists(os.path.join(ROOT, path)):
                found.append(f"Containerfile: there is no {path}")
    last = text[text.rindex("\nFROM "):]
    listed = set(re.findall(r"[a-z0-9][a-z0-9.+-]+", last))
    have = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Depends}\\n"],
                          capture_output=True, text=True).stdout
    depends = {}
    for line in have.split("\n"):
        words = re.findall(r"[a-z0-9][a-z0-9.+-]*", line.split("(")[0] if "(" not in line else
                           re.sub(r"\([^)]*\)", "", line))
        if words and words[0] == "installed":
            depends[words[1]] = words[2:]
    known, left = set(), [name for name in listed if name in depends] + ["libc6"]
    while left:
        name = left.pop()
        if name not in known:
            known.add(name)
            left += depends.get(name, [])
    libraries = subprocess.run(["ldd", os.path.join(BUILD, "foldmill")], capture_output=True,
                               text=True).stdout
    for path in re.findall(r"=> (/\S+)", libraries):
        owner = subprocess.run(["dpkg", "-S", os.path.realpath(path)], capture_output=True, text=True)
        name = owner.stdout.split(":")[0]
        if name and name not in known:
            found.append(f"Containerfile: {os.path.basename(path)} comes with {name}, which it does "
                         "not install")


def main():
    validate = schemas()
    documents = load()
    usage = subprocess.run([os.path.join(BUILD, "foldmill"), "run", "--help"], capture_output=True,
                           text=True).stdout
    options = set(re.findall(r"--[a-z]+", usage))
    found = check(documents, options) + against_schemas(validate, documents)
    check_container(found)
    for text in found:
        print(f"FAILED: {text}")
    missed = count = 0
    for number, mutant in enumerate(mutants(documents)):
        count += 1
        if not check(mutant, options) and not against_schemas(validate, mutant):
            print(f"FAILED: mistake {number} that was planted is not found")
            missed += 1
    print(f"{len(documents)} documents, versions {', '.join(VERSIONS)}: {len(found)} mistakes; "
          f"{count - missed} of {count} planted ones found")
    return 1 if found or missed else 0


if __name__ == "__main__":
    sys.exit(main())
