"""Several processes that share one `fit`: the same run as by one, no hang at the end, no hang where one dies, and how
much faster.

    python benchmarks/processes.py same            # two against one: how far all arrays of the run folders are apart
    python benchmarks/processes.py starts --n 50   # short time limits, drawn at random: does each run end?
    python benchmarks/processes.py kills --n 20    # one of two is killed at a random moment: do all end, can one go on?
    python benchmarks/processes.py speed           # parts of a run by one and by two; wants two idle cores

Small stacks on the CPU, each process with one thread; for one that never comes the others wait 10 s, not ten minutes.
Processes are forks of this one, which has imported everything already, and know each other by the environment, as
`torchrun` or a job script would tell them; nobody ends the others where one dies. Rows go to results/processes.json as
they are measured."""
import argparse, json, multiprocessing, os, random, shutil, signal, socket, statistics, tempfile, threading, time
import warnings
from datetime import timedelta
from pathlib import Path

import torch
from tqdm import tqdm

import cryosphere_nb.learner as learner, cryosphere_nb.train as train
from cryosphere_nb.core import generator, read_json, write_json
from cryosphere_nb.learner import open_checkpoint
from cryosphere_nb.run_folder import read_tensors
from cryosphere_nb.synthetic import bimodal_angles, hinge_movie, simulate, two_body, write_simulation
from cryosphere_nb.train import Run

RESULTS = Path(__file__).parent/"results"/"processes.json"
SMALL = dict(n_segments=2, n_latent=2, batch_size=50, box=24, encoder_hidden=(16,), decoder_hidden=(16,), held_out=0.2,
             refine=4, refine_samples=6, refine_steps=1, seed=3)
PARTS = "prepare_together", "prepare_model", "infer_together", "finish" # that are timed, besides training

def stack(folder, n, box=48, pixel_size=3.): # -> star file, model
    "Images of the two-body protein."
    protein, hinge = two_body()
    files = write_simulation(folder, simulate(protein, hinge_movie(protein, bimodal_angles(n, generator(5)), hinge),
                                              n=n, box=box, pixel_size=pixel_size, snr=0.3, seed=3))
    return files["star"], files["model"]

def timed(name, seconds): # of a function of room train
    "The function, with its seconds noted."
    work = getattr(train, name)
    def call(*args, **kwargs):
        started = time.perf_counter()
        try: return work(*args, **kwargs)
        finally: seconds[name] = time.perf_counter() - started
    return call

def member(rank, n, port, files, out, log, settings): # one of n processes
    "What a user's script does."
    with open(log, "a") as f:
        for fd in 1, 2: os.dup2(f.fileno(), fd)
    if n > 1: os.environ |= dict(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(n), MASTER_ADDR="127.0.0.1",
                                 MASTER_PORT=str(port))
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock()) # forks share that of their parent, and one may be killed while it holds it
    warnings.simplefilter("ignore")
    learner.JOINING, seconds = timedelta(seconds=10), {}
    for name in PARTS: setattr(train, name, timed(name, seconds))
    run = train.fit(*files, out, cpu=True, progress=False, **settings)
    if rank == 0: Path(f"{log}.json").write_text(json.dumps(seconds | dict(training=run.state.elapsed)))

class Job:
    "A script at work, in one process or several."
    def __init__(self, folder, files, out, n, **settings):
        self.logs = [Path(folder)/f"log{rank}.txt" for rank in range(n)]
        for log in self.logs: log.unlink(missing_ok=True)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        fork = multiprocessing.get_context("fork")
        os.environ["XDG_CACHE_HOME"] = str(Path(folder)/"cache")
        self.all = [fork.Process(target=member, args=(rank, n, port, files, out, log, settings))
                    for rank, log in enumerate(self.logs)]
        for p in self.all: p.start()

    def end(self, seconds): # at most -> exit codes, None for one that did not end
        "Wait; what does not end is killed."
        until = time.monotonic() + seconds
        for p in self.all: p.join(max(until - time.monotonic(), 0))
        codes = [p.exitcode for p in self.all]
        for p in self.all:
            if p.exitcode is None: p.kill()
            p.join()
        return codes

    def well(self, seconds=600): # -> seconds of parts
        "Wait; all must end well."
        codes = self.end(seconds)
        assert not any(codes) and None not in codes, "\n".join(log.read_text()[-2000:] for log in self.logs)
        return json.loads(Path(f"{self.logs[0]}.json").read_text())

def apart(a, b): # run folders -> file -> largest difference of an array, relative where numbers are above 1
    "How far results are from each other."
    assert {p.name for p in a.iterdir()} == {p.name for p in b.iterdir()}
    def largest(x, y):
        assert x.keys() == y.keys()
        return max(float(((x[k].double() - y[k].double()).abs()/x[k].double().abs().clamp(min=1)).nan_to_num().max())
                   for k in x if x[k].numel())
    return {name: largest(read_tensors(a/name)[0], read_tensors(b/name)[0])
            for name in ("last.safetensors", "best.safetensors", "latents.safetensors")}

