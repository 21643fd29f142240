"""What is done to every page of the site after nbdev's own steps. `procs` in settings.ini names `Finish`, so that
`nbdev_docs`, `nbdev_preview` and `make docs` make the same pages (`make` puts this folder on the environment's path).

- what one cell defines in the order in which it defines it (nbdev turns that round);
- members of classes below their documentation, so that links such as `Run.prepare` find them;
- links between pages relative, so that a preview stays in the preview; `name(argument)` linked like `name`; no link
  inside of code, where it would be shown as it is written, nor in a heading;
- every figure with a text for those who cannot see it, from the sentence that says what to see;
- long lessons, and cells that only check, folded; in the gallery, a thumbnail of every section;
- on every page with code a line that opens its notebook in Colab, which the search index leaves out;
- all text in lists of lines: of a text in one piece Quarto makes lines without line feeds, and joins them.
"""
import ast, base64, io, json, re
from functools import cache
from itertools import groupby
from os.path import relpath
from pathlib import Path

from execnb.nbio import mk_cell
from nbdev.config import get_config
from nbdev.doclinks import NbdevLookup
from nbdev.process import Processor
from PIL import Image

fence = re.compile(r"^[ \t]*(```+|~~~+).*?^[ \t]*\1`*[ \t]*$", re.S | re.M)

def joined(text): return text if isinstance(text, str) else "".join(text)

def lines(text): return joined(text).splitlines(keepends=True) # how notebooks hold text

# ---------------------------------------------------------------- the package, as its files say it

@cache
def tree(room): return ast.parse((get_config().lib_path/f"{room}.py").read_text(encoding="utf-8"))

@cache
def public_names():
    "Room -> names in its `__all__`."
    found = {}
    for p in sorted(get_config().lib_path.glob("[!_]*.py")):
        for n in tree(p.stem).body:
            if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "__all__":
                found[p.stem] = [x for x in ast.literal_eval(n.value) if not x.startswith("_")]
    return found

@cache
def summaries():
    "Public function -> first paragraph of its docstring."
    return {f.name: " ".join((ast.get_docstring(f) or "").split("\n\n")[0].split())
            for room, names in public_names().items() for f in tree(room).body
            if isinstance(f, ast.FunctionDef) and f.name in names}

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

def shown_name(source):
    "Whose documentation a cell of code shows, if it shows any."
    found = re.search(r"^show_doc\((\w+)\)\s*$", source, re.M)
    return found[1] if found else None

def in_order(cells, room):
    "Neighbours that show documentation in the order of the package's file."
    places = {n.name: n.lineno for n in tree(room).body if hasattr(n, "name")}
    out = []
    name = lambda c: shown_name(c.source) if c.cell_type == "code" else None
    for documents, group in groupby(cells, lambda c: name(c) in places):
        out += sorted(group, key=lambda c: places[name(c)]) if documents else group
    return out

# ---------------------------------------------------------------- links

def outside_code(text, change, inside=lambda block: block):
    "Change what of a Markdown text is not in a block of code, and what is."
    out, at = [], 0
    for m in fence.finditer(text):
        out += [change(text[at:m.start()]), inside(m[0])]
        at = m.end()
    return "".join(out) + change(text[at:])

def link_calls(text):
    "`name(argument)` linked to the documentation of `name`; nbdev links `name` and `name()`."
    def link(m):
        target = NbdevLookup().doc(m[1])
        return f"[{m[0]}]({target})" if target else m[0]
    return re.sub(r"(?<!\[)(?<!`)`([A-Za-z_][\w.]*)\([^`\n]+\)`(?![`\]])", link, text)

def without_links(text):
    "Links of names as the names alone: in code and headings a link is shown as it is written, or in the way."
    return re.sub(r"\[(`[^`\]]+`)\]\([^)\s]+\)", r"\1", text)

def plain_headings(text): return re.sub(r"^#+ .*$", lambda m: without_links(m[0]), text, flags=re.M)

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

def markdown(text, page):
    "A text of a page with its links in order."
    return relative_links(outside_code(text, lambda t: plain_headings(link_calls(t)), without_links), page)

def documentation(text, page, room):
    "What nbdev says of a name: without the name of the module in which it was run, and with members."
    text = without_main(text)
    return markdown(with_members(text, room) if room and text.startswith("---") else text, page)

def without_main(text): return re.sub(r"\b__main__\.", "", text)

def colab(page):
    """The line that opens a notebook in Colab.

    Quarto's search index takes a page's first element, and paragraphs and cells outside of its sections. This is
    neither: nothing comes first, and the line is in a division."""
    cfg = get_config()
    return ("::: {.page-top}\n:::\n\n::: {.colab-line}\n"
            f"[Open in Colab](https://colab.research.google.com/github/{cfg.user}/{cfg.repo}/blob/{cfg.branch}/"
            f"{cfg.nbs_path.name}/{page.as_posix()}){{.open-in-colab target=\"_blank\"}} "
            f"[and first run there]{{.colab-note}} `!pip install git+{cfg.git_url}`{{.colab-note}}\n:::\n")

