"""The viewers in a real browser: headless Chromium opens their pages, plays, drags and clicks, and what should change
must change.

    .ci/browser.py [NAME ...] [--pictures FOLDER]      all pages, or those named; a PNG after every step, to look at

To add a page, write a function that returns what is on it (whatever `save_page` takes) and a generator that uses it,
and append `Page(name, build, use)` to `pages`. `use` gets a `Browser` and yields a word after each step, which names
the picture. A page also fails by itself on a script error, on a request that leaves the machine, and when a canvas
stays blank.

Nothing here is timed: a step waits until something is so (`until`), or until what was asked for has been drawn
(`settle`), and gives up after a number of the page's own frames, which take longer where the machine does other work.
The one limit in seconds is `most_seconds`, for a browser that does nothing any more.

Exit code 77, with the reason in the last line, if Chromium, 3Dmol.js or Playwright are not there (`.ci/browser.sh`
gets the first two).
"""
import io, json, re, shutil, sys, tempfile, time
from argparse import ArgumentParser
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Callable
from os import environ

root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root))
library = root/".venv/node/node_modules/3dmol"
browsers = [environ.get("CRYOSPHERE_BROWSER", ""), "chromium", "chromium-browser", "google-chrome",
            "google-chrome-stable"]
# WebGL without a graphics card, and no requests of the browser's own
flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage",
         "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
most_frames, most_seconds = 3000, 900 # of a page, without what is waited for; of a browser that does not answer

def missing(reason):
    print(reason)
    sys.exit(77)

@dataclass(frozen=True)
class Page:
    "A page and what is done to it."
    name:str
    build:Callable # () -> parts of the page, as `save_page` takes them
    use:Callable # (Browser) -> yields the name of each step

