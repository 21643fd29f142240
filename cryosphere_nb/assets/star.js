// What a page saves: row numbers as text, and selections as star files.

const csSaid = (what, count, total) =>
  `# cryosphere_nb ${what}: ${count} of ${total} images, rows counted from 0\n`;
const csRowsText = (what, rows, total) => `${csSaid(what, rows.length, total)}${rows.join('\n')}\n`;

// Names of images as `pack_names` sends them: each stack once, and ranges of neighbours in it. A range is three
// numbers: how many stacks further, how far from the image expected next, and how many images. A number is bytes of
// seven bits, the low ones first; the eighth says that more follow. An image 0 stands for a name that is no
// `number@stack` of the usual width: then the stack is the whole name.
const csImageNames = (packed, count) => {
  const bytes = csUnpack(packed.ranges);
  const stack = new Uint32Array(count);
  const image = new Uint32Array(count);
  let at = 0;
  const number = () => {
    let value = 0;
    let scale = 1;
    for (; ; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  const signed = () => {
    const value = number(); // 0, -1, 1, -2, ... are sent as 0, 1, 2, 3, ...
    return value % 2 ? -(value + 1) / 2 : value / 2;
  };
  let current = 0;
  let expected = 1;
  for (let i = 0; i < count;) {
    const further = signed();
    current += further;
    const first = (further ? 1 : expected) + signed();
    const length = number();
    stack.fill(current, i, i + length);
    for (let k = 0; k < length; k++) image[i + k] = first + k;
    expected = first + length;
    i += length;
  }
  const group = i => packed.groups && packed.groups[stack[i]];
  const name = i => {
    const text = packed.prefix + packed.stacks[stack[i]] + packed.suffix;
    return image[i] ? `${String(image[i]).padStart(packed.width, '0')}@${text}` : text;
  };
  return { name, group };
};

// A word of a star file: with quotes only if it would not be one word without them.
const csQuoted = text => {
  if (/^(?!["'#_]|data_|loop_)[^ \t\v\f\n\r\0]+$/.test(text)) return text;
  if (/[\n\r\0]/.test(text)) throw new Error(`no star file holds this on one line: ${JSON.stringify(text)}`);
  for (const quote of ['"', "'"])
    if (!new RegExp(`${quote}([ \\t\\v\\f]|$)`).test(text)) return quote + text + quote;
  throw new Error(`no quote can stand round ${text}: it holds both kinds`);
};

// A data block, from its columns {label: [words]}: as a table, or as a list if it has one row and is no loop.
const csBlock = ({ name, loop, columns }) => {
  const labels = Object.keys(columns);
  const words = labels.map(label => columns[label].map(csQuoted));
  const head = `\ndata_${name}\n\n`;
  if (!loop && words[0].length === 1) return `${head}${labels.map((l, k) => `_${l} ${words[k][0]}\n`).join('')}\n`;
  const rows = words[0].map((_, i) => `${words.map(column => column[i]).join('\t')}\n`);
  return `${head}loop_\n${labels.map((l, k) => `_${l} #${k + 1}\n`).join('')}${rows.join('')}\n`;
};

// The star file of some images: the optics groups as they were, and of each image its name, its group, and its row.
// `images` are counted in the page, `row(i)` in the data set.
const csStarText = (star, names, images, row, total) => {
  if (!images.length) throw new Error('no image is selected: choose Lasso and draw round some');
  const columns = { rlnImageName: images.map(names.name) };
  if (star.optics) columns.rlnOpticsGroup = images.map(names.group);
  columns.cryosphereRow = images.map(i => String(row(i)));
  const blocks = [...(star.optics ? [star.optics] : []), { name: star.name, loop: true, columns }];
  return csSaid('selection', images.length, total) + blocks.map(csBlock).join('');
};
