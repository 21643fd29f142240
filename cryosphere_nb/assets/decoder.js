// A network: its layers, and what a layer makes of numbers.
const csLayers = packed => packed.map(({ w, b, slope }) => ({ w: csUnpack(w), b: csUnpack(b), slope }));

const csLayer = (x, { w, b, slope }) => {
  const out = new Float64Array(b.length);
  for (let i = 0; i < out.length; i++) {
    let sum = b[i];
    for (let j = 0; j < x.length; j++) sum += w[i * x.length + j] * x[j];
    out[i] = sum < 0 ? slope * sum : sum;
  }
  return out;
};

// A vector (x, y, u) turned by a rotation vector (a, b, c).
const csTurned = ([x, y, u], [a, b, c]) => {
  const square = a * a + b * b + c * c;
  const angle = Math.sqrt(square);
  const half = Math.sin(angle / 2);
  const p = square < 1e-6 ? 1 - square / 6 : Math.sin(angle) / angle;
  const q = square < 1e-6 ? 0.5 - square / 24 : (2 * half * half) / square;
  const cx = b * u - c * y;
  const cy = c * x - a * u;
  const cu = a * y - b * x;
  return [x + p * cx + q * (b * cu - c * cy), y + p * cy + q * (c * cx - a * cu), u + p * cu + q * (a * cy - b * cx)];
};

// Where atoms are before segments move, if segments bend: residues turn, and the links between them carry the chain
// along; the mean of a piece of chain is taken out.
const csBending = (packed, atoms, owner) => {
  const layers = csLayers(packed.layers);
  const [fields, beads, holds, piece, rides] = ['fields', 'beads', 'holds', 'piece', 'rides'].map(name =>
    csUnpack(packed[name]),
  );
  const residues = piece.length;
  const at = (v, i) => [v[3 * i], v[3 * i + 1], v[3 * i + 2]];
  return z => {
    const amounts = [1, ...layers.reduce(csLayer, Float64Array.from(z))];
    const turns = new Float64Array(3 * residues);
    amounts.forEach((amount, k) => {
      for (let i = 0; i < turns.length; i++) turns[i] += amount * fields[k * turns.length + i];
    });
    const link = i => [0, 1, 2].map(c => (turns[3 * i + c] + turns[3 * i + 3 + c]) / 2);
    const shifts = new Float64Array(3 * residues);
    const sums = new Float64Array(3 * residues); // of each piece
    const counts = new Float64Array(residues);
    for (let i = 0; i < residues; i++) {
      const [before, here] = [i ? at(beads, i - 1) : [], at(beads, i)];
      const step = here.map((v, c) => v - before[c]);
      const change = i && holds[i - 1] ? csTurned(step, link(i - 1)).map((v, c) => v - step[c]) : [0, 0, 0];
      counts[piece[i]]++;
      for (let c = 0; c < 3; c++) {
        shifts[3 * i + c] = (i && shifts[3 * i - 3 + c]) + change[c];
        sums[3 * piece[i] + c] += shifts[3 * i + c];
      }
    }
    const out = new Float64Array(3 * owner.length);
    for (let j = 0; j < owner.length; j++) {
      const i = owner[j];
      const bead = at(beads, i);
      const arm = at(atoms, j).map((v, c) => v - bead[c]);
      const turned = csTurned(arm, rides[j] < residues ? at(turns, rides[j]) : link(rides[j] - residues));
      for (let c = 0; c < 3; c++)
        out[3 * j + c] = bead[c] + shifts[3 * i + c] - sums[3 * piece[i] + c] / counts[piece[i]] + turned[c];
    }
    return out;
  };
};

