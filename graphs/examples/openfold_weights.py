#!/usr/bin/env python3
"""Turns weights that PyTorch saved (OpenFold's .pt, .ckpt) into a file for `train: {start: FILE}`.

usage: openfold_weights.py WEIGHTS.pt WEIGHTS.safetensors

Needs PyTorch 2, or 1.13 for files of nothing but tensors. Takes the moving average where the file
has one (ema/params), else state_dict, module or the file's own tensors. Only numbers are read: no
code in the file is run. Names stay as they are; Foldmill knows those of OpenFold, the older ones too
(kernels/net/names.c).
"""
import json
import struct
import sys

import torch

DTYPES = {torch.float32: ("F32", 4), torch.bfloat16: ("BF16", 2), torch.float16: ("F16", 2)}


def tensors_of(content):
    for path in (("ema", "params"), ("state_dict",), ("module",), ()):
        found = content
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, dict) and any(torch.is_tensor(x) for x in found.values()):
            return {name: x for name, x in found.items() if torch.is_tensor(x)}
    sys.exit("no tensors by name in this file")


def write(path, tensors):
    header, at = {}, 0
    numbers = {n: x if x.dtype in DTYPES else x.float() for n, x in tensors.items()}
    names = sorted(numbers, key=lambda n: -DTYPES[numbers[n].dtype][1])  # wide ones first: aligned
    for name in names:
        dtype, width = DTYPES[numbers[name].dtype]
        size = width * numbers[name].numel()
        header[name] = {"dtype": dtype, "shape": list(numbers[name].shape),
                        "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            x = numbers[name].detach().cpu().contiguous()
            whole = torch.int32 if x.element_size() == 4 else torch.int16
            file.write(x.view(whole).numpy().tobytes())


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    found = tensors_of(torch.load(sys.argv[1], map_location="cpu", weights_only=True))
    write(sys.argv[2], found)
    print(len(found), "tensors,", sum(x.numel() for x in found.values()), "numbers")
