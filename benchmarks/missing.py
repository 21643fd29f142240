"""Which images lack a domain, and which are junk: ranked how well, counted how well, and what of the motion is left?

    python benchmarks/missing.py                               # adenylate kinase, SNR 0.05, 2000 images and 20 x 400
    python benchmarks/missing.py --train 500 --repeats 4 --images 200 --epochs 3 --out try.json   # a rehearsal

Of adenylate kinase (chapter 90), LID is missing in 30 % of the molecules and 20 % of the images are junk: half of them
show nothing, half a heap of as many atoms. Three runs learn from the same images: from these with `missing`, from these
with default settings, and from images of which nothing is wrong. Then the first of them is asked about images that it
has not seen, in blocks that count as repeats: area under the ROC curve, the share of each block with its 95 % interval,
and whether probabilities are honest. A row is added to results/missing.json for each run."""
import argparse, contextlib, tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np, pandas as pd, torch
from sklearn.metrics import roc_auc_score

from ladder import LID
from recovery import facts, plain, run_options, store

from cryosphere_nb.benchmarks import make_stack, train_fully
from cryosphere_nb.geometry import rmsd
from cryosphere_nb.metrics import motion_coordinate, pearson
from cryosphere_nb.occupancy import Occupancy, ask_occupancy
from cryosphere_nb.synthetic import Imperfections
from cryosphere_nb.train import states_of

STACK = "adenylate_kinase"
WRONG = Imperfections(junk=0.2, **LID)
CHAIN, FIRST, LAST = LID["missing_part"]
PART = dict(chain=CHAIN, start=FIRST, stop=LAST, name="LID")
BINS = (0., 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.)

def truth_of(stack, rows): # junk, lacks LID, true beads; of images
    "What is true of some images."
    s = stack.simulation
    return (s.flaws.junk[rows] > 0, s.lacking[rows], s.coordinates(rows))

def motion(run, rows, junk, lacks, truth, rest) -> dict: # rest: (R,) residues that are always there
    "Motion of whole molecules, and of what is there of the others; against the truth, in its frame."
    x, found = run.coordinates(), {}
    median = lambda own, beads: float(rmsd(x[own][:, beads].double(), truth[own][:, beads].double(), False).median())
    coordinate = lambda own, beads: pearson(motion_coordinate(x[own][:, beads], truth[own][:, beads]),
                                            motion_coordinate(truth[own][:, beads], truth[own][:, beads]))
    every = torch.ones_like(rest)
    for name, own in ("whole", ~junk & ~lacks), ("incomplete", ~junk & lacks):
        if not own.any(): continue
        if name == "whole": found |= dict(r=coordinate(own, every), rmsd=median(own, every))
        found |= {f"r_rest_{name}": coordinate(own, rest), f"rmsd_rest_{name}": median(own, rest)}
    return found

def honest(p, truth) -> list: # probabilities and what is true -> mean probability, true share, images; of each bin
    "Are probabilities shares?"
    which = np.digitize(p, BINS[1:-1])
    return [[float(p[which == k].mean()), float(truth[which == k].mean()), int((which == k).sum())]
            for k in range(len(BINS) - 1) if (which == k).any()]

