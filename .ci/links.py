"""Does every link of the documentation site lead somewhere, and can every page be read as it is meant? Read from what
Quarto would read: _proc, which `.ci/docs.py --prepare` makes.

    .ci/links.py [FOLDER]     prints what is wrong; exit code 1 if anything is

Links between pages, their anchors, images, links into the repository and to Colab, names of the package in backticks
(`room.name`) and in imports of shown code, the sidebar, the files and keys of _quarto.yml; whether text is held in
lists of lines, every figure has a text for those who cannot see it, code shows no links, and no modules that are not
there, and what one cell defines is documented in its order.
"""
import json, posixpath, re, sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import yaml
from cryosphere_site import fence, get_config, is_figure, joined, public_names, shown_name, tree

root = Path(__file__).resolve().parent.parent
# Of Quarto's schema (website, closed): an unknown key stops the rendering.
website_keys = set((
    "title description favicon site-url site-path repo-url repo-link-target repo-link-rel repo-subdir repo-branch "
    "issue-url repo-actions reader-mode search navbar sidebar body-header body-footer margin-header margin-footer "
    "page-navigation back-to-top-navigation bread-crumbs page-footer image image-alt comments open-graph twitter-card "
    "other-links code-links announcement draft-mode drafts google-analytics cookie-consent llms-txt").split())

def in_lines(text):
    "Is it a list, each part of which is one line and, but for the last, ends with a line feed?"
    return isinstance(text, list) and text == "".join(text).splitlines(keepends=True)

def slug(heading):
    "Identifier that pandoc gives a heading."
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"<[^>]+>", "", heading)) # links and tags leave their text
    text = re.sub(r"[^\w\s.-]", "", text.replace("*", "").replace("`", "")).lower().strip()
    return re.sub(r"^[^a-z]+", "", re.sub(r"\s+", "-", text)) or "section"

@dataclass
class Page:
    "What a page offers (anchors) and what it asks for (links)."
    file:str # its output, relative to the site
    anchors:set = field(default_factory=set)
    links:list = field(default_factory=list) # targets
    code:list = field(default_factory=list) # text in backticks
    imports:list = field(default_factory=list) # (room, name) in shown Python
    errors:list = field(default_factory=list)

    def read_markdown(self, text):
        for m in fence.finditer(text):
            self.imports += imported(m[0])
            self.errors += [f"a link in code, shown as it is written: {link}"
                            for link in re.findall(r"\[`[^`]+`\]\(.*?\)", m[0])]
        text = fence.sub("", text)
        for hashes, heading in re.findall(r"^(#{1,6})\s+(.+?)\s*$", text, re.M):
            own = re.search(r"\{[^}]*#([\w.:-]+)[^}]*\}$", heading)
            if "](" in heading: self.errors.append(f"a link in the heading {heading}")
            self.anchor(own[1] if own else slug(heading))
        self.anchors |= set(re.findall(r"\]\{#([\w.:-]+)", text)) | set(re.findall(r'\bid="([^"]+)"', text))
        self.code += re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
        text = re.sub(r"(?<!`)`[^`\n]+`(?!`)|\$\$.*?\$\$|\$[^$\n]+\$", "", text, flags=re.S)
        self.links += (re.findall(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)", text)
                       + re.findall(r"<(?:a|img|source)\b[^>]*?(?:href|src|srcset)=\"([^\"]+)\"", text))

    def anchor(self, name):
        n = 0
        while (unique := name if n == 0 else f"{name}-{n}") in self.anchors: n += 1
        self.anchors.add(unique)

    def read_html(self, text):
        self.anchors |= set(re.findall(r"\bid=['\"]([\w.:-]+)['\"]", text))
        tags = re.findall(r"<(?:a|img|script|link|iframe)\b[^>]*?(?:href|src)=[\"']([^\"'+{}]+)[\"']", text)
        self.links += [t for t in tags if not t.startswith(("data:", "#", "@"))]

def imported(text):
    "Rooms and names that a piece of Python imports from the package."
    found = []
    for room, names in re.findall(r"from cryosphere_nb\.(\w+) import ([\w, ]+)", text):
        found += [(room, n.split(" as ")[0].strip()) for n in names.split(",")]
    return found