# ---------------------------------------------------------------- what a figure shows, in words

symbols = {"lambda": "λ"} | dict(
    alpha="α", beta="β", gamma="γ", delta="δ", epsilon="ε", theta="θ", mu="μ", sigma="σ", tau="τ", phi="φ", pi="π",
    Delta="Δ", sqrt="√", sin=" sin", cos=" cos", log=" log", times="×", cdot="·", pm="±", le="≤", ge="≥", approx="≈",
    infty="∞", circ="°", AA="Å")

def in_words(text):
    "Markdown as plain text in one line; simple formulas as they are read."
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    def formula(m):
        f = re.sub(r"\\[td]?frac\{([^{}]*)\}\{([^{}]*)\}", r"\1/\2", m[1])
        f = re.sub(r"\\(?:mathcal|mathbb|mathrm|text|hat|bar|mathbf)\b", "", f)
        f = re.sub(r"\\([A-Za-z]+)", lambda n: symbols.get(n[1], n[1]), f)
        return re.sub(r"[{}\\]", "", f)
    text = re.sub(r"\$+([^$]+)\$+", formula, text)
    text = re.sub(r"(\*\*|\*|`|(?<!\w)_|_(?!\w))", "", text)
    return " ".join(text.replace("'", "’").replace('"', "”").split())

def shortened(text, most=400):
    "Whole sentences, the first always."
    sentences = re.split(r"(?<=[.!?;])\s+", text)
    while len(sentences) > 1 and len(" ".join(sentences)) > most: sentences.pop()
    return " ".join(sentences).rstrip(";:,") if sentences else ""

def said(text, which=-1):
    "What a text tells to see: the words after *What to see* up to the end of the paragraph; None if it does not."
    found = re.findall(r"\b[Ww]hat to see\b[^:\n]{0,40}:\s*(.+?)(?=\n\s*\n|\Z)", text, re.S)
    return shortened(in_words(found[which])) if found else None

def last_paragraph(text):
    "The last paragraph of prose in a text."
    blocks = [b.strip() for b in re.split(r"\n\s*\n", fence.sub("", text))]
    prose = [b for b in blocks if b and not re.match(r"#|\||\$\$|[-*] |\d+\. |<|:::|>", b)]
    return shortened(in_words(prose[-1])) if prose else None

def is_figure(cell): return any(k.startswith("image/") for o in cell.get("outputs", []) for k in o.get("data", {}))

def is_text(cell): return cell.cell_type == "markdown" and not re.match(r"\s*(<!--|:::)", cell.source)

def drawn_by(source):
    "First sentence of the documentation of the function of ours that draws what the cell shows, if one does."
    try: body = ast.parse(source).body
    except SyntaxError: return None
    shown = body[-1].value if body and isinstance(body[-1], ast.Expr) else None
    if isinstance(shown, ast.Name): # what it was given last
        shown = next((n.value for n in reversed(body) if isinstance(n, ast.Assign)
                      and shown.id in (getattr(t, "id", None) for t in n.targets)), None)
    name = getattr(getattr(shown, "func", None), "id", "")
    if not name.startswith("plot_") and name != "overview": return None
    return whole(re.split(r"(?<=\.)\s", summaries()[name])[0]) if summaries().get(name) else None

def whole(text):
    "As a sentence: a capital, and a full stop unless it ends in a mark of its own."
    text = text[:1].upper() + text[1:].rstrip(".;:, ")
    return text if text.endswith(("?", "!")) else text + "."

def section_of(cells, i):
    "The heading above a cell."
    return next((in_words(m[-1]) for c in reversed(cells[:i]) if c.cell_type == "markdown"
                 and (m := re.findall(r"^#+ (.+)$", c.source, re.M))), None)

