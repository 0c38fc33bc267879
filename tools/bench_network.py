#!/usr/bin/env python3
"""One Evoformer block (AlphaFold 2, supplementary algorithm 6 and those it calls) in PyTorch: the
peer of tools/bench_network.c, which starts it and gives it weights and commands on its standard
input. Without dropout, as there. Exit status 2: there is no PyTorch."""

import sys
import time

try:
    import numpy
    import torch
    from torch.nn.functional import layer_norm, linear, relu
except ImportError:
    sys.exit(2)

NORM_EPS, MASKED = 1e-3, 1e9


class Block:
    """The weights of a block by name, and its forward pass."""

    def __init__(self, weights, heads, pair_heads):
        self.w, self.heads, self.pair_heads = weights, heads, pair_heads

    def linear(self, name, x):
        return linear(x, self.w[name + ".weight"], self.w.get(name + ".bias"))

    def norm(self, name, x):
        return layer_norm(x, x.shape[-1:], self.w[name + ".weight"], self.w[name + ".bias"])

    def attention(self, name, x, heads, biases):
        """Gated attention within the rows of x[B,L,C]."""
        rows, length, _ = x.shape

        def split(part):
            return self.linear(f"{name}.linear_{part}", x).view(rows, length, heads, -1)

        q, k, v, gate = (split(part) for part in "qkvg")
        logits = torch.matmul(q.transpose(1, 2) * q.shape[-1] ** -0.5, k.permute(0, 2, 3, 1))
        for bias in biases:
            logits += bias
        y = torch.matmul(torch.softmax(logits, -1), v.transpose(1, 2)).transpose(1, 2)
        return self.linear(f"{name}.linear_o", (torch.sigmoid(gate) * y).flatten(2))

    def row_attention(self, m, z, mask):
        name = "msa_att_row"
        bias = self.linear(name + ".linear_z", self.norm(name + ".layer_norm_z", z))
        x = self.norm(name + ".layer_norm_m", m)
        return self.attention(name + ".mha", x, self.heads,
                              [(mask - 1)[:, None, None] * MASKED, bias.permute(2, 0, 1)[None]])

    def column_attention(self, m, mask):
        name = "msa_att_col._msa_att"
        x = self.norm(name + ".layer_norm_m", m.transpose(0, 1))
        biases = [(mask - 1).transpose(0, 1)[:, None, None] * MASKED]
        return self.attention(name + ".mha", x, self.heads, biases).transpose(0, 1)

    def transition(self, name, x):
        x = relu(self.linear(name + ".linear_1", self.norm(name + ".layer_norm", x)))
        return self.linear(name + ".linear_2", x)

    def outer_product_mean(self, m, mask):
        name = "outer_product_mean"
        x = self.norm(name + ".layer_norm", m)
        a = self.linear(name + ".linear_1", x) * mask[..., None]
        b = self.linear(name + ".linear_2", x) * mask[..., None]
        outer = torch.einsum("sic,sje->ijce", a, b).flatten(2)
        return self.linear(name + ".linear_out", outer) / (NORM_EPS + mask.T @ mask)[..., None]

    def triangle_product(self, name, z, mask, incoming):
        x = self.norm(name + ".layer_norm_in", z)

        def side(part):
            gate = torch.sigmoid(self.linear(f"{name}.linear_{part}_g", x))
            return mask[..., None] * gate * self.linear(f"{name}.linear_{part}_p", x)

        a, b = side("a").permute(2, 0, 1), side("b").permute(2, 0, 1)
        y = a.transpose(1, 2) @ b if incoming else a @ b.transpose(1, 2)
        y = self.linear(name + ".linear_z", self.norm(name + ".layer_norm_out", y.permute(1, 2, 0)))
        return torch.sigmoid(self.linear(name + ".linear_g", x)) * y

    def triangle_attention(self, name, z, mask, ending):
        if ending:
            z, mask = z.transpose(0, 1), mask.T
        x = self.norm(name + ".layer_norm", z)
        bias = self.linear(name + ".linear", x).permute(2, 0, 1)[None]
        y = self.attention(name + ".mha", x, self.pair_heads,
                           [(mask - 1)[:, None, None] * MASKED, bias])
        return y.transpose(0, 1) if ending else y

    def __call__(self, m, z, msa_mask, pair_mask):
        m = m + self.row_attention(m, z, msa_mask)
        m = m + self.column_attention(m, msa_mask)
        m = m + self.transition("msa_transition", m)
        z = z + self.outer_product_mean(m, msa_mask)
        pair = "pair_stack."
        z = z + self.triangle_product(pair + "tri_mul_out", z, pair_mask, False)
        z = z + self.triangle_product(pair + "tri_mul_in", z, pair_mask, True)
        z = z + self.triangle_attention(pair + "tri_att_start", z, pair_mask, False)
        z = z + self.triangle_attention(pair + "tri_att_end", z, pair_mask, True)
        return m, z + self.transition(pair + "pair_transition", z)


def load(path, rows):
    """The weights of a file of floats: each row of text is name, offset, rows, columns."""
    values = torch.from_numpy(numpy.fromfile(path, dtype=numpy.float32))
    weights = {}
    for row in rows:
        name, offset, first, second = row.split()
        shape = (int(first), int(second)) if int(second) else (int(first),)
        count = numpy.prod(shape)
        part = values[int(offset):int(offset) + count].view(shape).clone()
        weights[name] = part.requires_grad_()
    return weights


def step(block, tensors, length, rows):
    """Seconds of forward and of backward; the outputs and the gradients of the inputs."""
    m, z, upstream_m, upstream_z = tensors
    m, z = m.requires_grad_(), z.requires_grad_()
    masks = torch.ones(rows, length), torch.ones(length, length)
    begin = time.perf_counter()
    outputs = block(m, z, *masks)
    middle = time.perf_counter()
    wanted = [m, z, *block.w.values()]
    gradients = torch.autograd.grad(outputs, wanted, [upstream_m, upstream_z])
    end = time.perf_counter()
    return middle - begin, end - middle, (*outputs, *gradients[:2])


def tensors_read(path, length, rows, c_m, c_z):
    values = torch.from_numpy(numpy.fromfile(path, dtype=numpy.float32))
    shapes = [(rows, length, c_m), (length, length, c_z)] * 2
    parts = values.split([int(numpy.prod(shape)) for shape in shapes])
    return [part.view(shape).clone() for part, shape in zip(parts, shapes)]


def main():
    threads, c_m, c_z, heads, pair_heads, count = (int(word) for word in sys.argv[2:8])
    torch.set_num_threads(threads)
    weights = load(sys.argv[1], [sys.stdin.readline() for _ in range(count)])
    block, kept = Block(weights, heads, pair_heads), {}
    for line in sys.stdin:
        # run LENGTH ROWS FILE: inputs come from FILE, and go back to it where it is "check"
        command, length, rows, path = line.split()
        size = int(length), int(rows)
        if size not in kept:
            kept = {size: tensors_read(path, *size, c_m, c_z)}
            step(block, kept[size], *size)
        forward, backward, results = step(block, kept[size], *size)
        if command == "check":
            flat = [result.detach().contiguous().numpy().ravel() for result in results]
            numpy.concatenate(flat).tofile(path)
        print(forward, backward, flush=True)


main()
