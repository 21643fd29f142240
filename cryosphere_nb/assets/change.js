// The earlier of two conformations in grey, and arrows to the later one, which csViewer has drawn.
const csChange = drawn => {
  const { scene, viewer, box, beads, places, make, dress } = drawn;
  const before = box.querySelector('.cs-before');
  const tips = box.querySelector('.cs-arrows');
  const moved = csExpand(scene.moved); // what stays has no grey copy to hide in
  let ghost = null;
  let shape = null;

  const showBefore = on => {
    if (!ghost) ghost = make(0);
    if (on) dress(ghost, () => '#a8a8a8', 0.55, { predicate: atom => moved[atom.bead] });
    else ghost.setStyle({}, {});
    viewer.render();
  };

  const arrow = r => {
    const start = places.put({}, scene.ball[r]);
    const end = beads[r];
    const length = Math.hypot(end.x - start.x, end.y - start.y, end.z - start.z);
    return { start, end, radius: 0.16, radiusRatio: 3, mid: Math.max(0.4, 1 - 1.8 / length) };
  };
  const showArrows = on => {
    if (shape) viewer.removeShape(shape);
    shape = on && scene.arrows.length ? viewer.addShape({ color: '#333333' }) : null;
    if (shape) scene.arrows.forEach(r => shape.addArrow(arrow(r)));
    viewer.render();
  };

  before.onchange = () => showBefore(before.checked);
  tips.onchange = () => showArrows(tips.checked);
  box.querySelectorAll('[data-look]').forEach(button => {
    button.addEventListener('click', () => showBefore(before.checked)); // in the look that was chosen
  });
  showBefore(true);
  showArrows(true);
  drawn.arrows = () => (shape ? scene.arrows.length : 0);
};
