"""Compare cryosphere_nb with the released cryoSPHERE 0.6.1 and cryoDRGN 4.3, in the same run, on this machine.

    python benchmarks/peers.py install
    python benchmarks/peers.py step
    python benchmarks/peers.py stack particles.star model.cif --minutes 5

Run it with a Python that has cryosphere_nb. This file itself uses the standard library only: everything is measured in
fresh processes."""
import argparse, datetime, importlib.metadata, json, os, platform, re, statistics, subprocess, sys, tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVS, RESULTS = HERE/".env", HERE/"results"

# What each peer is given, in the versions that were tried (Python 3.11). Installed without their own lists of
# requirements, which draw in gigabytes that neither training loop imports (CUDA libraries for cryosphere, Jupyter for
# cryodrgn). PyTorch is added, in our version.
COMMON = ["numpy==2.4.6", "pandas==3.1.1", "scipy==1.17.1", "scikit-learn==1.9.1", "matplotlib==3.11.2",
          "seaborn==0.13.2", "starfile==0.5.13", "PyYAML==6.0.3"]
PEERS = dict(
    cryosphere=dict(package="cryosphere==0.6.1",
                    needs=[*COMMON, "biotite==1.6.0", "einops==0.8.2", "gemmi==0.7.5", "mrcfile==1.5.4", "roma==1.8.0",
                           "tqdm==4.70.1", "wandb==0.18.3"]),
    cryodrgn=dict(package="cryodrgn==4.3.1",
                  needs=[*COMMON, "igraph==1.0.0", "ipywidgets==8.1.9", "nbformat==5.11.1", "plotly==6.9.0"]))

def env_python(name:str) -> Path: # of a peer's environment
    "Its Python."
    return ENVS/name/("Scripts/python.exe" if os.name == "nt" else "bin/python")

