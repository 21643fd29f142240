// The explorer: a map of the images that answers with structures. `root` is its element, `data` what `explore` sends.
// `window.cryosphereExplorer` tells what it shows.
const csExplorer = (root, data) => {
  const began = performance.now();
  const find = name => root.querySelector(`.csx-${name}`);
  const make = (tag, name, text) =>
    Object.assign(document.createElement(tag), { className: name, textContent: text });

  const count = data.n;
  const latents = csUnpack(data.latents);
  const L = latents.length / count;
  const latent = i => Array.from(latents.subarray(i * L, i * L + L));
  const rows = data.rows ? csUnpack(data.rows) : null; // in the star file, if not all of them are here
  const row = i => (rows ? rows[i] : i);
  const state = {
    root,
    n: count,
    drawn: false, // is the first structure on the screen?
    placed: 0, // structures drawn so far
    shown: null, // image whose structure is shown, or null
    latent: null,
    coordinates: null, // of the drawn atoms, Å
    near: null, // image nearest to a free latent
    count: 0, // images selected
    path: [], // rows
    frame: 0,
    playing: false,
    tool: 'path', // what a drag does: 'path', 'lasso' or 'pan'
    times: {}, // milliseconds
  };

  // Numbers of a column or map. Of large pages, what is not shown at first stands behind the code, and is read when it
  // is wanted.
  let rest = null;
  const packed = part => {
    if (!part.data) {
      rest = rest || JSON.parse(root.querySelector('.csx-later').textContent);
      part.data = rest[part.later];
    }
    return part.data;
  };
  const values = part => (part.values = part.values || csUnpack(packed(part)));

  // ---- the map: places of the images, the window on them, and their colours
  const box = find('plot');
  const points = find('points');
  const over = find('over');
  const canvas = points.getContext('2d');
  const pen = over.getContext('2d');
  const size = { width: 0, height: 0, density: 1 }; // of the plot, pixels; device pixels in each
  let map;
  let X; // places on the map
  let Y;
  let view; // pixel (0, 0) is at (x, y) of the map; sx and sy pixels a unit
  let column; // that colours
  let palette;
  let colors = new Uint8Array(count); // number of each image's colour

  const toPixel = (x, y) => [(x - view.x) * view.sx, (view.y - y) * view.sy];
  const toMap = (px, py) => [view.x + px / view.sx, view.y - py / view.sy];
  const pixelOf = i => toPixel(X[i], Y[i]);
  const fit = () => {
    const [left, right, bottom, top] = map.range;
    const [margin, far] = [34, 12]; // pixels, with axes and without
    const [sx, sy] = [(size.width - margin - far) / (right - left), (size.height - margin - far) / (top - bottom)];
    view = { sx, sy, x: left - margin / sx, y: top + far / sy };
  };

  let cells = null;
  const grid = () => (cells = cells || csGrid(X, Y)); // sorted when there is time, or when it is asked for
  const nearest = (x, y, k) => csNearest(grid(), x, y, view.sx, view.sy, k);

  const project = axis => {
    const out = new Float32Array(count);
    for (let i = 0, at = 0; i < count; i++) {
      let sum = 0;
      for (let j = 0; j < L; j++, at++) sum += data.axes[axis][j] * (latents[at] - data.mean[j]);
      out[i] = sum;
    }
    return out;
  };
  const setMap = k => {
    map = data.maps[k];
    if (map.axes) [X, Y] = map.axes.map(project);
    else {
      const xy = csUnpack(packed(map));
      [X, Y] = [0, 1].map(d => Float32Array.from({ length: count }, (_, i) => xy[2 * i + d]));
    }
    cells = null;
    state.map = map.name;
    fit();
  };

  const setColor = k => {
    column = data.columns[k];
    state.color = column ? column.name : '';
    const found = csColors(column, column && values(column), data.ramp);
    palette = found.palette;
    colors = found.numbers || new Uint8Array(count);
    showLegend();
  };
  const showLegend = () => {
    const legend = find('legend');
    legend.textContent = '';
    if (!column) return;
    if (!column.classes) {
      const bar = make('i', 'csx-bar', '');
      bar.style.background = `linear-gradient(90deg,${[0, 51, 102, 153, 204, 254].map(i => data.ramp[i])})`;
      legend.append(make('span', '', csFormat(column.lo)), bar, make('span', '', csFormat(column.hi)));
      return;
    }
    const classes = values(column);
    column.classes.forEach((name, k) => {
      const chip = make('button', 'csx-chip', name);
      chip.type = 'button';
      chip.title = 'select these images';
      chip.style.setProperty('--c', column.palette[k]);
      chip.onclick = () => choose(i => classes[i] === k);
      legend.append(chip);
    });
  };
  const describe = i => {
    if (!column) return `image ${row(i)}`;
    const value = values(column)[i];
    return `image ${row(i)} · ${column.name}: ${column.classes ? column.classes[value] || '–' : csFormat(value)}`;
  };

  // ---- drawing: discs where images are few, light added up in pixels where they are many
  const mask = new Uint8Array(count); // 1 for images that are selected
  const resize = () => {
    const density = Math.min(2, window.devicePixelRatio || 1);
    const [width, height] = [box.clientWidth, box.clientHeight];
    if (width === size.width && height === size.height && density === size.density) return false;
    if (view && size.width) {
      // the same part of the map, the middle of it in the middle
      const [x, y] = toMap(size.width / 2, size.height / 2);
      view.sx *= width / size.width;
      view.sy *= height / size.height;
      view.x = x - width / 2 / view.sx;
      view.y = y + height / 2 / view.sy;
    }
    Object.assign(size, { width, height, density });
    for (const layer of [points, over]) {
      layer.width = Math.round(width * density);
      layer.height = Math.round(height * density);
    }
    return true;
  };

  // a sheet with a disc of each colour, `side` pixels apart
  const discSheet = (radius, side) => {
    const sheet = document.createElement('canvas');
    sheet.width = 256 * side * size.density;
    sheet.height = side * size.density;
    const brush = sheet.getContext('2d');
    brush.scale(size.density, size.density);
    const used = new Uint8Array(256);
    for (let i = 0; i < count; i++) used[colors[i]] = 1;
    used[255] = 1;
    for (let k = 0; k < 256; k++) {
      if (!used[k]) continue;
      brush.fillStyle = `rgb(${palette.slice(3 * k, 3 * k + 3)})`;
      brush.beginPath();
      brush.arc(k * side + side / 2, side / 2, radius, 0, 7);
      brush.fill();
    }
    return sheet;
  };
  const drawDiscs = visible => {
    const radius = Math.max(1.5, Math.min(4.5, 9 - 0.75 * Math.log(visible + 1)));
    const side = Math.ceil(2 * radius) + 2;
    const inSheet = side * size.density;
    const sheet = discSheet(radius, side);
    const some = state.count > 0; // are some selected? then the others come first, in grey
    canvas.save();
    canvas.scale(size.density, size.density);
    for (const selected of some ? [0, 1] : [1]) {
      canvas.globalAlpha = selected ? 0.8 : 0.3;
      for (let i = 0; i < count; i++) {
        if (some && mask[i] !== selected) continue;
        const px = (X[i] - view.x) * view.sx;
        const py = (view.y - Y[i]) * view.sy;
        if (px < -9 || py < -9 || px > size.width + 9 || py > size.height + 9) continue;
        const from = (selected ? colors[i] : 255) * inSheet;
        canvas.drawImage(sheet, from, 0, inSheet, inSheet, px - side / 2, py - side / 2, side, side);
      }
    }
    canvas.restore();
  };

  // The colour of a pixel is the mean colour of its images, its strength the logarithm of how many there are. Images
  // that are not selected count a thousandth, in grey.
  const drawLight = visible => {
    const [width, height] = [points.width, points.height];
    const [amount, red, green, blue] = [0, 0, 0, 0].map(() => new Float32Array(width * height));
    const [sx, sy] = [view.sx * size.density, view.sy * size.density];
    const side = Math.max(1, Math.round((visible > 150000 ? 1 : 2) * size.density));
    const some = state.count > 0;
    for (let i = 0; i < count; i++) {
      const px = Math.floor((X[i] - view.x) * sx) - (side >> 1);
      const py = Math.floor((view.y - Y[i]) * sy) - (side >> 1);
      if (px < 0 || py < 0 || px + side > width || py + side > height) continue;
      const grey = some && !mask[i];
      const weight = grey ? 1e-3 : 1;
      const color = grey ? 765 : 3 * colors[i];
      for (let v = 0; v < side; v++)
        for (let u = 0; u < side; u++) {
          const k = (py + v) * width + px + u;
          amount[k] += weight;
          red[k] += weight * palette[color];
          green[k] += weight * palette[color + 1];
          blue[k] += weight * palette[color + 2];
        }
    }
    let total = 0;
    let filled = 0;
    for (const a of amount)
      if (a >= 1) {
        total += a;
        filled++;
      }
    const top = 1 / Math.log1p((5 * total) / (filled || 1));
    const image = canvas.createImageData(width, height);
    for (let k = 0; k < amount.length; k++) {
      const a = amount[k];
      if (a === 0) continue;
      image.data[4 * k] = red[k] / a;
      image.data[4 * k + 1] = green[k] / a;
      image.data[4 * k + 2] = blue[k] / a;
      image.data[4 * k + 3] = a < 0.5 ? 75 : Math.min(255, 110 + 145 * Math.log1p(a) * top);
    }
    canvas.putImageData(image, 0, 0);
  };

  // names of the axes and numbers along them
  const drawAxes = () => {
    const { width, height, density } = size;
    const writeUp = (text, py) => {
      canvas.save();
      canvas.translate(11, py);
      canvas.rotate(-Math.PI / 2);
      canvas.fillText(text, 0, 0);
      canvas.restore();
    };
    canvas.save();
    canvas.scale(density, density);
    canvas.font = '11px sans-serif';
    canvas.textAlign = 'center';
    canvas.fillStyle = '#666';
    canvas.globalAlpha = 1;
    canvas.clearRect(0, height - 18, width, 18);
    canvas.clearRect(0, 0, 18, height);
    canvas.fillText(map.x, width / 2, height - 4);
    writeUp(map.y, height / 2);
    if (map.ticks) {
      const [left, bottom] = toMap(0, height);
      const [right, top] = toMap(width, 0);
      const clear = (pixel, middle, name) => Math.abs(pixel - middle) > name.length * 3.2 + 14; // of the name
      canvas.fillStyle = '#999';
      for (const v of csTicks(left, right, 6)) {
        const px = toPixel(v, 0)[0];
        if (px > 40 && px < width - 20 && clear(px, width / 2, map.x)) canvas.fillText(csFormat(v), px, height - 4);
      }
      for (const v of csTicks(bottom, top, 5)) {
        const py = toPixel(0, v)[1];
        if (py > 14 && py < height - 30 && clear(py, height / 2, map.y)) writeUp(csFormat(v), py);
      }
    }
    canvas.restore();
  };

  const draw = () => {
    const start = performance.now();
    resize();
    canvas.clearRect(0, 0, points.width, points.height);
    const [left, top] = toMap(0, 0);
    const [right, bottom] = toMap(size.width, size.height);
    let visible = 0;
    for (let i = 0; i < count; i++) if (X[i] > left && X[i] < right && Y[i] > bottom && Y[i] < top) visible++;
    if (visible > 12000) drawLight(visible);
    else drawDiscs(visible);
    drawAxes();
    drawOver();
    state.times.draw = performance.now() - start;
  };
  let due = false;
  const drawSoon = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      draw();
    });
  };

  // ---- over the points: lasso, path, the image under the pointer, the image that is shown
  let hovered = null;
  let trail = null; // pixels of what is being drawn
  let lasso = null; // the last one, on the map
  let path = []; // images
  const circle = (i, radius, color, width, fill) => {
    pen.beginPath();
    pen.arc(...pixelOf(i), radius, 0, 7);
    if (fill) {
      pen.fillStyle = fill;
      pen.fill();
    }
    pen.strokeStyle = color;
    pen.lineWidth = width;
    pen.stroke();
  };
  const line = (pixels, color, closed) => {
    pen.beginPath();
    for (const [px, py] of pixels) pen.lineTo(px, py);
    if (closed) {
      pen.closePath();
      pen.fillStyle = 'rgba(238,102,119,.12)';
      pen.fill();
    }
    pen.strokeStyle = color;
    pen.lineWidth = 1.6;
    pen.stroke();
  };
  const drawOver = () => {
    pen.setTransform(size.density, 0, 0, size.density, 0, 0);
    pen.clearRect(0, 0, size.width, size.height);
    const mapped = lasso && lasso.map(([x, y]) => toPixel(x, y));
    if (mapped) line(mapped, '#ee6677', true);
    if (trail && state.tool === 'lasso') line(trail, '#ee6677', true);
    else if (trail) line(trail, '#222', false);
    else if (path.length) {
      line(path.map(pixelOf), 'rgba(0,0,0,.55)', false);
      for (const i of path) circle(i, 2.6, '#222', 1, '#fff');
    }
    if (hovered !== null) circle(hovered, 6, '#222', 1.2);
    const marked = state.shown === null ? state.near : state.shown;
    if (marked === null) return;
    circle(marked, 8, '#fff', 4);
    circle(marked, 8, state.shown === null ? '#d9a' : '#d00', 2.2);
  };

  // ---- the structure of a latent
  const decoder = csDecoder(data.decoder);
  const nominal = csUnpack(data.decoder.atoms).map((v, i) => v + data.decoder.offset[i % 3]);
  const distance = (a, b) => {
    let sum = 0;
    for (const i of data.beads) for (let c = 0; c < 3; c++) sum += (a[3 * i + c] - b[3 * i + c]) ** 2;
    return Math.sqrt(sum / data.beads.length);
  };
  const coordinates = z => data.axes.map(axis => axis.reduce((sum, u, j) => sum + u * (z[j] - data.mean[j]), 0));
  const showLatent = (z, image = null) => {
    state.latent = Array.from(z);
    state.shown = image;
    state.near = null;
    state.coordinates = decoder.decode(state.latent);
    let text;
    if (image !== null) text = describe(image);
    else {
      const found = csClosest(latents, L, state.latent);
      state.near = found.at;
      text = `free latent, ${csFormat(found.distance)} from the nearest image (${row(found.at)})`;
    }
    find('info').textContent =
      `${text} · ${distance(state.coordinates, nominal).toFixed(2)} Å from the nominal model`;
    coordinates(state.latent).forEach((value, k) => {
      const slider = find(`axis-${k}`);
      if (slider && slider !== document.activeElement) slider.value = value;
    });
    askForMolecule();
    drawOver();
  };
  const show = image => showLatent(latent(image), image);

  // ---- the molecule in the viewer, which comes later than the map
  let viewer = null;
  let model;
  let atoms;
  let styles;
  let ghost = null;
  let waiting = false;
  const askForMolecule = () => {
    if (!viewer || waiting) return;
    waiting = true;
    requestAnimationFrame(placeMolecule);
  };
  const placeMolecule = () => {
    waiting = false;
    const start = performance.now();
    const xyz = state.coordinates;
    atoms.forEach((atom, i) => Object.assign(atom, { x: xyz[3 * i], y: xyz[3 * i + 1], z: xyz[3 * i + 2] }));
    styles.forEach(([hetflag, style]) => model.setStyle({ hetflag }, style)); // so that the ribbon is built anew
    viewer.render();
    if (!state.drawn) state.times.first = performance.now();
    state.drawn = true;
    state.placed++;
    state.times.ribbon = performance.now() - start;
  };
  const setGhost = xyz => {
    if (ghost) viewer.removeModel(ghost);
    ghost = xyz && viewer.addModel();
    if (ghost) {
      const bead = (i, k) => {
        const { atom, resn, chain } = atoms[i];
        const place = { x: xyz[3 * i], y: xyz[3 * i + 1], z: xyz[3 * i + 2] };
        return { atom: atom === 'CA' ? 'CA' : 'P', elem: 'C', resi: k + 1, resn, chain, hetflag: false, ...place };
      };
      ghost.addAtoms(data.beads.map(bead));
      ghost.setStyle({}, { cartoon: { style: 'trace', color: '#888', thickness: 0.25, opacity: 0.6 } });
    }
    viewer.render();
  };
  const connect = () => {
    const found = window[`viewer_${data.viewer}`];
    if (!found) return;
    root.querySelectorAll('.csx-offline').forEach(note => note.remove()); // it was only slow
    model = found.getModel();
    atoms = model.selectedAtoms({});
    state.viewer = found;
    if (3 * atoms.length !== nominal.length) {
      find('info').textContent = 'the viewer holds other atoms than the decoder';
      return;
    }
    viewer = found;
    const styleOf = hetflag => (atoms.find(atom => atom.hetflag === hetflag) || {}).style;
    styles = [false, true].map(hetflag => [hetflag, styleOf(hetflag)]).filter(([, style]) => style);
    const fits = ([width, height]) => Math.min(box.clientWidth / box.clientHeight / width, 1 / height);
    viewer.zoom(fits(data.reach[1]) / fits(data.reach[0])); // room for all that it may become
    askForMolecule();
  };

  // ---- a path: evenly along what was drawn; at each step the image that is most typical of those around
  const imagesAlong = stroke => {
    const around = Math.max(1, Math.min(25, Math.round(count / 200)));
    const images = csEvenly(stroke, data.steps).map(([px, py]) => {
      const [x, y] = toMap(px, py);
      return csTypical(latents, L, nearest(x, y, around));
    });
    return images.filter((image, k) => image !== images[k - 1]);
  };
  const setPath = images => {
    path = images;
    state.path = path.map(row);
    state.frame = 0;
    find('player').hidden = path.length < 2;
    find('frame').max = path.length - 1;
    if (path.length) goTo(0);
  };
  const goTo = frame => {
    state.frame = frame;
    find('frame').value = frame;
    find('count').textContent = `step ${frame + 1} of ${path.length}`;
    show(path[frame]);
  };
  let timer = null;
  let forward = 1; // or -1
  const stop = () => {
    clearInterval(timer);
    timer = null;
    state.playing = false;
    find('play').textContent = '▶';
  };
  const step = () => {
    if (!document.body.contains(root)) return stop();
    if (state.frame + forward < 0 || state.frame + forward >= path.length) forward = -forward;
    goTo(state.frame + forward);
  };
  const play = () => {
    if (timer || path.length < 2) return stop();
    state.playing = true;
    find('play').textContent = '❚❚';
    timer = setInterval(step, Math.max(60, 2400 / path.length));
  };

  // ---- a selection
  const selectedImages = () => {
    const images = [];
    for (let i = 0; i < count; i++) if (mask[i]) images.push(i);
    return images;
  };
  const showSelection = () => {
    state.count = mask.reduce((sum, m) => sum + m, 0);
    const none = 'no image is selected: choose Lasso and draw round some';
    find('actions').hidden = !state.count;
    find('number').textContent = state.count ? describeSelection() : none;
    draw();
  };
  const describeSelection = () => {
    const share = ((100 * state.count) / count).toPrecision(3);
    const of = `${state.count.toLocaleString('en')} of ${count.toLocaleString('en')} images (${share} %)`;
    if (!column || column.classes) return of;
    const { lo, hi } = packed(column);
    const median = chosen => csFormat(csMedian(values(column), lo[0], hi[0], chosen));
    return `${of} · median ${column.name}: ${median(i => mask[i])}, of all ${median(() => true)}`;
  };
  const choose = (inside, how = 'new') => {
    const start = performance.now();
    for (let i = 0; i < count; i++) {
      const yes = inside(i) ? 1 : 0;
      if (how === 'add') mask[i] |= yes;
      else if (how === 'remove') mask[i] &= 1 - yes;
      else mask[i] = yes;
    }
    showSelection();
    state.times.select = performance.now() - start;
  };
  const select = (polygon, how) => {
    lasso = polygon;
    const inside = csInside(X, Y, polygon);
    choose(i => inside[i], how);
  };
  const clear = () => {
    lasso = null;
    mask.fill(0);
    showSelection();
  };

  // ---- what is taken home: rows, and a star file
  const rowsText = (what, list) => csRowsText(what, list, data.total);
  const selected = () => selectedImages().map(row);
  const starText = () => {
    if (data.star.why) throw new Error(data.star.why);
    const names = csImageNames(packed(data.star), count);
    return csStarText(data.star, names, selectedImages(), row, data.total);
  };
  const save = (name, text) => {
    const link = make('a', '', '');
    link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 1e4);
  };
  const saveStar = () => {
    try {
      save('selection.star', starText());
    } catch (error) {
      find('number').textContent = error.message;
    }
  };
  const copy = (text, button) => {
    const say = () => {
      const was = button.textContent;
      button.textContent = 'copied';
      setTimeout(() => (button.textContent = was), 1200);
    };
    const byHand = () => {
      const area = make('textarea', '', '');
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand('copy');
      area.remove();
      say();
    };
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(say, byHand);
    else byHand();
  };

  // ---- the pointer: a click shows, a drag draws or moves
  const pointer = event => {
    const at = over.getBoundingClientRect();
    return [event.clientX - at.left, event.clientY - at.top];
  };
  const imageAt = ([px, py], reach) => {
    const image = nearest(...toMap(px, py), 1)[0];
    const [x, y] = pixelOf(image);
    return Math.hypot(x - px, y - py) <= reach ? image : null;
  };
  const apart = (p, q) => Math.hypot(p[0] - q[0], p[1] - q[1]);
  let down = null; // where the button was pressed
  let moved = false;

  const hover = image => {
    const tip = find('tip');
    hovered = image;
    tip.hidden = image === null;
    if (image !== null) {
      const [px, py] = pixelOf(image);
      tip.textContent = describe(image);
      tip.style.left = `${Math.max(0, Math.min(px + 12, size.width - tip.offsetWidth - 2))}px`;
      tip.style.top = `${Math.max(0, py - 26)}px`;
      if (find('follow').checked && !state.playing) show(image);
    }
    drawOver();
  };
  over.onpointerdown = event => {
    if (event.button) return;
    over.focus({ preventScroll: true });
    try {
      over.setPointerCapture(event.pointerId);
    } catch (_) {
      // a pointer that is not there any more
    }
    down = pointer(event);
    moved = false;
  };
  over.onpointermove = event => {
    const at = pointer(event);
    if (!down) {
      const image = imageAt(at, 14);
      if (image !== hovered) hover(image);
      return;
    }
    if (!moved && apart(at, down) < 4) return;
    if (!moved) {
      moved = true;
      hovered = null;
      find('tip').hidden = true;
      if (state.tool !== 'pan') trail = [down];
      if (state.tool === 'lasso') lasso = null;
    }
    if (state.tool === 'pan') {
      view.x -= (at[0] - down[0]) / view.sx;
      view.y += (at[1] - down[1]) / view.sy;
      down = at;
      drawSoon();
    } else {
      if (apart(at, trail[trail.length - 1]) > 2) trail.push(at);
      drawOver();
    }
  };
  over.onpointerup = event => {
    if (!down) return;
    const start = performance.now();
    const at = pointer(event);
    const stroke = trail;
    down = trail = null;
    if (!moved) {
      const image = imageAt(at, 40);
      if (image !== null) {
        stop();
        show(image);
      }
      state.times.click = performance.now() - start;
    } else if (state.tool === 'lasso') {
      const polygon = stroke.map(([px, py]) => toMap(px, py));
      select(polygon, event.shiftKey ? 'add' : event.altKey ? 'remove' : 'new');
      state.times.lasso = performance.now() - start;
    } else if (state.tool === 'path') {
      stop();
      setPath(imagesAlong(stroke));
      forward = 1;
      state.times.path = performance.now() - start;
      play();
    }
  };
  over.onpointercancel = () => {
    down = trail = null;
    drawOver();
  };
  over.onpointerleave = () => {
    hovered = null;
    find('tip').hidden = true;
    drawOver();
  };
  over.ondblclick = () => {
    fit();
    draw();
  };
  const zoom = (factor, px, py) => {
    const [x, y] = toMap(px, py);
    view.sx *= factor;
    view.sy *= factor;
    view.x = x - px / view.sx;
    view.y = y + py / view.sy;
    drawSoon();
  };
  const turnWheel = event => {
    if (document.activeElement !== over && !event.ctrlKey) return; // the page scrolls until the plot was clicked
    event.preventDefault();
    zoom(Math.exp(-0.002 * event.deltaY), ...pointer(event));
  };
  over.addEventListener('wheel', turnWheel, { passive: false });
  over.onkeydown = event => {
    if (event.key === 'Escape') clear();
  };

  // ---- buttons, menus, sliders
  const tools = root.querySelectorAll('.csx-tool');
  const setTool = tool => {
    state.tool = tool;
    tools.forEach(button => button.setAttribute('aria-pressed', button.dataset.tool === tool));
    over.style.cursor = tool === 'pan' ? 'grab' : 'crosshair';
  };
  tools.forEach(button => (button.onclick = () => setTool(button.dataset.tool)));
  root.querySelectorAll('.csx-zoom').forEach(button => {
    const factor = Number(button.dataset.zoom); // 0: everything
    button.onclick = () => (factor ? zoom(factor, size.width / 2, size.height / 2) : over.ondblclick());
  });

  const option = (value, text) => Object.assign(make('option', '', text), { value });
  find('map').append(...data.maps.map(({ name }, k) => option(k, name)));
  find('color').append(...data.columns.map(({ name }, k) => option(k, name)), option(-1, 'nothing'));
  find('map').onchange = event => {
    lasso = null;
    setMap(Number(event.target.value));
    draw();
  };
  find('color').onchange = event => {
    setColor(Number(event.target.value));
    showSelection();
  };
  find('ghost').onchange = event => {
    const chosen = { nominal, this: state.coordinates }[event.target.value];
    if (viewer) setGhost(chosen || null);
  };

  find('play').onclick = play;
  find('frame').oninput = event => {
    stop();
    goTo(Number(event.target.value));
  };
  find('save-path').onclick = () => save('path.txt', rowsText('path', state.path));
  find('typical').onclick = () => {
    stop();
    show(csTypical(latents, L, selectedImages()));
  };
  find('save').onclick = () => save('selection.txt', rowsText('selection', selected()));
  find('copy').onclick = event => copy(rowsText('selection', selected()), event.target);
  find('save-star').onclick = saveStar;
  find('save-star').hidden = Boolean(data.star.why);
  find('no-star').hidden = !data.star.why;
  find('no-star').textContent = data.star.why || '';
  find('clear').onclick = clear;

  data.axes.forEach((axis, k) => {
    const label = make('label', '', `PC ${k + 1} `);
    const slider = make('input', `csx-axis-${k}`, '');
    const [min, max] = data.spans[k];
    Object.assign(slider, { type: 'range', min, max, step: 'any' });
    slider.oninput = () => {
      stop();
      const shift = Number(slider.value) - coordinates(state.latent)[k];
      showLatent(state.latent.map((v, j) => v + shift * axis[j]));
    };
    label.append(slider);
    find('axes').append(label);
  });

  // ---- begin: the map first, then the viewer of the molecule
  const screenPixel = i => {
    const at = over.getBoundingClientRect();
    const [px, py] = pixelOf(i);
    return [at.left + px, at.top + py];
  };
  const showMap = k => {
    setMap(k);
    draw();
  };
  const decode = decoder.decode;
  Object.assign(state, {
    show,
    showLatent,
    select,
    selected,
    starText,
    decode,
    setMap: showMap,
    pixel: screenPixel,
  });
  resize();
  setColor(data.color);
  find('color').value = data.color;
  setMap(0);
  showSelection();
  state.times.points = performance.now() - began;
  show(data.start);

  const resized = () => {
    if (resize()) draw();
  };
  if (window.ResizeObserver) new ResizeObserver(resized).observe(box);
  const offline = '3Dmol.js did not load (no network?): the map works, the molecule is not drawn';
  setTimeout(() => {
    if (!viewer && !window.$3Dmol) find('legend').append(make('span', 'csx-offline', offline));
  }, 6000);

  // called below the viewer, which comes last in the page
  state.connect = () =>
    $3Dmolpromise.then(() => {
      connect();
      state.times.opened = performance.now() - began;
    });
  if (window.$3Dmolpromise) {
    // the viewer is made when the map is on the screen, or after half a second on a page that nobody looks at
    const there = window.$3Dmolpromise;
    const onScreen = new Promise(done => {
      const ready = () => {
        state.times.map = performance.now();
        grid();
        done();
      };
      requestAnimationFrame(() => setTimeout(ready));
      setTimeout(done, 500);
    });
    window.$3Dmolpromise = there.then(() => onScreen);
  }
  window.cryosphereExplorer = state;
  root.explorer = state;
  return state;
};
