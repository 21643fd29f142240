"""Does `plan` know what a run takes? Minutes of every phase and memory, forecast and found, for jobs of several shapes.

    python benchmarks/plans.py                           # all shapes, one after the other
    python benchmarks/plans.py "short and mapped" --threads 1 --cache /folder
    python benchmarks/plans.py --fraction 0.1 --out try.json    # a rehearsal

Each shape is a stack of chapter 90, with default settings where nothing else is said. A process of its own makes the
stack, asks `plan`, forgets its peak of memory, and runs `fit`, whose parts are timed as they come. Of a forecast for
poses that may turn out wrong, that for exact poses is compared, since those of the stacks are exact. Rows are added to
results/plans.json as they are measured. Written for Linux, which can forget a peak of memory."""
import argparse, multiprocessing, os, time, warnings
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd, torch

import cryosphere_nb.train as train
from cryosphere_nb.benchmarks import make_stack
from cryosphere_nb.plan import plan

from processes import timed
from recovery import facts, run_options, store

# stack, images, settings
SHAPES = {"small and many segments": ("two_body_small", 5000, dict(n_segments=30)),
          "a kinase": ("adenylate_kinase", 10_000, dict(n_segments=20)),
          "a complex, few images": ("complex", 3000, dict(n_segments=12)),
          "pixels, no search": ("swinging_arm", 2500, dict(encoder="mlp", refine=0, n_segments=10)),
          "short and mapped": ("adenylate_kinase", 20_000, dict(memory_gb=0.2, epochs=3, n_segments=10))}
PARTS = dict(preflight="preflight", prepare_together="prepare", prepare_model="score", settle_poses="poses",
             infer_together="infer", settle_frame="poses", finish="files")

def status_gb(field:str) -> float: # VmHWM, VmRSS
    "Memory of this process."
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(l for l in lines if l.startswith(field)).split()[1])*1024/1e9

def ask(name:str, a) -> list: # shape, options -> rows
    "Forecast, then run."
    torch.set_num_threads(a.threads)
    warnings.simplefilter("ignore")
    stack_name, images, settings = SHAPES[name]
    images = max(200, round(a.fraction*images))
    stack = make_stack(stack_name, n=images, n_unseen=0, folder=a.cache)
    settings = dict(settings, cpu=True) | dict(a.set)
    started = time.perf_counter()
    forecast = plan(stack.particles, stack.nominal, **settings)
    planning, took = time.perf_counter() - started, {}
    for part in PARTS: setattr(train, part, timed(part, took))
    Path("/proc/self/clear_refs").write_text("5") # forget the peak
    with TemporaryDirectory() as out:
        os.environ["XDG_CACHE_HOME"] = out # nothing is prepared already
        started = time.perf_counter()
        run = train.fit(stack.particles, stack.nominal, Path(out)/"run", progress=False, **settings)
        whole = time.perf_counter() - started
    if run.state.interrupted: raise KeyboardInterrupt("The training was stopped: there is nothing to measure.")
    found_gb, phases = status_gb("VmHWM"), forecast.phases.minutes
    training = next(v for k, v in phases.items() if k.endswith("epochs"))
    seconds = Counter(train=run.state.elapsed)
    for part, t in took.items(): seconds[PARTS[part]] += t
    rows = [(k, 60*phases[k], seconds[k]) for k in ("preflight", "prepare", "score")]
    rows += [("train", 60*(training + phases["train: asked in between"]), seconds["train"]),
             ("infer", 60*phases["infer"], seconds["infer"]),
             ("poses after training", 0., seconds["poses"]), ("files", 0., seconds["files"]),
             ("all", 60*(forecast.minutes - forecast.pose_minutes), whole),
             ("memory", forecast.peak_gb, found_gb)]
    print(forecast, flush=True)
    return [dict(method=name, phase=phase, stack=stack_name, stack_images=images, residues=stack.nominal.n_beads,
                 box=stack.simulation.box, settings=dict(settings), unit="GB" if phase == "memory" else "s",
                 forecast=told, found=true, planning=planning, epochs=run.state.epoch,
                 alone=60*forecast.alone_minutes, poses=60*forecast.pose_minutes, mapped=forecast.mapped)
            for phase, told, true in rows]

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("shapes", nargs="*", help="shapes (all): " + ", ".join(f"'{s}'" for s in SHAPES))
    p.add_argument("--fraction", type=float, default=1., help="use this part of the images (1)")
    run_options(p, "plans.json")
    a = p.parse_args()
    if unknown := [s for s in a.shapes if s not in SHAPES]: p.error(f"{unknown}: shapes are {list(SHAPES)}")
    for name in a.shapes or SHAPES:
        with multiprocessing.get_context("spawn").Pool(1) as pool: rows = pool.apply(ask, (name, a))
        table = pd.DataFrame(rows)
        print(f"\n{name}:\n" + table[["phase", "unit", "forecast", "found"]].assign(
            ratio=table.forecast/table.found).to_string(index=False, float_format="{:.3g}".format), flush=True)
        torch.set_num_threads(a.threads)
        store(a.out, table, facts())

if __name__ == "__main__": main()