def install(name:str): # of a peer
    "Make a peer's environment, unless it is there with these versions."
    torch = "torch==" + importlib.metadata.version("torch").split("+")[0]
    wanted, stamp = [torch, *PEERS[name]["needs"], PEERS[name]["package"]], ENVS/name/"installed.json"
    if stamp.is_file() and json.loads(stamp.read_text()) == wanted: return
    print(f"Installing {PEERS[name]['package']} in an environment of its own ...", flush=True)
    pip = lambda *args: subprocess.run([env_python(name), "-m", "pip", "install", "--quiet",
                                        "--disable-pip-version-check", *args], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", ENVS/name], check=True)
    pip(*wanted[:-1])
    pip("--no-deps", wanted[-1])
    stamp.write_text(json.dumps(wanted))

def drive(driver:str, # "ours", or a peer
          folder:Path, # for the job, its answer and its log
          threads:int,
          device:str="cpu", # or "cuda"
          **job) -> dict: # the driver's answer
    "Run one job in a fresh process of the right environment."
    number = len(list(folder.glob("job*.json")))
    files = {kind: folder/f"{kind}{number}.json" for kind in ("job", "result")}
    files["job"].write_text(json.dumps(job | dict(folder=str(folder), threads=threads, device=device,
                                                  result=str(files["result"]))))
    limits = {name: str(threads)
              for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")}
    hidden = dict(CUDA_VISIBLE_DEVICES="" if device == "cpu" else os.environ.get("CUDA_VISIBLE_DEVICES", "0"),
                  WANDB_MODE="disabled", MPLBACKEND="Agg")
    python = sys.executable if driver == "ours" else env_python(driver)
    with open(folder/f"log{number}.txt", "w") as log:
        done = subprocess.run([python, HERE/f"drive_{driver}.py", files["job"]], env=os.environ | limits | hidden,
                              stdout=log, stderr=log)
    if done.returncode or not files["result"].is_file():
        tail = (folder/f"log{number}.txt").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"The job of driver '{driver}' ended with code {done.returncode}. "
                           f"The end of its log:\n{tail}")
    return json.loads(files["result"].read_text())

def attempt(driver, *args, **job) -> dict: # the answer, or why there is none
    "`drive`; a failure is told and noted, and the others go on."
    try: return drive(driver, *args, **job)
    except (RuntimeError, OSError) as e: # a job that fails, or a peer that is not installed
        print(e, file=sys.stderr, flush=True)
        return dict(error=re.sub(r"(/[^/\s'\"]+)+/", "", str(e).strip().splitlines()[-1])) # without folders

def facts(args) -> dict: # for a result file
    "Date and conditions; nothing that names the machine."
    settings = {k: v for k, v in vars(args).items() if k not in ("run", "star", "model")}
    versions = {name: importlib.metadata.version(name) for name in ("cryosphere_nb", "torch", "numpy")}
    return dict(date=datetime.date.today().isoformat(), python=platform.python_version(), versions=versions,
                cpus=os.cpu_count(), threads=args.threads, device=args.device, settings=settings)

def save(name:str, result:dict): # under results/
    "Write a result file."
    RESULTS.mkdir(exist_ok=True)
    (RESULTS/name).write_text(json.dumps(result, indent=1) + "\n")
    print(f"\nWritten to {RESULTS.name}/{name}")

def table(rows, columns): # rows: lists of values; columns: their titles
    "Print a table."
    text = [[f"{v:.3g}" if isinstance(v, float) else "-" if v is None else str(v) for v in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *text)]
    for row in (columns, ["-"*w for w in widths], *text):
        print("  ".join(v.ljust(w) if i == 0 else v.rjust(w) for i, (v, w) in enumerate(zip(row, widths))))

# ---- one training step

STEPS = dict(floor=("ours", dict(action="floor")), ours=("ours", dict(action="step")),
             ours_default=("ours", dict(action="step", encoder="score")),
             cryosphere=("cryosphere", dict(action="step", full_clash=True)),
             cryosphere_light=("cryosphere", dict(action="step", full_clash=False)))

def step(args):
    "Time a step of each method, round after round, every measurement in a fresh process."
    if any(m.startswith("cryosphere") for m in args.methods): install("cryosphere")
    size = dict(residues=args.residues, segments=args.segments, box=args.box, pixel_size=args.pixel, seed=args.seed,
                warmup=args.warmup)
    answers = {batch: {m: [] for m in args.methods} for batch in args.batch}
    with tempfile.TemporaryDirectory() as folder:
        folder, images = Path(folder), max(100, *args.batch) # cryosphere needs 100
        drive("ours", folder, args.threads, action="step_data", images=images, **size)
        for k in range(args.rounds):
            for batch in args.batch:
                for m in (args.methods if k % 2 == 0 else args.methods[::-1]): # so that no one always comes first
                    driver, job = STEPS[m]
                    extra = (dict(steps=args.steps, settings=args.ours, projection=args.projection)
                             if driver == "ours"
                             else dict(steps=args.peer_steps, images=images, lr=args.cryosphere_lr))
                    answers[batch][m].append(attempt(driver, folder, args.threads, args.device,
                                                     batch=batch, **size, **extra, **job))
                    print(f"round {k + 1} of {args.rounds}, batch {batch}, {m}: "
                          + answers[batch][m][-1].get(
                              "error", f"{statistics.median(answers[batch][m][-1].get('seconds', [0])):.3f} s"),
                          flush=True)
    batches = {str(batch): summarise_steps(answers[batch]) for batch in args.batch}
    for batch, summary in batches.items(): print_steps(batch, summary)
    save("step.json", facts(args) | dict(batches=batches, earlier=earlier(RESULTS/"step.json")))

def earlier(file:Path) -> list: # of results that are about to be replaced
    "What was measured on other days, in short: ratios to another program differ from machine to machine."
    old = json.loads(file.read_text()) if file.is_file() else {}
    return old.get("earlier", []) + ([in_short(old)] if old else [])

def in_short(result:dict) -> dict: # of `step`
    "Date, conditions, seconds and ratios of time."
    return {k: result[k] for k in ("date", "threads", "cpus")} | dict(batches={
        batch: dict(seconds={m: v.get("seconds") for m, v in b["methods"].items()}, time=b["ratios"]["time"])
        for batch, b in result["batches"].items()})

def summarise_steps(answers:dict) -> dict: # method -> answers of its processes
    "Medians over all timed steps, peak memory, ratios."
    methods = {}
    for m, runs in answers.items():
        good = [r for r in runs if "error" not in r]
        methods[m] = dict(error=runs[-1]["error"]) if not good else summarise(good)
    known = lambda key, m: methods.get(m, {}).get(key)
    ratio = lambda key, a, b: known(key, a)/known(key, b) if known(key, a) and known(key, b) else None
    times = ({f"{m} / ours": ratio("seconds", m, "ours") for m in methods if m.startswith("cryosphere")}
             | {f"{m} / floor": known("seconds", m)/floor
                if known("seconds", m) and (floor := fastest_floor(methods)) else None
                for m in methods if m.startswith("ours")})
    memory = {f"ours / {m}": ratio("peak_mb", "ours", m) for m in methods if m.startswith("cryosphere")}
    added = {f"ours / {m}": ratio("added_mb", "ours", m) for m in methods if m.startswith("cryosphere")}
    return dict(methods=methods, ratios=dict(time=times, peak_memory=memory, peak_memory_beyond_imports=added))

def fastest_floor(methods:dict) -> float|None: # rows of `summarise` -> seconds
    """The fastest projection of the run, forward and backward, and the CTF and the FFT of the images: what no step can
    go below. The windowed one holds an FFT already, that of its pictures."""
    row = methods.get("floor", {})
    parts = row.get("parts")
    if not parts: return None
    return min(row["seconds"], *(v for k, v in parts.items() if k.startswith("floor"))) + parts["ctf"] + parts["fft"]

def summarise(runs): # of one method
    "Medians over the runs."
    median = lambda key: statistics.median(r[key] for r in runs)
    row = dict(seconds=statistics.median(s for r in runs for s in r["seconds"]),
               all_seconds=[r["seconds"] for r in runs], peak_mb=median("peak_mb"),
               added_mb=statistics.median(r["peak_mb"] - r["imports_mb"] for r in runs), version=runs[0]["version"])
    if "gpu_mb" in runs[0]: row["gpu_mb"] = median("gpu_mb")
    if "finite" in runs[0]: row["finite"] = all(r["finite"] for r in runs)
    if "parts" in runs[0]:
        row["parts"] = {name: statistics.median(s for r in runs for s in r["parts"][name])
                        for name in runs[0]["parts"]}
    return row

def print_steps(batch, summary):
    "The table of one batch size."
    print(f"\nOne training step, batch {batch}")
    of = lambda row, *keys: [row.get(k) for k in keys]
    table([[m, *of(row, "seconds", "peak_mb", "added_mb"), row.get("error", "")]
           for m, row in summary["methods"].items()],
          ["method", "seconds (median)", "peak MB", "beyond imports", ""])
    if parts := summary["methods"].get("floor", {}).get("parts"):
        print("parts beside the floor, s: " + ", ".join(f"{k} {v:.3g}" for k, v in parts.items()))
    for what, ratios in summary["ratios"].items():
        if known := [f"{k} {v:.3g}" for k, v in ratios.items() if v is not None]:
            print(what.replace("_", " ") + ": " + ", ".join(known))

# ---- training on a stack

def stack(args):
    "Train each method on the same stack for the same time, one after another, and compare with the truth."
    for path in (args.star, args.model):
        if not Path(path).is_file(): sys.exit(f"{path}: no such file")
    for name in PEERS:
        if name in args.methods: install(name)
    files, offsets, rows = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        folder, paths = Path(folder), dict(star=str(Path(args.star).resolve()), model=str(Path(args.model).resolve()))
        data = drive("ours", folder, args.threads, seed=args.seed, action="export", **paths)
        shared = dict(minutes=args.minutes, seed=args.seed, segments=args.segments)
        jobs = dict(
            ours=("ours", dict(action="fit", settings=args.ours, **paths)),
            cryosphere=("cryosphere", dict(
                action="stack", full_clash=False, batch=min(128, data["images"]), lr=args.cryosphere_lr,
                **{k: data[k] for k in ("images", "box", "pixel_size", "residues")})),
            cryodrgn=("cryodrgn", dict(n_latent=8, width=args.cryodrgn_width)))
        for m in args.methods:
            print(f"{m}: training for {args.minutes:g} minutes ...", flush=True)
            driver, job = jobs[m]
            rows[m] = attempt(driver, folder, args.threads, args.device, arrays=str(folder/f"{m}.npz"), **shared, **job)
            if "error" not in rows[m]: files[m] = str(folder/f"{m}.npz")
        offsets = dict(cryosphere=data["offset"]) # back to the frame of the model's file
        scored = drive("ours", folder, args.threads, seed=args.seed, action="score", files=files, offsets=offsets,
                       **paths)
    for m in files: rows[m] |= rates(rows[m], data["images"]) | scored["scores"][m]
    print_stack(rows, scored["nominal_rmsd"])
    save(f"stack_{Path(args.star).stem}.json",
         facts(args) | dict(data=data | dict(nominal_rmsd=scored["nominal_rmsd"]), methods=rows))

def rates(row, n): # an answer, images in the stack
    "Speed of training."
    per_second = row["images"]/row["train_seconds"] if row["train_seconds"] else 0.
    return dict(images_per_second=per_second, minutes_per_epoch=n/per_second/60 if per_second else None,
                epochs=row["images"]/n)

def print_stack(rows, nominal):
    "The table of all methods."
    print(f"\nCorrelation with the true motion and median Cα RMSD; the nominal structure is at {nominal:.2f} Å")
    keys = dict(r="r", rmsd="RMSD, Å", floor="rigid floor, Å", probe_r="r of linear probe",
                first_pc_r="|r| of first PC", images_per_second="images/s", minutes_per_epoch="min/epoch",
                epochs="epochs", error="")
    table([[m, *(row.get(k, "" if k == "error" else None) for k in keys)] for m, row in rows.items()],
          ["method", *keys.values()])

# ---- command line

def settings_of_fit(text:str) -> dict: # of --ours
    "A JSON object of settings of `fit`."
    value = json.loads(text)
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError('a JSON object, for example {"encoder": "mlp"}')
    return value

def parser() -> argparse.ArgumentParser:
    "All commands and options."
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(required=True)
    def command(name, run, methods, text):
        c = commands.add_parser(name, help=text, description=text)
        c.set_defaults(run=run)
        option = lambda flag, default, type, help, **kw: c.add_argument(
            flag, default=default, type=type, help=f"{help} (default: %(default)s)", **kw)
        option("--methods", list(methods), str, "what to run", nargs="+", choices=list(methods))
        option("--threads", min(2, os.cpu_count() or 1), int, "threads of every process")
        option("--device", "cpu", str, "where to run", choices=["cpu", "cuda"])
        option("--segments", 20, int, "number of segments")
        option("--seed", 1, int, "of data, weights and order")
        option("--ours", {}, settings_of_fit, "settings of our `fit` as JSON")
        option("--cryosphere-lr", 3e-4, float,
               "learning rate of cryosphere's networks, ten times that for the segmentation; "
               "its own default, 3e-5, is meant for a day on a GPU")
        return c, option
    c, option = command("step", step, STEPS, "time one training step")
    option("--batch", [128], int, "images per step; several values are measured one after another", nargs="+")
    option("--residues", 1331, int, "residues")
    option("--box", 128, int, "pixels, even")
    option("--pixel", 2., float, "Å per pixel; 2 is what `fit` crops to by itself")
    option("--projection", "auto", str, "how our step projects", choices=["auto", "spline", "windowed", "dense"])
    option("--rounds", 3, int, "fresh processes per method")
    option("--warmup", 1, int, "untimed steps per process")
    option("--steps", 5, int, "timed steps per process, ours and the floor")
    option("--peer-steps", 1, int, "timed steps per process, cryosphere")
    c, option = command("stack", stack, ("ours", *PEERS),
                        "train on a RELION stack with known truth (as `write_simulation` writes it)")
    c.add_argument("star", help="star file; the truth is beside it")
    c.add_argument("model", help="nominal structure, PDB or mmCIF")
    option("--minutes", 5., float,
           "training time of each method; reading, preparing and inference come on top and are reported")
    option("--cryodrgn-width", 0, int, "width of cryoDRGN's networks; 0: its own default")
    c = commands.add_parser("install", help="make the peers' environments")
    c.set_defaults(run=lambda args: [install(name) for name in PEERS])
    return p

if __name__ == "__main__":
    args = parser().parse_args()
    args.run(args)
