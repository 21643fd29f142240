"""How long the explorer takes with many images: the page is opened, a click and a lasso are answered, in headless
Chromium without a graphics card.

    python benchmarks/explorer.py --js node_modules/3dmol/build/3Dmol-min.js

Needs `pip install playwright`, a Chromium (`--chromium`), and a local 3Dmol.js (`npm install 3dmol`). Nothing is
trained: latents are drawn from a mixture, and the decoder has random weights, in the sizes of a real run. Every round
opens the page in a new browser. Times in seconds: *opened* from the start of loading to the map on the screen, ready
for the pointer, and *structure* to the molecule beside it (both by the page's own clock); *click* from the press of
the button to the structure drawn, and *lasso* from the release of the button to the selection counted and drawn (both
seen from outside of the browser). Without a graphics card the viewer of the molecule is drawn by software, which takes
most of *structure* and *click*, and has nothing to do with the number of images. *star* is how long the page takes
for the text of the star file of what was selected; the names of the images take *names_kb* of the page: 100 images in
each stack, in their order (`--shuffled`: in any). On a machine that does other work,
too, the times of the clock are too long: *cpu* is what the browser's processes computed meanwhile (for *opened*, in a
page without the viewer), without the one that draws the molecule, which is told apart (*cpu_graphics*); *load* is the
load average of the machine when the row was done.
"""
import argparse, datetime, json, os, platform, statistics, sys, tempfile, time
from importlib.metadata import version
from pathlib import Path

import numpy as np, psutil, torch
from playwright.sync_api import sync_playwright

from cryosphere_nb.core import generator
from cryosphere_nb.explorer import explore, landscape, page_star
from cryosphere_nb.learner import TrainState
from cryosphere_nb.star import make_block, word_array, write_star_text
from cryosphere_nb.structure import structure_from_beads
from cryosphere_nb.synthetic import two_body
from cryosphere_nb.building import make_model
from cryosphere_nb.settings import make_config
from cryosphere_nb.train import Run
from cryosphere_nb.viewers import page_json, save_page

ARGUMENTS = ("--no-sandbox --disable-gpu --disable-background-networking --use-gl=angle "
             "--use-angle=swiftshader --enable-unsafe-swiftshader").split()

def untrained_run(n, folder, n_segments=20, n_latent=4, copies=3):
    """A run with `n` latents in three clouds, and a decoder of random weights that moves segments by some tens of
    degrees."""
    beads = two_body()[0].beads
    structure = structure_from_beads(torch.cat([beads + torch.tensor([0., 60., 0.])*(k - (copies - 1)/2)
                                                for k in range(copies)]))
    torch.manual_seed(0)
    config = make_config(dict(n_segments=n_segments, n_latent=n_latent, box=64, encoder="mlp", encoder_hidden=(8,)))
    model = make_model(structure, config, n, 64).eval()
    with torch.no_grad(): model.decoder.motion.net[-1].weight *= 30
    gen = generator(0)
    centres = torch.tensor([[2., 0, 0, 0], [-1.5, 1.5, 0, 0], [-1, -1.5, 1, 0]])[:, :n_latent]
    z = 0.5*torch.randn(n, n_latent, generator=gen) + centres[torch.randint(3, (n,), generator=gen)]
    z[:, 1] += 0.3*z[:, 0]**2
    return Run(folder, config, structure, model, z, 0.04*torch.eye(n_latent).expand(n, -1, -1),
               0.2 + 0.02*torch.randn(n, generator=gen), torch.zeros(n, 5), torch.zeros(5), torch.zeros(3),
               TrainState())

