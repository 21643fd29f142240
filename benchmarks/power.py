"""How many images are needed? What `power` foretells from one run, beside what runs on fewer and more images find.

    python benchmarks/power.py found --images 1250 2500 5000 10000 --cache FOLDER --keep RUNS
    python benchmarks/power.py told --start 2500 --images 1250 2500 5000 10000 --cache FOLDER --keep RUNS

Adenylate kinase at SNR 0.01 by default, the first images of one stack. `found` trains on so many and marks the runs by
the truth; `told` asks the run on `--start` images, which it finds in RUNS or trains, and never sees the truth. Rows are
added to results/power.json one by one. `--again` says on how many imagined images it learns again. Use one process at a
time on a machine that does nothing else, if minutes are to mean something."""
import argparse, time
from pathlib import Path

import torch
from recovery import RESULTS, facts, plain, setting

from cryosphere_nb.benchmarks import STACKS, make_stack, mark, train_fully
from cryosphere_nb.core import read_json, write_json
from cryosphere_nb.power import power
from cryosphere_nb.train import Run

SAME = ("kind", "stack", "snr", "seed", "images", "start", "again", "factor", "settings")

def store(file:Path, rows:list): # of dicts
    "Add rows to the file; an earlier row of the same measurement goes."
    key = lambda row: [row.get(k) for k in SAME]
    old = read_json(file)["rows"] if file.is_file() else []
    rows = [facts() | {k: plain(v) for k, v in row.items()} for row in rows]
    write_json(file, dict(rows=[r for r in old if key(r) not in [key(n) for n in rows]] + rows))
    for row in rows: print({k: v for k, v in row.items() if k not in facts()}, flush=True)

def a_run(stack, n:int, a) -> tuple: # stack, images, options -> run, minutes of training
    "The run on the first n images, from the folder of runs if it is there."
    folder = a.keep/"_".join(["run", f"{stack.snr:g}", str(n), str(a.seed), *(f"{k}={v}" for k, v in sorted(a.set)),
                               *([f"shown={a.shown}"] if a.shown else [])])
    if not (folder/"latents.safetensors").exists():
        train_fully(stack.particles.select(range(n)), stack.nominal, folder, overwrite=folder.exists(), seed=a.seed,
                    **dict(n_segments=20) | dict(a.set) | (dict(epochs=max(1, a.shown//n)) if a.shown else {}))
    run = Run.load(folder)
    return run, run.state.elapsed/60

def parser() -> argparse.ArgumentParser:
    "All options."
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("kind", choices=["found", "told"])
    p.add_argument("--stack", default="adenylate_kinase", choices=list(STACKS))
    p.add_argument("--snr", type=float, default=0.01, help="signal-to-noise ratio (0.01)")
    p.add_argument("--images", type=int, nargs="+", default=[1250, 2500, 5000, 10_000])
    p.add_argument("--total", type=int, default=10_000, help="images of the stack (10000)")
    p.add_argument("--start", type=int, default=2500, help="images of the run that is asked (2500)")
    p.add_argument("--again", type=int, nargs="+", help="images of the stacks that are learned again")
    p.add_argument("--factor", type=float, nargs="+", default=[1.], help="signal-to-noise ratios, 1: of the run")
    p.add_argument("--seed", type=int, default=0, help="of the training (0)")
    p.add_argument("--shown", type=int, help="images shown in a training, epochs times images (as `fit` likes)")
    p.add_argument("--set", type=setting, nargs="+", default=[], metavar="NAME=VALUE", help="more settings of `fit`")
    p.add_argument("--threads", type=int, default=1, help="threads (1)")
    p.add_argument("--cache", help="folder for clean images")
    p.add_argument("--keep", type=Path, required=True, help="folder of runs")
    p.add_argument("--out", type=Path, default=RESULTS/"power.json", help="results (results/power.json)")
    return p

def main():
    a = parser().parse_args()
    torch.set_num_threads(a.threads)
    stack = make_stack(a.stack, a.snr, a.total, 0, 1, a.cache)
    settings = dict(n_segments=20) | dict(a.set) | (dict(shown=a.shown) if a.shown else {})
    about = dict(kind=a.kind, stack=a.stack, snr=a.snr, seed=a.seed, settings=settings)
    if a.kind == "found":
        for n in a.images:
            run, minutes = a_run(stack, n, a)
            found = mark(stack, run.coordinates(), stack.states[:n], run.segments)
            store(a.out, [about | dict(images=n, minutes=minutes, **found)])
        return
    run, started = a_run(stack, a.start, a)[0], time.perf_counter()
    told = power(run, images=a.images, snr=a.factor, learned=a.again, seed=a.seed, progress=True)
    print(told, flush=True)
    again = told.trained.images.tolist()
    about |= dict(start=a.start, again=again, minutes=(time.perf_counter() - started)/60, best=told.best[1.],
                  ceiling=told.curves[0].ceiling, unknowns=told.curves[0].unknowns, learned=told.trained.r.tolist(),
                  share=told.share)
    store(a.out, [about | dict(images=n, factor=s, **row.to_dict(), motions=told.motions.loc[s, n].to_dict())
                  for (_, s, n), row in told.table.iterrows()])

if __name__ == "__main__": main()
