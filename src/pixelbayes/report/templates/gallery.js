// Sorts and filters a gallery of errors; without it, all of them stand there, surest first.
for (const form of document.querySelectorAll("form.sift")) {
  const list = form.nextElementSibling;
  const items = [...list.children];
  const update = () => {
    const wanted = form.elements.class.value;
    const order = form.elements.order.value;
    const key = order.replace("-", "");
    const sign = order === key ? -1 : 1;
    items.sort((a, b) => sign * (a.dataset[key] - b.dataset[key]));
    let shown = 0;
    for (const item of items) {
      item.hidden = wanted !== "" && !item.dataset.classes.split(" ").includes(wanted);
      shown += !item.hidden;
      list.append(item);
    }
    form.querySelector("output").textContent = `${shown} of ${items.length}`;
  };
  form.hidden = false;
  form.addEventListener("change", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  // A link from the confusion matrix leads to an image, whatever the filter says.
  window.addEventListener("hashchange", () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target && target.hidden && list.contains(target)) {
      form.elements.class.value = "";
      update();
      target.scrollIntoView();
    }
  });
  update();
}
