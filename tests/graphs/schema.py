"""Holds graphs/*.yaml against graphs/schema.json, and broken copies of the demo, which must fail."""
import copy
import glob
import json
import sys

import jsonschema
import yaml

folder = sys.argv[1]
validator = jsonschema.Draft7Validator(json.load(open(folder + "/schema.json")))
failed = 0
for path in sorted(glob.glob(folder + "/*.yaml")):
    for error in validator.iter_errors(yaml.safe_load(open(path))):
        print(f"{path}: {'/'.join(map(str, error.path))}: {error.message}")
        failed += 1

good = yaml.safe_load(open(folder + "/demo.yaml"))


def broken(change):
    graph = copy.deepcopy(good)
    change(graph)
    return not validator.is_valid(graph)


changes = {
    "unknown top key": lambda g: g.update(sede=1),
    "no stages": lambda g: g.pop("stages"),
    "unknown key of a stage": lambda g: g["stages"]["crop"].update(worker=2),
    "unknown setting": lambda g: g["stages"]["crop"]["with"].update(lenght=64),
    "setting out of range": lambda g: g["stages"]["crop"]["with"].update(length=-2),
    "unknown kind": lambda g: g["stages"]["crop_held_out"].update(run="corp"),
    "setting of another kind": lambda g: g["stages"]["crop_held_out"]["with"].update(size=3),
    "text for a number": lambda g: g["stages"]["batch"]["with"].update(size="four"),
}
for name, change in changes.items():
    if not broken(change):
        print(f"the schema takes a graph with: {name}")
        failed += 1
sys.exit(1 if failed else 0)
