#!/usr/bin/env python3
"""The workload of tools/bench_order.c through PyTorch's DataLoader (Debian: python3-torch), which
gives batches in order: rows of the same table. Exit status 2: there is no PyTorch."""

import sys
import time

try:
    import torch
    from torch.utils.data import DataLoader, Dataset
except ImportError:
    sys.exit(2)

SAMPLES, BATCH, WORKERS, WARM_STEPS = 4000, 16, 8, 20
USUAL_S, SLOW_S, STEP_S, SLOW_EVERY = 0.004, 0.4, 0.024, 100


class Sleepers(Dataset):
    def __len__(self):
        return SAMPLES

    def __getitem__(self, index):
        time.sleep(USUAL_S + (SLOW_S if index % SLOW_EVERY == 0 else 0))
        return torch.zeros(4096, dtype=torch.uint8)


def measure(prefetch):
    order = torch.Generator()
    order.manual_seed(1)
    waited, computed, longest, steps = 0.0, 0.0, 0.0, 0
    then = time.monotonic()
    for batch in DataLoader(Sleepers(), BATCH, shuffle=True, num_workers=WORKERS,
                            prefetch_factor=prefetch, generator=order):
        began = time.monotonic()
        time.sleep(STEP_S)
        done = time.monotonic()
        steps += 1
        if steps > WARM_STEPS:
            waited += began - then
            computed += done - began
            longest = max(longest, began - then)
        then = done
    steps -= WARM_STEPS
    name = f"PyTorch DataLoader, prefetch_factor {prefetch}"
    print(f"{name:<36} {steps:7} {1e3 * waited / steps:12.2f} {1e3 * longest:12.1f} "
          f"{100 * waited / computed:14.2f} %")


for factor in (2, 4):
    measure(factor)