def repeats(run, stack, first, n, size) -> dict: # from image `first` on, n blocks of so many images
    "What the run says about images that it has not seen, block by block."
    rows = torch.arange(first, first + n*size)
    data = replace(run, evidence=None).prepare(stack.particles.select(rows.numpy())) # which are asked only once, below
    names, lacks, there = states_of(run.nominal, run.config)
    evidence = ask_occupancy(run.model, data, there, n_candidates=run.config.posterior.refine)
    junk, lacking, _ = truth_of(stack, rows)
    blocks = []
    for own in torch.arange(len(rows)).split(size):
        found, show = Occupancy(names, lacks, evidence[own]), ~junk[own]
        shares = found.populations
        true = dict(LID=float((~lacking[own][show]).float().mean()), junk=float(junk[own].float().mean()))
        blocks.append({f"{k}_{what}": value for k in true for what, value in dict(
            error=shares.share[k] - true[k], inside=float(shares.low[k] <= true[k] <= shares.high[k]),
            inside_population=float(shares.low[k] <= dict(LID=1 - LID["missing"], junk=WRONG.junk)[k]
                                    <= shares.high[k])).items()}
                      | dict(LID_auc=roc_auc_score(lacking[own][show], 1 - found.present[show, 0]),
                             junk_auc=roc_auc_score(junk[own], found.junk)))
    blocks, every = pd.DataFrame(blocks), Occupancy(names, lacks, evidence)
    show = ~junk
    return dict(blocks=n, images=size, LID_auc=blocks.LID_auc.mean(), junk_auc=blocks.junk_auc.mean(),
                **{f"{k}_{what}": value for k in ("LID", "junk") for what, value in dict(
                    bias=blocks[f"{k}_error"].mean(), error_rms=float((blocks[f"{k}_error"]**2).mean()**0.5),
                    error_most=blocks[f"{k}_error"].abs().max(), inside=int(blocks[f"{k}_inside"].sum()),
                    inside_population=int(blocks[f"{k}_inside_population"].sum())).items()},
                honest_LID=honest(1 - every.present[show, 0].numpy(), lacking[show].numpy()),
                honest_junk=honest(every.junk.numpy(), junk.numpy()))

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--snr", type=float, default=0.05, help="signal-to-noise ratio (0.05)")
    p.add_argument("--train", type=int, default=2000, help="images to train on (2000)")
    p.add_argument("--repeats", type=int, default=20, help="blocks of images that were not trained on (20)")
    p.add_argument("--images", type=int, default=400, help="images of a block (400)")
    p.add_argument("--stack-images", type=int, default=10_000, help="images that are rendered (10000)")
    p.add_argument("--segments", type=int, default=10, help="number of segments to allow (10)")
    p.add_argument("--epochs", type=int, help="setting epochs of `fit`")
    p.add_argument("--data-seed", type=int, default=1, help="seed of the images (1)")
    p.add_argument("--unseen", type=int, default=0, help="images of the cached stack beyond these (0)")
    run_options(p, "missing.json")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    if a.train + a.repeats*a.images > a.stack_images: p.error("--train and the blocks need more than --stack-images")
    stacks = {wrong: make_stack(STACK, a.snr, a.stack_images, a.unseen, a.data_seed, a.cache,
                                imperfections=WRONG if wrong else None) for wrong in (True, False)}
    settings = dict(n_segments=a.segments) | ({} if a.epochs is None else dict(epochs=a.epochs)) | dict(a.set)
    rows = torch.arange(a.train)
    for seed in a.seeds:
        for what, wrong, more in (("missing", True, dict(missing=[PART])), ("as if whole", True, {}),
                                  ("nothing is wrong", False, {})):
            stack = stacks[wrong]
            with contextlib.nullcontext(a.keep) if a.keep else tempfile.TemporaryDirectory() as folder:
                out = Path(folder)/f"{what}_{a.snr:g}_{a.train}_{seed}".replace(" ", "_")
                run = train_fully(stack.particles.select(rows.numpy()), stack.nominal, out, resume=out.is_dir(),
                                  **settings | more | dict(seed=seed))
                # the same images are marked in all runs
                row = dict(method=what, stack=STACK, snr=a.snr, seed=seed, data_seed=a.data_seed, settings=settings,
                           stack_images=a.train, wrong=asdict(WRONG) if wrong else {}, epochs=run.state.epoch,
                           minutes=run.state.elapsed/60)
                junk, lacks, _ = truth_of(stacks[True], rows)
                row |= motion(run, rows, junk, lacks, stack.simulation.coordinates(rows),
                              ~stacks[True].simulation.subunit)
                if more: row |= repeats(run, stack, a.train, a.repeats, a.images)
            print(pd.Series(plain(row)).to_string(), flush=True)
            store(a.out, pd.DataFrame([plain(row)]), facts())

if __name__ == "__main__": main()