def read_page(path, proc):
    nb = json.loads(path.read_text(encoding="utf-8"))
    front = next((yaml.safe_load(joined(c["source"]).strip().strip("-")) for c in nb["cells"]
                  if c["cell_type"] == "raw"), {}) or {}
    folder = path.relative_to(proc).parent
    page = Page((folder/front.get("output-file", path.with_suffix(".html").name)).as_posix())
    if not front.get("title"): page.errors.append("no title")
    page.errors += jumbled(nb["cells"])
    ids = [c.get("id") for c in nb["cells"]]
    if any(c["cell_type"] == "code" for c in nb["cells"]) and "open-in-colab" not in ids:
        page.errors.append("the page was not finished: `procs` in settings.ini does not name cryosphere_site:Finish")
    for c in nb["cells"]:
        for text in (c["source"], *(o.get("data", {}).get("text/markdown", []) for o in c.get("outputs", []))):
            if not in_lines(text):
                page.errors.append(f"cell {c.get('id')} holds text that is no list of lines: Quarto would join them")
        if c["cell_type"] == "markdown":
            page.read_markdown(joined(c["source"]))
            page.errors += escaped(joined(c["source"]))
        page.errors += untold(c)
        for o in c.get("outputs", []):
            if o["output_type"] == "error": page.errors.append("a stored output is an error")
            if "text/markdown" in o.get("data", {}):
                page.read_markdown(text := joined(o["data"]["text/markdown"]))
                page.errors += [f"a module that is not there: {l.strip()}" for l in text.split("\n") if "__main__" in l]
            if "text/html" in o.get("data", {}): page.read_html(joined(o["data"]["text/html"]))
    return page

def jumbled(cells):
    "Names whose documentation stands directly before that of a name which the package defines earlier."
    places = {(room, n.name): n.lineno for room in public_names() for n in tree(room).body if hasattr(n, "name")}
    shown = [c["cell_type"] == "code" and shown_name(joined(c["source"])) for c in cells]
    for a, b in zip(shown, shown[1:]):
        rooms = [room for room in public_names() if (room, a) in places and (room, b) in places]
        if rooms and places[rooms[0], a] > places[rooms[0], b]: yield f"{a} is documented before {b}"

def untold(cell, fewest=4):
    "Figures of a cell, drawn or linked, without a text of at least a few words for those who cannot see them."
    source, words = joined(cell["source"]), lambda text: len(text.split())
    if cell["cell_type"] == "markdown":
        linked = re.findall(r"!\[([^\]]*)\]\(", source) + re.findall(r"<img\b(?![^>]*\balt=\")", source)
        linked += re.findall(r"<img\b[^>]*\balt=\"([^\"]*)\"", source)
        return [f"cell {cell.get('id')}: a picture with the text '{t}'" for t in linked if words(t) < fewest]
    told = re.search(r"^#\| fig-alt: (.+)$", source, re.M)
    if not is_figure(cell) or told and words(yaml.safe_load(told[1])) >= fewest: return []
    return [f"cell {cell.get('id')}: a figure without a text; write in the cell before, or below it, what to see"]

def escaped(source):
    "Formulas in a line whose commands have two backslashes, which break the line instead."
    found = re.findall(r"\$[^$\n]*?\\\\[a-zA-Z][^$\n]*?\$", source)
    return [f"a formula with two backslashes where one is meant: {m}" for m in found]

def check_target(target, page, pages, by_file, proc):
    "What is wrong with a link of a page, or None."
    cfg = get_config()
    site, blob = (f"{cfg.doc_host}{cfg.doc_baseurl}/",
                  rf"(?:{re.escape(cfg.git_url)}|https://colab\.research\.google\.com/github/{cfg.user}/{cfg.repo})"
                  r"/(?:blob|tree)/([^/]+)/([^#]+)")
    if m := re.match(blob, target):
        if m[1] != cfg.branch: return f"branch {m[1]}, expected {cfg.branch}"
        return None if (root/unquote(m[2])).exists() else f"the repository has no {m[2]}"
    inside = target.startswith(site)
    if not inside and re.match(r"[a-z][a-z0-9+.-]*:|//", target): return None # other sites are not asked
    name, _, anchor = (target[len(site):] if inside else target).partition("#")
    here = "" if inside else posixpath.dirname(page.file)
    file = posixpath.normpath(posixpath.join(here, unquote(name))) if name else page.file
    if file.startswith(".."): return "leads out of the site; link to the repository instead"
    found = pages.get(file) or by_file.get(file)
    if not found and not (proc/file).is_file(): return "no such page or file"
    if anchor and found and unquote(anchor) not in found.anchors: return f"{found.file} has no #{anchor}"
    if anchor and not found: return "an anchor in a file that is no page"

