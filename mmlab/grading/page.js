"use strict";
const table = document.getElementById("grades"), body = table.tBodies[0], rows = [...body.rows];
const search = document.getElementById("search"), count = document.getElementById("count");

search.addEventListener("input", () => {
  const wanted = search.value.trim().toLowerCase();
  const fits = (words) => words.toLowerCase().includes(wanted);
  rows.forEach((row) => { row.hidden = !fits(row.textContent); });
  document.querySelectorAll(".mark").forEach((mark) => mark.classList.toggle("dim", !fits(mark.dataset.name)));
  count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
});

table.tHead.querySelectorAll("button").forEach((button) => button.addEventListener("click", () => {
  const head = button.parentElement, before = head.getAttribute("aria-sort");
  const order = before ? (before === "ascending" ? "descending" : "ascending") : head.dataset.first;
  [...head.parentElement.cells].forEach((one) => one.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", order);
  const value = (row) => {  // a row of an invalid file has fewer cells
    const cell = row.cells[head.cellIndex];
    return cell?.dataset.value ?? cell?.textContent.trim() ?? "";
  };
  const sign = order === "ascending" ? 1 : -1;
  rows.sort((a, b) => (a.dataset.status === "invalid") - (b.dataset.status === "invalid")
    || (value(a) === "") - (value(b) === "") || sign * value(a).localeCompare(value(b), undefined, { numeric: true }));
  body.append(...rows);
}));
