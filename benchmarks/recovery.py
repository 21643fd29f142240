"""How well, and how fast, are motions recovered? Methods marked on stacks whose truth is known, and the best that the
images allow.

    python benchmarks/recovery.py adenylate_kinase --snr 0.05 0.01 --seeds 0 1 2 3 4 --method score --max-minutes 4.5
    python benchmarks/recovery.py swinging_arm --method score mlp --max-minutes 4.5 --set n_segments=10 encoder_hidden=[512,256]
    python benchmarks/recovery.py oracle adenylate_kinase swinging_arm --snr 0.05 0.01 0.001 --oracle-images 10000
    python benchmarks/recovery.py pure_noise nominal_only --method score --epochs 10

Stacks and methods are those of chapter 90 (`cryosphere_nb.benchmarks`). Rows are added to results/recovery.json, each
as soon as it is measured; a run that was measured before with the same settings is replaced. Use one process at a time
on a machine that does nothing else: minutes are wall time."""
import argparse, datetime, importlib.metadata, json, math, os
from pathlib import Path

import torch

from cryosphere_nb.benchmarks import METHODS, STACKS, benchmark, make_stack, oracle
from cryosphere_nb.core import read_json, write_json

RESULTS = Path(__file__).resolve().parent/"results"

def setting(text:str) -> tuple: # "name=value"
    "A setting of `fit`; the value is JSON if it can be read as JSON, else text."
    name, sign, value = text.partition("=")
    if not sign: raise argparse.ArgumentTypeError(f"'{text}': name=value expected")
    try: value = json.loads(value)
    except json.JSONDecodeError: pass
    return name, tuple(value) if isinstance(value, list) else value

def facts() -> dict: # of this process
    "Date and conditions; nothing that names the machine."
    return dict(date=datetime.date.today().isoformat(), threads=torch.get_num_threads(), cpus=os.cpu_count(),
                torch=importlib.metadata.version("torch"), device="cuda" if torch.cuda.is_available() else "cpu")

def plain(value): # a number, or lists and dicts of them, for JSON
    "NaN becomes null, NumPy numbers become Python's, with six digits."
    if isinstance(value, dict): return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)): return [plain(v) for v in value]
    value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, float): return value
    return float(f"{value:.6g}") if math.isfinite(value) else None

# what makes two rows the same measurement
SAME = ("method", "stack", "snr", "seed", "subset", "data_seed", "settings", "stack_images", "threads", "device", "rung")

def store(file:Path, table, extra:dict): # a table of `benchmark` or `oracle`
    "Add rows to the file; an earlier row of the same measurement goes."
    rows = [{k: plain(v) for k, v in row.items()} | extra for row in table.to_dict("records")]
    key = lambda row: json.dumps([row.get(k) for k in SAME])
    new = {key(r) for r in rows}
    old = read_json(file)["rows"] if file.is_file() else []
    write_json(file, dict(rows=[r for r in old if key(r) not in new] + rows))

def show_and_store(file, table, about):
    "Print a table, and keep it."
    print(table.to_string(index=False, float_format="{:.3f}".format), flush=True)
    store(file, table, facts() | about)

def run_options(p, file:str): # argparse parser; name of the results
    "Options that scripts share whose rows are runs of `fit`."
    p.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of the training (0)")
    p.add_argument("--set", type=setting, nargs="+", default=[], metavar="NAME=VALUE", help="more settings of `fit`")
    p.add_argument("--threads", type=int, default=1, help="threads (1)")
    p.add_argument("--cache", help="folder for clean images")
    p.add_argument("--keep", type=Path, help="keep the runs in this folder")
    p.add_argument("--out", type=Path, default=RESULTS/file,
                   help=f"file that the rows are added to (results/{file})")

def parser() -> argparse.ArgumentParser:
    "All options."
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("stacks", nargs="+", choices=["oracle", *STACKS], metavar="stack",
                   help="stacks to run; put 'oracle' first for the oracle instead of a method: " + ", ".join(STACKS))
    p.add_argument("--snr", type=float, nargs="+", default=[0.05], help="signal-to-noise ratios (0.05)")
    p.add_argument("--method", nargs="+", default=["score"], choices=list(METHODS), help="methods (score)")
    p.add_argument("--name", help="what the rows are called, where --set makes another method of it")
    p.add_argument("--seeds", type=int, nargs="+", default=[0],
                   help="seeds of weights, order and noise of the training (0)")
    p.add_argument("--data-seed", type=int, default=1, help="seed of the stack (1)")
    p.add_argument("--images", type=int, default=10_000, help="images to train on (10000)")
    p.add_argument("--unseen", type=int, default=1000, help="images kept apart (1000)")
    p.add_argument("--oracle-images", type=int, default=1000,
                   help="images of either kind, trained on and kept apart, that the oracle looks at (1000)")
    p.add_argument("--max-minutes", type=float, help="setting max_minutes of `fit`")
    p.add_argument("--epochs", type=int, help="setting epochs of `fit`")
    p.add_argument("--set", type=setting, nargs="+", default=[], metavar="NAME=VALUE", help="more settings of `fit`")
    p.add_argument("--threads", type=int, default=2, help="threads (2)")
    p.add_argument("--cache", help="folder for clean images, so that the next call need not render them")
    p.add_argument("--out", type=Path, default=RESULTS/"recovery.json",
                   help="file that the rows are added to (results/recovery.json)")
    return p

def main():
    a = parser().parse_args()
    torch.set_num_threads(a.threads)
    if a.cache: Path(a.cache).mkdir(parents=True, exist_ok=True)
    ask_oracle, names = a.stacks[0] == "oracle", [s for s in a.stacks if s != "oracle"]
    settings = (dict(a.set)
                | {k: v for k, v in dict(max_minutes=a.max_minutes, epochs=a.epochs).items() if v is not None})
    for name in names: # one rendering for all that is measured on it
        stacks = (make_stack(name, snr, a.images, a.unseen, a.data_seed, a.cache) for snr in a.snr)
        about = dict(data_seed=a.data_seed, stack_images=a.images)
        if ask_oracle:
            show_and_store(a.out, oracle(list(stacks), a.oracle_images), about | dict(settings={}))
            continue
        for stack in stacks:
            print(stack, flush=True)
            for seed in a.seeds:
                for method in a.method:
                    table = benchmark(method, stack, **settings | dict(seed=seed))
                    show_and_store(a.out, table.assign(method=a.name or method),
                                   about | dict(settings=METHODS[method] | settings))

if __name__ == "__main__": main()
