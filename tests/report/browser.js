// Looks at a page with every part unfolded, and writes what is wrong with it into the page as JSON.
(() => {
  document.querySelectorAll("details").forEach((one) => (one.open = true));
  const problems = [];
  const say = (what, node) => problems.push(`${what}: ${(node.textContent || node.tagName).trim().slice(0, 60)}`);
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) problems.push(`the page is ${root.scrollWidth} px wide, not ${root.clientWidth}`);

  const isVisible = (node) => node.checkVisibility() && !node.closest("thead, title, style");
  const nodes = [...document.querySelectorAll("body *")].filter(isVisible);
  for (const node of nodes) {
    const box = node.getBoundingClientRect();
    if (box.width && (box.right > root.clientWidth + 1 || box.left < -1) && !node.closest("svg")) say("outside the page", node);
    const style = getComputedStyle(node);
    const isCut = style.overflowX !== "visible" && node.scrollWidth > node.clientWidth + 1;
    if (isCut && node.tagName !== "svg") say("cut", node);
  }
  for (const text of document.querySelectorAll("figure svg text")) {
    if (!isVisible(text)) continue;
    const own = text.getBoundingClientRect(), svg = text.closest("svg").getBoundingClientRect();
    if (own.right > svg.right + 1 || own.left < svg.left - 1 || own.bottom > svg.bottom + 1) say("cut in a figure", text);
  }

  // A word that breaks over several lines is read letter by letter. Hashes, paths and commands may break.
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (walker.nextNode()) texts.push(walker.currentNode);
  for (const text of texts) {
    const parent = text.parentElement;
    if (!isVisible(parent) || parent.closest("svg, pre, code, dd")) continue;
    for (const word of text.data.matchAll(/[\p{L}\d.%]{2,24}/gu)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      const tops = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
      if (tops.size > 1) say(`the word ${word[0]} is broken`, parent);
    }
  }

  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (color) =>
    color.slice(0, 3).map((part) => part / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
      .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
  const behind = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const color = rgba(getComputedStyle(one).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  for (const text of texts) {
    const parent = text.parentElement;
    if (!text.data.trim() || !isVisible(parent)) continue;
    const style = getComputedStyle(parent), inFigure = parent.closest("svg");
    const [one, other] = [luminance(rgba(inFigure ? style.fill : style.color)), luminance(behind(parent))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) say(`contrast ${ratio.toFixed(2)}`, parent);
  }
  for (const svg of document.querySelectorAll("svg")) {
    if (!svg.closest("[role=img][aria-label]")) say("no accessible name", svg);
  }
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const found = { width: root.clientWidth, dark, texts: texts.length, problems: [...new Set(problems)] };
  window.parent.document.documentElement.setAttribute("data-found", encodeURIComponent(JSON.stringify(found)));
})();
