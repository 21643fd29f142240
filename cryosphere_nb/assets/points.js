// Questions to half a million points: which is nearest, which are inside a polygon, what lies along a stroke.

// Points sorted into square cells, for csNearest.
const csGrid = (X, Y) => {
  const count = X.length;
  const side = Math.max(1, Math.min(512, Math.round(Math.sqrt(count / 3))));
  let [left, right, bottom, top] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < count; i++) {
    if (X[i] < left) left = X[i];
    if (X[i] > right) right = X[i];
    if (Y[i] < bottom) bottom = Y[i];
    if (Y[i] > top) top = Y[i];
  }
  const width = (right - left) / side || 1;
  const height = (top - bottom) / side || 1;
  const clip = v => (v < 0 ? 0 : v >= side ? side - 1 : v | 0);
  const column = x => clip((x - left) / width);
  const row = y => clip((y - bottom) / height);

  // counting sort: `order[start[c]]` to `order[start[c + 1] - 1]` are the points of cell c
  const cell = new Uint32Array(count);
  const start = new Uint32Array(side * side + 1);
  for (let i = 0; i < count; i++) {
    cell[i] = row(Y[i]) * side + column(X[i]);
    start[cell[i] + 1]++;
  }
  for (let c = 0; c < side * side; c++) start[c + 1] += start[c];
  const next = start.slice();
  const order = new Uint32Array(count);
  for (let i = 0; i < count; i++) order[next[cell[i]]++] = i;
  return { X, Y, side, width, height, column, row, start, order };
};

// The k points nearest to (x, y), nearest first, where a unit of x is sx pixels and one of y is sy. Cells are searched
// in rings round the pointer until no nearer point can be left.
const csNearest = (grid, x, y, sx, sy, k) => {
  const column = grid.column(x);
  const row = grid.row(y);
  const cellSize = Math.min(grid.width * sx, grid.height * sy);
  const found = []; // [squared distance, point]
  const look = (a, b) => {
    if (a < 0 || b < 0 || a >= grid.side || b >= grid.side) return;
    const cell = b * grid.side + a;
    for (let n = grid.start[cell]; n < grid.start[cell + 1]; n++) {
      const i = grid.order[n];
      const u = (grid.X[i] - x) * sx;
      const v = (grid.Y[i] - y) * sy;
      found.push([u * u + v * v, i]);
    }
  };
  const sort = () => found.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  for (let ring = 0; ring <= grid.side; ring++) {
    if (ring === 0) look(column, row);
    else
      for (let t = -ring; t <= ring; t++) {
        look(column + t, row - ring);
        look(column + t, row + ring);
        if (t === -ring || t === ring) continue; // the corners were looked at
        look(column - ring, row + t);
        look(column + ring, row + t);
      }
    if (found.length < k) continue;
    sort();
    if (found[k - 1][0] <= (ring * cellSize) ** 2) break; // all that is left is further away
  }
  return sort()
    .slice(0, k)
    .map(([, i]) => i);
};

// 1 for points inside the polygon [[x, y], ...]: a ray to the right crosses its outline an odd number of times. Edges
// are sorted by the rows they cross, so that a point meets only a few.
const csInside = (X, Y, polygon) => {
  const inside = new Uint8Array(X.length);
  const xs = polygon.map(p => p[0]);
  const ys = polygon.map(p => p[1]);
  const [left, right, bottom, top] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  if (polygon.length < 3 || !(top > bottom)) return inside;

  const rows = Array.from({ length: 256 }, () => []);
  const rowOf = y => Math.min(255, Math.max(0, Math.floor(((y - bottom) / (top - bottom)) * 256)));
  polygon.forEach(([ax, ay], k) => {
    const [bx, by] = polygon[(k + 1) % polygon.length];
    if (ay === by) return;
    const last = rowOf(Math.max(ay, by));
    for (let r = rowOf(Math.min(ay, by)); r <= last; r++) rows[r].push([ax, ay, bx, by]);
  });

  for (let i = 0; i < X.length; i++) {
    const x = X[i];
    const y = Y[i];
    if (!(x >= left && x <= right && y >= bottom && y <= top)) continue;
    for (const [ax, ay, bx, by] of rows[rowOf(y)])
      if (ay > y !== by > y && x < ax + ((bx - ax) * (y - ay)) / (by - ay)) inside[i] ^= 1;
  }
  return inside;
};

// Points evenly along a stroke [[x, y], ...].
const csEvenly = (stroke, steps) => {
  const length = [0];
  for (let k = 1; k < stroke.length; k++) {
    const [dx, dy] = [stroke[k][0] - stroke[k - 1][0], stroke[k][1] - stroke[k - 1][1]];
    length.push(length[k - 1] + Math.hypot(dx, dy));
  }
  const out = [];
  for (let step = 0, k = 0; step < steps; step++) {
    const at = (step / (steps - 1)) * length[length.length - 1];
    while (k < stroke.length - 2 && length[k + 1] < at) k++;
    const part = (at - length[k]) / (length[k + 1] - length[k] || 1);
    out.push([0, 1].map(d => stroke[k][d] + part * (stroke[k + 1][d] - stroke[k][d])));
  }
  return out;
};

// Of some images, the one nearest to their mean latent; `latents` holds L numbers an image.
const csTypical = (latents, L, images) => {
  const mean = new Float64Array(L);
  for (const i of images) for (let j = 0; j < L; j++) mean[j] += latents[i * L + j] / images.length;
  return images[csClosest(latents, L, mean, images).at];
};

// Which of some images (all, if `images` is not given) is nearest to a latent, and how far.
const csClosest = (latents, L, z, images = null) => {
  const count = images ? images.length : latents.length / L;
  let best = Infinity;
  let at = 0;
  for (let k = 0; k < count; k++) {
    const first = L * (images ? images[k] : k);
    let square = 0;
    for (let j = 0; j < L; j++) square += (latents[first + j] - z[j]) ** 2;
    if (square < best) [best, at] = [square, k];
  }
  return { at, distance: Math.sqrt(best) };
};
