// A field above the families of the models page, which hides the rows that do not have what is typed.
function addFilter() {
  const families = [...document.querySelectorAll("details.family")];
  if (!families.length || document.querySelector(".filter")) return;
  const field = document.createElement("input");
  field.type = "search";
  field.className = "filter";
  field.placeholder = "Filter by name, for example: dinov3 small";
  field.setAttribute("aria-label", "Filter models by name");
  const found = document.createElement("p");
  found.className = "filter-count";
  found.setAttribute("role", "status");
  families[0].parentNode.insertBefore(field, families[0].closest("article").querySelector("h2"));
  field.after(found);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const family of families) {
      let shown = 0;
      for (const row of family.querySelectorAll("tbody tr")) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      family.hidden = words.length > 0 && shown === 0;
      family.open = words.length > 0 && shown > 0;
      count += shown;
    }
    found.textContent = words.length ? `${count} models` : "";
  });
}
document.addEventListener("DOMContentLoaded", addFilter);
