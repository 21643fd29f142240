// The molecule on a canvas of 3Dmol.js: its atoms from packed numbers, colours, looks, the name under the mouse,
// and the player of a motion. What is shown, `scene`, comes from the Python function of that name.

// [[value, count], ...] -> each value as often as it counts
const csExpand = ranges => ranges.flatMap(([value, count]) => Array(count).fill(value));

// Packed coordinates -> their number, and `put`, which gives an atom the i-th of them.
const csPlaces = packed => {
  const bytes = Uint8Array.from(atob(packed.xyz), c => c.charCodeAt(0));
  const steps = new Int16Array(bytes.buffer);
  const along = (i, axis) => packed.centre[axis] + packed.step * steps[3 * i + axis];
  const put = (atom, i) => {
    atom.x = along(i, 0);
    atom.y = along(i, 1);
    atom.z = along(i, 2);
    return atom;
  };
  return { length: steps.length / 3, put };
};

// The atoms of a scene as 3Dmol.js wants them, without places: those of the chain, then those of the ligands.
// `bead` is the residue of an atom; `ball` marks the one atom of a residue that is drawn as its bead.
const csAtoms = scene => {
  const [piece, secondary, residue] = [scene.piece, scene.ss, scene.resn].map(csExpand);
  const atoms = [];
  csExpand(scene.names).forEach((names, bead) => {
    const ball = Math.max(0, names.indexOf('CA'), names.indexOf("C1'"));
    names.forEach((name, k) => {
      atoms.push({
        atom: name,
        elem: name === 'CA' ? 'C' : name[0],
        resi: bead + 1,
        resn: residue[bead],
        chain: String(piece[bead]),
        reschain: piece[bead],
        ss: secondary[bead],
        hetflag: false,
        bead,
        ball: k === ball,
      });
    });
  });
  const first = atoms.length;
  scene.ligand.forEach(([bead, element, name]) => {
    const place = { resi: bead + 1, resn: name, chain: 'ligand', hetflag: true, bead };
    atoms.push({ atom: element, elem: element, ...place, bonds: [], bondOrder: [] });
  });
  const bond = (from, to) => {
    atoms[first + from].bonds.push(first + to);
    atoms[first + from].bondOrder.push(1);
  };
  scene.bonds.forEach(([a, b]) => {
    bond(a, b);
    bond(b, a);
  });
  return atoms;
};

// What the note says of a residue: chain, number, name, and its segment or its value.
const csResidueTitle = (scene, labels, residues, r) => {
  const [first, chain, number] = scene.numbering.filter(entry => entry[0] <= r).pop();
  const numbered = typeof number === 'number' ? number + r - first : number; // '52A' stands for itself
  const called = scene.called || 'segment';
  const segment = labels[r] < 0 ? `no ${called}` : `${called} ${labels[r]}`;
  const value = scene.values && (scene.values[r] === null ? 'no value' : scene.values[r] + scene.unit);
  return `${chain} ${numbered} ${residues[r]} · ${value || segment}`;
};

// How a motion plays: milliseconds between two pictures, and how many frames further each is. A pass takes 1.6 s, or
// 60 ms a frame; above 25 pictures a second some frames are left out.
const csPace = (frames, speed) => {
  const gap = Math.max(60, 1600 / frames) / speed;
  const stride = Math.max(1, Math.round(40 / gap));
  return { gap: gap * stride, stride };
};

