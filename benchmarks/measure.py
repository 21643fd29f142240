"""What the drivers share: the job they are given, clock, memory, result.

Standard library and torch only, since each driver runs in an environment of its own."""
import importlib.metadata, json, resource, sys, time
from pathlib import Path

import torch

def peak_mb() -> float: # MB
    "The largest resident memory of this process so far."
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak/2**20 if sys.platform == "darwin" else peak/2**10 # macOS counts bytes, Linux kB

def read_job() -> dict: # as the parent wrote it
    "The job file named on the command line; threads are set as it says."
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    return job

def write_result(job:dict, # as given
                 **values): # numbers and lists
    "Answer the parent."
    Path(job["result"]).write_text(json.dumps(values))

def now(device:str="cpu") -> float: # s
    "The time when everything asked of the device is done."
    if device != "cpu": torch.cuda.synchronize()
    return time.perf_counter()

def version(package:str) -> str: # as installed here
    "Version of a package."
    return importlib.metadata.version(package)

def memory(imports_mb:float, # `peak_mb` after the imports
           device:str="cpu"): # "cpu" or "cuda"
    "Peak memory of the process and of the GPU, MB."
    peaks = dict(peak_mb=peak_mb(), imports_mb=imports_mb)
    return peaks | dict(gpu_mb=torch.cuda.max_memory_allocated()/2**20) if device != "cpu" else peaks

def time_calls(step, # function without arguments
               warmup:int, # calls that are not timed
               n:int, # calls that are
               device:str="cpu"): # "cpu" or "cuda"
    "Seconds of each of `n` calls."
    seconds = []
    for _ in range(warmup + n):
        start = now(device)
        step()
        seconds.append(now(device) - start)
    return seconds[warmup:]
