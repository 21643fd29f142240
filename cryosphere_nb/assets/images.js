// Particle images side by side, observed, predicted and residual, for one particle at a time.

// The i-th of the packed images, D pixels a side: bytes between a lowest value and that plus 255 steps.
const csImage = (packed, bytes, D, i) =>
  Float32Array.from(bytes.subarray(i * D * D, (i + 1) * D * D), b => packed.low[i] + packed.step[i] * b);

// Gaussian blur of an image, D pixels a side: along rows, then along columns; beyond the edge the edge goes on.
const csBlur = (image, D, sigma) => {
  if (!sigma) return image;
  const reach = Math.ceil(4 * sigma);
  const weights = Array.from({ length: 2 * reach + 1 }, (_, k) => Math.exp(-((k - reach) ** 2) / (2 * sigma ** 2)));
  const total = weights.reduce((a, b) => a + b);
  const clip = k => Math.max(0, Math.min(D - 1, k));
  const along = (values, line, stride) => {
    const out = new Float32Array(D * D);
    for (let a = 0; a < D; a++)
      for (let b = 0; b < D; b++) {
        const first = a * line;
        let sum = 0;
        for (let t = -reach; t <= reach; t++) sum += weights[t + reach] * values[first + stride * clip(b + t)];
        out[first + stride * b] = sum / total;
      }
    return out;
  };
  return along(along(image, D, 1), 1, D);
};

const csImages = shown => {
  // the box that is still empty: the same picture may stand twice on a page
  const boxes = [...document.querySelectorAll(`[data-images="${shown.id}"]`)];
  const box = boxes.find(found => !found.dataset.used);
  if (!box) return;
  box.dataset.used = 1;

  const D = shown.box;
  const find = selector => box.querySelector(selector);
  const slider = find('.cs-particle');
  const smooth = find('.cs-smooth');
  const same = find('.cs-same');
  const canvases = box.querySelectorAll('canvas');
  const bytes = packed => Uint8Array.from(atob(packed.bytes), c => c.charCodeAt(0));
  const stacks = [shown.observed, shown.predicted].map(packed => ({ packed, bytes: bytes(packed) }));

  // grey in the middle is zero, black and white are `width` below and above it
  const paint = (canvas, image, width) => {
    const context = canvas.getContext('2d');
    const pixels = context.createImageData(D, D);
    image.forEach((value, i) => {
      const grey = Math.max(0, Math.min(255, 127.5 + (127.5 * value) / width));
      pixels.data.set([grey, grey, grey, 255], 4 * i);
    });
    context.putImageData(pixels, 0, 0);
  };
  const most = image => image.reduce((high, value) => Math.max(high, Math.abs(value)), 0) || 1;

  const show = () => {
    const i = Number(slider.value);
    const sigma = Number(smooth.value);
    const [observed, predicted] = stacks.map(stack => csImage(stack.packed, stack.bytes, D, i));
    const residual = observed.map((value, k) => value - predicted[k]);
    const panels = [observed, predicted, residual].map(image => csBlur(image, D, sigma));
    panels.forEach((image, k) => paint(canvases[k], image, most(same.checked ? panels[0] : image)));
    find('.cs-caption').textContent = shown.captions[i];
    find('.cs-blur').textContent = sigma ? `${sigma} pixels` : 'none';
    box.cryosphere = { panels, image: i };
  };
  slider.oninput = smooth.oninput = same.onchange = show;
  show();
};
