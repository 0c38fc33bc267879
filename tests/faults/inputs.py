"""Small structures and alignments for runs that read files: random sequences as helices of PDB files.
Part of tools/faults."""
import math
import os

GRAPH = """graph: files
seed: 3
max_bad: 1000
stages:
  scan: {with: {structures: [structures], alignments: [alignments], held_out: 0}}
  parse: {in: scan}
  msa: {in: parse}
  store: {in: msa, with: {path: store}}
"""
NAMES = {"A": "ALA", "C": "CYS", "D": "ASP", "E": "GLU", "F": "PHE", "G": "GLY", "H": "HIS",
         "I": "ILE", "K": "LYS", "L": "LEU", "M": "MET", "N": "ASN", "P": "PRO", "Q": "GLN",
         "R": "ARG", "S": "SER", "T": "THR", "V": "VAL", "W": "TRP", "Y": "TYR"}
LENGTH = 60


def structure(letters):
    """The text of a PDB file: N, CA and C of each residue, 1.5 angstrom up and 100 degrees on."""
    lines, serial = [], 0
    for i, letter in enumerate(letters):
        for part, name in enumerate((" N  ", " CA ", " C  ")):
            serial += 1
            turn = math.radians(100 * (i + part / 3))
            x, y, z = 2.3 * math.cos(turn), 2.3 * math.sin(turn), 1.5 * (i + part / 3)
            lines.append(f"ATOM  {serial:5} {name} {NAMES[letter]} A{i + 1:4}    "
                         f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {name[1]:>2}\n")
    return "".join(lines) + "TER\nEND\n"


def make(folder, count, random):
    """count structures and their alignments, of three rows each."""
    for name in ("structures", "alignments"):
        os.makedirs(os.path.join(folder, name))
    for number in range(count):
        rows = ["".join(random.choice(sorted(NAMES)) for _ in range(LENGTH)) for _ in range(3)]
        with open(os.path.join(folder, "structures", f"f{number:04}.pdb"), "w") as file:
            file.write(structure(rows[0]))
        with open(os.path.join(folder, "alignments", f"f{number:04}.a3m"), "w") as file:
            file.write("".join(f">row{i}\n{row}\n" for i, row in enumerate(rows)))
