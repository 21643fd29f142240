// The surface where a map has one value, by surface nets: every cell of eight voxels that the level crosses gets a
// vertex, the mean of the points where the level cuts the cell's edges, and every crossed edge a square between the
// four cells around it.

// `values` in the order [x][y][z], `size` voxels along x, y, z; `origin` of the first voxel and `unit` of a step, Å.
const csContour = (values, size, origin, unit, level) => {
  const stride = [size[1] * size[2], size[2], 1];
  const bit = (corner, axis) => (corner >> (2 - axis)) & 1; // is a corner of the cell the far one along an axis?
  const corners = [0, 1, 2, 3, 4, 5, 6, 7];
  const offset = corners.map(c => bit(c, 0) * stride[0] + bit(c, 1) * stride[1] + bit(c, 2));
  const edges = corners.flatMap(c => [1, 2, 4].filter(other => !(c & other)).map(other => [c, c | other]));
  const cells = visit => {
    for (let i = 0; i < size[0] - 1; i++)
      for (let j = 0; j < size[1] - 1; j++)
        for (let k = 0; k < size[2] - 1; k++) visit([i, j, k], i * stride[0] + j * stride[1] + k);
  };

  const vertexOf = new Int32Array(values.length).fill(-1); // number of the vertex in a cell
  const points = [];
  const normals = [];
  cells((at, cell) => {
    let inside = 0; // a bit for each corner
    for (const c of corners) if (values[cell + offset[c]] > level) inside |= 1 << c;
    if (inside === 0 || inside === 255) return;

    const sum = [0, 0, 0]; // of the cuts, in steps from the cell's first corner
    let cuts = 0;
    for (const [a, b] of edges) {
      if (((inside >> a) & 1) === ((inside >> b) & 1)) continue;
      const low = values[cell + offset[a]];
      const part = (level - low) / (values[cell + offset[b]] - low);
      for (let d = 0; d < 3; d++) sum[d] += bit(a, d) + part * (bit(b, d) - bit(a, d));
      cuts++;
    }
    const down = [0, 0, 0]; // downhill is outside
    for (const c of corners) for (let d = 0; d < 3; d++) down[d] += (bit(c, d) ? -1 : 1) * values[cell + offset[c]];
    const steepness = Math.hypot(...down) || 1;

    vertexOf[cell] = points.length;
    const [x, y, z] = at.map((v, d) => origin[d] + unit[d] * (v + sum[d] / cuts));
    points.push({ x, y, z });
    normals.push({ x: down[0] / steepness, y: down[1] / steepness, z: down[2] / steepness });
  });

  const faces = [];
  cells((at, cell) => {
    const from = values[cell] > level;
    for (let d = 0; d < 3; d++) {
      const [b, c] = [(d + 1) % 3, (d + 2) % 3]; // the other two axes
      if (!at[b] || !at[c] || from === values[cell + stride[d]] > level) continue;
      const around = [cell - stride[b] - stride[c], cell - stride[c], cell, cell - stride[b]];
      const [p, q, r, s] = (from ? around : around.reverse()).map(neighbour => vertexOf[neighbour]);
      faces.push(p, q, r, p, r, s);
    }
  });
  return { vertexArr: points, normalArr: normals, faceArr: faces };
};
