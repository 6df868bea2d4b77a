// Refreshes the page's live part while somebody looks at it, and leaves it alone while they work in it.
const EVERY_MS = 5000;
setInterval(() => {
  const live = document.querySelector("[data-live]");
  if (live && !document.hidden && !live.contains(document.activeElement)) htmx.trigger(live, "refresh");
}, EVERY_MS);