// The decoder of a run: a latent becomes the positions of the drawn atoms. The formulas are those of the chapter on the
// decoder; `packed` is what `export_decoder` sends.
const csDecoder = packed => {
  const layers = csLayers(packed.layers);
  const [weight, segment, pivot, atoms, owner] = ['weight', 'segment', 'pivot', 'atoms', 'owner'].map(name =>
    csUnpack(packed[name]),
  );
  const segments = pivot.length / 3;
  const most = packed.top_k; // segments a residue may belong to
  const bent = packed.bending && csBending(packed.bending, atoms, owner);

  // A quaternion, 1 for no turn, is said as it is; a frame by where the axes x and y go, about. Made orthonormal, its
  // matrix holds the quaternion four times, each time multiplied by one of its components: the largest is taken.
  const numbers = packed.full_turns ? 6 : 4;
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const unit = v => v.map(c => c / Math.max(Math.sqrt(dot(v, v)), 1e-12));
  const quaternion = said => {
    if (!packed.full_turns) return [said[0] + 1, said[1], said[2], said[3]];
    const x = unit([said[0] + 1, said[1], said[2]]);
    const b = [said[3], said[4] + 1, said[5]];
    const y = unit(b.map((c, i) => c - dot(x, b) * x[i]));
    const u = [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]];
    const trace = x[0] + y[1] + u[2];
    const [r, s, t] = [y[2] - u[1], u[0] - x[2], x[1] - y[0]];
    const [xy, xu, yu] = [x[1] + y[0], x[2] + u[0], y[2] + u[1]];
    const rows = [
      [1 + trace, r, s, t],
      [r, 1 - trace + 2 * x[0], xy, xu],
      [s, xy, 1 - trace + 2 * y[1], yu],
      [t, xu, yu, 1 - trace + 2 * u[2]],
    ];
    return rows[rows.reduce((most, row, i) => (row[i] > rows[most][most] ? i : most), 0)];
  };

  // Rotation vector and shift of each segment.
  const motions = z => {
    const out = layers.reduce(csLayer, Float64Array.from(z));
    const turns = new Float64Array(3 * segments);
    const shifts = new Float64Array(3 * segments);
    for (let m = 0; m < segments; m++) {
      const at = (numbers + 3) * m;
      const q = quaternion(out.subarray(at, at + numbers));
      const sign = q[0] < 0 ? -1 : 1; // a quaternion and its negative are the same turn
      const [w, x, y, u] = q.map(c => sign * c);
      const square = x * x + y * y + u * u;
      const norm = Math.sqrt(square);
      const factor = square < 1e-12 * w * w ? 2 / w : (2 * Math.atan2(norm, w)) / norm;
      turns.set([factor * x, factor * y, factor * u], 3 * m);
      for (let c = 0; c < 3; c++) shifts[3 * m + c] = packed.shift_unit * out[at + numbers + c];
    }
    return [turns, shifts];
  };

  // x y z of each atom in turn, Å: its residue's segments turn it one after another, each by its share of the angle
  // about the segment's pivot (Rodrigues' formula), and the shares of their shifts are added.
  const decode = z => {
    const [turns, shifts] = motions(z);
    const out = new Float32Array(3 * owner.length);
    const start = bent ? bent(z) : atoms;
    for (let i = 0; i < owner.length; i++) {
      let [x, y, u] = [start[3 * i], start[3 * i + 1], start[3 * i + 2]];
      let [dx, dy, du] = packed.offset;
      for (let k = 0; k < most; k++) {
        const share = weight[owner[i] * most + k];
        const m = 3 * segment[owner[i] * most + k];
        dx += share * shifts[m];
        dy += share * shifts[m + 1];
        du += share * shifts[m + 2];
        if (share === 0 || (k > 0 && share <= packed.least)) continue;
        const a = share * turns[m];
        const b = share * turns[m + 1];
        const c = share * turns[m + 2];
        const square = a * a + b * b + c * c;
        const angle = Math.sqrt(square);
        const half = Math.sin(angle / 2);
        const p = square < 1e-6 ? 1 - square / 6 : Math.sin(angle) / angle;
        const q = square < 1e-6 ? 0.5 - square / 24 : (2 * half * half) / square;
        const px = x - pivot[m];
        const py = y - pivot[m + 1];
        const pu = u - pivot[m + 2];
        const cx = b * pu - c * py; // turn × place
        const cy = c * px - a * pu;
        const cu = a * py - b * px;
        x = pivot[m] + px + p * cx + q * (b * cu - c * cy);
        y = pivot[m + 1] + py + p * cy + q * (c * cx - a * cu);
        u = pivot[m + 2] + pu + p * cu + q * (a * cy - b * cx);
      }
      out[3 * i] = x + dx;
      out[3 * i + 1] = y + dy;
      out[3 * i + 2] = u + du;
    }
    return out;
  };

  return { decode, motions };
};