def write_names(run, images=100, stack="Extract/job012/movies/20170629_%05d_frameImage.mrcs", shuffled=False):
    "The run's star file: names, so many to a stack, and two optics groups."
    n = len(run.latents)
    order = np.random.default_rng(0).permutation(n) if shuffled else np.arange(n)
    optics = make_block("optics", {"rlnOpticsGroup": word_array([b"1", b"2"]),
                                   "rlnVoltage": word_array([b"300.000000", b"200.000000"])})
    words = {"rlnImageName": [f"{k % images + 1:06d}@{stack % (k//images)}".encode() for k in order],
             "rlnOpticsGroup": [b"%d" % (1 + k//images % 2) for k in order],
             "rlnDefocusU": [b"%d.500000" % (10_000 + k % 9000) for k in order]}
    particles = make_block("particles", {c: word_array(w) for c, w in words.items()})
    write_star_text(run.folder/"particles.star", [optics, particles])

def cpu():
    "CPU seconds used by the browser so far: without graphics, and its graphics process."
    used = [0., 0.]
    for p in psutil.Process().children(recursive=True):
        try: line, t = " ".join(p.cmdline()), p.cpu_times()
        except psutil.Error: continue
        if "driver/node" not in line: used["type=gpu-process" in line] += t.user + t.system
    return np.array(used)

def measure(browser_path, address, polygon):
    "One round: seconds by name, and how many images the lasso caught."
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=browser_path, args=ARGUMENTS)
        page = browser.new_page(viewport=dict(width=1200, height=900))
        page.set_default_timeout(120_000)
        page.goto("about:blank")
        before = cpu()
        page.goto(address, wait_until="commit")
        page.wait_for_function("window.cryosphereExplorer && cryosphereExplorer.drawn")
        first, (work, graphics) = page.evaluate("cryosphereExplorer.times"), cpu() - before
        out = dict(opened=first["map"]/1000, structure=first["first"]/1000,
                   structure_cpu=work, structure_cpu_graphics=graphics)
        page.wait_for_timeout(500)
        clicks = []
        for i in range(3): # the median of three clicks
            x, y = page.evaluate(f"cryosphereExplorer.pixel({1000*(i + 1)})")
            placed = page.evaluate("cryosphereExplorer.placed")
            page.mouse.move(x, y)
            started, before = time.perf_counter(), cpu()
            page.mouse.down()
            page.mouse.up()
            page.wait_for_function(f"cryosphereExplorer.placed > {placed}")
            clicks.append([time.perf_counter() - started, *(cpu() - before)])
        out |= dict(zip(("click", "click_cpu", "click_cpu_graphics"), np.median(clicks, axis=0).tolist()))
        page.locator("[data-tool=lasso]").click()
        box = page.locator(".csx-over").bounding_box()
        at = [(box["x"] + u*box["width"], box["y"] + v*box["height"]) for u, v in polygon]
        page.mouse.move(*at[0])
        page.mouse.down()
        for q in at[1:]: page.mouse.move(*q)
        started, before = time.perf_counter(), cpu()
        page.mouse.up()
        page.wait_for_function("cryosphereExplorer.count > 0")
        out |= dict(zip(("lasso", "lasso_cpu"), (time.perf_counter() - started, (cpu() - before)[0])))
        out["star"] = page.evaluate("(() => { const start = performance.now(); cryosphereExplorer.starText(); "
                                    "return (performance.now() - start)/1000; })()")
        inside = page.evaluate("cryosphereExplorer.times")
        count = page.evaluate("cryosphereExplorer.count")
        where, engine = page.locator(".csx-over"), browser.version
        where.hover(position=dict(x=200, y=200))
        started = time.perf_counter()
        for k in range(20): page.mouse.move(box["x"] + 100 + 10*k, box["y"] + 200)
        page.evaluate("0")
        out["hover"] = (time.perf_counter() - started)/20
        browser.close()
    return out | dict(redraw=inside["draw"]/1000), count, engine

def map_alone(browser_path, address):
    "CPU seconds until the map answers, in a page whose 3Dmol.js is out of reach."
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=browser_path, args=ARGUMENTS)
        page = browser.new_page(viewport=dict(width=1200, height=900))
        page.set_default_timeout(120_000)
        page.route("http*://**", lambda route: route.abort())
        page.goto("about:blank")
        before = cpu()
        page.goto(address, wait_until="commit")
        page.wait_for_function("window.cryosphereExplorer && cryosphereExplorer.times.draw")
        used = cpu() - before
        browser.close()
    return float(used.sum())

def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--js", required=True, help="a local 3Dmol.js")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--images", type=int, nargs="+", default=[5000, 50_000, 500_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shuffled", action="store_true", help="images of all stacks in any order")
    parser.add_argument("--out", default=Path(__file__).parent/"results/explorer.json", type=Path)
    args = parser.parse_args(argv)
    turn = np.linspace(0, 2*np.pi, 60)
    polygon = np.c_[0.62 + 0.2*np.cos(turn), 0.5 + 0.25*np.sin(turn)]
    rows = []
    for n in args.images:
        with tempfile.TemporaryDirectory() as folder:
            run = untrained_run(n, Path(folder))
            write_names(run, shuffled=args.shuffled)
            started = time.perf_counter()
            view = explore(run, landscape(run, values={"first latent": run.latents[:, 0]}, star=()), names_kb=10_000)
            page = save_page(Path(folder)/"explorer.html", f"{n} images", view, js=args.js)
            made = time.perf_counter() - started
            names = len(page_json(page_star(run, np.arange(n), 10_000)["data"]))
            bare = save_page(Path(folder)/"bare.html", f"{n} images", view, js="https://3dmol.invalid/3Dmol.js")
            opened_cpu = statistics.median(map_alone(args.chromium, bare.as_uri()) for _ in range(args.rounds))
            results = [measure(args.chromium, page.as_uri(), polygon) for _ in range(args.rounds)]
            row = dict(images=n, residues=run.nominal.n_beads, segments=20, latent=run.latents.shape[1],
                       columns=len(view.land.columns.columns), maps=len(view.land.maps),
                       page_mb=round(page.stat().st_size/1e6, 2), names_kb=round(names/1000, 1),
                       made_seconds=round(made, 2),
                       selected=results[0][1], load=round(os.getloadavg()[0], 1))
            row["opened_cpu_seconds"] = round(opened_cpu, 3)
            row |= ({f"{k}_seconds": round(statistics.median(r[0][k] for r in results), 4) for k in results[0][0]}
                    | dict(worst_seconds={k: round(max(r[0][k] for r in results), 4)
                                          for k in ("opened", "structure", "click", "lasso")}))
            rows.append(row)
            print(json.dumps(row), flush=True)
    versions = (dict(chromium=results[0][2], python=platform.python_version())
                | {p: version(p) for p in ("playwright", "py3Dmol", "torch", "numpy")})
    out = dict(date=datetime.date.today().isoformat(), cpus=os.cpu_count(), graphics="SwiftShader (software)",
               rounds=args.rounds, versions=versions, rows=rows)
    args.out.write_text(json.dumps(out, indent=1) + "\n")

if __name__ == "__main__": sys.exit(main())
