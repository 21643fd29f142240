"""What does each imperfection of real data cost? One difficulty after the other, then all of them.

    python benchmarks/ladder.py                                               # all rungs, one seed
    python benchmarks/ladder.py --rungs nothing poses2 poses4 --seeds 0 1 2
    python benchmarks/ladder.py --rungs poses2 --set refine_poses=never       # other settings have rows of their own
    python benchmarks/ladder.py --stack swinging_arm --snr 0.05 --segments 10 --rungs nothing poses2wide
    python benchmarks/ladder.py --rungs nothing poses2 poses4 --oracle 200    # the best that any method could do
    python benchmarks/ladder.py --images 1000 --epochs 3 --out try.json       # a rehearsal

Adenylate kinase of chapter 90 at SNR 0.01, with 20 segments, if no other stack is asked for; what is wrong on a rung
is made by `Imperfections` and `degrade_model` of chapter 26, and everything else stays the same, images and noise
included. Structures are compared with the true ones in the true frame: that of the true poses. Junk shows no structure
and is not marked; where a part is missing, r and RMSD are those of the complete molecules, and `rmsd_incomplete` is
that of what is there of the others. Rows are added to results/ladder.json, or to ladder_STACK.json, as they are
measured; what was measured before with the same settings is not measured again, unless --again says so. With --oracle
nothing is trained: so many images are given to the oracle of chapter 90, which knows the true movie, and where poses
are off it allows for all that they may be. A first Ctrl-C, or SIGTERM, ends the script: a run that was in training
gives no row (with --keep the same command goes on with it)."""
import argparse, contextlib, sys, tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd, roma, torch

from recovery import SAME, facts, plain, run_options, store
from segments import PUBLISHED

from cryosphere_nb.benchmarks import STACKS, make_stack, mark, oracle, train_fully
from cryosphere_nb.core import read_json
from cryosphere_nb.geometry import rmsd
from cryosphere_nb.learner import TrainState, stop_on_interrupt
from cryosphere_nb.measures import annotated
from cryosphere_nb.synthetic import Imperfections, degrade_model

STACK, DATA_SEED = "adenylate_kinase", 1

@dataclass(frozen=True)
class Rung:
    "One difficulty, or several."
    what:str # in words
    wrong:Imperfections = Imperfections()
    model_deg:float = 0. # by which each domain of the model is turned, degrees
    model_a:float = 0. # by which it is moved, Å

LID = dict(missing=0.3, missing_part=("4AKE", 122, 159))
RUNGS = dict(
    nothing=Rung("nothing is wrong"),
    junk=Rung("20 % of the images are junk", Imperfections(junk=0.2)),
    neighbours=Rung("20 % of the images have a neighbour", Imperfections(neighbours=0.2)),
    noise=Rung("noise falls 6-fold with resolution", Imperfections(noise_fall=5.)),
    scale=Rung("contrast varies by 30 %, defocus is off by 200 Å", Imperfections(scale=0.3, defocus_a=200.)),
    model=Rung("domains of the model are off by 4° and 1 Å", Imperfections(), 4., 1.),
    poses2=Rung("poses are off by 2° and 1 Å", Imperfections(rotation_deg=2., origin_a=1.)),
    poses4=Rung("poses are off by 4° and 2 Å", Imperfections(rotation_deg=4., origin_a=2.)),
    missing=Rung("30 % of the molecules lack LID", Imperfections(**LID)),
    all=Rung("all of it, poses off by 2° and 1 Å",
             Imperfections(rotation_deg=2., origin_a=1., defocus_a=200., scale=0.3, junk=0.2, neighbours=0.2,
                           noise_fall=5., **LID), 4., 1.))

# of other stacks, with larger pixels
MORE = dict(poses2wide=Rung("poses are off by 2° and 1.5 Å", Imperfections(rotation_deg=2., origin_a=1.5)))
KINASE = ("model", "missing", "all") # rungs that name domains of adenylate kinase

def stack_of(name, rung:Rung, snr, images, folder): # of `STACKS`; folder of clean images, or None
    "Images with what is wrong on this rung, and the model that a run is given."
    stack = make_stack(name, snr, images, 0, DATA_SEED, folder, imperfections=rung.wrong)
    if not rung.model_deg and not rung.model_a: return stack
    bodies = annotated(stack.nominal, PUBLISHED[name])
    return replace(stack, nominal=degrade_model(stack.nominal, bodies, rung.model_deg, rung.model_a, seed=DATA_SEED))

def pose_errors(particles, simulation) -> dict: # root mean square of the angle (degrees) and of the distance (Å)
    "How far the poses that a run is given are from the true ones."
    angle = roma.rotmat_geodesic_distance(particles.R.double(), simulation.R[:len(particles)].double()).rad2deg()
    away = (particles.shift - simulation.shift[:len(particles)]).norm(dim=1)
    return dict(pose_deg=angle.square().mean().sqrt(), origin_a=away.square().mean().sqrt())

def marks(stack, run) -> dict:
    "r and RMSD in the true frame and superposed, over the images that show the complete molecule."
    s, coords, truth = stack.simulation, run.coordinates(), stack.truth
    shown = s.flaws.junk == 0
    torn = shown & (torch.zeros(len(s), dtype=torch.bool) if s.lacking is None else s.lacking)
    whole = shown & ~torn
    median = lambda x, y, superposed: float(rmsd(x.double(), y.double(), superposed).median())
    row = mark(stack, coords[whole], stack.states[whole], run.segments) | dict(
        nats=float(run.information.nanmean()), rmsd_superposed=median(coords[whole], truth[whole], True),
        nominal_superposed=median(stack.nominal.beads.expand_as(truth[whole]), truth[whole], True),
        junk=int((~shown).sum()), incomplete=int(torn.sum()))
    if torn.any():
        row |= dict(rmsd_incomplete=median(coords[torn][:, ~s.subunit], truth[torn][:, ~s.subunit], False))
    refined = pose_errors(run.posed(stack.particles), s)
    return row | pose_errors(stack.particles, s) | {f"{k}_refined": v for k, v in refined.items()} | dict(
        pose_std_deg=torch.rad2deg(run.pose_std[0]), pose_std_a=run.pose_std[3])

