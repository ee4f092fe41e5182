"use strict";
// All event listeners are on the document, so that replacing <main> needs no new listeners.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
let picked = null;

function pick(cluster) {
  picked = cluster;
  document.querySelector(".map").classList.toggle("picking", cluster !== null);
  for (const cell of all(".cells i")) cell.classList.toggle("on", cluster !== null && cell.dataset.cluster === cluster);
  for (const button of all("button.pick")) button.setAttribute("aria-pressed", String(button.value === cluster));
}

function describe(node) {
  const detail = document.querySelector(".detail");
  if (node && detail) detail.textContent = node.querySelector(".hidden").textContent;
}

function neighbour(node, key) {
  const nodes = all(".node"), index = nodes.indexOf(node), racks = all(".rack");
  const rack = racks.indexOf(node.closest(".rack")), row = all(".node", racks[rack]).indexOf(node);
  const beside = step => { const others = racks[rack + step] && all(".node", racks[rack + step]); return others && (others[row] || others.at(-1)); };
  return { ArrowDown: nodes[index + 1], ArrowUp: nodes[index - 1], ArrowRight: beside(1), ArrowLeft: beside(-1), Home: nodes[0], End: nodes.at(-1) }[key];
}

document.addEventListener("click", event => {
  const button = event.target.closest("button.pick");
  if (button) pick(button.value === picked ? null : button.value);
});
document.addEventListener("mouseover", event => describe(event.target.closest(".node")));
document.addEventListener("focusin", event => {
  const node = event.target.closest(".node");
  if (!node) return;
  for (const other of all('.node[tabindex="0"]')) other.tabIndex = -1;
  node.tabIndex = 0;
  describe(node);
});
document.addEventListener("keydown", event => {
  const node = event.target.closest(".node");
  if (event.key === "Escape" && picked !== null) return pick(null);
  const next = node && neighbour(node, event.key);
  if (!next) return;
  event.preventDefault();
  next.focus();
});

// ---- refresh of a served page ----------------------------------------------------------------------
async function refresh() {
  const note = document.querySelector("#note");
  try {
    const response = await fetch(location.href, { cache: "no-store" });
    if (!response.ok) throw new Error(await response.text());
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    const [oldMain, newMain] = [document.querySelector("main"), fresh.querySelector("main")];
    const source = newMain.innerHTML; // compared as served: later changes by this script do not count
    if (oldMain.dataset.source !== source) {
      const focused = document.activeElement && document.activeElement.id, cluster = picked;
      const open = all("details[open]", oldMain).map(details => details.id);
      oldMain.replaceWith(document.adoptNode(newMain));
      newMain.dataset.source = source;
      for (const details of all("details", newMain)) details.open = open.includes(details.id);
      if (cluster !== null && all("button.pick").some(button => button.value === cluster)) pick(cluster);
      if (focused && document.getElementById(focused)) document.getElementById(focused).focus({ preventScroll: true });
    }
    const [oldSummary, newSummary] = [document, fresh].map(root => root.querySelector("#summary"));
    if (oldSummary.outerHTML !== newSummary.outerHTML) { oldSummary.className = newSummary.className; oldSummary.textContent = newSummary.textContent; }
    note.textContent = fresh.querySelector("#note").textContent;
  } catch (error) {
    note.textContent = `Not up to date: ${error.message}`;
  }
}
const seconds = Number(document.documentElement.dataset.every || 0);
if (seconds) setInterval(() => { if (!document.hidden) refresh(); }, seconds * 1000);
