"use strict";
// Everything is delegated from the document, so that nothing has to be bound again when <main> is exchanged.
const all = (selector, of = document) => [...of.querySelectorAll(selector)];
let picked = null;

function pick(cluster) {
  picked = cluster;
  document.querySelector(".map").classList.toggle("picking", cluster !== null);
  for (const cell of all(".cells i.on")) cell.classList.remove("on");
  for (const cell of all(".cells i[data-of]")) if (cell.dataset.of === cluster) cell.classList.add("on");
  for (const button of all("button.pick")) button.setAttribute("aria-pressed", String(button.value === cluster));
}

function tell(node) {
  const detail = document.querySelector(".detail");
  if (node && detail) detail.textContent = node.querySelector(".hidden").textContent;
}

function step(node, key) {
  const nodes = all(".node"), at = nodes.indexOf(node), racks = all(".rack");
  const rack = racks.indexOf(node.closest(".rack")), row = all(".node", racks[rack]).indexOf(node);
  const beside = by => { const there = racks[rack + by] && all(".node", racks[rack + by]); return there && (there[row] || there.at(-1)); };
  return { ArrowDown: nodes[at + 1], ArrowUp: nodes[at - 1], ArrowRight: beside(1), ArrowLeft: beside(-1), Home: nodes[0], End: nodes.at(-1) }[key];
}

document.addEventListener("click", event => {
  const button = event.target.closest("button.pick");
  if (button) pick(button.value === picked ? null : button.value);
});
document.addEventListener("mouseover", event => tell(event.target.closest(".node")));
document.addEventListener("focusin", event => {
  const node = event.target.closest(".node");
  if (!node) return;
  for (const other of all('.node[tabindex="0"]')) other.tabIndex = -1;
  node.tabIndex = 0;
  tell(node);
});
document.addEventListener("keydown", event => {
  const node = event.target.closest(".node");
  if (event.key === "Escape" && picked !== null) return pick(null);
  const next = node && step(node, event.key);
  if (!next) return;
  event.preventDefault();
  next.focus();
});

// ---- the served page looks again by itself ---------------------------------------------------------
async function look() {
  const note = document.querySelector("#note");
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (!answer.ok) throw new Error(await answer.text());
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const held = document.activeElement && document.activeElement.id, before = picked;
    const [now, then] = [document.querySelector("main"), fresh.querySelector("main")];
    const opened = all("details[open]", now).map(one => one.id);
    if (now.dataset.shown !== then.innerHTML) {
      const shown = then.innerHTML;
      now.replaceWith(document.adoptNode(then));
      then.dataset.shown = shown; // as it came: what is picked, open or reached since is no change
      for (const one of all("details", then)) one.open = opened.includes(one.id);
      if (before !== null && all("button.pick").some(button => button.value === before)) pick(before);
      if (held && document.getElementById(held)) document.getElementById(held).focus({ preventScroll: true });
    }
    const [said, says] = [document.querySelector("#verdict"), fresh.querySelector("#verdict")];
    if (said.outerHTML !== says.outerHTML) { said.className = says.className; said.textContent = says.textContent; }
    note.textContent = fresh.querySelector("#note").textContent;
  } catch (error) {
    note.textContent = `Not up to date: ${error.message}`;
  }
}
const seconds = Number(document.documentElement.dataset.every || 0);
if (seconds) setInterval(() => { if (!document.hidden) look(); }, seconds * 1000);
