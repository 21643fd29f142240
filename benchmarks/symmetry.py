"""Is the motion of one protomer found in a symmetric molecule, from expanded star files and from others?

    python benchmarks/symmetry.py C2 D2 --images 1000
    python benchmarks/symmetry.py C2 --rows expanded each --images 500 --set epochs=40

The molecule is `protomer_of` of chapter 26 in each of the point groups: 110 residues a protomer, whose arm swings by up
to 35 degrees either way, at SNR 0.05. What is read of its rows:

    known      poses in a frame in which it is known which protomer moves; no symmetry is set, its chain is divided
    expanded   the pose of an image is one of those that symmetry makes equal, drawn at random; the file is expanded
    each       the same poses, not expanded: every protomer has a latent in every image (`moves="each"`)
    all        all protomers swing alike (`moves="all"`), in poses as they are

r is the correlation of the first principal motion of one protomer with the true angle: over all rows or protomers
(at rest, the angle is 0), and over those that move (`moving`). `chosen` is r where the protomer of an image is not told
but found (`moving_protomer`; for `each`, the one that moves most), and `found` the share of images in which it is the
right one. Rows are added to results/symmetry.json as they are measured."""
import argparse, math, tempfile
from pathlib import Path

import pandas as pd, torch

from recovery import RESULTS, setting, show_and_store

from cryosphere_nb.core import generator
from cryosphere_nb.formats import expand_symmetry, read_particles, with_poses, write_particle_file
from cryosphere_nb.metrics import pearson, principal_motions
from cryosphere_nb.symmetry import assembly, point_group
from cryosphere_nb.synthetic import copies_movie, protomer_of, simulate, write_simulation
from cryosphere_nb.train import fit
from cryosphere_nb.validation import moving_protomer

ROWS = ("known", "expanded", "each", "all")
QUICK = dict(n_segments=3, n_latent=1, progress=False)

def stack(symmetry:str, n:int, alike:bool, seed:int, snr:float): # -> simulation, nominal model, angles (n,)
    "Images of a molecule of which one protomer swings, or all do."
    unit, hinge = protomer_of(symmetry)
    molecule, copies = assembly(unit, symmetry), len(point_group(symmetry))
    swing = (2*torch.rand(n, generator=generator(seed)) - 1)*math.radians(35)
    angles = (swing[:, None].expand(-1, copies) if alike
              else torch.zeros(n, copies).index_copy(1, torch.tensor([0]), swing[:, None]))
    frames = copies_movie(unit, symmetry, angles, hinge)
    pixel_size = max(3., 2.1*float(frames.norm(dim=-1).max())/64)
    return simulate(molecule, frames, box=64, pixel_size=pixel_size, snr=snr, seed=seed + 1), molecule, swing

def motion(x) -> torch.Tensor: # (n, r, 3) protomers -> (n,)
    return principal_motions(x).coordinate(x)[:, 0]

def agreement(found, truth, moves, chosen): # (N,), (N,), (N,) bool, (n,) rows in the order of the images; -> dict
    "Columns of the table."
    r = lambda a, b: abs(float(pearson(a, b)))
    swing = truth[moves]
    return dict(r=r(found, truth), moving=r(found[moves], swing), chosen=r(found[chosen], swing),
                found=float(moves[chosen].float().mean()))

def measure(symmetry:str, rows:str, n:int, snr:float, data_seed:int, folder:Path, **settings) -> dict:
    "One run."
    simulation, molecule, swing = stack(symmetry, n, rows == "all", data_seed, snr)
    group, particles = (point_group(symmetry).float(),
                        read_particles(write_simulation(folder/"stack", simulation)["star"]))
    K, R = len(group), molecule.n_beads//len(group)
    if rows in ("known", "all"):
        how = dict(parts=[dict(chain="A")]) if rows == "known" else dict(symmetry=symmetry, moves="all")
        run = fit(particles, molecule, folder/"run", **how, **settings)
        r = abs(float(pearson(motion(run.coordinates()[:, :R]), swing)))
        return dict(r=r, moving=r)
    which = torch.randint(K, (n,), generator=generator(data_seed + 2))
    unsure = with_poses(particles, particles.R @ group[which], particles.shift)
    products = torch.einsum("nij,kjl->nkil", group[which], group)
    moves = (products - torch.eye(3)).abs().amax((2, 3)) < 1e-3 # the protomer at this place is the one that swings
    truth = torch.where(moves, swing[:, None], 0.)
    if rows == "each":
        run = fit(unsure, molecule, folder/"run", symmetry=symmetry, moves="each", **settings)
        back = torch.einsum("nkrj,kji->nkri", run.coordinates().unflatten(1, (K, R)), group) # to where the unit is
        found = motion(back.flatten(0, 1)).view(n, K)
        rest = found.median() # most protomers rest
        chosen = torch.arange(n)*K + (found - rest).abs().argmax(1)
        return agreement(found.flatten(), truth.flatten(), moves.flatten(), chosen)
    expanded = read_particles(write_particle_file(expand_symmetry(unsure, symmetry), folder/"stack"/"expanded.star"))
    run = fit(expanded, molecule, folder/"run", symmetry=symmetry, **settings)
    found = motion(run.coordinates()[:, :R])
    chosen = torch.tensor(moving_protomer(run, expanded).groupby("image").probability.idxmax().to_numpy())
    return agreement(found, truth.flatten(), moves.flatten(), chosen)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("symmetries", nargs="+", help="point groups")
    p.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS, help="what a row of the star file is (all)")
    p.add_argument("--images", type=int, default=1000, help="images (1000)")
    p.add_argument("--snr", type=float, default=0.05, help="signal-to-noise ratio (0.05)")
    p.add_argument("--data-seed", type=int, default=1, help="seed of the stack (1)")
    p.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of the training (0)")
    p.add_argument("--set", type=setting, nargs="+", default=[], metavar="NAME=VALUE", help="more settings of `fit`")
    p.add_argument("--threads", type=int, default=2, help="threads (2)")
    p.add_argument("--out", type=Path, default=RESULTS/"symmetry.json",
                   help="file that the rows are added to (results/symmetry.json)")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    for symmetry in a.symmetries:
        for rows in a.rows:
            for seed in a.seeds:
                settings = QUICK | dict(a.set) | dict(seed=seed)
                with tempfile.TemporaryDirectory() as folder:
                    found = measure(symmetry, rows, a.images, a.snr, a.data_seed, Path(folder), **settings)
                table = pd.DataFrame([dict(method=rows, stack=symmetry, snr=a.snr, seed=seed) | found])
                show_and_store(a.out, table, dict(data_seed=a.data_seed, stack_images=a.images,
                                                            settings=settings))

if __name__ == "__main__": main()
