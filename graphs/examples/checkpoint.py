#!/usr/bin/env python3
"""Reads a checkpoint of Foldmill (format safetensors) without any package.

usage: checkpoint.py RUN/checkpoints/step-NNNNNNNNNNNN.safetensors

With PyTorch: safetensors.torch.load_file(path) gives the same tensors; weight/NAME is the
parameter NAME of the reference implementation, ema/NAME its moving average.
"""
import array
import json
import struct
import sys


def read(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        notes = header.pop("__metadata__", {})
        tensors, begin = {}, 8 + size
        for name, row in header.items():
            first, last = row["data_offsets"]
            file.seek(begin + first)
            values = array.array({"F32": "f", "U8": "B"}[row["dtype"]])
            values.frombytes(file.read(last - first))
            tensors[name] = (row["shape"], values)
        return notes, tensors


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    notes, tensors = read(sys.argv[1])
    print("step", notes.get("step"), "updates", notes.get("updates"))
    for name, (shape, values) in tensors.items():
        print(f"{name}  {shape}  mean {sum(values) / max(1, len(values)):g}")
