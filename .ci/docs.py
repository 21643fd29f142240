"""Prepare the notebooks for Quarto, as `nbdev_docs` does, and render the site if Quarto is installed. Never tries to
install it.

    .ci/docs.py              the site: sources in _proc, pages in _docs if there is Quarto
    .ci/docs.py --prepare    the sources only
    .ci/docs.py --refresh    only what is kept in the repository: nbs/sidebar.yml and the output of nbs/api.ipynb

Beyond what nbdev does: the sidebar in reading order; members of classes below their documentation, so that links such
as `Run.prepare` find them; links between pages relative, so that a preview stays in the preview; `name(argument)`
linked like `name`; on every page with code a link that opens its notebook in Colab; and all text in lists of lines: of
a text in one piece Quarto makes lines without line feeds, and joins them.
"""
import ast, json, re, shutil, subprocess, sys, warnings
from functools import cache
from os.path import relpath
from pathlib import Path

import yaml
import nbdev.quarto as quarto
from nbdev.config import get_config
from nbdev.doclinks import NbdevLookup

root = Path(__file__).resolve().parent.parent
nbs = root/"nbs"

# ---------------------------------------------------------------- sidebar

start = "index", "gallery", "glossary" # pages without a number, in this order; unknown ones come after them
stories = "ten_minutes", "adenylate_kinase", "relion_cryosparc", "empiar_10180", "empiar_12093"
# chapters by number; later ones are tools
decades = {0: "Foundations", 1: "Image formation and model", 2: "Data", 3: "Training", 4: "Analysis"}
folders = {"tutorials": "Tutorials", "paper": "The paper"}
sections = "Start", "Tutorials", "The paper", *decades.values(), "Tools"

def pages(folder=nbs):
    "Notebooks of the site, by path relative to nbs/."
    found = (p.relative_to(folder) for p in folder.rglob("*.ipynb"))
    return sorted(p for p in found if not any(part[0] in "._" for part in p.parts))

def title(path):
    "A page's title, without its subtitle."
    if path.stem == "index": return "Overview"
    for cell in json.loads((nbs/path).read_text(encoding="utf-8"))["cells"]:
        if found := (re.search(r"^# (.+)$", "".join(cell["source"]), re.M) if cell["cell_type"] == "markdown"
                     else None):
            return re.sub(r"[`*]", "", found[1]).split(":")[0].strip()
    raise SystemExit(f"nbs/{path} has no title")

