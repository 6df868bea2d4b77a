// Refreshes the page's live part while somebody looks at it, and leaves it alone while they work in it.
const EVERY_MS = 5000;
setInterval(() => {
  const live = document.querySelector("[data-live]");
  if (live && !document.hidden && !live.contains(document.activeElement)) htmx.trigger(live, "refresh");
}, EVERY_MS);
// Copies a field's text. Without scripts the button is not seen, and the field is there to be marked.
for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).value);
    button.textContent = "Copied";
  });
}
