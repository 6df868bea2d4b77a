// Refreshes the page's live part while somebody looks at it, and leaves it alone while they work in it: every five
// seconds, or as many such turns apart as the part says.
const EVERY_MS = 5000;
let turn = 0;
setInterval(() => {
  const live = document.querySelector("[data-live]");
  turn += 1;
  if (!live || turn % (Number(live.dataset.live) || 1)) return;
  if (!document.hidden && !live.contains(document.activeElement)) htmx.trigger(live, "refresh");
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
// Times, amounts and counts in the reader's own notation; what the page says without scripts is right as well.
const CLOCK = { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" };
function localise() {
  for (const own of document.querySelectorAll("time[data-zone], data.money, td.number, .figures dd:not(.quiet)")) {
    if (own.dataset.said) continue;
    own.dataset.said = "yes";
    try {
      if (own.dataset.zone) {
        own.textContent = new Intl.DateTimeFormat(navigator.language, { ...CLOCK, timeZone: own.dataset.zone }).format(new Date(own.dateTime));
      } else if (own.dataset.currency) {
        const digits = (own.value.split(".")[1] ?? "").length;
        const money = { style: "currency", currency: own.dataset.currency, minimumFractionDigits: digits, maximumFractionDigits: digits };
        own.textContent = new Intl.NumberFormat(navigator.language, money).format(own.value);
      } else if (/^\d{4,15}$/.test(own.textContent.trim())) {
        own.textContent = new Intl.NumberFormat(navigator.language).format(own.textContent.trim());
      }
    } catch {
      continue; // a zone or currency that this browser does not know
    }
  }
}
localise();
new MutationObserver(localise).observe(document.body, { childList: true, subtree: true });