def section(path):
    "Which part of the sidebar a page belongs to."
    if len(path.parts) > 1: return folders.get(path.parts[0], path.parts[0].replace("_", " ").capitalize())
    if path.stem == "api": return "Tools"
    number = re.match(r"(\d\d)_", path.name)
    return decades.get(int(number[1])//10, "Tools") if number else "Start"

def place(path):
    "Reading order within a section."
    known = start if len(path.parts) == 1 else stories
    return (known.index(path.stem) if path.stem in known else len(known), path.name)

def sidebar():
    "Contents of the sidebar: a section for every part of the book."
    parts = {name: [] for name in sections}
    for p in sorted(pages(), key=place):
        parts.setdefault(section(p), []).append(dict(text=title(p), href=p.as_posix()))
    return dict(website=dict(sidebar=dict(contents=[
        dict(section=name, contents=items) for name, items in parts.items() if items])))

def write_sidebar():
    "nbs/sidebar.yml, which Quarto reads besides _quarto.yml."
    text = ("# Written by .ci/docs.py (`make export`): do not edit\n"
            + yaml.dump(sidebar(), sort_keys=False, allow_unicode=True, width=200))
    if not (path := nbs/"sidebar.yml").exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")

# ---------------------------------------------------------------- reference

def refresh_reference():
    "Run the page that lists every public name, unless it names all of them already."
    path = nbs/"api.ipynb"
    stored = path.read_text(encoding="utf-8")
    names = {f"{room}.{name}" for room, listed in public_names().items() for name in listed}
    if names == set(re.findall(r'<code id=\\"([\w.]+)\\">', stored)): return
    subprocess.run([sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace",
                    "--log-level", "ERROR", path.name], cwd=nbs, check=True)
    subprocess.run([Path(sys.executable).parent/"nbdev_clean", "--fname", path], cwd=root, check=True)

@cache
def tree(room): return ast.parse((root/get_config().lib_path.name/f"{room}.py").read_text(encoding="utf-8"))

def public_names():
    "Room -> names in its `__all__`."
    found = {}
    for p in sorted((root/get_config().lib_path.name).glob("[!_]*.py")):
        for n in tree(p.stem).body:
            if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "__all__":
                found[p.stem] = [x for x in ast.literal_eval(n.value) if not x.startswith("_")]
    return found

# ---------------------------------------------------------------- the pages

def members(room, name):
    "Public methods and properties of a class: (name, arguments, first paragraph of the docstring)."
    cls = next((n for n in tree(room).body if isinstance(n, ast.ClassDef) and n.name == name), None)
    for f in cls.body if cls else ():
        if not isinstance(f, ast.FunctionDef) or f.name.startswith("_"): continue
        is_property = any("property" in ast.unparse(d) for d in f.decorator_list)
        arguments = [a.arg for a in f.args.posonlyargs + f.args.args + f.args.kwonlyargs
                     if a.arg not in ("self", "cls")]
        first = " ".join((ast.get_docstring(f) or "").split("\n\n")[0].split())
        yield f.name, "" if is_property else f"({', '.join(arguments)})", first

def with_members(text, room):
    """Documentation of a class, as nbdev shows it, and a table of what the class can do.

    The anchors are those nbdev's links expect."""
    name = re.search(r"^### (\w+)$", text, re.M)
    rows = list(members(room, name[1])) if name else []
    if not rows: return text
    return text + f"\n\n| member of `{name[1]}` | |\n|---|---|\n" + "\n".join(
        f"| [<code>{m}{arguments}</code>]{{#{name[1].lower()}.{m.lower()}}} | {what.replace('|', chr(92) + '|')} |"
        for m, arguments, what in rows) + "\n"

def outside_code(text, change):
    "Change the lines of a Markdown text that are not in a block of code."
    out, fenced = [], False
    for line in text.split("\n"):
        if line.lstrip().startswith("```"): fenced = not fenced
        out.append(line if fenced or line.lstrip().startswith("```") else change(line))
    return "\n".join(out)

def link_calls(line):
    "`name(argument)` linked to the documentation of `name`; nbdev links `name` and `name()`."
    def link(m):
        target = NbdevLookup().doc(m[1])
        return f"[{m[0]}]({target})" if target else m[0]
    return re.sub(r"(?<!\[)(?<!`)`([A-Za-z_][\w.]*)\([^`]+\)`(?![`\]])", link, line)

def relative_links(text, page):
    """Links to pages of the published site as relative ones.

    Private names have no documentation: the link is to their page."""
    cfg = get_config()
    base = re.escape(f"{cfg.doc_host}{cfg.doc_baseurl}/")
    def link(m):
        anchor = "" if re.search(r"(#|\.)_", m[2] or "") else m[2] or ""
        return "](" + relpath(m[1], page.parent.as_posix()) + anchor + ")"
    text = re.sub(rf"\]\({base}([\w/.-]*\.html)(#[^)\s]*)?\)", link, text)
    # Jupyter's anchors keep capitals, pandoc's do not
    return re.sub(r"\]\(((?![a-z]+:)[^)\s#]*)#([^)\s]+)\)", lambda m: f"]({m[1]}#{m[2].lower()})", text)

def colab(page):
    "The line that opens a notebook in Colab."
    cfg = get_config()
    return (f"[Open in Colab](https://colab.research.google.com/github/{cfg.user}/{cfg.repo}/blob/{cfg.branch}/"
            f"{cfg.nbs_path.name}/{page.as_posix()}){{.open-in-colab target=\"_blank\"}} "
            f"[and first run there]{{.colab-note}} `!pip install git+{cfg.git_url}`{{.colab-note}}")

def lines(text): return text.splitlines(keepends=True) # how notebooks hold text

def finish(path, page):
    "Add to a notebook in _proc what nbdev does not."
    nb = json.loads(path.read_text(encoding="utf-8"))
    room = next((m[1] for c in json.loads((nbs/page).read_text(encoding="utf-8"))["cells"]
                 if (m := re.match(r"#\|\s*default_exp\s+(\w+)", "".join(c["source"])))), None)
    as_text = lambda s: s if isinstance(s, str) else "".join(s)
    for c in nb["cells"]:
        if c["cell_type"] == "markdown":
            c["source"] = relative_links(outside_code(as_text(c["source"]), link_calls), page)
        c["source"] = lines(as_text(c["source"]))
        for o in c.get("outputs", []):
            if "text/markdown" not in o.get("data", {}): continue
            text = as_text(o["data"]["text/markdown"])
            o["data"]["text/markdown"] = lines(relative_links(
                with_members(text, room) if room and text.startswith("---") else text, page))
    at = next((i + 1 for i, c in enumerate(nb["cells"]) if c["cell_type"] == "raw"), 0)
    if any(c["cell_type"] == "code" for c in nb["cells"]):
        nb["cells"].insert(at, dict(cell_type="markdown", id="open-in-colab", metadata={}, source=[colab(page)]))
    path.write_text(json.dumps(nb, ensure_ascii=False, indent=1), encoding="utf-8")

def prepare():
    "Write nbs/sidebar.yml, nbs/nbdev.yml and the processed notebooks in _proc; return that folder."
    quarto._ensure_quarto = lambda: None # nbdev would download and install it, as root
    write_sidebar()
    refresh_reference()
    proc = Path(quarto._pre_docs(file_glob="", file_re=quarto._def_file_re, force=True, n_workers=2)[0])
    write_sidebar() # nbdev has written its own, in alphabetical order
    shutil.copy2(nbs/"sidebar.yml", proc/"sidebar.yml")
    for page in pages(): finish(proc/page, page)
    return proc

def main():
    warnings.simplefilter("error")
    if "--refresh" in sys.argv:
        write_sidebar()
        return refresh_reference()
    proc = prepare()
    print(f"{len(pages(proc))} notebooks ready for Quarto in {proc.name}")
    if "--prepare" in sys.argv: return
    if not shutil.which("quarto"):
        return print("Quarto is not installed (https://quarto.org): the site was not rendered")
    subprocess.run(["quarto", "render", "--no-cache"], cwd=proc, check=True)
    docs = proc.parent/"_docs"
    shutil.rmtree(docs, ignore_errors=True)
    shutil.move(proc/"_docs", docs)
    print("the site is in _docs")

if __name__ == "__main__": main()
