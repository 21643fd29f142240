// 3Dmol.js, written into the page as text, runs when what stands before it has been on the screen: reading half a
// megabyte of script takes a while.
const csRunLibrary = () => {
  let ran = false;
  const run = () => {
    if (ran) return;
    ran = true;
    const script = document.createElement('script');
    script.textContent = document.getElementById('cs3dmol').textContent;
    document.head.appendChild(script);
    window.cs3dmol(); // whoever waits for $3Dmolpromise
  };
  requestAnimationFrame(() => setTimeout(run));
  setTimeout(run, 500); // a page that is not looked at draws no frames
};
