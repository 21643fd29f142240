"""How many molecules are in each of two wells, where images are noisy and molecules prefer some views?

    python benchmarks/populations.py                               # SNR 0.01, 5000 images and 20 x 500
    python benchmarks/populations.py --train 1000 --repeats 4 --epochs 3 --out try.json    # a rehearsal

The two-body protein turns about its hinge; three molecules in ten are in one well, at 25 degrees, the others at -25
degrees, each with a standard deviation of 6 degrees. A molecule shows one of its ends to the beam nine times as often
as its side. A run learns from some of the images with default settings; then it is asked about images that it has not
seen, in blocks that count as repeats. Reported for the images trained on and for the blocks: the share of the first
well by `population`, beside the share of the images' best guesses that lie there, the truth, and how often its 90 %
interval holds the share of all molecules. A row is added to results/populations.json."""
import argparse, math, tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np, pandas as pd, torch

from recovery import run_options, show_and_store

from cryosphere_nb.benchmarks import OPTICS, train_fully
from cryosphere_nb.core import generator
from cryosphere_nb.geometry import random_rotations
from cryosphere_nb.measures import Rotation, measure, population
from cryosphere_nb.metrics import pearson
from cryosphere_nb.synthetic import bimodal_angles, hinge_movie, simulate, two_body

SHARE, LEVEL = 0.3, 0.9 # of the molecules in the well at +25 degrees; of intervals

def preferred_views(n:int, seed:int): # -> rotations (n, 3, 3)
    "Views along one axis of the molecule are nine times as frequent as those across it."
    gen, found = generator(seed), []
    while sum(map(len, found)) < n:
        R = random_rotations(4*n, gen)
        found.append(R[torch.rand(4*n, generator=gen) < 0.1 + 0.8*R[:, 2, 2].abs()**4])
    return torch.cat(found)[:n]

# the coordinate: how far the second body is turned against the first
TURN = dict(turn=Rotation("A:201-400", "A:1-200", "main"))

def shares(run, angles) -> dict: # angles (n,) true, degrees
    "Share of the well at positive angles: by `population`, by best guesses, and in truth."
    guess = torch.tensor(measure(run, run.nominal, TURN).turn.to_numpy())
    r = float(pearson(guess, angles.double()))
    well = population(run, TURN, level=LEVEL)["turn"].wells([0.]).iloc[1 if r > 0 else 0]
    return dict(share=well.population, low=well.low, high=well.high, r=abs(r), true=float((angles > 0).float().mean()),
                guesses=float((guess*math.copysign(1, r) > 0).double().mean()))

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--snr", type=float, default=0.01, help="signal-to-noise ratio (0.01)")
    p.add_argument("--train", type=int, default=5000, help="images to train on (5000)")
    p.add_argument("--repeats", type=int, default=20, help="blocks of images that were not trained on (20)")
    p.add_argument("--images", type=int, default=500, help="images of a block (500)")
    p.add_argument("--data-seed", type=int, default=1, help="seed of the images (1)")
    p.add_argument("--epochs", type=int, help="setting epochs of `fit`")
    run_options(p, "populations.json")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    n = a.train + a.repeats*a.images
    protein, hinge = two_body()
    angles = bimodal_angles(n, generator(a.data_seed), share=SHARE).rad2deg().round().clamp(-50, 50)
    stack = simulate(protein, hinge_movie(protein, torch.arange(-50., 51).deg2rad(), hinge), n, 72, 2., a.snr,
                     a.data_seed, OPTICS, states=(angles + 50).long(), poses=preferred_views(n, a.data_seed))
    particles = stack.particles
    settings = ({} if a.epochs is None else dict(epochs=a.epochs)) | dict(a.set)
    for seed in a.seeds:
        with nullcontext(a.keep) if a.keep else tempfile.TemporaryDirectory() as folder:
            out = Path(folder)/f"populations_{a.snr:g}_{a.train}_{seed}"
            run = train_fully(particles.select(range(a.train)), protein, out, resume=out.is_dir(), seed=seed, **settings)
            seen = shares(run, angles[:a.train])
            blocks = []
            for rows in torch.arange(a.train, n).split(a.images):
                found = run.infer(particles.select(rows.numpy()))
                unseen = replace(run, latents=found.latents, latent_cov=found.latent_cov)
                blocks.append(shares(unseen, angles[rows]))
        blocks = pd.DataFrame(blocks)
        held = (blocks.low <= SHARE) & (SHARE <= blocks.high)
        row = dict(snr=a.snr, seed=seed, stack_images=a.train, data_seed=a.data_seed, **seen, blocks=len(blocks),
                   images=a.images, bias=float((blocks.share - blocks.true).mean()),
                   error_rms=float(np.sqrt(((blocks.share - blocks.true)**2).mean())),
                   guesses_bias=float((blocks.guesses - blocks.true).mean()), inside=int(held.sum()),
                   minutes=run.state.elapsed/60)
        show_and_store(a.out, pd.DataFrame([row]), dict(stack="two wells", method="default", settings=settings))

if __name__ == "__main__": main()
