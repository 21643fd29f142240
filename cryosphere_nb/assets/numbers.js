// Numbers of a page: unpacked, written, counted, coloured.

const csBytes = base64 => {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
};

// What Python's pack_exact (32-bit floats, 32-bit integers), pack_names (bytes) and pack_steps have packed. The last
// sends 16-bit steps between `lo` and `hi` of each column, with one of them kept for NaN.
const csUnpack = packed => {
  if (packed.f4 !== undefined) return new Float32Array(csBytes(packed.f4).buffer);
  if (packed.u4 !== undefined) return new Uint32Array(csBytes(packed.u4).buffer);
  if (packed.u1 !== undefined) return csBytes(packed.u1);
  const steps = new Int16Array(csBytes(packed.i2).buffer);
  const out = new Float32Array(steps.length);
  const columns = packed.lo.length;
  const unit = packed.lo.map((lo, c) => (packed.hi[c] - lo) / 65534);
  for (let i = 0, c = 0; i < steps.length; i++) {
    out[i] = steps[i] === -32768 ? NaN : packed.lo[c] + (steps[i] + 32767) * unit[c];
    if (++c === columns) c = 0;
  }
  return out;
};

const csFormat = value => {
  if (!isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 1e4 || (size !== 0 && size < 1e-3)) return value.toExponential(2);
  return String(+value.toPrecision(4));
};

// Round numbers from low to high, about n of them: steps of 1, 2 or 5 times a power of ten.
const csTicks = (low, high, n) => {
  const rough = (high - low) / n;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find(m => m * power >= rough) * power;
  const out = [];
  for (let v = Math.ceil(low / step) * step; v <= high; v += step) out.push(Math.abs(v) < step / 1e6 ? 0 : v);
  return out;
};

// Median of the values with `chosen(i)`. By counting, for they lie on the 65535 steps between lo and hi.
const csMedian = (values, lo, hi, chosen) => {
  const step = (hi - lo) / 65534 || 1;
  const bins = new Uint32Array(65536);
  let total = 0;
  for (let i = 0; i < values.length; i++)
    if (chosen(i) && !Number.isNaN(values[i])) {
      bins[Math.round((values[i] - lo) / step)]++;
      total++;
    }
  if (!total) return NaN;
  let bin = 0;
  for (let below = bins[0]; 2 * below <= total;) below += bins[++bin];
  return lo + bin * step;
};

const csRgb = hex => [1, 3, 5].map(k => parseInt(hex.slice(k, k + 2), 16));

// Colours of a column's images: 256 colours (r, g, b of each), and the number of each image's colour. Classes have
// colours of their own, numbers those of the ramp between `lo` and `hi`; the last, grey, is that of images without.
const csColors = (column, values, ramp) => {
  const palette = new Uint8Array(768).fill(170);
  if (!column) {
    palette.set(csRgb('#4477aa'));
    palette.set(csRgb('#aaaaaa'), 765);
    return { palette, numbers: null }; // the first for all
  }
  (column.classes ? column.palette : ramp).forEach((hex, k) => palette.set(csRgb(hex), 3 * k));
  palette.set(csRgb('#aaaaaa'), 765);
  const low = column.classes ? 0 : column.lo;
  const scale = column.classes ? 1 : 254 / (column.hi - column.lo || 1);
  const number = v => (Number.isNaN(v) ? 255 : Math.max(0, Math.min(254, (v - low) * scale)));
  return { palette, numbers: Uint8Array.from(values, number) };
};
