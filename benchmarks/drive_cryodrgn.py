"""Jobs for cryoDRGN 4.3: its commands on a stack, training stopped by the clock, volumes at the latents of some
images, or backprojection.

Runs in that package's environment; called by peers.py, paper_runs.py and consensus.py."""
import argparse, pickle, time
from pathlib import Path

import numpy as np, torch
from cryodrgn import dataset
from cryodrgn.commands import backproject_voxel, eval_vol, parse_ctf_star, parse_pose_star, train_vae

from measure import now, read_job, version, write_result

def command(module, *arguments): # one of its commands
    "Run a command as its command line does."
    parser = argparse.ArgumentParser()
    module.add_args(parser)
    module.main(parser.parse_args([str(a) for a in arguments]))

class UntilTimeUp:
    "A data loader that begins again at its end and stops when the time is up: one long epoch for the loop around it."
    def __init__(self, loader, job):
        self.loader, self.job, self.images = loader, job, 0
    def __iter__(self):
        start = now(self.job["device"])
        while True:
            for batch in self.loader:
                self.elapsed = now(self.job["device"]) - start
                if self.elapsed > 60*self.job["minutes"]: return
                yield batch
                self.images += len(batch["index"])

def limit_training(job) -> list: # will hold the loader
    "Put a time limit on the loader that training asks for (it shuffles; the one for inference does not)."
    made, make = [], dataset.make_dataloader
    def limited(*args, **kwargs):
        loader = make(*args, **kwargs)
        if not kwargs.get("shuffle", True): return loader
        made.append(UntilTimeUp(loader, job))
        return made[0]
    dataset.make_dataloader = limited
    return made

def run_stack(job):
    """Parse poses and CTF, train, keep the latent means it writes; and the volumes at those of the images `rows`, if
    there are any, in the folder `volumes`."""
    beginning, folder = time.perf_counter(), Path(job["folder"])
    star, poses, ctf, out = folder/"particles.star", folder/"poses.pkl", folder/"ctf.pkl", folder/"cryodrgn"
    command(parse_pose_star, star, "-o", poses)
    command(parse_ctf_star, star, "-o", ctf)
    loaders = limit_training(job)
    size = ["--enc-dim", job["width"], "--dec-dim", job["width"]] if job["width"] else []
    precision = [] if torch.cuda.is_available() else ["--no-amp"]
    command(train_vae, star, "--poses", poses, "--ctf", ctf, "--zdim", job["n_latent"], "-o", out,
            "-n", 1, "--checkpoint", 0, "--no-analysis",
            "--max-threads", job["threads"], "--seed", job["seed"], *size, *precision)
    loader = loaders[0]
    with open(out/"z.pkl", "rb") as file: z = pickle.load(file) # written above, by this process
    np.savez(job["arrays"], z=np.asarray(z))
    if rows := job.get("rows"):
        np.savetxt(folder/"z.txt", np.asarray(z)[rows])
        command(eval_vol, out/"weights.pkl", "-c", out/"config.yaml", "--zfile", folder/"z.txt",
                "-o", folder/"volumes", "--Apix", job["pixel_size"])
    write_result(job, images=loader.images, train_seconds=loader.elapsed,
                 other_seconds=time.perf_counter() - beginning - loader.elapsed, version=version("cryodrgn"))

def run_consensus(job):
    "Parse poses and CTF, backproject with its defaults; its maps are in the folder `cryodrgn_map`."
    folder = Path(job["folder"])
    star, poses, ctf = folder/"particles.star", folder/"poses.pkl", folder/"ctf.pkl"
    command(parse_pose_star, star, "-o", poses)
    command(parse_ctf_star, star, "-o", ctf)
    start = now()
    command(backproject_voxel, star, "--poses", poses, "--ctf", ctf, "-o", folder/"cryodrgn_map")
    write_result(job, seconds=now() - start, version=version("cryodrgn"))

if __name__ == "__main__":
    job = read_job()
    dict(stack=run_stack, consensus=run_consensus)[job.get("action", "stack")](job)