class Browser:
    "What a page is used with: clicks, sliders, drags; and what it shows, as arrays."
    def __init__(self, page): self.page, self.complaints = page, []

    def click(self, selector): self.page.locator(selector).first.click()
    def slide(self, selector, value):
        self.page.locator(selector).first.fill(str(value)) # sends an input event, as a hand would
    def choose(self, selector, value): self.page.locator(selector).first.select_option(str(value))
    def text(self, selector): return self.page.locator(selector).first.text_content()
    def script(self, code): return self.page.evaluate(code)
    def frames(self, n):
        self.script(f"async () => {{ for (let k = 0; k < {n}; k++) await new Promise(requestAnimationFrame); }}")
    def settle(self): self.frames(2) # what was asked for in one frame is on the screen in the next
    def until(self, code, frame=None):
        "Wait until a JavaScript function of the page, or of a frame in it, returns true."
        for _ in range(most_frames//100):
            if (frame or self.page).evaluate(
                    f"async () => {{ const so = {code}; for (let k = 0; k < 100; k++) {{ "
                    "if (so()) return true; await new Promise(requestAnimationFrame); } return false; }"):
                return
            if self.complaints: break # a script that has ended in an error makes nothing true any more
        raise AssertionError(f"not so, however many frames were drawn: {code}")

    def path(self, selector, points, press=True):
        """Move the mouse along points (fractions of the element's width and height), with the button down: a drag, or
        a lasso."""
        box = self.page.locator(selector).first.bounding_box()
        (x, y), *rest = [(box["x"] + u*box["width"], box["y"] + v*box["height"]) for u, v in points]
        self.page.mouse.move(x, y)
        if press: self.page.mouse.down()
        for x, y in rest: self.page.mouse.move(x, y, steps=4)
        if press: self.page.mouse.up()

    def picture(self, selector="canvas", n=0):
        "(H, W, 3) pixels, 0 to 255."
        from PIL import Image
        import numpy as np
        return np.asarray(Image.open(io.BytesIO(
            self.page.locator(selector).nth(n).screenshot())).convert("RGB")).astype(int)

    def molecule(self, what):
        "Value of a JavaScript expression about the first viewer `c` (see `el.cryosphere` in the viewers' chapter)."
        return self.script("() => { var c = document.querySelector('[id^=\"3dmolviewer_\"]').cryosphere; return "
                           + what + "; }")
    def beads(self, of="c.beads"):
        import numpy as np
        return np.array(self.molecule(f"{of}.map(a => [a.x, a.y, a.z])"))
    def hover(self, bead):
        "Point at a bead; returns what the note says."
        x, y = self.molecule(f"(p => [p.x, p.y])(c.viewer.modelToScreen(c.beads[{bead}]))")
        left, top = self.script("() => [window.scrollX, window.scrollY]")
        self.page.mouse.move(x - left - 8, y - top - 8)
        self.page.mouse.move(x - left, y - top, steps=3)
        self.until("() => document.querySelector('.cs-note').textContent")
        return self.text(".cs-note")

def expect(true, text):
    if not true: raise AssertionError(text)

def changed(a, b):
    "Share of the pixels that differ."
    return float((abs(a - b).max(-1) > 12).mean())

def tinted(picture, color, within=60):
    "Number of pixels whose hue and saturation are those of a colour, whatever the light."
    import numpy as np
    rgb = np.array([int(color[i:i + 2], 16) for i in (1, 3, 5)], float)
    unit = picture/np.maximum(picture.max(-1, keepdims=True), 1)
    return (int((abs(unit - rgb/rgb.max()).max(-1) < within/255).sum())
            - int((picture.min(-1) > 235).sum())*bool(rgb.min()/rgb.max() > .75))

# ---------------------------------------------------------------- what is shown

small = dict(width=420, height=260) # pixels cost time: a processor draws them

@cache
def example():
    "Adenylate kinase, its domains, and a swing of its lid."
    import MDAnalysisTests.datafiles as data, torch
    from types import SimpleNamespace
    from cryosphere_nb.geometry import rotate
    from cryosphere_nb.structure import load_structure, select_residues
    adk = load_structure(data.PDB_small)
    domains = torch.zeros(214, dtype=torch.long)
    domains[select_residues(adk, "4AKE", 30, 59)] = 1
    domains[select_residues(adk, "4AKE", 122, 159)] = 2
    lid, hinge, axis = domains == 2, adk.beads[121], torch.tensor([0., .6, .8])
    swing = torch.stack([torch.where(lid[:, None], rotate(adk.beads - hinge, a*axis) + hinge, adk.beads)
                         for a in torch.linspace(0, 1., 12)])
    return SimpleNamespace(adk=adk, domains=domains, lid=lid, parts=dict(CORE=domains == 0, NMP=domains == 1, LID=lid),
                           swing=swing, reach=(adk.beads - hinge).norm(dim=-1)*lid)

def surface_done(b):
    b.until("() => { var v = document.querySelector('[id^=\"3dmolviewer_\"]').cryosphere.viewer, "
            "s = Object.values(v.surfaces); return s.length && s.every(x => x.every(y => y.done)); }")
    b.settle()

def segments():
    from cryosphere_nb.viewers import view_segments
    e = example()
    return [view_segments(e.adk, e.domains, domains=e.parts, **small)]

def use_segments(b):
    from cryosphere_nb.plotting import segment_colors
    first = b.picture()
    for color, label in zip(segment_colors(3), range(3)):
        expect(tinted(first, color) > 200, f"segment {label} is not seen in its colour")
    yield "cartoon"
    b.click("[data-look=beads]")
    b.settle()
    beads = b.picture()
    filled = lambda picture: int((picture.min(-1) < 230).sum())
    expect(changed(first, beads) > .03 and filled(beads) > 1.4*filled(first),
           "beads are not seen, or do not touch each other")
    yield "beads"
    b.click("[data-look=surface]")
    surface_done(b)
    b.settle()
    surface = b.picture()
    expect(changed(beads, surface) > .03 and filled(surface) > 1.2*filled(beads), "no surface")
    for color in segment_colors(3):
        expect(tinted(surface, color) > 200, f"the surface lacks the colour {color}")
    yield "surface"
    b.click("[data-look=cartoon]")
    b.click(".cs-chips [data-segment='2']")
    b.settle()
    alone = b.picture()
    expect(tinted(alone, segment_colors(3)[0]) < 20 < tinted(alone, segment_colors(3)[2]),
           "a click on segment 2 does not leave it alone in colour")
    yield "alone"
    b.click(".cs-bar [data-segment='2']")
    b.settle()
    expect(changed(first, b.picture()) < .002, "a second click, on the bar, does not bring the colours back")
    b.path("canvas", [(.5, .5), (.7, .4)])
    b.settle()
    expect(changed(first, b.picture()) > .03, "dragging does not turn the molecule")
    yield "turned"
    found = b.hover(147)
    expect(re.fullmatch(r"4AKE 148 \w+ · segment 2", found), f"the note under the mouse says '{found}'")

def motion():
    from cryosphere_nb.viewers import view_motion
    e = example()
    return [view_motion(e.adk, e.swing, e.domains, domains=e.parts, **small)]

def use_motion(b):
    swing = example().swing.numpy()
    off = lambda k: abs(b.beads() - swing[k]).max()
    expect(off(0) < .02, "the first frame is not where it should be")
    start = b.picture()
    yield "first frame"
    b.script("""() => { // which clocks run, and how fast they were asked to
        const start = window.setInterval, stop = window.clearInterval; window.clocks = new Map(); window.steps = 0;
        window.setInterval = (f, ms) => { const id = start(f, ms); clocks.set(id, ms); return id; };
        window.clearInterval = id => { clocks.delete(id); stop(id); };
        const all = {childList: true, characterData: true, subtree: true};
        new MutationObserver(() => window.steps++).observe(document.querySelector('.cs-count'), all); }""")
    gap = {}
    for speed in (.25, 4): # a pass of 12 frames takes 1.6 s at speed 1
        b.choose(".cs-speed", speed)
        b.slide(".cs-frame", 0)
        b.script("() => { window.steps = 0; }")
        b.click(".cs-play")
        b.until("() => window.steps > 2")
        (gap[speed],) = b.script("() => [...clocks.values()]")
        b.click(".cs-play")
        expect(b.script("() => clocks.size") == 0, "the pause button stops no clock")
        still, step = b.beads(), b.script("() => window.steps")
        b.frames(20)
        expect(abs(still - b.beads()).max() == 0 and step == b.script("() => window.steps"),
               "the pause button does not stop the motion")
        # after so many it may be back
        expect(abs(still - swing[0]).max() > .1 or step > 10, "the play button moves nothing")
    expect(abs(gap[.25] - 1600/12*4) < 1 and gap[4] <= gap[.25]/10,
           f"the menu does not set the speed: {gap} ms a frame")
    b.slide(".cs-frame", 11)
    b.settle()
    expect(off(11) < .02 and b.text(".cs-count") == "frame 12 of 12", "the slider does not lead to the last frame")
    expect(changed(start, b.picture()) > .01, "the picture of the last frame is that of the first")
    yield "last frame"
    b.click("[data-look=beads]")
    b.slide(".cs-frame", 5)
    b.settle()
    expect(off(5) < .02 and changed(start, b.picture()) > .03, "beads do not follow the slider")
    yield "beads"

def change():
    from cryosphere_nb.viewers import view_change
    e = example()
    return [view_change(e.adk, e.swing[0], e.swing[-1] + 7, e.domains, on=~e.lid, **small)]

def use_change(b):
    e = example()
    expect(abs(b.beads() - e.swing[-1].numpy()).max() < .03, "the second conformation is not superposed on the first")
    before = b.beads("c.viewer.getModel(1).selectedAtoms({}).filter(a => a.ball)")
    expect(abs(before - e.swing[0].numpy()).max() < .03, "the grey copy is not the first conformation")
    n = int(((e.swing[-1] - e.swing[0]).norm(dim=-1) >= 1).sum())
    expect(b.molecule("c.arrows()") == n, f"{b.molecule('c.arrows()')} arrows for {n} residues that moved")
    both = b.picture()
    yield "both"
    b.click(".cs-arrows")
    b.settle()
    bare = b.picture()
    expect(changed(both, bare) > .003, "arrows cannot be switched off")
    yield "no arrows"
    b.click(".cs-before")
    b.settle()
    after = b.picture()
    expect(changed(bare, after) > .003, "the first conformation cannot be switched off")
    yield "after only"
    b.click(".cs-before")
    b.click(".cs-arrows")
    b.settle()
    expect(changed(both, b.picture()) < .002, "switching back on does not bring both back")

def bar():
    from cryosphere_nb.viewers import view_bar
    e = example()
    return [view_bar(e.adk, e.domains, e.parts)]

def use_bar(b):
    from cryosphere_nb.plotting import segment_colors
    place = lambda q: b.script(
        "q => [...document.querySelectorAll(q)].map(e => { var r = e.getBoundingClientRect(); "
        "return [r.left, r.right]; })".replace("q =>", "() => (q =>", 1) + f")({json.dumps(q)})")
    boxes, names = place(".cs-bar rect"), place(".cs-domains span")
    expect(len(boxes) == len(names) == 5
           and all(abs(x - y) < 2.5 for r, s in zip(boxes, names) for x, y in zip(r, s)),
           f"domains do not stand below their ranges: {boxes} {names}")
    strip = b.picture("svg.cs-bar")
    for color in segment_colors(3): expect(tinted(strip, color) > 100, f"the bar lacks the colour {color}")
    yield "bar"

def density():
    from cryosphere_nb.image_viewers import view_density
    from cryosphere_nb.core import pixel_axis
    e, x = example(), pixel_axis(48, 2.)
    r = (x[:, None, None]**2 + x[:, None]**2 + x**2).sqrt() # a cone: the level says the radius
    return [view_density(e.adk, 60 - r, 2., (e.adk.beads.mean(0) - 48).tolist(), e.domains, **small)]

def use_density(b):
    import numpy as np
    centre = example().adk.beads.mean(0).numpy()
    def check():
        v, normal = (np.array(b.molecule(f"c.map.{k}.map(p => [p.x, p.y, p.z])")) for k in ("vertexArr", "normalArr"))
        level, faces = b.molecule("c.level"), np.array(b.molecule("c.map.faceArr")).reshape(-1, 3)
        r = np.linalg.norm(v - centre, axis=-1)
        # grey steps of 0.15 Å, and chords of a 2 Å grid
        expect(len(v) > 500 and abs(r - (60 - level)).max() < .35,
               f"the surface at level {level:.1f} has radii from {r.min():.2f} to {r.max():.2f}, "
               f"not {60 - level:.2f} Å")
        expect(((v - centre)*normal).sum(-1).min() > 0, "normals point inwards")
        p, q, s = v[faces].transpose(1, 0, 2)
        volume = (np.cross(p, q)*s).sum()/6 - (np.cross(q - p, s - p) @ centre).sum()/6
        expect(abs(volume/(4/3*np.pi*(60 - level)**3) - 1) < .03,
               f"the surface encloses {volume:.0f} Å³: it has holes, or faces that look the other way")
        return r.mean()
    def redrawn(act):
        "Until there is another surface."
        b.script("() => { window.last = document.querySelector('[id^=\"3dmolviewer_\"]').cryosphere.map; }")
        act()
        b.until("() => document.querySelector('[id^=\"3dmolviewer_\"]').cryosphere.map !== window.last")
        b.settle()
    first, wide = b.picture(), check()
    yield "level"
    redrawn(lambda: b.slide(".cs-level", 500))
    expect(check() < wide - 3 and changed(first, b.picture()) > .02, "the level slider does not move the surface")
    yield "higher level"
    surface = b.picture()
    redrawn(lambda: b.click(".cs-mesh"))
    expect(changed(surface, b.picture()) > .01, "no mesh")
    yield "mesh"

@cache
def particles():
    import torch
    from cryosphere_nb.core import generator, pixel_axis
    x = pixel_axis(32)
    clean = torch.stack([torch.exp(-((x - dx)**2 + (x[:, None] + dx/2)**2)/30) for dx in torch.linspace(-8, 8, 9)])
    return clean + .3*torch.randn(clean.shape, generator=generator(0)), 2*clean + 5

def images():
    from cryosphere_nb.image_viewers import view_images
    return [view_images(*particles(), [f"particle <{i}>" for i in range(9)], smooth=0)]

def use_images(b):
    import numpy as np
    from scipy.ndimage import gaussian_filter
    from cryosphere_nb.image_viewers import compare_images
    panels = [p.numpy() for p in compare_images(*particles())[:3]]
    shown = lambda: np.array(b.script(
        "() => document.querySelector('[data-images]').cryosphere.panels.map(p => Array.from(p))")).reshape(3, 32, 32)
    def check(i, sigma):
        for found, p, name in zip(shown(), panels, ("observed", "predicted", "residual")):
            wanted = gaussian_filter(p[i], sigma, mode="nearest") if sigma else p[i]
            expect(abs(found - wanted).max() < .02,
                   f"{name} image of particle {i} with blur {sigma} differs from SciPy's by "
                   f"{abs(found - wanted).max():.3f}")
    check(0, 0)
    expect(b.text(".cs-caption").startswith("particle <0> · correlation 0."), "caption")
    first = [b.picture("canvas", n) for n in range(3)]
    yield "first"
    b.slide(".cs-particle", 8)
    check(8, 0)
    expect(all(changed(f, b.picture("canvas", n)) > .05 for n, f in enumerate(first)),
           "the slider does not change the images")
    expect(b.text(".cs-caption").startswith("particle <8>"), "the caption does not follow the slider")
    yield "last"
    b.slide(".cs-smooth", 2)
    check(8, 2)
    yield "blurred"
    common = b.picture("canvas", 2)
    b.click(".cs-same")
    expect(b.picture("canvas", 2).std() > 1.5*common.std(), "the residual is not stretched to its own contrast")
    yield "own scales"

def values():
    from cryosphere_nb.viewers import view_values
    e = example()
    return [view_values(e.adk, e.reach, "reach, Å", domains=e.parts, **small)]

def use_values(b):
    from cryosphere_nb.viewers import scale_colors
    first, colors = b.picture(), scale_colors("viridis")
    for i in (0, 32, 60): expect(tinted(first, colors[i]) > 10, f"colour {i} of 64 is not seen")
    expect(tinted(first, colors[0]) > 3*tinted(first, colors[60]),
           "what is low does not have the colour of the low end")
    profile = b.picture("svg.cs-profile")
    expect(tinted(profile, colors[50]) > 5, "the profile is not coloured")
    yield "cartoon"
    i = int(example().reach.argmax())
    expect(f"{float(example().reach[i]):.3g} (reach, Å)" in (found := b.hover(i)),
           f"the note under the mouse says '{found}'")
    b.click("[data-look=surface]")
    surface_done(b)
    b.settle()
    expect(changed(first, b.picture()) > .03, "no surface")
    yield "surface"

def several():
    """Two different viewers and the first once more on one page, with nucleotides, ligands and a trace; every canvas
    must be drawn."""
    import MDAnalysisTests.datafiles as data, torch
    from cryosphere_nb.structure import load_structure, structure_from_beads
    from cryosphere_nb.viewers import view_segments
    e, rna = example(), load_structure(data.RNA_PDB)
    first = view_segments(rna, torch.arange(rna.n_beads)//8, **small)
    turn = torch.arange(300.)*3.8/20
    trace = structure_from_beads(torch.stack([20*turn.cos(), 20*turn.sin(), turn*1.5], -1))
    return [first, view_segments(e.adk, e.domains, style="beads", **small),
            view_segments(trace, torch.arange(300)//60, **small), first]

def use_several(b):
    for n in range(4):
        expect((b.picture("canvas", n).min(-1) < 230).mean() > .01, f"canvas {n + 1} of 4 is empty")
    expect(changed(b.picture("canvas", 0), b.picture("canvas", 3)) < .002,
           "the same view looks different the second time")
    yield "four"

pages = [Page("segments", segments, use_segments), Page("motion", motion, use_motion),
         Page("change", change, use_change), Page("bar", bar, use_bar), Page("density", density, use_density),
         Page("images", images, use_images), Page("values", values, use_values),
         Page("several", several, use_several)]

# ---------------------------------------------------------------- names from somebody else

# What each would do, if it were taken for more than a name: leave a mark.
hostile = ("</script><script>window.ran = 'a script'</script>", "<img src=x onerror=\"window.ran = 'an image'\">",
           "\" onmouseover=\"window.ran = 'an attribute'\" x=\"", "' onmouseover='window.ran = 1' x='",
           "<!--<script>window.ran = 'a comment'", "];window.ran='JSON';[", "${window.ran = 'a template'}",
           "@3dmol.js@ UNIQUEID @data@ @view@")

def named_structure(structure, names=hostile):
    "The structure with these names as chains, one after another, as names of residues, and as its own."
    from dataclasses import replace
    R, owner = structure.n_beads, structure.residue_of_atom.numpy()
    residues = structure.residues.assign(chain=[names[i*len(names)//R] for i in range(R)],
                                         residue_name=[names[i % len(names)] for i in range(R)])
    return replace(structure, atoms=structure.atoms.assign(chain=residues.chain.to_numpy()[owner],
                                                           residue_name=residues.residue_name.to_numpy()[owner]),
                   residues=residues, name=names[0])

def names_pages(folder):
    "Pages of a run whose model, and of tables whose columns, have hostile names: file -> HTML."
    import numpy as np
    from browser_explorer import untrained_run
    from dataclasses import replace
    from cryosphere_nb.analysis import report
    from cryosphere_nb.explorer import explore, landscape
    from cryosphere_nb.image_viewers import view_images
    from cryosphere_nb.viewers import save_page, view_bar, view_change, view_motion, view_segments, view_values
    e = example()
    adk, run = named_structure(e.adk), untrained_run(300, folder)
    run = replace(run, nominal=named_structure(run.nominal))
    domains = dict(zip(hostile, e.parts.values()))
    land = landscape(run, {hostile[0]: np.array(hostile, object)[np.arange(300) % len(hostile)],
                           hostile[1]: np.arange(300.)},
                     star=(), maps={hostile[2]: np.random.default_rng(0).normal(size=(300, 2))})
    # as a notebook shows it
    explorer, page = (explore(run, land),
                      lambda view: f"<!DOCTYPE html><meta charset='utf-8'>{view._repr_html_()}")
    save_page(folder/"every.html", hostile[0], hostile[1], view_segments(adk, e.domains, domains=domains, **small),
              view_change(adk, e.swing[0], e.swing[-1], e.domains, **small),
              view_values(adk, e.reach, hostile[2], **small), view_bar(adk, e.domains, domains),
              view_images(*particles(), [*hostile, "last"]), land.columns.head(8))
    save_page(folder/"explorer.html", hostile[0], explorer)
    for name, view in dict(cell=view_motion(adk, e.swing, e.domains, domains=domains, **small),
                           explorer_cell=explorer).items():
        (folder/f"{name}.html").write_text(page(view), encoding="utf-8")
    return [report(run, folder/"report")["page"],
            *(folder/f"{name}.html" for name in ("every", "explorer", "cell", "explorer_cell"))]

def use_names(b):
    "Point, click and choose wherever a name is shown."
    frames = [f for f in b.page.frames
              if f.evaluate("() => !!(window.$3Dmol || document.querySelector('.cryosphere-view'))")]
    for f in frames:
        f.evaluate("""() => {
            const all = selector => document.querySelectorAll(selector);
            const tell = (element, kind) => element.dispatchEvent(new Event(kind));
            const moves = ['mouseover', 'mouseenter', 'mousemove'];
            const point = e => moves.forEach(kind => e.dispatchEvent(new MouseEvent(kind, {bubbles: true})));
            all('[title], [data-segment], .cs-note, .csx-chip, td, th, p').forEach(point);
            all('.cs-particle').forEach(e => {
                for (e.value = 0; e.value < 9; e.value++) { tell(e, 'input'); if (e.value == e.max) break; } });
            all('.csx-map, .csx-color').forEach(e => {
                for (const option of e.options) {
                    e.value = option.value;
                    tell(e, 'change');
                    all('.csx-chip').forEach(chip => chip.click()); } });
            all('.csx-color').forEach(e => { e.value = 0; tell(e, 'change'); }); }""")
    return frames

def try_names(context, folder, pictures):
    """Open pages with hostile names: nothing of them runs, and they are read as they are.

    Returns what went wrong, or None."""
    sys.path.insert(0, str(root/".ci"))
    environ["CRYOSPHERE_3DMOL_JS"] = str(library/"build/3Dmol-min.js")
    wrong = []
    try:
        for path in names_pages(folder):
            tab = context.new_page()
            b = Browser(tab)
            tab.on("pageerror", lambda e: b.complaints.append(f"script error: {e}"))
            try:
                tab.goto(path.as_uri())
                if path.stem == "explorer_cell":
                    b.until("() => document.querySelector('iframe').contentDocument.readyState == 'complete'")
                b.until("() => [...document.querySelectorAll('[id^=\"3dmolviewer_\"]')]"
                        ".every(e => e.querySelector('canvas')) && (!document.querySelector('.csx') || "
                        "window.cryosphereExplorer && cryosphereExplorer.drawn)", tab.frames[-1])
                b.settle()
                frames = use_names(b)
                b.settle()
                shown = "\n".join(f.evaluate(
                    "() => document.body.textContent + "
                    "[...document.querySelectorAll('[title]')].map(e => e.title).join('\\n')") for f in frames)
                expect(frames and all(name in shown for name in hostile),
                       f"not shown as text: {[name for name in hostile if name not in shown]}")
                tab.set_viewport_size(dict(width=375, height=800))
                b.settle() # a telephone
                expect((width := b.script("() => document.documentElement.scrollWidth")) <= 375,
                       f"on a screen of 375 pixels the page is {width} wide")
                if path.stem == "viewer":
                    expect(tab.title() == f"{hostile[0]}: 300 images", f"the title is '{tab.title()}'")
                if path.stem == "cell":
                    expect(hostile[5] in (found := b.hover(214*5//8 + 9)), f"the note under the mouse says '{found}'")
            except Exception as e:
                b.complaints.append(str(e) if isinstance(e, AssertionError) else f"{type(e).__name__}: {e}")
            finally:
                b.complaints += [f"a name was run, as {ran}" for f in tab.frames
                                 if (ran := f.evaluate("() => window.ran"))]
                if pictures: tab.screenshot(path=pictures/f"names-{path.stem}.png", full_page=True)
                tab.close()
            wrong += [f"{path.name}: {c}" for c in b.complaints]
    except Exception as e: return f"{type(e).__name__}: {e}"
    finally: environ.pop("CRYOSPHERE_3DMOL_JS", None)
    return "\n    ".join(wrong) or None

# ---------------------------------------------------------------- run them

def try_page(context, page, folder, pictures):
    "Build, open, use; returns what went wrong, or None."
    from cryosphere_nb.viewers import save_page
    path = save_page(folder/f"{page.name}.html", page.name, *page.build(), js=str(library/"build/3Dmol-min.js"))
    tab = context.new_page()
    b = Browser(tab)
    tab.on("pageerror", lambda e: b.complaints.append(f"script error: {e}"))
    tab.on("console", lambda m: m.type == "error" and b.complaints.append(f"console: {m.text}"))
    tab.on("request", lambda r: r.url.startswith(("file:", "data:", "blob:"))
                                or b.complaints.append(f"a request left the page: {r.url[:100]}"))
    try:
        tab.goto(path.as_uri())
        if "3dmolviewer" in path.read_text(encoding="utf-8"):
            b.until("() => [...document.querySelectorAll('[id^=\"3dmolviewer_\"]')]"
                    ".every(e => e.cryosphere && e.querySelector('canvas'))")
            b.settle()
        for n, step in enumerate(page.use(b)):
            if pictures:
                tab.screenshot(path=pictures/f"{page.name}-{n}-{step.replace(' ', '_')}.png", full_page=True)
    except Exception as e: # what a test may raise: our own expectations, Playwright's timeouts
        if pictures: tab.screenshot(path=pictures/f"{page.name}-failed.png", full_page=True)
        b.complaints.append(str(e) if isinstance(e, AssertionError) else f"{type(e).__name__}: {e}")
    finally: tab.close()
    return "\n".join(b.complaints) or None

def try_explorer(chromium, folder):
    "The explorer has a test of its own, which compares the page with Python; returns what went wrong, or None."
    sys.path.insert(0, str(root/".ci"))
    environ["CRYOSPHERE_3DMOL_JS"] = str(library/"build/3Dmol-min.js")
    from browser_explorer import test_explorer
    tab = chromium.new_page(viewport=dict(width=1200, height=900))
    tab.set_default_timeout(1000*most_seconds)
    try: test_explorer(tab, folder)
    except Exception as e: return f"{type(e).__name__}: {e}"
    finally: tab.close()

def main():
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", choices=[[], *(p.name for p in pages), "names", "explorer"], default=[])
    parser.add_argument("--pictures", type=Path)
    asked = parser.parse_args()
    try: from playwright.sync_api import sync_playwright
    except ImportError: missing("Playwright is not installed")
    browser = next((found for b in browsers if b and (found := shutil.which(b))), None)
    if not browser: missing("no Chromium (Debian: apt-get install chromium)")
    if not (library/"package.json").exists():
        missing("no local 3Dmol.js (npm install 3dmol; .ci/browser.sh does it)")
    from cryosphere_nb.viewers import viewer_script
    environ.pop("CRYOSPHERE_3DMOL_JS", None)
    version = json.loads((library/"package.json").read_text(encoding="utf-8"))["version"]
    if f"3dmol@{version}/" not in viewer_script():
        missing(f"the local 3Dmol.js has version {version}, py3Dmol names {viewer_script()}: run .ci/browser.sh")
    if asked.pictures: asked.pictures.mkdir(parents=True, exist_ok=True)
    failed = 0
    with sync_playwright() as p, tempfile.TemporaryDirectory() as tmp:
        chromium = p.chromium.launch(executable_path=browser, args=flags, headless=True)
        context = chromium.new_context(viewport=dict(width=520, height=520), offline=True)
        context.set_default_timeout(1000*most_seconds)
        tries = {page.name: lambda page=page: try_page(context, page, Path(tmp), asked.pictures) for page in pages}
        tries |= {"names": lambda: try_names(context, Path(tmp), asked.pictures),
                  "explorer": lambda: try_explorer(chromium, Path(tmp))}
        for name, attempt in tries.items():
            if asked.names and name not in asked.names: continue
            start = time.time()
            wrong = attempt()
            failed += bool(wrong)
            print(f"{'FAILED' if wrong else 'passed':8}{time.time() - start:5.1f} s  {name}"
                  + (f"\n    {wrong}" if wrong else ""), flush=True)
        chromium.close()
    return int(failed > 0)

if __name__ == "__main__": sys.exit(main())
