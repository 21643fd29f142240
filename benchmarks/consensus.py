"""Consensus maps of the same simulated stacks by this package and by cryoDRGN 4.3's `backproject_voxel`, compared with
the true volume.

    python benchmarks/consensus.py

Run it with a Python that has cryosphere_nb; cryoDRGN is installed on first use in an environment of its own, see
peers.py."""
import argparse, itertools, statistics, subprocess, sys, tempfile, time
from dataclasses import replace
from pathlib import Path

import torch

import peers
from cryosphere_nb.maps import consensus, fsc, read_map, soft_mask, structure_map
from cryosphere_nb.formats import read_particles
from cryosphere_nb.synthetic import Optics, simulate, two_body, write_simulation

OPTICS = (Optics(b_factor_a2=60.), Optics(voltage_kv=200., spherical_aberration_mm=2., b_factor_a2=60.))

def make_stack(folder, args, snr, seed):
    "Write a stack of a rigid molecule; its true volume."
    molecule, _ = two_body()
    simulation = simulate(molecule, n=args.images, box=args.box, pixel_size=args.pixel, snr=snr, seed=seed,
                          optics=OPTICS)
    write_simulation(folder, simulation)
    return structure_map(molecule, args.box, args.pixel)

def ours(folder):
    "Our map and the seconds it took, reading included."
    start = time.perf_counter()
    particles = read_particles(folder/"particles.star")
    # the envelope is not told to either program
    particles = replace(particles, ctf=replace(particles.ctf, b_factor=None))
    made = consensus(particles)
    return made.map, time.perf_counter() - start

def marks(map, truth, mask):
    "FSC with the truth."
    plain, inside = fsc(map, truth), fsc(map, truth, mask)
    number = lambda v: round(float(v), 4)
    return dict(fsc05_a=number(plain.crossing(0.5)), fsc0143_a=number(plain.crossing(0.143)), auc=number(plain.auc),
                masked_fsc05_a=number(inside.crossing(0.5)), masked_fsc0143_a=number(inside.crossing(0.143)),
                masked_auc=number(inside.auc),
                curve=[round(v, 4) for v in plain.values.tolist()],
                masked_curve=[round(v, 4) for v in inside.values.tolist()])

def one(args, snr, seed):
    "Both programs on one stack."
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        truth = make_stack(folder, args, snr, seed)
        mask = soft_mask(truth)
        map, seconds = ours(folder)
        row = dict(snr=snr, seed=seed, images=args.images,
                   ours=marks(map, truth, mask) | dict(seconds=round(seconds, 1)))
        answer = peers.attempt("cryodrgn", folder, args.threads, action="consensus", seed=seed)
        if "error" in answer: return row | dict(cryodrgn=answer)
        theirs = read_map(folder/"cryodrgn_map"/"backproject.mrc")
        theirs = type(theirs)(theirs.values, args.pixel)
        return row | dict(cryodrgn=marks(theirs, truth, mask) | dict(seconds=round(answer["seconds"], 1),
                                                                     version=answer["version"]))

def main():
    "Run, print, save."
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = lambda flag, default, type, help, **kw: p.add_argument(
        flag, default=default, type=type, help=f"{help} (default: %(default)s)", **kw)
    option("--images", 3000, int, "images in a stack")
    option("--box", 64, int, "pixels, even")
    option("--pixel", 2.2, float, "Å per pixel")
    option("--snr", [0.05, 0.01], float, "signal-to-noise ratios", nargs="+")
    option("--seeds", [1, 2], int, "stacks for each", nargs="+")
    option("--threads", 1, int, "threads of either program")
    option("--device", "cpu", str, "where to run", choices=["cpu"])
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    try: peers.install("cryodrgn")
    except subprocess.CalledProcessError as e:
        print(f"cryoDRGN could not be installed, so there are no maps of it: {e}", file=sys.stderr)
    rows = []
    for snr, seed in itertools.product(args.snr, args.seeds):
        rows.append(one(args, snr, seed))
        peers.save("consensus.json", peers.facts(args) | dict(rows=rows)) # what is measured is kept, whatever follows
    columns = ["fsc05_a", "fsc0143_a", "auc", "masked_fsc05_a", "masked_fsc0143_a", "masked_auc", "seconds", "error"]
    peers.table([[f"SNR {r['snr']:g}, seed {r['seed']}, {m}",
                  *(r[m].get(c, "" if c == "error" else None) for c in columns)]
                 for r in rows for m in ("ours", "cryodrgn")],
                ["stack, method", *columns])
    for c in "fsc05_a", "masked_fsc05_a":
        if ratios := [r["ours"][c]/r["cryodrgn"][c] for r in rows if "error" not in r["cryodrgn"]]:
            print(f"{c}, ours / cryoDRGN: {min(ratios):.3f} to {max(ratios):.3f}, "
                  f"median {statistics.median(ratios):.3f} (below 1: ours is finer)")
        else: print(f"{c}: no job of cryoDRGN succeeded, nothing to compare with")

if __name__ == "__main__": main()