def about(stack, rung, snr, n, seed, images, settings) -> dict:
    "What a row is of."
    own = (RUNGS | MORE)[rung]
    return plain(dict(rung=rung, what=own.what, stack=stack, snr=snr, n_segments=n, seed=seed,
                      subset="trained on", method="default", data_seed=DATA_SEED, settings=settings,
                      stack_images=images, wrong=asdict(own.wrong), model_deg=own.model_deg, model_a=own.model_a))

def is_measured(file, row) -> bool: # row as from `about` and `facts`
    "Is there a row of this measurement?"
    rows = read_json(file)["rows"] if file.is_file() else []
    return any(all(r.get(k) == row.get(k) for k in (*SAME, "wrong", "model_deg", "model_a")) for r in rows)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--stack", choices=list(STACKS), default=STACK, metavar="STACK",
                   help=f"stack of chapter 90 ({STACK}): " + ", ".join(STACKS))
    p.add_argument("--rungs", nargs="+", choices=list(RUNGS | MORE), metavar="RUNG",
                   help=f"rungs to measure (all; of another stack than {STACK}, those that name none of its domains): "
                        f"{', '.join(RUNGS)}; and {', '.join(MORE)}")
    p.add_argument("--snr", type=float, default=0.01, help="signal-to-noise ratio (0.01)")
    p.add_argument("--segments", type=int, default=20, help="number of segments to allow (20)")
    p.add_argument("--images", type=int, default=10_000, help="images (10000)")
    p.add_argument("--epochs", type=int, help="setting epochs of `fit`")
    p.add_argument("--oracle", type=int, metavar="N", help="ask the oracle about N images, and train nothing")
    p.add_argument("--again", action="store_true", help="measure anew what was measured")
    run_options(p, "ladder.json")
    a = p.parse_args()
    a.rungs = a.rungs or [r for r in RUNGS if a.stack == STACK or r not in KINASE]
    if a.stack != STACK:
        if wrong := [r for r in a.rungs if r in KINASE]: p.error(f"{', '.join(wrong)}: of {STACK} only")
        if a.out == p.get_default("out"): a.out = a.out.with_stem(f"ladder_{a.stack}")
    torch.set_num_threads(a.threads)
    if a.cache: Path(a.cache).mkdir(parents=True, exist_ok=True)
    settings = dict(n_segments=a.segments) | ({} if a.epochs is None else dict(epochs=a.epochs)) | dict(a.set)
    for rung in a.rungs if a.oracle else ():
        stack = stack_of(a.stack, (RUNGS | MORE)[rung], a.snr, a.images, a.cache)
        for found in oracle(stack, a.oracle).to_dict("records"):
            row = about(a.stack, rung, a.snr, a.segments, stack.seed, a.images, {}) | found
            store(a.out, pd.DataFrame([row]), facts())
            print(f"{rung}, oracle, {row['images']} images: r {row['r']:.3f}, RMSD {row['rmsd']:.2f} Å", flush=True)
    for rung in a.rungs if not a.oracle else ():
        seeds = [s for s in a.seeds
                 if a.again or not is_measured(a.out, about(a.stack, rung, a.snr, a.segments, s, a.images, settings)
                                             | facts())]
        if len(seeds) < len(a.seeds): print(f"{rung}: {len(a.seeds) - len(seeds)} of {len(a.seeds)} measured before")
        if not seeds: continue
        stack = stack_of(a.stack, (RUNGS | MORE)[rung], a.snr, a.images, a.cache)
        for seed in seeds:
            row = about(a.stack, rung, a.snr, a.segments, seed, a.images, settings)
            with contextlib.nullcontext(a.keep) if a.keep else tempfile.TemporaryDirectory() as folder:
                other = [] if a.stack == STACK else [a.stack]
                out = Path(folder)/"_".join(map(str, (*other, rung, a.snr, a.images, seed,
                                                      *(f"{k}={v}" for k, v in settings.items()))))
                run = train_fully(stack.particles, stack.nominal, out, resume=out.is_dir(),
                                  **STACKS[a.stack].settings | settings | dict(seed=seed))
                told = TrainState()
                with stop_on_interrupt(told): # a signal that comes now waits until the row is stored
                    row |= marks(stack, run) | dict(minutes=run.state.elapsed/60, epochs=run.state.epoch)
                    store(a.out, pd.DataFrame([row]), facts())
            print(f"{rung}, seed {seed}: {row['what']}: r {row['r']:.3f}, RMSD {row['rmsd']:.2f} Å, superposed "
                  f"{row['rmsd_superposed']:.2f} Å (model {row['nominal']:.2f} and {row['nominal_superposed']:.2f} Å); "
                  f"{row['minutes']:.1f} minutes", flush=True)
            if told.interrupted: raise KeyboardInterrupt

if __name__ == "__main__":
    try: main()
    except KeyboardInterrupt as e:
        sys.exit(f"Stopped. Rows of the runs that were finished are stored. {e}".strip())
