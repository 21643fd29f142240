"""A body that turns through the full circle: is the angle of every image found, and what do settings change?

    python benchmarks/circle.py --snr 0.05 0.01 --set refine_poses=never
    python benchmarks/circle.py --snr 0.01 --set full_turns=true candidates=16 n_latent=2

The molecule is 200 residues of `two_body` about its hinge. Its second body turns about an axis that is 50° from the line
to the body's centre, and of those axes the one on which it stays farthest from the first. Frames lie 3° apart. Rows
are added to results/circle.json: the circular correlation of the angle of recovered structures with the true one
(Fisher and Lee), the median error, the share of images that are off by more than 30°, and RMSD. A run that was measured
before with the same settings is replaced. Use one process at a time on a machine that does nothing else: minutes are
wall time."""
import argparse, math, tempfile, time
from dataclasses import replace
from pathlib import Path

import pandas as pd, torch

from cryosphere_nb import benchmarks
from cryosphere_nb.benchmarks import Recipe, make_stack, train_fully
from cryosphere_nb.core import generator
from cryosphere_nb.geometry import rotate
from cryosphere_nb.metrics import body_rotation, circular_correlation, coordinate_rmsd, signed_angle
from cryosphere_nb.synthetic import hinge_movie, two_body
from recovery import facts, run_options, show_and_store

FIRST, LAST = 100, 300 # residues of `two_body`
NEAR = 4 # residues on either side of the hinge that are not asked where their body is
ANGLES = torch.arange(-180., 180., 3)*torch.pi/180

def molecule(): # -> structure, index of the first residue that turns
    "The middle of `two_body`, centred."
    s, hinge = two_body()
    own = (s.residue_of_atom >= FIRST) & (s.residue_of_atom < LAST)
    beads = s.bead_atom[FIRST:LAST]
    return replace(
        s, xyz=s.xyz[own] - s.xyz[beads].mean(0), residue_of_atom=s.residue_of_atom[own] - FIRST,
        bead_atom=(own.long().cumsum(0) - 1)[beads], electrons=s.electrons[FIRST:LAST],
        atoms=s.atoms[own.numpy()].reset_index(drop=True),
        residues=s.residues.iloc[FIRST:LAST].reset_index(drop=True), name="circle"), hinge - FIRST

def clear_axis(structure, hinge:int, tilt:float=50.) -> torch.Tensor: # (3,)
    "Of axes at this angle, in degrees, to the arm, the one on which the bodies stay apart."
    x, pivot = structure.beads, structure.beads[hinge - 1]
    arm = torch.nn.functional.normalize(x[hinge:].mean(0) - pivot, dim=0)
    side = torch.randn(200, 3, generator=generator(3))
    side = torch.nn.functional.normalize(side - (side @ arm)[:, None]*arm, dim=1)
    axes, far = math.cos(math.radians(tilt))*arm + math.sin(math.radians(tilt))*side, []
    for axis in axes:
        moved = rotate(x[hinge + NEAR:] - pivot, ANGLES[::5, None, None]*axis) + pivot
        far.append(torch.cdist(moved, x[:hinge - NEAR].expand(len(moved), -1, -1)).min())
    return axes[torch.stack(far).argmax()]

def movie(): # -> structure, frames, weights
    structure, hinge = molecule()
    return structure, hinge_movie(structure, ANGLES, hinge, clear_axis(structure, hinge)), torch.ones(len(ANGLES))

def marks(structure, beads, states, truth) -> dict: # (n, R, 3), (n,), (n, R, 3)
    "How well angles and structures are found."
    hinge = molecule()[1]
    v = body_rotation(beads, structure.beads, torch.arange(hinge - NEAR),
                      torch.arange(hinge + NEAR, structure.n_beads))
    angle, true = signed_angle(v, clear_axis(structure, hinge)), ANGLES[states]
    off = torch.atan2((angle - true).sin(), (angle - true).cos()).abs().rad2deg()
    return dict(r_circular=circular_correlation(angle, true), off_deg=float(off.median()),
                beyond_30_deg=float((off > 30).float().mean()), rmsd=float(coordinate_rmsd(beads, truth).median()))

def rows_of(stack, settings:dict, seed:int, keep) -> pd.DataFrame:
    "A run and its marks, on the images that it was trained on and on others."
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        run = train_fully(stack.particles, stack.nominal, Path(keep or folder)/f"circle-{seed}", seed=seed, **settings)
        found = run.coordinates()
        minutes = (time.perf_counter() - start)/60
        unseen = run.infer(stack.unseen, structures=True)
    about = dict(stack="circle", snr=stack.snr, seed=seed, minutes=minutes, epochs=run.state.epoch)
    return pd.DataFrame([
        about | dict(subset="trained on", images=len(run)) | marks(stack.nominal, found, stack.states, stack.truth),
        about | dict(subset="not seen", images=len(stack.unseen)) | marks(
            stack.nominal, run.decode(unseen.latents), stack.states_unseen, stack.truth_unseen)])

def parser() -> argparse.ArgumentParser:
    "All options."
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--snr", type=float, nargs="+", default=[0.05, 0.01], help="signal-to-noise ratios (0.05 0.01)")
    p.add_argument("--images", type=int, default=10_000, help="images to train on (10000)")
    p.add_argument("--unseen", type=int, default=1000, help="images kept apart (1000)")
    p.add_argument("--box", type=int, default=64, help="pixels of the 160 Å that an image shows (64)")
    p.add_argument("--name", help="what the rows are called (defaults, or settings)")
    run_options(p, "circle.json")
    return p

def main():
    a = parser().parse_args()
    torch.set_num_threads(a.threads)
    settings = dict(a.set)
    benchmarks.STACKS[f"circle{a.box}"] = Recipe(movie, a.box, 160/a.box, 5.)
    if a.cache: Path(a.cache).mkdir(parents=True, exist_ok=True)
    for snr in a.snr:
        stack = make_stack(f"circle{a.box}", snr, a.images, a.unseen, 1, a.cache)
        for seed in a.seeds:
            table = rows_of(stack, settings, seed, a.keep)
            show_and_store(a.out, table.assign(method=a.name or ("settings" if settings else "defaults")),
                           facts() | dict(data_seed=1, stack_images=a.images, box=a.box, settings=settings))

if __name__ == "__main__": main()
