// What a reader sees, asked of the page itself.

// All elements of a selector that are drawn, hidden in no closed details.
const seen = (selector, root = document) =>
  [...root.querySelectorAll(selector)].filter((e) => e.checkVisibility() && e.getBoundingClientRect().width > 0);

const texts = (selector, root) => seen(selector, root).map((e) => e.textContent.trim());

const openAll = () => {
  for (const summary of document.querySelectorAll(".folder:not([open]) > summary, .scenario:not([open]) > summary")) summary.click();
  return document.querySelectorAll("details:not([open])").length;
};

// How far the page is wider than its window.
const tooWide = () => document.documentElement.scrollWidth - window.innerWidth;

// Texts that are cut off, or that one must scroll sideways for.
const cutOff = () =>
  seen("body *:not(svg *)")
    .filter((e) => {
      const style = getComputedStyle(e);
      const hides = style.overflowX !== "visible" && e.scrollWidth > e.clientWidth + 1;
      return hides || e.getBoundingClientRect().right > window.innerWidth + 1;
    })
    .map((e) => `${e.tagName}.${e.className} ${e.textContent.trim().slice(0, 40)}`);

// Pairs of texts in one diagram of which one is drawn over the other.
const overlaps = () => {
  const found = [];
  for (const svg of seen("svg.sequence")) {
    const frame = svg.getBoundingClientRect();
    const boxes = seen("text", svg).map((e) => ({ text: e.textContent, box: e.getBoundingClientRect() }));
    boxes.forEach(({ text, box }, i) => {
      if (box.left < frame.left || box.right > frame.right || box.bottom > frame.bottom) found.push(`${text} | frame`);
      for (const other of boxes.slice(i + 1)) {
        const across = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
        const down = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top);
        if (across > 1 && down > 2) found.push(`${text} | ${other.text}`);
      }
    });
  }
  return found;
};

const channels = (color) => color.match(/[\d.]+/g).map(Number);

const luminance = (color) => {
  const [r, g, b] = channels(color).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};

const behind = (e) => {
  if (e.previousElementSibling?.tagName === "rect") return getComputedStyle(e.previousElementSibling).fill;
  for (; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor;
    if ((channels(color)[3] ?? 1) === 1) return color;
  }
  return "rgb(255, 255, 255)";
};

// Texts with less contrast than WCAG 2.2, 1.4.3 (AA) asks for, and how many
// texts there are.
const contrast = () => {
  const faint = [];
  const all = seen("body *").filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()));
  for (const e of all) {
    const style = getComputedStyle(e);
    const [low, high] = [luminance(e instanceof SVGElement ? style.fill : style.color), luminance(behind(e))].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${e.tagName}.${e.getAttribute("class")} ${e.textContent.slice(0, 40)}`);
  }
  return { Texts: all.length, Faint: faint };
};
