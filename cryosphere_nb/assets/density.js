// A density map around the model that csViewer has drawn; a slider sets the level of its surface.
const csDensity = drawn => {
  const { scene, viewer, box } = drawn;
  const map = scene.map;
  const file = new $3Dmol.VolumeData(map.file, 'ccp4.gz');
  const size = [file.size.x, file.size.y, file.size.z];
  const slider = box.querySelector('.cs-level');
  const mesh = box.querySelector('.cs-mesh');
  const said = box.querySelector('.cs-said');
  let shape = null;
  let asked = false; // for a new surface, in the next frame

  const show = () => {
    asked = false;
    const level = map.low + ((map.high - map.low) * Number(slider.value)) / 1000;
    const surface = csContour(file.data, size, map.origin, map.unit, level);
    const style = { color: '#8fa3b8', opacity: mesh.checked ? 1 : 0.45, wireframe: mesh.checked };
    if (shape) viewer.removeShape(shape);
    shape = surface.faceArr.length ? viewer.addCustom({ ...style, ...surface }) : null;
    const inSd = map.sd.map(sd => ` = ${(level / sd).toFixed(1)} sd`).join('');
    said.textContent = Number(level.toPrecision(3)) + inSd;
    drawn.map = surface;
    drawn.level = level;
    viewer.render();
  };
  const ask = () => {
    if (!asked) requestAnimationFrame(show);
    asked = true;
  };
  slider.oninput = ask;
  mesh.onchange = ask;
  show();
};