def same(folder, args):
    "Two against one, with several settings."
    files = stack(folder/"data", 230)
    cases = dict(defaults={}, pixels=dict(encoder="mlp", likelihood="correlation"), table=dict(encoder="table"),
                 poses=dict(refine_poses="always", epochs=6), candidates=dict(candidates=4), encoder=dict(refine=0))
    for name, more in cases.items():
        for n in 1, 2:
            Job(folder, files, folder/f"{name}-{n}", n, **SMALL | dict(epochs=3) | more).well()
        off = (Run.load(folder/f"{name}-1").latents - Run.load(folder/f"{name}-2").latents).abs().amax(1)
        yield dict(settings=name, largest=apart(folder/f"{name}-1", folder/f"{name}-2"),
                   latents_median=float(off.median()), images=len(off), beyond_1e4=int((off > 1e-4).sum()))

def starts(folder, args):
    "Time limits at random, from nothing to a few steps."
    files, rng = stack(folder/"data", 60), random.Random(args.seed)
    for _ in range(args.n):
        minutes, started = rng.uniform(0.001, 0.03), time.monotonic()
        settings = SMALL | dict(max_minutes=minutes, batch_size=20, overwrite=True)
        Job(folder, files, folder/"timed", 2, **settings).well(300)
        yield dict(limit_seconds=round(60*minutes, 2), steps=Run.load(folder/"timed").state.step,
                   ended_after_seconds=round(time.monotonic() - started))

def kills(folder, args):
    "One of two is killed at a random moment; then one, or two, go on."
    files, rng = stack(folder/"data", 60), random.Random(args.seed)
    settings = SMALL | dict(epochs=args.epochs, batch_size=20, checkpoint_seconds=0.2)
    started = time.monotonic()
    Job(folder, files, folder/"whole", 2, **settings).well()
    length, done = time.monotonic() - started, 0
    while done < args.n:
        out, victim, moment = folder/"killed", rng.randrange(2), rng.uniform(0, 1)*length
        shutil.rmtree(out, ignore_errors=True)
        job = Job(folder, files, out, 2, **settings)
        time.sleep(moment)
        if not all(p.is_alive() for p in job.all): # it was faster this time
            job.end(60)
            continue
        job.all[victim].kill()
        began = time.monotonic()
        codes = job.end(120)
        if codes[victim] != -signal.SIGKILL: continue # it had ended in the meantime
        done += 1
        took, text = time.monotonic() - began, job.logs[1 - victim].read_text()
        step = open_checkpoint(out/"last.safetensors")[1].step if (out/"last.safetensors").exists() else None
        off = {}
        for n in 1, 2:
            copy = folder/f"again{n}"
            if out.exists(): shutil.copytree(out, copy)
            Job(folder, files, copy, n, **settings | dict(resume=True)).well()
            off[n] = float((Run.load(copy).latents - Run.load(folder/"whole").latents).abs().amax(1).median())
            shutil.rmtree(copy)
        yield dict(killed=victim, after_seconds=round(moment, 2), of_seconds=round(length, 2), codes=codes,
                   other_ended_after=round(took, 2), said="one that has ended before the others" in text,
                   last_line=text.strip().splitlines()[-1][:200] if text.strip() else "",
                   checkpoint_at_step=step, latents_off_after_resume={f"by {n}": v for n, v in off.items()})

def speed(folder, args):
    "Seconds of the parts of a run by one process, by two that share it, and by two runs at once."
    files, rounds = stack(folder/"data", args.images, args.box, 1.5), []
    settings = SMALL | dict(box=None, epochs=2, refine=16, refine_samples=16, refine_steps=3, batch_size=128,
                            overwrite=True)
    def start(name, n, what): # with a cache of its own, so that each prepares its images
        shutil.rmtree(folder/name, ignore_errors=True)
        (folder/name).mkdir()
        return Job(folder/name, files, folder/name/"run", n, **what)
    for k in range(args.n):
        alone = start("alone", 1, settings).well(3000)
        shared = start("shared", 2, settings).well(3000)
        beside = [start(name, 1, settings) for name in ("left", "right")]
        beside = [job.well(3000) for job in beside]
        rounds.append({name: (alone[name], alone[name]/shared[name],
                              2*alone[name]/statistics.mean(b[name] for b in beside)) for name in alone})
    yield dict(images=args.images, box=args.box, rounds=args.n,
               **{what: {name: round(statistics.median(r[name][i] for r in rounds), 2) for name in rounds[0]}
                  for i, what in enumerate(("seconds_by_one", "times_as_fast", "two_runs_at_once"))})

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("same", "starts", "kills", "speed"))
    parser.add_argument("--n", type=int, default=None, help="starts, kills, or rounds (default: 50, 20, 3)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4, help="of a run that is killed")
    parser.add_argument("--images", type=int, default=2000, help="of `speed`")
    parser.add_argument("--box", type=int, default=96, help="of `speed`, pixels of 1.5 Å")
    args = parser.parse_args()
    args.n = args.n or dict(starts=50, kills=20, speed=3).get(args.what)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for row in globals()[args.what](Path(folder), args):
            print(row, flush=True)
            rows.append(row)
            found = read_json(RESULTS) if RESULTS.exists() else {}
            write_json(RESULTS, found | {args.what: dict(torch=torch.__version__, cpus=os.cpu_count(), rows=rows)})
