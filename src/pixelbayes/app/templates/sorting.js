() => {
  // A click on the head of a column sorts its table: numbers as numbers, files that cannot be read last.
  document.addEventListener("click", (event) => {
    const head = event.target.closest(".pb-table thead th:has(button)");
    if (!head) return;
    const table = head.closest("table"), column = [...head.parentNode.children].indexOf(head);
    const up = head.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (row) => row.children[column]?.dataset.sort ?? "";
    const rows = [...table.tBodies[0].rows].filter((row) => !row.classList.contains("pb-last"));
    const numeric = rows.every((row) => key(row) !== "" && !isNaN(key(row)));
    rows.sort((a, b) => (up ? 1 : -1) * (numeric ? key(a) - key(b) : key(a).localeCompare(key(b), undefined, { numeric: true })));
    const last = table.querySelector(".pb-last");
    rows.forEach((row) => table.tBodies[0].insertBefore(row, last));
  });
}