def check_names(page, names,
                files=("cif", "pdb", "star", "csv", "png", "html", "json", "toml", "py", "gz", "cs", "mrc", "mrcs",
                       "npy", "npz", "js", "css", "safetensors", "cxc", "xtc", "dcd", "txt", "ipynb")):
    "Names of the package in backticks and in imports that are not there."
    every = set().union(*names.values())
    for text in page.code:
        if ((m := re.match(r"(cryosphere_nb\.)?(\w+)\.([A-Za-z_]\w*)(?:[(.].*)?$", text)) and m[2] in names
                and m[3] not in files):
            # also names of variables and of their attributes
            attributes = m[2] in ("model", "train", "plan", "decoder", "image", "maps", "core", "particles",
                                  "structure", "learner", "encoders") and not m[1]
            if m[3] not in names[m[2]] and not hasattr_of(m[2], m[3]) and (not attributes or m[3] in every):
                yield f"`{text}`: room {m[2]} has no {m[3]}"
        elif (m := re.match(r"cryosphere_nb\.(\w+)$", text)) and m[1] not in names:
            yield f"`{text}`: no such room"
    for room, name in page.imports:
        if room not in names or name not in names[room] and not hasattr_of(room, name):
            yield f"from cryosphere_nb.{room} import {name}: not there"

def hasattr_of(room, name):
    "Is a name defined in a room, though not public?"
    return any(getattr(n, "name", "") == name for n in tree(room).body)

def check_settings(proc, pages, by_file):
    "The sidebar and _quarto.yml."
    contents = yaml.safe_load((proc/"sidebar.yml").read_text(encoding="utf-8"))["website"]["sidebar"]["contents"]
    listed = [item["href"] for s in contents for item in s["contents"]]
    for name in sorted(set(pages) - set(listed)): yield f"sidebar: {name} is missing"
    for name in sorted(set(listed) - set(pages)): yield f"sidebar: there is no {name}"
    for name in {n for n in listed if listed.count(n) > 1}: yield f"sidebar: {name} is listed twice"
    chapters = [n for n in listed if re.match(r"\d\d_", n)]
    if chapters != sorted(chapters): yield "sidebar: chapters are not in the order of their numbers"
    settings = yaml.safe_load((proc/"_quarto.yml").read_text(encoding="utf-8"))
    site, css = settings["website"], settings["format"]["html"]["css"]
    for key in sorted(set(site) - website_keys): yield f"_quarto.yml: Quarto knows no website.{key}"
    files = [site.get("favicon"), site.get("image"), *([css] if isinstance(css, str) else css),
             *settings.get("metadata-files", ()), *settings["project"].get("resources", ())]
    for name in files:
        if not name or not (proc/name.lstrip('/')).is_file(): yield f"_quarto.yml: there is no file {name}"
    for item in site["navbar"].get("left", []) + site["navbar"].get("right", []):
        if isinstance(item, dict) and not re.match(r"https?:", item["href"]) and item["href"] not in pages:
            yield f"_quarto.yml, navbar: there is no {item['href']}"

def check(proc):
    "All that is wrong in a folder of prepared sources."
    found = {p.relative_to(proc).as_posix(): read_page(p, proc) for p in sorted(proc.rglob("*.ipynb"))
             if ".ipynb_checkpoints" not in p.parts}
    by_file, names, wrong = {p.file: p for p in found.values()}, public_names(), []
    if len(by_file) < len(found):
        wrong.append("two notebooks make the same page: "
                     + ", ".join(sorted(n for n, p in found.items() if by_file[p.file] is not p)))
    for name, page in found.items():
        wrong += [f"{name}: {e}" for e in page.errors]
        wrong += [f"{name}: ({t}) {text}" for t in dict.fromkeys(page.links)
                  if (text := check_target(t, page, found, by_file, proc))]
        wrong += [f"{name}: {text}" for text in dict.fromkeys(check_names(page, names))]
    twice = {n: rooms for n in set().union(*names.values()) if len(rooms := [r for r in names if n in names[r]]) > 1}
    wrong += [f"`{n}` is a public name of {' and '.join(rooms)}: links cannot tell them apart"
              for n, rooms in sorted(twice.items())]
    return wrong + list(check_settings(proc, found, by_file)), len(found), sum(len(p.links) for p in found.values())

if __name__ == "__main__":
    wrong, n_pages, n_links = check(Path(sys.argv[1]) if sys.argv[1:] else root/"_proc")
    print("\n".join(wrong) or f"{n_links} links on {n_pages} pages lead somewhere")
    sys.exit(bool(wrong))
