"""Where does a training step spend its time? PyTorch's profiler, phase by phase, forward and backward.

    python benchmarks/profile_step.py                      # a large complex, and the size of adenylate kinase;
                                                             about a minute
    python benchmarks/profile_step.py --set encoder=table  # with settings of `fit`

Results go to results/profile.json."""
import argparse, statistics, time
from collections import Counter, defaultdict
from functools import wraps
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, record_function

import cryosphere_nb.decoder, cryosphere_nb.image, cryosphere_nb.losses, cryosphere_nb.model
from cryosphere_nb.core import kept_memory, write_json
from cryosphere_nb.learner import Subset
from cryosphere_nb.preparation import PrepareConfig, prepare
from cryosphere_nb.synthetic import simulate
from cryosphere_nb.building import make_model, prepare_model
from cryosphere_nb.settings import make_config
from cryosphere_nb.train import make_learner

from drive_ours import globule
from recovery import RESULTS, facts, setting

SIZES = {"large complex": dict(batch=128, residues=1331, segments=20, box=128, pixel_size=2.),
         "adenylate kinase": dict(batch=128, residues=214, segments=20, box=60, pixel_size=1.92)}

def named(phase:str, function):
    "The function, its calls marked for the profiler."
    @wraps(function)
    def call(*args, **kwargs):
        with record_function(f"phase:{phase}"): return function(*args, **kwargs)
    return call

def mark_phases(model): # changes the modules that the model calls; for this process only
    "Put marks around what a step does."
    for phase, name in dict(encoder="encoder", segmentation="segmentation", decoder="decoder").items():
        part = getattr(model, name)
        part.forward = named(phase, part.forward)
    for module, names in {
            cryosphere_nb.image: {"ctf_half_plane": "CTF", "project_half_plane": "projection", "pose_points": "pose"},
            cryosphere_nb.model: {"render": "CTF and products", "fft2c": "FFT of the images", "total_loss": "loss"},
            }.items():
        for name, phase in names.items():
            if hasattr(module, name): setattr(module, name, named(phase, getattr(module, name)))

def phases_of(events
    ) -> tuple[dict, Counter]: # of one profile: name -> seconds forward and backward; operation -> seconds of its own
    """Each operation counts for the innermost phase around it; a backward operation for the phase of the forward
    operation that it belongs to."""
    marks = [e for e in events if e.name.startswith("phase:")]
    def phase(e):
        around = [m for m in marks
                  if m.thread == e.thread and m.time_range.start <= e.time_range.start
                  and e.time_range.end <= m.time_range.end]
        return min(around, key=lambda m: m.time_range.elapsed_us()).name.removeprefix("phase:") if around else None
    times, operations, where = defaultdict(lambda: dict(forward=0., backward=0.)), Counter(), {}
    def backward_root(e):
        while e is not None and not e.name.startswith("autograd::engine::evaluate_function"): e = e.cpu_parent
        return e
    plain = [e for e in events if not e.name.startswith("phase:")]
    inside = {id(e): phase(e) for e in plain}
    for e in plain: # which phase made the graph's node of this number?
        if e.sequence_nr >= 0 and backward_root(e) is None and inside[id(e)]:
            where[e.sequence_nr] = inside[id(e)]
    for e in plain:
        seconds, root = e.self_cpu_time_total/1e6, backward_root(e)
        operations[e.name.removeprefix("autograd::engine::evaluate_function: ")] += seconds
        if root is not None: times[where.get(root.sequence_nr, "other")]["backward"] += seconds
        elif inside[id(e)]: times[inside[id(e)]]["forward"] += seconds
        else:
            times["optimiser" if "ptimizer" in e.name or under_optimizer(e) else "other"]["forward"] += seconds
    return times, operations

def under_optimizer(e) -> bool:
    "Is this part of the optimiser's step?"
    while e is not None:
        if "ptimizer" in e.name: return True
        e = e.cpu_parent
    return False

def profile_size(size:dict, settings:dict, steps:int) -> dict: # JSON-able
    "Median time of a step, unprofiled, and its parts, profiled."
    structure, n = globule(size["residues"]), 2*size["batch"]
    stack = simulate(structure, n=n, box=size["box"], pixel_size=size["pixel_size"], snr=0.1, seed=0,
                     states=torch.zeros(n).long(), scattering="beads")
    config = make_config(dict(n_segments=size["segments"], box=size["box"], batch_size=size["batch"], epochs=1,
                              cpu=True) | settings)
    data = prepare(stack.particles, PrepareConfig(size["box"], contrast="light"), progress=False)
    model = make_model(structure, config, n, data.D)
    data = prepare_model(model, data)
    learner = make_learner(model, Subset(data, torch.arange(n)), Subset(data, torch.arange(0)), config,
                           Path("unused"), False, ())
    rows, learner.callbacks = (torch.arange(size["batch"]),
                               [c for c in learner.callbacks if type(c).__name__ in ("Weights", "Anneal", "Engine")])
    learner.call("before_fit")
    model.train()
    step = lambda: learner.one_batch(rows)
    seconds = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    mark_phases(model)
    with profile(activities=[ProfilerActivity.CPU]) as p:
        for _ in range(steps): step()
    times, operations = phases_of(p.events())
    return size | dict(
        seconds=statistics.median(seconds[1:]),
        phases={k: {way: s/steps for way, s in v.items()} for k, v in times.items()},
        operations={k: s/steps for k, s in operations.most_common(15)})

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5, help="steps to time, and to profile (5)")
    parser.add_argument("--threads", type=int, default=2, help="threads (2)")
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES), help="sizes (all)")
    parser.add_argument("--set", type=setting, nargs="+", default=[], metavar="NAME=VALUE", help="settings of `fit`")
    parser.add_argument("--out", type=Path, default=RESULTS/"profile.json", help="file to write (results/profile.json)")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    with kept_memory(): # as in `fit`
        sizes = {name: profile_size(SIZES[name], dict(a.set), a.steps) for name in a.sizes}
    for name, s in sizes.items():
        print(f"{name}: {s['seconds']:.3f} s a step")
        for k, v in sorted(s["phases"].items(), key=lambda kv: -sum(kv[1].values())):
            print(f"  {k:20s} forward {1e3*v['forward']:7.1f} ms, backward {1e3*v['backward']:7.1f} ms")
    write_json(a.out, facts() | dict(settings=dict(a.set), sizes=sizes))

if __name__ == "__main__": main()
