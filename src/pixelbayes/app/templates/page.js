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

  // Gradio gives every radio button a name of its own; only those of one name are a group, in
  // which arrows move and of which a screen reader says "2 of 4".
  let groups = 0;
  const repair = () => {
    for (const set of document.querySelectorAll("fieldset:has(input[type=radio])")) {
      const name = (set.dataset.pbGroup ??= `pb-group-${++groups}`);
      for (const radio of set.querySelectorAll("input[type=radio]"))
        if (radio.name !== name) radio.name = name;
      if (!set.hasAttribute("aria-label"))
        set.setAttribute("aria-label", set.querySelector("[data-testid=block-info]")?.textContent.trim() ?? "");
    }
    // Nor does it read out of what an image is.
    for (const image of document.querySelectorAll(".pb-examples button > img[alt]"))
      if (image.alt) image.parentNode.setAttribute("aria-label", image.alt);
  };
  new MutationObserver(repair).observe(document.body, {
    subtree: true, childList: true, attributes: true, attributeFilter: ["name"],
  });
  repair();

  // Arrows move from tab to tab, as a list of tabs promises.
  document.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const tab = event.target.closest("[role=tab]");
    if (!step || !tab) return;
    const tabs = [...tab.closest("[role=tablist]").querySelectorAll("[role=tab]")];
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    event.preventDefault();
    next.click();
    next.focus();
  });
}