def describe_figures(cells):
    """Give every figure its text: what the drawing function says it draws, and what the page says is to be seen.

    That sentence stands before the figure, or begins the text directly below it; then it is not the next one's."""
    taken = set() # text cells whose sentence belongs to a figure above
    for i, c in enumerate(cells):
        if c.cell_type != "code" or not is_figure(c) or re.search(r"^#\|\s*fig-alt:", c.source, re.M): continue
        before = next((j for j in range(i - 1, -1, -1) if is_text(cells[j])), None)
        after = i + 1 if i + 1 < len(cells) and is_text(cells[i + 1]) else None
        below = after if after is not None and re.match(r"[Ww]hat to see", cells[after].source) else None
        above = said(cells[before].source) if before is not None and before not in taken else None
        # a text between two figures may be about either
        if below is not None and (above is None or i + 2 == len(cells) or not is_figure(cells[i + 2])):
            taken.add(below)
            see = said(cells[below].source, 0)
        else: see = above
        if see is None and before is not None: see = last_paragraph(cells[before].source)
        text = " ".join(filter(None, (drawn_by(c.source), see and whole(see))))
        if text and len(text.split()) < 8 and (section := section_of(cells, i)): text = f"{whole(section)} {text}"
        if text: c.set_source(f"#| fig-alt: {json.dumps(text, ensure_ascii=False)}\n{c.source}")

# ---------------------------------------------------------------- checks apart from prose

checks = re.compile(r"(test_\w+|assert_\w+|expect_fail)$")

def only_checks(source):
    "Does a cell do nothing but check? One that also defines, computes or draws is a lesson."
    try: body = ast.parse(source).body
    except SyntaxError: return False
    def is_check(n):
        if isinstance(n, ast.Assert): return True
        if isinstance(n, (ast.For, ast.With)): return all(map(is_check, n.body))
        return (isinstance(n, ast.Expr) and isinstance(n.value, ast.Call)
                and bool(checks.match(getattr(n.value.func, "id", getattr(n.value.func, "attr", "")))))
    return bool(body) and all(map(is_check, body))

def fold(cells, most=30):
    """Fold the code of cells that only check, and of lessons that fill a screen: what they print and draw stays, and
    a reader who doubts opens them. Shorter lessons are what a chapter teaches with, and stay open."""
    for c in cells:
        if c.cell_type != "code" or re.search(r"^#\| (code-fold|echo):", c.source, re.M): continue
        n = sum(not l.startswith("#|") for l in c.source.strip().split("\n"))
        summary = "What is checked here" if only_checks(c.source) else f"The code, {n} lines" if n > most else None
        if summary: c.set_source(f'#| code-fold: true\n#| code-summary: "{summary}"\n{c.source}')

# ---------------------------------------------------------------- thumbnails

def thumbnail(data, width=320):
    "A stored picture, smaller, as an address that holds it."
    picture = Image.open(io.BytesIO(base64.b64decode(joined(data))))
    picture.thumbnail((width, width))
    with io.BytesIO() as out:
        picture.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(out, "png", optimize=True)
        return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()

def identifier(heading):
    "What pandoc makes of a heading."
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s.-]", "", heading).lower().strip())

def fill_thumbnails(cells, mark="<!-- thumbnails -->"):
    "In the place of a mark: the first picture of each section below it, with the section's heading, as links."
    at = next((i for i, c in enumerate(cells) if c.cell_type == "markdown" and mark in c.source), None)
    if at is None: return
    found, heading = {}, None
    for c in cells[at + 1:]:
        if c.cell_type == "markdown" and (m := re.search(r"^## (.+)$", c.source, re.M)): heading = m[1].strip()
        pngs = [o.data["image/png"] for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
        if heading and pngs: found.setdefault(heading, pngs[0])
    link = lambda h, png: (f'<a href="#{identifier(h)}"><img src="{thumbnail(png)}" '
                           f'alt="Thumbnail of the section {h}"><br>{h}</a>')
    grid = "\n".join(link(h, png) for h, png in found.items())
    cells[at].set_source(cells[at].source.replace(mark, f'<div class="thumbnails">\n{grid}\n</div>'))

# ---------------------------------------------------------------- the processor

class Finish(Processor):
    "The last of nbdev's processors: all of the above, on one page."
    def begin(self):
        source = Path(self.nb.path_).resolve()
        page = source.relative_to(get_config().nbs_path.resolve())
        cells = json.loads(source.read_text(encoding="utf-8"))["cells"]
        room = next((m[1] for c in cells if (m := re.match(r"#\|\s*default_exp\s+(\w+)", joined(c["source"])))), None)
        if room: self.nb.cells[:] = in_order(self.nb.cells, room)
        describe_figures(self.nb.cells)
        fill_thumbnails(self.nb.cells)
        fold(self.nb.cells)
        for c in self.nb.cells:
            if c.cell_type == "markdown": c.set_source(markdown(c.source, page))
            for o in c.get("outputs", []):
                if "text/markdown" in o.get("data", {}):
                    o.data["text/markdown"] = lines(documentation(joined(o.data["text/markdown"]), page, room))
        if any(c.cell_type == "code" for c in self.nb.cells):
            at = next((i + 1 for i, c in enumerate(self.nb.cells) if c.cell_type == "raw"), 0)
            self.nb.cells.insert(at, mk_cell(colab(page), "markdown", id="open-in-colab"))
