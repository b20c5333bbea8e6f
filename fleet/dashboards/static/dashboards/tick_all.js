/* <input type="checkbox" data-tick-all="NAME" hidden> ticks every box of that name in its form; without JavaScript it stays hidden. */
"use strict";

for (const all of document.querySelectorAll("[data-tick-all]")) {
  const boxes = [...all.form.querySelectorAll(`input[type="checkbox"][name="${all.dataset.tickAll}"]`)];
  all.hidden = false;
  all.addEventListener("change", () => boxes.forEach((box) => { box.checked = all.checked; }));
  all.form.addEventListener("change", () => {
    const ticked = boxes.filter((box) => box.checked).length;
    all.checked = ticked === boxes.length;
    all.indeterminate = ticked > 0 && ticked < boxes.length;
  });
}