const csViewer = (element, viewer, scene) => {
  const box = element.closest('.cryosphere-view');
  const find = selector => box.querySelector(selector);
  const all = selector => box.querySelectorAll(selector);
  const labels = csExpand(scene.labels);
  const residues = csExpand(scene.resn);
  const places = csPlaces(scene);
  const atoms = csAtoms(scene);
  const frames = places.length / atoms.length;
  let look = scene.look || 'cartoon';
  let picked = null; // the segment that alone is in colour
  let now = scene.start || 0; // frame

  // ---- models and their looks
  const move = (list, frame) => list.forEach((atom, i) => places.put(atom, frame * atoms.length + i));
  const make = frame => {
    const model = viewer.addModel();
    const own = atom => atom.bonds && { bonds: atom.bonds.slice(), bondOrder: atom.bondOrder.slice() };
    const list = atoms.map(atom => ({ ...atom, ...own(atom) }));
    move(list, frame);
    model.addAtoms(list);
    return model;
  };
  const model = make(now);
  const mine = model.selectedAtoms({});
  const beads = mine.filter(atom => atom.ball);

  const hue = { N: '#3050f8', O: '#ff0d0d', P: '#ff8000', S: '#c8a000', Fe: '#e06633' };
  const dress = (model, paint, opacity, where) => {
    const byElement = atom => hue[atom.elem] || paint(atom);
    const shape = scene.trace ? { style: 'trace', thickness: 0.9 } : { arrows: true, thickness: 0.4 };
    model.setStyle({}, {});
    if (look === 'cartoon') {
      model.setStyle({ hetflag: false, ...where }, { cartoon: { ...shape, colorfunc: paint, opacity } });
    }
    if (look === 'beads') {
      model.setStyle({ ball: true, ...where }, { sphere: { radius: scene.radius, colorfunc: paint, opacity } });
    }
    model.setStyle(
      { hetflag: true, ...where },
      { stick: { radius: 0.18, colorfunc: byElement }, sphere: { scale: 0.25, colorfunc: byElement } },
    );
  };

  const paint = atom => {
    const label = labels[atom.bead];
    if (picked !== null && label !== picked) return '#e4e4e4';
    return label < 0 ? scene.grey : scene.palette[label];
  };
  const draw = () => {
    dress(model, paint, 1);
    viewer.render();
  };

  // ---- the surface, computed when it is first asked for
  let skin = null;
  const skinAtoms = () => {
    // around beads: K has the largest radius that 3Dmol.js knows, 2.75 Å
    if (!scene.skin) return beads.map(({ x, y, z, bead }) => ({ x, y, z, elem: 'K', bead }));
    const inner = csPlaces(scene.skin);
    const owner = csExpand(scene.skin.counts).flatMap((count, bead) => Array(count).fill(bead));
    return owner.map((bead, i) => inner.put({ elem: scene.skin.elements[i], bead }, i));
  };
  const wrap = () => {
    viewer.removeAllSurfaces();
    if (look !== 'surface') return;
    if (!skin) {
      skin = viewer.addModel();
      skin.addAtoms(skinAtoms().map(atom => ({ ...atom, bonds: [], bondOrder: [] })));
      skin.setStyle({}, {});
    }
    viewer.addSurface('MS', { colorfunc: paint }, { model: skin });
  };
  const redraw = () => {
    draw();
    wrap();
  };

  // ---- first picture: down the third principal axis, as large as the canvas allows
  draw();
  const note = find('.cs-note');
  const say = text => {
    if (note) note.textContent = text;
  };
  if (labels.length <= 3000) {
    const point = atom => say(csResidueTitle(scene, labels, residues, atom.bead));
    viewer.setHoverable({}, true, point, () => say(''));
  }
  const [width, height, reach] = scene.size;
  const fits = Math.min(element.clientWidth / element.clientHeight / width, 1 / height);
  viewer.setView(scene.view);
  viewer.zoomTo({ hetflag: false });
  viewer.zoom(Math.min(2.5, 0.88 * reach * fits));
  viewer.setSlab(-3 * reach, 4 * reach);
  viewer.render();
  wrap();

  // ---- buttons of the looks; a click on a segment leaves it alone in colour, a second brings the others back
  const buttons = all('[data-look]');
  buttons.forEach(button => {
    button.onclick = () => {
      look = button.dataset.look;
      buttons.forEach(other => other.classList.toggle('cs-on', other === button));
      redraw();
    };
  });
  const segments = all('[data-segment]');
  segments.forEach(chip => {
    chip.onclick = () => {
      const segment = Number(chip.dataset.segment);
      picked = picked === segment ? null : segment;
      segments.forEach(other => {
        other.style.opacity = picked === null || Number(other.dataset.segment) === picked ? 1 : 0.25;
      });
      redraw();
    };
  });

  // for what is drawn besides, by other files
  element.cryosphere = { scene, viewer, box, beads, model, make, dress, places };

  // ---- the player of a motion: forwards and back
  const slider = find('.cs-frame');
  if (!slider || frames < 2) return;
  const button = find('.cs-play');
  const speed = find('.cs-speed');
  let step = 1; // or -1
  let stride = 1;
  let timer = null;
  const show = frame => {
    now = frame;
    slider.value = frame;
    find('.cs-count').textContent = `frame ${scene.frames[frame] + 1} of ${scene.total}`;
    move(mine, frame);
    draw();
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    button.textContent = '▶';
  };
  const tick = () => {
    if (!document.body.contains(element)) return stop();
    if (now + step * stride < 0 || now + step * stride >= frames) step = -step;
    show(Math.max(0, Math.min(frames - 1, now + step * stride)));
  };
  const start = () => {
    const pace = csPace(frames, Number(speed.value));
    stride = pace.stride;
    clearInterval(timer);
    timer = setInterval(tick, pace.gap);
    button.textContent = '❚❚';
  };
  button.onclick = () => (timer ? stop() : start());
  speed.onchange = () => {
    if (timer) start();
  };
  slider.oninput = () => {
    stop();
    show(Number(slider.value));
  };
  show(0);
};
