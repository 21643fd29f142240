"""The explorer's page in a real browser: click, path, lasso, sliders, downloads, compared with what Python says.
Rows and star files that the page saves are read back.

`test_explorer(page, folder)` takes a Playwright page (any browser; with a local 3Dmol.js in `CRYOSPHERE_3DMOL_JS` the
molecule in the viewer is checked, too) and an empty folder. By hand: `python .ci/browser_explorer.py [CHROMIUM]`.
"""
import importlib.util, os, sys, tempfile
from pathlib import Path

import numpy as np, torch
from matplotlib.path import Path as Polygon

from cryosphere_nb import explorer
from cryosphere_nb.explorer import drawn_atoms, explore, landscape, read_rows, write_selection
from cryosphere_nb.relion import star_blocks
from cryosphere_nb.viewers import save_page, scene, viewer_script

root = Path(__file__).resolve().parent.parent

def benchmark():
    "The module of the benchmark."
    spec = importlib.util.spec_from_file_location("benchmark_explorer", root/"benchmarks/explorer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

def untrained_run(n, folder):
    "A run with random decoder and latents, as the benchmark has it."
    return benchmark().untrained_run(n, folder, copies=1)

def near(found, want, what, atol=1e-3):
    "Compare two arrays, naming them."
    worst = np.abs(np.asarray(found, float).reshape(-1) - np.asarray(want, float).reshape(-1)).max()
    assert worst < atol, f"{what}: the page is off by {worst:.2g}"

def drag(page, points):
    "Press at the first point, move along all, release at the last."
    page.mouse.move(*points[0])
    page.mouse.down()
    for p in points[1:]: page.mouse.move(*p)
    page.mouse.up()

def test_explorer(page, folder) -> None:
    folder = Path(folder)
    run = untrained_run(1500, folder)
    latents = run.latents.clone()
    latents[[3, 700]] = torch.nan # two images were skipped
    run = type(run)(**{**vars(run), "latents": latents})
    benchmark().write_names(run, 60, "stack %d.mrcs") # names that need quotes
    land = landscape(run, values={"first latent": latents[:, 0], "kind": np.arange(1500) % 3}, star=())
    explorer.LATER = 1000 # as a large page does: what is not shown at first stands behind the code
    view = explore(run, land)
    assert 'class="csx-later"' in view.body
    local = Path(viewer_script()).is_file()
    path = save_page(folder/"explorer.html", "Explorer", view, overwrite=True)
    rows = np.array([i for i in range(1500) if i not in (3, 700)])
    atoms, owner, _ = drawn_atoms(run.nominal, scene(run.nominal, run.segments))
    decode = lambda z: (run.model.decode(torch.as_tensor(z, dtype=torch.float32)[None], atoms - run.offset,
                                         torch.as_tensor(owner)) + run.offset)[0].numpy()

    errors = []
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.goto(path.as_uri())
    page.wait_for_function("window.cryosphereExplorer" + (" && cryosphereExplorer.drawn" if local else ""))
    state = lambda what: page.evaluate(f"(() => {{ const s = cryosphereExplorer; return {what}; }})()")
    assert state("s.n") == 1498 and page.locator(".csx-map option").all_inner_texts()[0] == "PC 1, 2"

    pixels = np.array(state("Array.from({length: s.n}, (_, i) => s.pixel(i))"))
    target = int(np.argmin(np.abs(rows - 1200)))
    page.mouse.click(*pixels[target])
    shown = state("s.shown")
    asked = np.hypot(*(pixels - pixels[target]).T)
    assert asked[shown] <= asked.min() + 1, f"a click showed an image {asked[shown]:.1f} pixels away"
    row = rows[shown]
    near(state("s.latent"), latents[row], "latent of the image that was clicked", 1e-6)
    near(state("Array.from(s.coordinates)"), decode(latents[row]), "structure of the image that was clicked")
    assert f"image {row} · first latent: " in page.locator(".csx-info").inner_text()
    if local:
        page.wait_for_function("cryosphereExplorer.placed > 1")
        near(state("s.viewer.getModel().selectedAtoms({}).map(a => [a.x, a.y, a.z])"), decode(latents[row]),
             "atoms of the viewer")

    box = page.locator(".csx-over").bounding_box()
    at = lambda u, v: (box["x"] + u*box["width"], box["y"] + v*box["height"])
    drag(page, [at(0.2 + 0.05*k, 0.35 + 0.02*k) for k in range(12)])
    walk = state("s.path")
    assert len(walk) > 5 and set(walk) <= set(rows.tolist()) and state("s.playing"), "a drag plays a path of images"
    page.wait_for_function("cryosphereExplorer.frame > 2")
    page.locator(".csx-play").click()
    assert not state("s.playing")
    near(state("Array.from(s.coordinates)"), decode(latents[walk[state("s.frame")]]), "structure along the path")
    with page.expect_download() as download: page.locator(".csx-save-path").click()
    download.value.save_as(folder/"path.txt")
    assert read_rows(folder/"path.txt", 1500).tolist() == walk

    # nothing is selected yet: told in words, on the page and by what it would write
    number, none = page.locator(".csx-number"), "no image is selected"
    assert none in number.inner_text() and not page.locator(".csx-save-star").is_visible()
    found = state("(() => { try { return s.starText(); } catch (e) { return e.message; } })()")
    assert none in found, f"a star file of nothing: {found[:200]}"

    page.locator("[data-tool=lasso]").click()
    turn = np.linspace(0, 2*np.pi, 40)[:-1]
    polygon = [at(0.45 + 0.2*np.cos(t), 0.5 + 0.2*np.sin(t)*(1 + 0.4*np.cos(3*t))) for t in turn]
    drag(page, polygon)
    selected = state("s.selected()")
    edges = np.linspace(polygon, np.roll(polygon, -1, 0), 40).reshape(-1, 2)
    # pixels from the outline, where the browser may cut a corner
    outline = np.min([np.hypot(*(pixels - q).T) for q in edges], axis=0)
    inside = Polygon(polygon).contains_points(pixels)
    surely, maybe = set(rows[inside & (outline > 2)].tolist()), set(rows[inside | (outline <= 2)].tolist())
    assert len(surely) > 50 and surely <= set(selected) <= maybe, (
        f"the lasso caught {len(selected)} images, {len(surely)} to {len(maybe)} lie in it")
    assert f"{len(selected):,} of 1,498 images" in page.locator(".csx-number").inner_text()
    with page.expect_download() as download: page.locator(".csx-save").click()
    download.value.save_as(folder/"selection.txt")
    assert read_rows(folder/"selection.txt", 1500).tolist() == selected
    with page.expect_download() as download: page.locator(".csx-save-star").click()
    assert download.value.suggested_filename == "selection.star"
    download.value.save_as(folder/"selection.star")
    (groups, particles), mine = star_blocks(run.folder/"particles.star")[0], star_blocks(folder/"selection.star")[1]
    names = particles.table.rlnImageName
    assert read_rows(folder/"selection.star", 1500, names).tolist() == selected, "rows of the star file"
    assert mine.table.rlnImageName.tolist() == names[selected].tolist()
    assert mine.table.rlnOpticsGroup.tolist() == particles.table.rlnOpticsGroup[selected].tolist()
    whole, full = star_blocks(write_selection(run, folder/"selection.star", folder/"full.star"))
    assert full.as_text().equals(particles.take(selected).as_text()) and whole[0].as_text().equals(groups.as_text())
    page.locator(".csx-typical").click()
    mean = latents[selected].mean(0)
    assert rows[state("s.shown")] == selected[int((latents[selected] - mean).norm(dim=1).argmin())], (
        "the typical image is the one nearest to the mean")
    page.locator(".csx-color").select_option(label="kind")
    page.locator(".csx-chip").nth(1).click()
    assert state("s.selected()") == [i for i in rows.tolist() if i % 3 == 1], "a chip of the legend selects its class"
    page.locator(".csx-clear").click()
    assert state("s.count") == 0 and none in number.inner_text()

    page.locator(".csx details summary").click()
    before = np.array(state("s.latent"))
    slider = page.locator(".csx-axis-0")
    slider.evaluate("(e) => { e.value = Number(e.max); e.dispatchEvent(new Event('input')); }")
    after = np.array(state("s.latent"))
    axis = np.linalg.svd(latents[rows].double().numpy() - latents[rows].double().numpy().mean(0),
                         full_matrices=False)[2][0]
    assert np.abs(np.abs((after - before) @ axis) - np.linalg.norm(after - before)).max() < 1e-4, (
        "the slider moves along the principal axis")
    near(state("Array.from(s.coordinates)"), decode(after), "structure off the data")
    assert "free latent" in page.locator(".csx-info").inner_text() and state("s.shown") is None
    page.locator(".csx-map").select_option(label="PC 1, 3")
    assert state("s.map") == "PC 1, 3" and np.abs(np.array(state("s.pixel(5)"))[1] - pixels[5, 1]) > 0.01

    # as a notebook shows it
    (folder/"cell.html").write_text(
        f"<!DOCTYPE html><meta charset='utf-8'>{explore(run, land, js=viewer_script())._repr_html_()}",
        encoding="utf-8")
    page.goto((folder/"cell.html").as_uri())
    frame = page.frame_locator("iframe.cryosphere-explorer")
    frame.locator(".csx-info").wait_for()
    assert page.frames[1].evaluate("cryosphereExplorer.n") == 1498
    assert not errors, errors

if __name__ == "__main__":
    from playwright.sync_api import sync_playwright
    arguments = ("--no-sandbox --disable-gpu --disable-background-networking --use-gl=angle "
                 "--use-angle=swiftshader --enable-unsafe-swiftshader").split()
    with sync_playwright() as p, tempfile.TemporaryDirectory() as tmp:
        browser = p.chromium.launch(executable_path=sys.argv[1] if len(sys.argv) > 1 else "/usr/bin/chromium",
                                    args=arguments)
        page = browser.new_page(viewport=dict(width=1200, height=900))
        page.set_default_timeout(900_000)
        test_explorer(page, tmp)
        browser.close()
    print("passed" + ("" if os.environ.get("CRYOSPHERE_3DMOL_JS")
                      else ", without the viewer: CRYOSPHERE_3DMOL_JS is not set"))
