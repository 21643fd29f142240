// In a notebook the explorer stands in a frame of its own, which becomes as high as what it holds.
const csGrow = () => {
  try {
    const grow = () => (frameElement.style.height = `${document.body.scrollHeight + 12}px`);
    new ResizeObserver(grow).observe(document.body);
  } catch (_) {
    // a frame that may not know who holds it keeps its height
  }
};
